import Auth
import Base
import Config
import SharedState
import Wire

/// What time alone brings: deadlines, retries, ages, sizes.
extension PoolCore {
    /// How often upkeep runs while somebody may run into a deadline: a third of a second, as PgBouncer's.
    static var busyUpkeep: UInt64 { 333_000_000 }
    /// How often it runs while there is nothing but idle connections.
    static var idleUpkeep: UInt64 { 1_000_000_000 }

    /// Makes upkeep due no later than in this many nanoseconds.
    mutating func scheduleUpkeep(within nanoseconds: UInt64) { scheduleUpkeep(at: now + nanoseconds) }

    /// Makes upkeep due no later than at this time.
    mutating func scheduleUpkeep(at time: UInt64) {
        if time < nextFullUpkeep { nextFullUpkeep = max(time, now) }
    }

    /// Looks at everything that has a deadline. O(clients + servers + pools); where only lending is due,
    /// O(pools).
    @inline(never)
    mutating func upkeep() {
        if now >= nextLending { lendWhatIsDue() }
        guard now >= nextFullUpkeep else { return }
        nextFullUpkeep = .max
        endTransfers()
        endMoves()
        var isBusy = !transfers.isEmpty
        for slot in 0..<servers.slotLimit {
            guard let server = servers.handle(at: slot) else { continue }
            if serverUpkeep(server) { isBusy = true }
        }
        if clientUpkeep() { isBusy = true }
        for slot in 0..<pools.slotLimit {
            guard let pool = pools.handle(at: slot) else { continue }
            poolUpkeep(pool)
        }
        databaseUpkeep()
        if deriveAhead() { isBusy = true }
        checkPendingOrders()
        if lifecycle.isLeaving { leaveUpkeep() }
        if lifecycle.isDismissing { dismissClients() }
        if lifecycle.isShuttingDown { checkDrained() }
        let isEmpty = servers.count == 0 && clients.count == 0
        scheduleUpkeep(within: isBusy ? PoolCore.busyUpkeep : isEmpty ? 10_000_000_000 : PoolCore.idleUpkeep)
    }

    // MARK: Servers

    /// True when the server has a deadline that is near enough to be looked at often.
    private mutating func serverUpkeep(_ server: Handle<Server>) -> Bool {
        let pool = servers[server].pool
        if keepsWorker(server) { servers[server].needsClose = true }
        switch servers[server].state {
        case .connecting, .startup:
            stepLogin(server)
            guard servers.contains(server) else { return true }
            let age = now &- servers[server].connectedAt
            let settings = configuration.settings
            let limit = settings.serverConnectTimeoutNanoseconds
            let patience = servers[server].isMessenger ? settings.cancelWaitTimeoutNanoseconds : 0
            if limit > 0 && age >= limit || patience > 0 && age >= patience {
                loginFailed(server, "connect timeout", state: nil)
            }
            return true
        case .cancelling:
            let limit = configuration.settings.cancelWaitTimeoutNanoseconds
            if limit > 0, now &- servers[server].connectedAt >= limit { cancelDelivered(server) }
            return true
        case .tested, .beingCancelled:
            let limit = configuration.settings.serverConnectTimeoutNanoseconds
            if limit > 0, now &- servers[server].requestStart >= limit, servers[server].state == .tested {
                closeServer(server, reason: "reset or check query timed out")
            }
            return true
        case .linked:
            return linkedDeadline(server)
        case .lending:
            return true
        case .lookingUp:
            lookupDeadline(of: server)
            return true
        case .idle:
            idleDeadline(server, pool)
            return false
        }
    }

    private mutating func linkedDeadline(_ server: Handle<Server>) -> Bool {
        let settings = pools[servers[server].pool].settings
        let client = servers[server].client
        guard clients.contains(client), clients[client].replication == .none else { return false }
        let queryAge = clients[client].queryStart == 0 ? 0 : now &- clients[client].queryStart
        let transactionAge =
            clients[client].transactionStart == 0 ? 0 : now &- clients[client].transactionStart
        let isIdle =
            servers[server].replies.isEmpty
            && servers[server].status != TransactionStatus.idle.rawValue
        let query = settings.queryTimeoutNanoseconds
        let transaction = settings.transactionTimeoutNanoseconds
        let idle = settings.idleTransactionTimeoutNanoseconds
        if query > 0, !servers[server].replies.isEmpty, queryAge >= query {
            fail(client, .timeout(.query(limitSeconds: seconds(query))))
        } else if idle > 0, isIdle, now &- servers[server].lastActivity >= idle {
            fail(client, .timeout(.idleTransaction(limitSeconds: seconds(idle))))
        } else if transaction > 0, transactionAge >= transaction {
            fail(client, .timeout(.transaction(limitSeconds: seconds(transaction))))
        }
        return query > 0 || transaction > 0 || idle > 0
    }

    private mutating func idleDeadline(_ server: Handle<Server>, _ pool: Handle<Pool>) {
        if servers[server].needsClose || lifecycle.waitsForServers || isPaused(pool) {
            return closeServer(server, reason: "database configuration changed or paused")
        }
        let limit = configuration.settings.serverIdleTimeoutNanoseconds
        let minimum = Int(pools[pool].settings.minPoolSize)
        if limit > 0, now &- servers[server].lastActivity >= limit, countOff(server, keeping: minimum) {
            return closeServer(server, reason: "server idle timeout")
        }
        if pools[pool].settings.serverLifetimeNanoseconds > 0, isTooOld(server) {
            pools[pool].lastLifetimeClose = now
            return closeServer(server, reason: "server lifetime over")
        }
        let size = Int(pools[pool].settings.poolSize)
        let reserve = Int(pools[pool].settings.reservePoolSize)
        if size > 0, countOff(server, keeping: size + reserve) {
            closeServer(server, reason: "too many servers in the pool")
        }
    }

    /// Counts a server off that is about to be closed, if its pool has more than so many over all workers.
    private mutating func countOff(_ server: Handle<Server>, keeping minimum: Int) -> Bool {
        let entry = pools[servers[server].pool].entry
        guard ledger.serverCount(entry) > minimum, ledger.close(entry, keeping: minimum) else { return false }
        servers[server].isCounted = false
        return true
    }

    func seconds(_ nanoseconds: UInt64) -> Int { Int((nanoseconds + 500_000_000) / 1_000_000_000) }

    // MARK: Clients

    /// True when a client has a deadline that is near enough to be looked at often.
    private mutating func clientUpkeep() -> Bool {
        var isBusy = false
        for slot in 0..<clients.slotLimit {
            guard let client = clients.handle(at: slot) else { continue }
            switch clients[client].state {
            case .startup, .authenticating, .waitingForWelcome:
                isBusy = true
                loginDeadline(client)
            case .waitingForLookup, .lookingUp:
                isBusy = true
                lookupDeadline(client)
            case .waiting:
                isBusy = true
                waitDeadline(client)
            case .idle:
                let limit = clientIdleLimit(client)
                guard limit > 0 else { continue }
                isBusy = true
                if now &- clients[client].lastActivity >= limit {
                    fail(client, .timeout(.clientIdle(limitSeconds: seconds(limit))))
                }
            case .cancelling:
                isBusy = true
                let limit = configuration.settings.cancelWaitTimeoutNanoseconds
                if clients[client].awaitedAnswers > 0, limit > 0, now &- clients[client].connectedAt >= limit
                {
                    closeClient(client, .now, reason: "")
                }
            case .moving:
                isBusy = true
            case .waitingForPeer:
                isBusy = true
                let limit = configuration.settings.cancelWaitTimeoutNanoseconds
                if limit > 0, now &- clients[client].waitStart >= limit {
                    closeClient(client, .now, reason: "cancel_wait_timeout")
                }
            case .linked, .relayed:
                continue
            }
        }
        return isBusy
    }

    private func clientIdleLimit(_ client: Handle<Client>) -> UInt64 {
        let user = Int(clients[client].user)
        if user >= 0, let definition = userDefinition(user),
            let own = definition.clientIdleTimeoutNanoseconds,
            own > 0
        {
            return own
        }
        return configuration.settings.clientIdleTimeoutNanoseconds
    }

    private mutating func loginDeadline(_ client: Handle<Client>) {
        if clients[client].state == .waitingForWelcome {
            let waited = now &- clients[client].waitStart
            let longest = queryWaitLimit(client)
            if longest > 0, waited >= longest {
                let pool = clients[client].pool
                let error = TimeoutFault.loginWait(
                    waitedSeconds: seconds(waited), database: name(of: Int(pools[pool].database)),
                    user: String(decoding: users[Int(pools[pool].user)].name, as: UTF8.self))
                return fail(client, .timeout(error))
            }
        }
        guard meetsStepDeadline(client) else { return }
        let limit = configuration.settings.clientLoginTimeoutNanoseconds
        guard limit > 0, now &- clients[client].connectedAt >= limit else { return }
        let isWaiting = clients[client].state == .waitingForWelcome
        let text = seconds(limit)
        fail(
            client,
            isWaiting
                ? .timeout(.clientLoginServerDown(limitSeconds: text))
                : .timeout(.clientLogin(limitSeconds: text)))
    }

    private mutating func waitDeadline(_ client: Handle<Client>) {
        let pool = clients[client].pool
        let waited = now &- clients[client].waitStart
        let settings = pools[pool].settings
        let limit = queryWaitLimit(client)
        if settings.queryTimeoutNanoseconds > 0, waited >= settings.queryTimeoutNanoseconds {
            let text = seconds(settings.queryTimeoutNanoseconds)
            return fail(client, .timeout(.queryWhileWaiting(limitSeconds: text)))
        }
        if limit > 0, waited >= limit {
            let error = TimeoutFault.queryWait(
                waitedSeconds: seconds(waited), database: name(of: Int(pools[pool].database)),
                user: String(decoding: users[Int(pools[pool].user)].name, as: UTF8.self),
                poolSize: Int(settings.poolSize))
            return fail(client, .timeout(error))
        }
        let notify = configuration.settings.queryWaitNotifyNanoseconds
        guard notify > 0, waited > notify, !clients[client].isNotified, !isPaused(pool) else { return }
        clients[client].isNotified = true
        let start = output.count
        output.appendNoticeResponse(
            .notice, .successfulCompletion,
            "No server connection available in postgres backend, client being queued")
        send(clients[client].connection, from: start)
    }

    private func queryWaitLimit(_ client: Handle<Client>) -> UInt64 {
        let user = Int(clients[client].user)
        if user >= 0, let own = userDefinition(user)?.queryWaitTimeoutNanoseconds { return own }
        return pools[clients[client].pool].settings.queryWaitTimeoutNanoseconds
    }

    func userDefinition(_ user: Int) -> UserDefinition? { userDefinitions[users[user].name] }

    func name(of database: Int) -> String { String(decoding: databases[database].name, as: UTF8.self) }

    // MARK: Pools and databases

    private mutating func poolUpkeep(_ pool: Handle<Pool>) {
        keepMinimum(pool)
        serveWaiters(pool)
        openServers(pool)
        if !pools[pool].isPeer { publishGauges(pool) }
        let limit = configuration.settings.poolIdleTimeoutNanoseconds
        guard isUnused(pool) else {
            pools[pool].lastUse = now
            return
        }
        let database = Int(pools[pool].database)
        let isFilled = isOfForcedUser(pool) && pools[pool].settings.minPoolSize > 0
        let isOver = limit > 0 && now &- pools[pool].lastUse >= limit && !isFilled
        if isOver || databases[database].isRemoved || isStillborn(pool) {
            forgetPool(pool, saysWhy: isOver && !pools[pool].isPeer)
        }
    }

    private func isUnused(_ pool: Handle<Pool>) -> Bool {
        guard pools[pool].serverCount == 0 else { return false }
        for index in 0..<Client.State.count where pools[pool].clientCounts[index] > 0 { return false }
        return true
    }

    /// Whether a pool is of a database that somebody has only named, and PostgreSQL may not have. With
    /// `auth_query` strangers can have such pools made.
    private func isStillborn(_ pool: Handle<Pool>) -> Bool {
        let database = databases[Int(pools[pool].database)]
        return database.isAuto && !database.hasWorked && now >= pools[pool].retryAt
    }

    private mutating func forgetPool(_ pool: Handle<Pool>, saysWhy: Bool) {
        if saysWhy {
            let start = output.count
            output.append("cleaning up idle pool for user ")
            output.append(users[Int(pools[pool].user)].name)
            output.append(" on db ")
            output.append(databases[Int(pools[pool].database)].name)
            output.append(" because: pool idle timeout")
            log(.log, from: start)
        }
        ledger.leave(pools[pool].entry)
        if !pools[pool].isReplaced { poolOfEntry.removeValue(forKey: pools[pool].entry) }
        poolIndex.removeValue(forKey: poolKey(Int(pools[pool].database), Int(pools[pool].user)))
        parameters.release(pools[pool].welcomeParameters, &bytes)
        bytes.release(pools[pool].welcomeMessages)
        bytes.release(pools[pool].failure)
        block.release(pools[pool].counters)
        credentials.removeValue(forKey: pool)
        pools.remove(pool)
    }

    /// Forgets databases made from the `*` entry that nobody has used for long.
    private mutating func databaseUpkeep() {
        let limit = configuration.settings.autodbIdleTimeoutNanoseconds
        for index in databases.indices where databases[index].isAuto && !databases[index].isRemoved {
            if databases[index].serverCount > 0 || databases[index].clientCount > 0 {
                databases[index].lastUse = now
            } else if !databases[index].hasWorked && !hasPools(index)
                || limit > 0 && now &- databases[index].lastUse >= limit, !isRemembered(index)
            {
                databases[index].isRemoved = true
                databaseIndex.removeValue(forKey: databases[index].name)
            }
        }
    }

    private func hasPools(_ database: Int) -> Bool {
        for slot in 0..<pools.slotLimit {
            if let pool = pools.handle(at: slot), Int(pools[pool].database) == database { return true }
        }
        return false
    }

    /// Whether an operator has said something about a database that would be forgotten with it.
    private func isRemembered(_ database: Int) -> Bool {
        databases[database].isPaused || databases[database].isDisabled || lifecycle.pausesNewDatabases
    }

    /// Copies the counts of a pool's clients and servers into the shared segment.
    mutating func publishGauges(_ pool: Handle<Pool>) {
        let counters = pools[pool].counters
        counters.set(.activeClients, UInt64(pools[pool].activeClientCount))
        counters.set(.waitingClients, UInt64(pools[pool].waitingClientCount))
        counters.set(.activeServers, UInt64(pools[pool].activeServerCount))
        counters.set(.idleServers, UInt64(pools[pool].count(Server.State.idle)))
        counters.set(.testedServers, UInt64(pools[pool].count(Server.State.tested)))
        counters.set(.loginServers, UInt64(pools[pool].loginCount))
        counters.set(.activeCancelServers, UInt64(pools[pool].count(Server.State.cancelling)))
        counters.set(.beingCanceledServers, UInt64(pools[pool].count(Server.State.beingCancelled)))
    }
}
