import Base

/// The only functions that change the state of a record, with the lists and counts that go with it.
extension PoolCore {
    /// Moves a client to another state: out of the list of the old one, into the list of the new one.
    ///
    /// - Precondition: the move is one that can happen; an impossible one traps.
    mutating func moveClient(_ handle: Handle<Client>, to state: Client.State) {
        let from = clients[handle].state
        let pool = clients[handle].pool
        precondition(
            PoolCore.canMove(from, state), "a client cannot go from one of these states to the other")
        if state != .authenticating { strangerLeft(handle) }
        switch from {
        case .waiting, .waitingForPeer, .waitingForLookup:
            pools[pool].waiters.remove(handle, in: &clients)
            if clients[handle].replication != .none { pools[pool].waitingReplication -= 1 }
        case .waitingForWelcome:
            pools[pool].welcomeWaiters.remove(handle, in: &clients)
        case .startup, .authenticating, .idle, .linked, .relayed, .cancelling, .moving, .lookingUp:
            break
        }
        if !pool.isNone, from != .startup { pools[pool].clientCounts[Int(from.rawValue)] &-= 1 }
        clients[handle].state = state
        switch state {
        case .waiting, .waitingForPeer, .waitingForLookup:
            pools[pool].waiters.append(handle, in: &clients)
            if clients[handle].replication != .none { pools[pool].waitingReplication += 1 }
        case .waitingForWelcome:
            pools[pool].welcomeWaiters.append(handle, in: &clients)
        case .startup, .authenticating, .idle, .linked, .relayed, .cancelling, .moving, .lookingUp:
            break
        }
        if !pool.isNone { pools[pool].clientCounts[Int(state.rawValue)] &+= 1 }
        if PoolCore.waits(from) || PoolCore.waits(state) { publishWaiting(pool) }
    }

    /// Whether a client in this state waits for a server.
    private static func waits(_ state: Client.State) -> Bool {
        switch state {
        case .waiting, .waitingForWelcome, .waitingForPeer, .waitingForLookup: true
        case .startup, .authenticating, .idle, .linked, .relayed, .cancelling, .moving, .lookingUp: false
        }
    }

    /// Takes a client out of its list and its pool's counts, before the record is removed.
    mutating func unlistClient(_ handle: Handle<Client>) {
        let state = clients[handle].state
        let pool = clients[handle].pool
        strangerLeft(handle)
        switch state {
        case .waiting, .waitingForPeer, .waitingForLookup:
            pools[pool].waiters.remove(handle, in: &clients)
            if clients[handle].replication != .none { pools[pool].waitingReplication -= 1 }
        case .waitingForWelcome:
            pools[pool].welcomeWaiters.remove(handle, in: &clients)
        case .startup, .authenticating, .idle, .linked, .relayed, .cancelling, .moving, .lookingUp:
            break
        }
        if !pool.isNone, state != .startup { pools[pool].clientCounts[Int(state.rawValue)] &-= 1 }
        if PoolCore.waits(state) { publishWaiting(pool) }
    }

    private static func canMove(_ from: Client.State, _ to: Client.State) -> Bool {
        switch (from, to) {
        case (.startup, .authenticating), (.startup, .cancelling): true
        case (.startup, .waitingForPeer), (.waitingForPeer, .cancelling): true
        case (.authenticating, .idle), (.authenticating, .waitingForWelcome), (.authenticating, .relayed):
            true
        case (.authenticating, .waitingForLookup), (.waitingForLookup, .lookingUp): true
        case (.lookingUp, .waitingForLookup), (.lookingUp, .authenticating): true
        case (.waitingForWelcome, .idle): true
        case (.idle, .waiting), (.idle, .linked): true
        case (.waiting, .linked), (.waiting, .idle): true
        case (.linked, .idle): true
        case (.idle, .moving), (.moving, .idle), (.linked, .moving), (.moving, .linked): true
        default: false
        }
    }

    /// Moves a server to another state: out of the list of the old one, into the list of the new one.
    ///
    /// - Precondition: the move is one that can happen; an impossible one traps.
    mutating func moveServer(_ handle: Handle<Server>, to state: Server.State) {
        let from = servers[handle].state
        let pool = servers[handle].pool
        precondition(
            PoolCore.canMove(from, state), "a server cannot go from one of these states to the other")
        if from == .idle { pools[pool].idle.remove(handle, in: &servers) }
        pools[pool].serverCounts[Int(from.rawValue)] &-= 1
        servers[handle].state = state
        if state == .idle {
            precondition(servers[handle].replies.isEmpty, "a server that owes replies is not free")
            precondition(servers[handle].client.isNone, "a server that has a client is not free")
            if hot.roundRobin || servers[handle].needsClose {
                pools[pool].idle.append(handle, in: &servers)
            } else {
                pools[pool].idle.prepend(handle, in: &servers)
            }
        }
        pools[pool].serverCounts[Int(state.rawValue)] &+= 1
        if from == .idle || state == .idle { publishIdle(pool) }
    }

    /// Takes a server out of its list and its pool's counts, before the record is removed.
    mutating func unlistServer(_ handle: Handle<Server>) {
        let state = servers[handle].state
        let pool = servers[handle].pool
        if state == .idle {
            pools[pool].idle.remove(handle, in: &servers)
            publishIdle(pool)
        }
        pools[pool].serverCounts[Int(state.rawValue)] &-= 1
    }

    private static func canMove(_ from: Server.State, _ to: Server.State) -> Bool {
        switch (from, to) {
        case (.connecting, .startup), (.connecting, .cancelling): true
        case (.startup, .idle), (.startup, .linked): true
        case (.idle, .linked), (.idle, .tested): true
        case (.tested, .idle), (.tested, .beingCancelled): true
        case (.linked, .idle), (.linked, .tested), (.linked, .beingCancelled): true
        case (.beingCancelled, .idle), (.beingCancelled, .tested): true
        case (.idle, .lending), (.lending, .idle), (.lending, .linked): true
        case (.idle, .lookingUp): true
        case (.lookingUp, .idle), (.lookingUp, .tested), (.lookingUp, .beingCancelled): true
        default: false
        }
    }
}
