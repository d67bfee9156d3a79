import Auth
import Base
import Config
import SharedState
import Wire

/// Giving servers to clients and taking them back.
extension PoolCore {
    /// Tries to get a server for a client that has a request.
    ///
    /// - Returns: whether it is linked now. If not, it waits, or it has been closed with an error.
    mutating func acquire(_ client: Handle<Client>) -> Bool {
        precondition(clients[client].state == .idle, "only a client between transactions asks for a server")
        let pool = clients[client].pool
        if lifecycle.waitsForServers {
            fail(client, .administrator(.shutdown))
            return false
        }
        if clients[client].replication == .none, !isPaused(pool),
            Int(pools[pool].waiters.count) == pools[pool].waitingReplication, let server = freeServer(pool)
        {
            clients[client].waitStart = now
            pools[pool].typicalWait &-= pools[pool].typicalWait / 16
            link(client, server)
            return true
        }
        if let failure = knownFailure(pool) {
            fail(client, failure)
            return false
        }
        clients[client].waitStart = now
        clients[client].isNotified = false
        if clients[client].replication != .none { pools[pool].replicationWaiters += 1 }
        moveClient(client, to: .waiting)
        scheduleUpkeep(within: PoolCore.busyUpkeep)
        openServers(pool)
        return false
    }

    /// A free server that may be used at once. Those that are to be closed are closed on the way; one that
    /// has been idle for long is tested first.
    mutating func freeServer(_ pool: Handle<Pool>) -> Handle<Server>? {
        while !pools[pool].idle.isEmpty {
            let server = pools[pool].idle.first
            if vet(server) { return server }
        }
        return nil
    }

    /// Whether a free server can be used right now. One that is not to be used any more is closed, and one
    /// that has rested for too long is tested.
    mutating func vet(_ server: Handle<Server>) -> Bool {
        if servers[server].needsClose {
            closeServer(server, reason: "database configuration changed")
        } else if isTooOld(server) {
            pools[servers[server].pool].lastLifetimeClose = now
            closeServer(server, reason: "server lifetime over")
        } else if needsTest(server) {
            startTest(server, isReset: false)
        } else {
            return true
        }
        return false
    }

    /// Whether a free server has rested so long that it is asked whether it is still there. One that has just
    /// answered is not asked again at once, or with a delay of 0 it would be asked for ever.
    private func needsTest(_ server: Handle<Server>) -> Bool {
        let rest = now &- servers[server].lastActivity
        guard hot.checksBeforeUse, rest >= hot.checkDelay else { return false }
        return !servers[server].isFresh || rest >= PoolCore.freshness
    }

    /// How long an answer shows that a server is there.
    private static var freshness: UInt64 { 1_000_000_000 }

    /// Links a client to a free server.
    ///
    /// - Precondition: the client is idle or waiting, the server is idle (or ready for its replication
    ///   client).
    /// - Postcondition: both are linked and each names the other; a prelude is on its way if they differ.
    mutating func link(_ client: Handle<Client>, _ server: Handle<Server>) {
        join(client, server)
        if clients[client].replication == .none {
            let counters = pools[servers[server].pool].counters
            let waitTime = (now &- clients[client].waitStart) / 1000
            counters.add(.serverAssignments)
            counters.add(.waitMicroseconds, waitTime)
            counters.record(.wait, microseconds: waitTime)
        }
        #if CANARY
            if Canary.isPlanted(.parameterLeft) { return }
        #endif
        if clients[client].parameters != servers[server].parameters { sendPrelude(client, server) }
    }

    /// Has a client and a server name each other.
    @inline(__always)
    mutating func join(_ client: Handle<Client>, _ server: Handle<Server>) {
        precondition(servers[server].replies.isEmpty, "a server that owes replies cannot be linked")
        moveServer(server, to: .linked)
        moveClient(client, to: .linked)
        servers[server].client = client
        servers[server].requestStart = now
        servers[server].hasFailed = false
        servers[server].isUsed = true
        servers[server].isFresh = false
        clients[client].server = server
        clients[client].hasUnnamedOnServer = false
        // Nothing is in flight: everything before has been answered.
        servers[server].settledGroup = servers[server].syncGroup &- 1
        servers[server].unsettlingGroup = servers[server].settledGroup
        servers[server].beginGroup = servers[server].settledGroup
        clients[client].unnamedGroup = servers[server].settledGroup
        clients[client].namesGroup = servers[server].settledGroup
    }

    /// Takes the server back when the client's transaction is over and nothing is in flight.
    mutating func releaseIfDone(_ server: Handle<Server>) {
        guard !server.isNone, servers[server].state == .linked, isOutsideTransaction(server),
            servers[server].replies.isEmpty, !servers[server].needsSync, !servers[server].skipsUntilSync,
            !servers[server].isReplication
        else { return }
        let client = servers[server].client
        let pool = servers[server].pool
        guard clients[client].bodyRemaining == 0, !clients[client].awaitsPrelude,
            !clients[client].awaitsReplies
        else { return }
        if pools[pool].settings.poolMode == .session {
            if lifecycle.isEnding || servers[server].needsClose { sessionQuieted(client, server) }
            return
        }
        unlink(server)
        moveClient(client, to: .idle)
        takeBack(server)
        if lifecycle.isEnding { quieted(client) }
    }

    /// Nothing is under way in a session whose worker ends, or whose server is to be closed.
    @inline(never)
    private mutating func sessionQuieted(_ client: Handle<Client>, _ server: Handle<Server>) {
        if lifecycle.isLeaving { sendAway(client) }
        guard clients[client].state == .linked else { return }
        if lifecycle.isDismissing {
            fail(client, .administrator(.shutdown))
        } else if servers[server].needsClose, configuration.settings.serverFastClose {
            fail(client, .server(.configurationChanged))
        }
    }

    /// A client's transaction is over in a worker that ends.
    @inline(never)
    private mutating func quieted(_ client: Handle<Client>) {
        if lifecycle.isLeaving { sendAway(client) }
        if lifecycle.isDismissing, clients[client].state == .idle {
            return fail(client, .administrator(.shutdown))
        }
        checkDrained()
    }

    @inline(__always)
    private func isOutsideTransaction(_ server: Handle<Server>) -> Bool {
        #if CANARY
            if Canary.isPlanted(.releaseInTransaction) { return true }
        #endif
        return servers[server].status == TransactionStatus.idle.rawValue
    }

    /// Parts a client and its server. The client is left without a state of its own for the caller to choose.
    private mutating func unlink(_ server: Handle<Server>) {
        let client = servers[server].client
        precondition(clients[client].server == server, "a linked client and its server name each other")
        servers[server].client = .none
        clients[client].server = .none
        clients[client].hasUnnamedOnServer = false
        servers[server].lastActivity = now
        // Whatever held the server's output back for the sake of this client holds no more.
        actions.append(.resume(servers[server].connection))
    }

    /// Decides what becomes of a server that its client is done with.
    ///
    /// - Precondition: it is linked to nobody and owes nothing.
    mutating func takeBack(_ server: Handle<Server>) {
        let pool = servers[server].pool
        if servers[server].needsClose {
            return closeServer(server, reason: "database configuration changed")
        }
        if isTooOld(server) {
            pools[pool].lastLifetimeClose = now
            return closeServer(server, reason: "server lifetime over")
        }
        if isBeingCancelled(server) { return moveServer(server, to: .beingCancelled) }
        if hot.resetQuery, pools[pool].settings.poolMode == .session || hot.resetsAlways {
            return startTest(server, isReset: true)
        }
        becomeFree(server)
    }

    @inline(__always)
    private func isBeingCancelled(_ server: Handle<Server>) -> Bool {
        #if CANARY
            if Canary.isPlanted(.cancelToRelinkedServer) { return false }
        #endif
        return servers[server].cancelsInFlight > 0
    }

    /// The server is clean: it goes to the oldest waiter, or rests.
    mutating func becomeFree(_ server: Handle<Server>) {
        let pool = servers[server].pool
        moveServer(server, to: .idle)
        serveWaiters(pool)
        let settings = pools[pool].settings
        if settings.maxDatabaseConnections > 0 || settings.maxUserConnections > 0 { giveWay(pool) }
    }

    /// A server that is free now may count in the limit that keeps somebody of another pool waiting, here or
    /// elsewhere: he is to try again, and will have it closed.
    @inline(never)
    private mutating func giveWay(_ pool: Handle<Pool>) {
        guard !pools[pool].idle.isEmpty, pools[pool].waiters.isEmpty else { return }
        let (database, user) = (Int(pools[pool].database), Int(pools[pool].user))
        if databases[database].waitingPools > 0 || users[user].waitingPools > 0 { openWhereSomebodyWaits() }
        tellFreed(pools[pool].entry)
    }

    /// Gives free servers to the clients that wait, oldest first, and opens more where that is not enough.
    mutating func serveWaiters(_ pool: Handle<Pool>) {
        guard !isPaused(pool) else { return }
        if !isAlone {
            let others = ledger.othersWaiting(pools[pool].entry)
            if others != 0 { return serveEverybody(pool, others) }
        }
        guard !pools[pool].waiters.isEmpty else { return }
        var candidate = pools[pool].waiters.first
        while !candidate.isNone {
            let client = candidate
            candidate = clients[client].links.next
            guard clients[client].replication == .none else { continue }
            guard let server = freeServer(pool) else { break }
            give(server, to: client)
        }
        openServers(pool)
    }

    /// Has a free server do what a client has waited for.
    @inline(__always)
    mutating func give(_ server: Handle<Server>, to client: Handle<Client>) {
        noteWait(of: client)
        if clients[client].state == .waitingForLookup { return ask(client, server) }
        link(client, server)
        resume(client)
    }

    /// Runs a query on a free server before it is used (again).
    @inline(never)
    private mutating func startTest(_ server: Handle<Server>, isReset: Bool) {
        moveServer(server, to: .tested)
        servers[server].runsReset = isReset
        servers[server].hasFailed = false
        servers[server].requestStart = now
        let start = output.count
        let query = isReset ? resetQuery : checkQuery
        output.appendQuery(query.rawSpan)
        send(servers[server].connection, from: start)
        push(server, Reply(.query, .swallow))
    }

    /// A reset or check query has been answered.
    mutating func testEnded(_ server: Handle<Server>) {
        if servers[server].hasFailed || servers[server].status != TransactionStatus.idle.rawValue {
            return closeServer(server, reason: "reset or check query failed")
        }
        servers[server].isFresh = true
        servers[server].lastActivity = now
        if servers[server].needsClose {
            closeServer(server, reason: "database configuration changed")
        } else if servers[server].cancelsInFlight > 0 {
            moveServer(server, to: .beingCancelled)
        } else {
            becomeFree(server)
        }
    }

    /// Whether the server has reached its lifetime and no other of its pool was closed for that a moment ago.
    func isTooOld(_ server: Handle<Server>) -> Bool {
        let pool = servers[server].pool
        let lifetime = pools[pool].settings.serverLifetimeNanoseconds
        // 0 means one use: a server that has not been used is as good as new.
        if lifetime == 0 { return servers[server].isUsed }
        guard now &- servers[server].connectedAt >= lifetime else { return false }
        let spread = lifetime / UInt64(max(1, pools[pool].settings.poolSize))
        return now &- pools[pool].lastLifetimeClose >= spread
    }

    /// Whether the clients of a pool have to wait for RESUME.
    func isPaused(_ pool: Handle<Pool>) -> Bool {
        lifecycle.isPaused || databases[Int(pools[pool].database)].isHeld
    }
}
