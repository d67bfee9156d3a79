import Auth
import Base
import Config
import SharedState
import Wire

/// Events, and what operators order.
extension PoolCore {
    /// Takes in one event. What is to be done stands in `actions` afterwards.
    public mutating func handle(_ event: Event) {
        freedTold = 0
        switch event {
        case .accepted(let connection, let origin): accepted(connection, origin)
        case .connected(let server, let connection, let remote, let port, let local, let localPort):
            let address = ServerAddress(remote: remote, port: port, local: local, localPort: localPort)
            connected(server, connection, address)
        case .connectFailed(let server, let failure): connectFailed(server, failure)
        case .encrypted(let peer, let encryption): encrypted(peer, encryption)
        case .closed(let peer, let reason): connectionClosed(peer, reason)
        case .consoleOpened(let client, let connection): consoleOpened(client, connection)
        case .consoleRefused(let client):
            if clients.contains(client) { fail(client, .login(.configuration)) }
        case .cancelBroadcast(let client, let workers): cancelBroadcast(client, workers)
        case .cancelRequested(let key, let ticket): cancelRequested(key, ticket)
        case .verified(let client, let isRight, let reason):
            verified(client, isRight: isRight, reason: reason)
        case .cancelAnswered(let client, let isFound): cancelAnswered(client, isFound)
        case .databaseDropped(let name): closeFreeServers(ofDropped: name)
        case .detached(.server(let server)): detached(server)
        case .detached(.client(let client)): detached(client)
        case .passFailed(.server(let server)): passFailed(server)
        case .passFailed(.client(let client)): passFailed(client)
        case .detached(.console), .passFailed(.console): preconditionFailure("a console stays where it is")
        case .moved(let client, let connection): moved(client, connection)
        case .movedSession(let session, let connection, let server): moved(session, connection, server)
        case .lent(let server, let connection): lent(server, connection)
        case .told(let message): told(message)
        case .workerEnded(let index): workerEnded(index)
        case .order(let order):
            lastEpoch = max(lastEpoch, order.epoch)
            carryOut(order)
        case .configuration(let configuration, let userList, let rules, let epoch):
            lastEpoch = max(lastEpoch, epoch)
            accessRules = rules
            apply(configuration, userList: userList)
            actions.append(.acknowledge(epoch: epoch))
        case .upkeep: upkeep()
        }
    }

    private mutating func connectFailed(_ server: Handle<Server>, _ failure: ConnectFailure) {
        guard servers.contains(server) else { return }
        switch failure {
        case .name(let text): loginFailed(server, "server DNS lookup failed: \(text)", state: nil)
        case .connect(let text): loginFailed(server, "connect failed: \(text)", state: nil)
        }
    }

    private mutating func carryOut(_ order: Order) {
        let index = target(of: order)
        // An order for a database that does not exist here has nothing to do here.
        let isElsewhere = order.database != nil && index == nil
        switch order.kind {
        case .pause where !isElsewhere:
            if let index { databases[index].isPaused = true } else { lifecycle.isPaused = true }
            lifecycle.pendingPauses.append((index, order.epoch))
            closeFree(of: index)
            return checkPendingOrders()
        case .resume where !isElsewhere:
            resumeService(index)
        case .shutdownWaitForClients:
            lifecycle.waitsForClients = true
        case .shutdownWaitForServers:
            beginShutdownForServers()
        case .reconnect where !isElsewhere:
            for other in databases.indices where index == nil || other == index { replaceServers(of: other) }
            // Who waits because logins had failed tries again at once.
            nextFullUpkeep = now
        case .drain:
            leave()
        case .dismissClients:
            lifecycle.isDismissing = true
            dismissClients()
        case .disable, .enable:
            if let index { databases[index].isDisabled = order.kind == .disable }
        case .kill where !isElsewhere:
            kill(index)
        case .killClient:
            guard killClient(order.argument) else {
                return actions.append(.acknowledgeMissing(epoch: order.epoch))
            }
        case .waitClose where !isElsewhere:
            lifecycle.pendingCloses.append((index, order.epoch))
            return checkPendingOrders()
        case .pause, .resume, .reconnect, .shutdownNow, .reopen, .kill, .waitClose, .open, .suspend:
            break
        }
        actions.append(.acknowledge(epoch: order.epoch))
        if lifecycle.isShuttingDown { checkDrained() }
    }

    /// The database an order names. Where it is to be remembered, one that nobody has asked for here yet is
    /// made from the `*` entry.
    private mutating func target(of order: Order) -> Int? {
        guard let name = order.database else { return nil }
        switch order.kind {
        case .pause, .resume, .kill, .disable, .enable: return databaseNumber(name)
        case .reconnect, .waitClose, .killClient, .reopen, .drain, .dismissClients, .open, .suspend,
            .shutdownNow, .shutdownWaitForClients, .shutdownWaitForServers:
            return databaseIndex[name]
        }
    }

    // MARK: Killing

    /// Sends the clients of a database (or of all) away, closes its servers, and holds who comes until
    /// RESUME.
    private mutating func kill(_ database: Int?) {
        if database == nil { lifecycle.pausesNewDatabases = true }
        for index in databases.indices
        where (database == nil || database == index) && !databases[index].isRemoved
            && databases[index].peer == 0
        {
            if database == nil { databases[index].isKilled = true } else { databases[index].isPaused = true }
        }
        for slot in 0..<clients.slotLimit {
            guard let client = clients.handle(at: slot), clients[client].database >= 0,
                database == nil || Int(clients[client].database) == database
            else { continue }
            switch clients[client].state {
            case .idle, .waiting, .waitingForWelcome, .linked:
                fail(client, .administrator(.killed))
            // Another worker may serve it already: a message of ours could come in between.
            case .moving: closeClient(client, .now, reason: "database removed")
            // Who is being looked up is no client of a database yet.
            case .startup, .authenticating, .relayed, .cancelling, .waitingForPeer, .waitingForLookup,
                .lookingUp:
                continue
            }
        }
        for slot in 0..<servers.slotLimit {
            guard let server = servers.handle(at: slot), !servers[server].isMessenger,
                database == nil || Int(pools[servers[server].pool].database) == database
            else { continue }
            switch servers[server].state {
            case .idle, .connecting, .startup, .tested, .beingCancelled:
                closeServer(server, reason: "database removed")
            case .lending, .linked, .lookingUp: servers[server].needsClose = true
            case .cancelling: continue
            }
        }
    }

    /// Sends one client away; false when there is none here with this number.
    private mutating func killClient(_ id: UInt64) -> Bool {
        for slot in 0..<clients.slotLimit {
            guard let client = clients.handle(at: slot), clients[client].id == id else { continue }
            switch clients[client].state {
            case .startup, .authenticating: return false
            case .relayed, .moving:
                // A message of ours could stand in the middle of one of the console's, or another worker's.
                closeClient(client, .now, reason: "admin forced disconnect")
            case .idle, .waiting, .waitingForWelcome, .linked, .cancelling, .waitingForPeer,
                .waitingForLookup, .lookingUp:
                fail(client, .administrator(.disconnect))
            }
            return true
        }
        return false
    }

    // MARK: Pausing

    /// Closes what is free or being opened; a paused database keeps only servers in use.
    private mutating func closeFree(of database: Int?) {
        for slot in 0..<servers.slotLimit {
            guard let server = servers.handle(at: slot) else { continue }
            if let database, Int(pools[servers[server].pool].database) != database { continue }
            switch servers[server].state {
            case .idle: closeServer(server, reason: "pause mode")
            case .connecting, .startup:
                if !servers[server].isMessenger, !servers[server].isReplication {
                    closeServer(server, reason: "pause mode")
                }
            case .tested, .linked, .beingCancelled, .lending, .lookingUp: servers[server].needsClose = true
            case .cancelling: break
            }
        }
    }

    /// Acknowledges the pauses after which no server is in use any more, and the waits for servers that were
    /// to be closed.
    mutating func checkPendingOrders() {
        guard !lifecycle.pendingPauses.isEmpty || !lifecycle.pendingCloses.isEmpty else { return }
        var open: [(database: Int?, epoch: UInt64)] = []
        for order in lifecycle.pendingPauses {
            if isInUse(order.database) {
                open.append(order)
            } else {
                actions.append(.acknowledge(epoch: order.epoch))
            }
        }
        lifecycle.pendingPauses = open
        open = []
        for order in lifecycle.pendingCloses {
            if isToBeClosed(order.database) {
                open.append(order)
            } else {
                actions.append(.acknowledge(epoch: order.epoch))
            }
        }
        lifecycle.pendingCloses = open
        if lifecycle.awaitsServers { hurryTransfers() }
    }

    private func isToBeClosed(_ database: Int?) -> Bool {
        for slot in 0..<servers.slotLimit {
            guard let server = servers.handle(at: slot), servers[server].needsClose else { continue }
            if database == nil || Int(pools[servers[server].pool].database) == database { return true }
        }
        return false
    }

    private func isInUse(_ database: Int?) -> Bool {
        for slot in 0..<servers.slotLimit {
            guard let server = servers.handle(at: slot) else { continue }
            if let database, Int(pools[servers[server].pool].database) != database { continue }
            switch servers[server].state {
            case .linked, .tested, .beingCancelled, .lending, .lookingUp: return true
            case .idle, .connecting, .startup, .cancelling: continue
            }
        }
        return false
    }

    /// Ends the pause of a database, or the general one and what a KILL of everything has paused.
    private mutating func resumeService(_ database: Int?) {
        if let database {
            databases[database].isPaused = false
            databases[database].isKilled = false
        } else {
            lifecycle.isPaused = false
            lifecycle.pausesNewDatabases = false
            for index in databases.indices { databases[index].isKilled = false }
        }
        // Pauses that were still waiting are over too; whoever ordered them is told.
        var others: [(database: Int?, epoch: UInt64)] = []
        for pause in lifecycle.pendingPauses {
            if pause.database == database {
                actions.append(.acknowledge(epoch: pause.epoch))
            } else {
                others.append(pause)
            }
        }
        lifecycle.pendingPauses = others
        for slot in 0..<pools.slotLimit {
            guard let pool = pools.handle(at: slot) else { continue }
            if database == nil || Int(pools[pool].database) == database {
                serveWaiters(pool)
                openServers(pool)
            }
        }
    }

    private mutating func beginShutdownForServers() {
        lifecycle.waitsForServers = true
        closeFree(of: nil)
        for slot in 0..<clients.slotLimit {
            guard let client = clients.handle(at: slot) else { continue }
            switch clients[client].state {
            case .waiting, .waitingForWelcome, .waitingForLookup, .lookingUp:
                fail(client, .administrator(.shutdown))
            case .startup, .authenticating, .idle, .linked, .relayed, .cancelling, .moving, .waitingForPeer:
                continue
            }
        }
    }

    /// Sends away every client that is between two transactions; the others when theirs is over, which
    /// upkeep sees too.
    mutating func dismissClients() {
        scheduleUpkeep(within: PoolCore.busyUpkeep)
        for slot in 0..<clients.slotLimit {
            guard let client = clients.handle(at: slot) else { continue }
            switch clients[client].state {
            case .idle, .startup, .authenticating, .waiting, .waitingForWelcome, .waitingForLookup,
                .lookingUp:
                fail(client, .administrator(.shutdown))
            case .linked: releaseIfDone(clients[client].server)
            // The console's end themselves, and one that moves will be idle here again.
            case .relayed, .moving, .cancelling, .waitingForPeer: continue
            }
        }
    }

    /// Says once that there is nothing left to wait for.
    mutating func checkDrained() {
        guard lifecycle.isShuttingDown, !lifecycle.isDrained else { return }
        if lifecycle.waitsForServers {
            guard !isInUse(nil) else { return hurryTransfers() }
        } else {
            guard clients.count == 0 else { return }
        }
        lifecycle.isDrained = true
        actions.append(.drained)
    }
}
