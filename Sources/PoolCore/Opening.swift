import Auth
public import Base
import Config
import SharedState
import Wire

/// Where a server is to be connected to.
public enum Endpoint: Sendable {
    /// A Unix socket; the path, or `@name` for an abstract one.
    case unix(path: String)
    /// A numeric address or a name to be resolved, and a port.
    case network(host: String, port: Int)
}

/// Opening connections to PostgreSQL: when, how many, to which host.
extension PoolCore {
    /// Logins of one pool that may be under way at once.
    private static var loginLimit: Int { 16 }

    /// Opens servers for the clients that wait, as far as the limits allow.
    @inline(never)
    mutating func openServers(_ pool: Handle<Pool>) {
        if pools[pool].isPeer { return openToPeer(pool) }
        guard !lifecycle.waitsForServers else { return }
        serveReplication(pool)
        while true {
            let waiting = Int(pools[pool].waiters.count) - pools[pool].waitingReplication
            guard !isPaused(pool) else { return }
            let wanted = waiting + (pools[pool].welcomeWaiters.isEmpty || pools[pool].readyCount > 0 ? 0 : 1)
            let coming = pools[pool].loginCount + pools[pool].count(Server.State.tested)
            // While nobody gets in, one attempt at a time finds out when that changes.
            let limit = pools[pool].hasFailed && pools[pool].readyCount == 0 ? 1 : PoolCore.loginLimit
            guard coming < min(wanted, limit), reserve(pool) else { return }
            openServer(pool, for: .none)
        }
    }

    /// Opens a server of its own for each waiting replication client, outside the pool's size but not
    /// outside the limits of database and user.
    private mutating func serveReplication(_ pool: Handle<Pool>) {
        guard pools[pool].replicationWaiters > 0 else { return }
        var candidate = pools[pool].waiters.first
        while !candidate.isNone {
            let client = candidate
            candidate = clients[client].links.next
            guard clients[client].replication != .none, clients[client].server.isNone else { continue }
            guard now >= pools[pool].retryAt, reserve(pool, size: 0, isApart: true) == nil else { return }
            openServer(pool, for: client)
        }
    }

    /// Counts one more server of this pool in the ledger, if it may be opened now.
    private mutating func reserve(_ pool: Handle<Pool>) -> Bool {
        guard now >= pools[pool].retryAt else {
            scheduleUpkeep(at: pools[pool].retryAt)
            _ = askForIdle(pool)
            return false
        }
        let size = Int(pools[pool].settings.poolSize)
        var obstacle = reserve(pool, size: size)
        if obstacle == .pool, mayUseReserve(pool) {
            obstacle = reserve(pool, size: size + Int(pools[pool].settings.reservePoolSize))
            if obstacle == nil {
                let start = output.count
                output.append("taking connection from reserve_pool")
                log(.log, from: start)
            }
        }
        if obstacle == .pool { _ = askForIdle(pool) }
        return obstacle == nil
    }

    /// Whether somebody has waited long enough, in any worker, for the reserve to be used.
    private mutating func mayUseReserve(_ pool: Handle<Pool>) -> Bool {
        let timeout = pools[pool].settings.reservePoolTimeoutNanoseconds
        guard pools[pool].settings.reservePoolSize > 0, timeout > 0, !pools[pool].waiters.isEmpty else {
            return false
        }
        let oldest = clients[pools[pool].waiters.first].waitStart
        guard now &- oldest >= timeout else {
            scheduleUpkeep(at: oldest + timeout)
            return false
        }
        return true
    }

    /// Counts one more server of this pool in the ledger, unless a limit is in the way. The idle server that
    /// was used longest ago gives way to it, here or in another worker.
    ///
    /// - Parameters:
    ///   - size: how many servers the pool may have, 0 for any number.
    ///   - isApart: for a replication client, to whom a free server of the pool is of no use.
    private mutating func reserve(
        _ pool: Handle<Pool>, size: Int, isApart: Bool = false
    ) -> LedgerLimit? {
        guard servers.count < servers.capacity else { return .instance }
        let limits = ServerLimits(
            pool: size, database: Int(pools[pool].settings.maxDatabaseConnections),
            user: Int(pools[pool].settings.maxUserConnections))
        while let obstacle = ledger.open(pools[pool].entry, limits) {
            let (database, user) = (pools[pool].database, pools[pool].user)
            if obstacle == .pool || !isApart && askForIdle(pool) { return obstacle }
            switch obstacle {
            case .pool, .instance:
                return obstacle
            case .database:
                if evict(database: database, user: nil) { continue }
            case .user:
                if evict(database: nil, user: user) { continue }
            }
            if !isAlone, let rest = ledger.oldestIdle(sharing: obstacle, with: pools[pool].entry) {
                tell(rest.worker, .evict(rest.pool, by: UInt16(identity.index)))
            }
            return obstacle
        }
        return nil
    }

    /// Closes the idle server of this database or user that was used longest ago. O(servers).
    private mutating func evict(database: Int32?, user: Int32?) -> Bool {
        var oldest = Handle<Server>.none
        for slot in 0..<servers.slotLimit {
            guard let server = servers.handle(at: slot), servers[server].state == .idle else { continue }
            let pool = servers[server].pool
            guard database == nil || pools[pool].database == database!,
                user == nil || pools[pool].user == user!
            else { continue }
            if oldest.isNone || servers[server].lastActivity < servers[oldest].lastActivity {
                oldest = server
            }
        }
        guard !oldest.isNone else { return false }
        closeServer(oldest, reason: "evicted")
        return true
    }

    /// After a server has gone: pools that wait for a limit it counted in may open theirs.
    mutating func openWhereLimitsAllow(_ pool: Handle<Pool>, database: Int, user: Int) {
        guard !isOpeningAfterClose else { return }
        isOpeningAfterClose = true
        defer { isOpeningAfterClose = false }
        openServers(pool)
        let settings = pools[pool].settings
        guard settings.maxDatabaseConnections > 0 || settings.maxUserConnections > 0 else { return }
        // The pool whose client waits longest comes first.
        var waiting: [(since: UInt64, pool: Handle<Pool>)] = []
        for slot in 0..<pools.slotLimit {
            guard let other = pools.handle(at: slot), other != pool, !pools[other].waiters.isEmpty,
                Int(pools[other].database) == database || Int(pools[other].user) == user
            else { continue }
            waiting.append((clients[pools[other].waiters.first].waitStart, other))
        }
        waiting.sort { $0.since < $1.since }
        for entry in waiting { openServers(entry.pool) }
    }

    /// Makes the record of a new server and has the worker connect it.
    ///
    /// - Precondition: it is counted in the ledger.
    private mutating func openServer(_ pool: Handle<Pool>, for client: Handle<Client>) {
        guard let server = servers.insert(Server(id: segment.nextConnectionId(), pool: pool)) else {
            preconditionFailure("there was room for it a moment ago")
        }
        count(server, in: pool)
        servers[server].isCounted = true
        servers[server].connectedAt = now
        servers[server].connectedAtWall = wallClock
        servers[server].lastActivity = now
        servers[server].requestStart = now
        let database = Int(pools[pool].database)
        servers[server].host = Int32(databases[database].nextHost)
        if databases[database].definition.loadBalanceHosts == .roundRobin {
            databases[database].advanceHost()
        }
        if !client.isNone {
            servers[server].isReplication = true
            servers[server].client = client
            clients[client].server = server
            pools[pool].replicationWaiters -= 1
        }
        scheduleUpkeep(within: PoolCore.busyUpkeep)
        actions.append(.connect(server))
    }

    /// Counts a new record in its pool, its database and its user.
    mutating func count(_ server: Handle<Server>, in pool: Handle<Pool>) {
        pools[pool].serverCounts[Int(servers[server].state.rawValue)] &+= 1
        databases[Int(pools[pool].database)].serverCount += 1
        users[Int(pools[pool].user)].serverCount += 1
        if !pools[pool].welcomeWaiters.isEmpty { publishWaiting(pool) }
    }

    /// Whether the server is still wanted; it may be gone before the action that speaks of it is carried out.
    public func isWanted(_ server: Handle<Server>) -> Bool { servers.contains(server) }

    /// Where a server is to be connected to; for the worker that carries out `connect`.
    public func endpoint(of server: Handle<Server>) -> Endpoint {
        let definition = databases[Int(pools[servers[server].pool].database)].definition
        let port = Int(definition.port)
        guard !definition.hosts.isEmpty else {
            return unixEndpoint(configuration.settings.unixSocketDirectory, port)
        }
        switch definition.hosts[Int(servers[server].host) % definition.hosts.count] {
        case .unixDirectory(let directory): return unixEndpoint(directory, port)
        case .address(let text), .name(let text): return .network(host: text, port: port)
        }
    }

    private func unixEndpoint(_ directory: String, _ port: Int) -> Endpoint {
        .unix(path: "\(directory.isEmpty ? "/tmp" : directory)/.s.PGSQL.\(port)")
    }

    // MARK: Failure

    /// An attempt to get a server has failed before it was ready.
    ///
    /// - Parameters:
    ///   - text: why.
    ///   - state: PostgreSQL's SQLSTATE when it said why itself; its clients are told at once then.
    ///   - told: what they are told, where that is not just why.
    mutating func loginFailed(
        _ server: Handle<Server>, _ text: String, state: SQLState?, told: String? = nil
    ) {
        let pool = servers[server].pool
        let database = Int(pools[pool].database)
        if databases[database].definition.loadBalanceHosts != .roundRobin {
            databases[database].advanceHost()
        }
        if servers[server].isForwarding {
            let start = output.count
            appendServerPrefix(server)
            output.append("cancel request is lost: ")
            output.append(text: text)
            log(.warning, from: start)
        }
        if servers[server].isMessenger { return cancelDelivered(server) }
        let start = output.count
        appendServerPrefix(server)
        output.append("server login failed: ")
        output.append(text: text)
        log(.warning, from: start)
        let client = servers[server].isReplication ? servers[server].client : Handle<Client>.none
        servers[server].client = .none
        noteFailure(pool, text, state)
        closeServer(server, reason: "login failed")
        if !client.isNone, clients.contains(client) {
            clients[client].server = .none
            pools[pool].replicationWaiters += 1
            fail(client, .login(.serverLogin))
            return
        }
        // Starting up is no reason to send anybody away; having no other server is.
        if let state, state != .cannotConnectNow, pools[pool].readyCount == 0 {
            failWaiters(pool, state, told ?? text)
        }
    }

    private mutating func noteFailure(_ pool: Handle<Pool>, _ text: String, _ state: SQLState?) {
        bytes.release(pools[pool].failure)
        pools[pool].failure = bytes.intern(Array(text.utf8))
        pools[pool].hasFailed = true
        pools[pool].failedSince = pools[pool].failedSince == 0 ? now : pools[pool].failedSince
        // Attempts that were under way together fail together; they lengthen the pause once.
        guard now >= pools[pool].retryAt else { return }
        let longest = max(configuration.settings.serverLoginRetryNanoseconds, 1)
        let pause = min(max(pools[pool].retryPause, PoolCore.firstRetryPause), longest)
        pools[pool].retryAt = now + pause
        pools[pool].retryPause = min(pause * 2, longest)
        scheduleUpkeep(at: pools[pool].retryAt)
    }

    /// The first pause after a failed attempt; it doubles up to `server_login_retry`.
    private static var firstRetryPause: UInt64 { 100_000_000 }

    private mutating func failWaiters(_ pool: Handle<Pool>, _ state: SQLState, _ text: String) {
        while !pools[pool].welcomeWaiters.isEmpty {
            fail(pools[pool].welcomeWaiters.first, .fromServer(state, text))
        }
        while !pools[pool].waiters.isEmpty {
            let client = pools[pool].waiters.first
            if clients[client].isBeingLookedUp {
                lookupFailed(client)
            } else {
                fail(client, .fromServer(state, text))
            }
        }
    }

    /// The error for a client that would have to wait for a server while none can be had; `nil` to let it
    /// wait.
    func knownFailure(_ pool: Handle<Pool>) -> ClientError? {
        guard pools[pool].hasFailed, pools[pool].readyCount == 0, now < pools[pool].retryAt,
            now &- pools[pool].failedSince > PoolCore.patience
        else { return nil }
        return .server(.loginFailing(lastError: String(decodingBytes: bytes[pools[pool].failure])))
    }

    /// How long attempts may fail before new clients are told instead of kept waiting: a restart of
    /// PostgreSQL often takes less.
    private static var patience: UInt64 { 500_000_000 }

    /// Keeps the lowest number of servers, over all workers, by one that has clients of the pool; without
    /// clients, for a forced user, by the first worker.
    mutating func keepMinimum(_ pool: Handle<Pool>) {
        let minimum = Int(pools[pool].settings.minPoolSize)
        guard minimum > 0, !isPaused(pool), !lifecycle.isShuttingDown else { return }
        let size = Int(pools[pool].settings.poolSize)
        let wanted = size > 0 ? min(minimum, size) : 0
        let database = databases[Int(pools[pool].database)]
        let isFilled = isOfForcedUser(pool) && identity.index == 0
        guard isFilled || clientTotal(pool) > 0, database.isUsable else { return }
        guard pools[pool].loginCount == 0, now >= pools[pool].retryAt else { return }
        let limits = ServerLimits(
            pool: wanted, database: Int(pools[pool].settings.maxDatabaseConnections),
            user: Int(pools[pool].settings.maxUserConnections))
        guard wanted > 0, servers.count < servers.capacity, ledger.open(pools[pool].entry, limits) == nil
        else {
            return
        }
        openServer(pool, for: .none)
    }

    /// The pool's clients; who is only looked up by it is none.
    private func clientTotal(_ pool: Handle<Pool>) -> Int {
        var total = 0
        for index in 0..<Client.State.count { total += Int(pools[pool].clientCounts[index]) }
        return total - pools[pool].count(Client.State.waitingForLookup)
            - pools[pool].count(Client.State.lookingUp)
    }

    /// Whether all clients of the database are in this pool.
    func isOfForcedUser(_ pool: Handle<Pool>) -> Bool {
        guard let forced = databases[Int(pools[pool].database)].definition.user else { return false }
        return users[Int(pools[pool].user)].name.elementsEqual(forced.utf8)
    }
}
