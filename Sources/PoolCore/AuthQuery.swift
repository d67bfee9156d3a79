import Auth
import Base
import Config
import SharedState
import Wire

/// Looking up users that have no secret in `auth_file`: `auth_query`, run as `auth_user`.
///
/// Who logs in waits for a server of the pool of `auth_user` like anybody else (`.waitingForLookup`); then
/// the query runs on it (`.lookingUp`, both), and what comes back is read by `lookupBytes` alone. The server
/// has none of the client's settings: nobody knows yet who it is. The groups that rules name are asked for in
/// the same way.
extension PoolCore {
    /// Finds out what has to be known of a login, one thing after another, and has it prove itself then.
    mutating func goOn(_ client: Handle<Client>) {
        if !lookUpGroups(client), !lookUp(client) { authenticate(client) }
    }

    /// Looks up the user of a login that lacks a secret, if there is a user to do it.
    ///
    /// - Returns: whether the login goes on, or ends, without the caller.
    private mutating func lookUp(_ client: Handle<Client>) -> Bool {
        guard let login = clientLogins[client], let plan = secretPlan(login),
            !isJudgedOutside(client, login)
        else { return false }
        lookUp(client, plan)
        return true
    }

    /// Has a query answered: from what is known already, or by PostgreSQL.
    mutating func lookUp(_ client: Handle<Client>, _ plan: LookupPlan) {
        if let known = rememberedResult(client, plan.purpose) {
            if plan.purpose == .secret { clientLogins[client]?.isFromCache = true }
            return lookedUp(client, known)
        }
        if lifecycle.waitsForServers { return fail(client, .login(.shuttingDown)) }
        guard let database = databaseNumber(plan.database) else {
            logLookupFault(client, "authentication database \"\(text(plan.database))\" is not configured")
            return lookupFailed(client)
        }
        guard !databases[database].isDisabled else {
            return fail(client, .login(.authenticationDatabaseDisabled(name: name(of: database))))
        }
        guard let pool = poolNumber(database, userNumber(plan.user)) else {
            return fail(client, .login(.limit(.pools)))
        }
        clientLogins[client]?.lookupPurpose = plan.purpose
        clientLogins[client]?.lookupQuery = plan.query
        clientLogins[client]?.isAskedAgain = false
        clients[client].pool = pool
        pools[pool].clientCounts[Int(Client.State.authenticating.rawValue)] &+= 1
        waitForLookup(client)
    }

    /// How the secret of a login's user is looked up; `nil` when nobody is to be asked.
    private func secretPlan(_ login: ClientLogin) -> LookupPlan? {
        guard login.secret == .none, !login.isFound, !login.isUnknown, login.method != .any,
            login.isForConsole || definition(login) != nil
        else { return nil }
        let query = definition(login)?.authQuery ?? configuration.settings.authQuery
        return query.isEmpty ? nil : lookupPlan(login, .secret, query)
    }

    /// What is to be asked, by whom and where; `nil` when there is nobody to ask, or nowhere.
    func lookupPlan(_ login: ClientLogin, _ purpose: LookupPurpose, _ query: String) -> LookupPlan? {
        let settings = configuration.settings
        let definition = definition(login)
        guard let user = definition?.authUser ?? settings.authUser else { return nil }
        var database = login.isForConsole ? nil : login.databaseName
        if let other = definition?.authDatabaseName ?? settings.authDatabaseName {
            database = Array(other.utf8)
        }
        guard let database else { return nil }
        return LookupPlan(
            purpose: purpose, database: database, user: Array(user.utf8), query: Array(query.utf8))
    }

    private func definition(_ login: ClientLogin) -> DatabaseDefinition? {
        guard !login.isForConsole else { return nil }
        return databaseIndex[login.databaseName].map { databases[$0].definition }
            ?? configuration.autoDatabase
    }

    // MARK: Waiting

    private mutating func waitForLookup(_ client: Handle<Client>) {
        let pool = clients[client].pool
        clients[client].waitStart = now
        moveClient(client, to: .waitingForLookup)
        guard knownFailure(pool) == nil else { return lookupFailed(client) }
        scheduleUpkeep(within: PoolCore.busyUpkeep)
        serveWaiters(pool)
        openServers(pool)
    }

    /// Has a free server ask for a client that waits for that.
    ///
    /// - Precondition: the client waits for it, the server is idle.
    mutating func ask(_ client: Handle<Client>, _ server: Handle<Server>) {
        moveServer(server, to: .lookingUp)
        moveClient(client, to: .lookingUp)
        servers[server].client = client
        clients[client].server = server
        servers[server].requestStart = now
        servers[server].isUsed = true
        servers[server].isFresh = false
        let counters = pools[servers[server].pool].counters
        let waitTime = (now &- clients[client].waitStart) / 1000
        counters.add(.serverAssignments)
        counters.add(.waitMicroseconds, waitTime)
        counters.record(.wait, microseconds: waitTime)
        guard let login = clientLogins[client] else {
            preconditionFailure("who is looked up is logging in")
        }
        lookups[server] = Lookup(login.lookupPurpose, epoch: lastEpoch)
        let start = output.count
        output.appendParse(name: RawSpan(), text: login.lookupQuery.rawSpan)
        appendBind(login.userName, isBinary: login.lookupPurpose == .groups)
        output.appendDescribe(.portal, name: RawSpan())
        let message = output.beginMessage(FrontendMessage.execute)
        output.append(UInt8(0))
        output.append(bigEndian: UInt32(0))
        output.endMessage(at: message)
        output.appendSync()
        send(servers[server].connection, from: start)
    }

    /// Bind of the unnamed statement with one parameter; it and the results are text, or binary.
    private mutating func appendBind(_ parameter: [UInt8], isBinary: Bool) {
        let message = output.beginMessage(FrontendMessage.bind)
        output.append(bigEndian: UInt16(0))
        appendFormat(isBinary)
        output.append(bigEndian: UInt16(1))
        output.append(bigEndian: UInt32(parameter.count))
        output.append(parameter)
        appendFormat(isBinary)
        output.endMessage(at: message)
    }

    private mutating func appendFormat(_ isBinary: Bool) {
        output.append(bigEndian: UInt16(isBinary ? 1 : 0))
        if isBinary { output.append(bigEndian: UInt16(1)) }
    }

    // MARK: The answer

    /// Bytes of a server that looks something up.
    mutating func lookupBytes(_ server: Handle<Server>, _ bytes: RawSpan) -> Consumption {
        let count = bytes.byteCount
        var offset = 0
        servers[server].lastActivity = now
        while offset < count {
            guard count - offset >= 5 else { return Consumption(consumed: offset, needed: 5) }
            let type = unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            let length = unsafe UInt32(
                bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset + 1, as: UInt32.self))
            guard length >= 4, length <= Lookup.messageLimit else {
                refuseAnswer(server, "sent a message with an invalid length")
                return Consumption(consumed: count, needed: 0)
            }
            let total = Int(length) + 1
            guard count - offset >= total else { return Consumption(consumed: offset, needed: total) }
            lookupMessage(server, type, bytes.extracting((offset + 5)..<(offset + total)))
            offset += total
            guard servers.contains(server) else { return Consumption(consumed: count, needed: 0) }
            guard servers[server].state == .lookingUp else {
                return receivedRest(.server(server), bytes, offset)
            }
        }
        return Consumption(consumed: count, needed: 0)
    }

    private mutating func lookupMessage(_ server: Handle<Server>, _ type: UInt8, _ body: RawSpan) {
        switch type {
        case BackendMessage.noticeResponse, BackendMessage.notificationResponse: return
        case BackendMessage.parameterStatus: _ = parameterStatus(server, body)
        default:
            guard var lookup = lookups[server] else { preconditionFailure("the query of this server runs") }
            let step = lookup.receive(type, body)
            lookups[server] = lookup
            switch step {
            case .goOn: return
            case .wrong(let what): refuseAnswer(server, what)
            case .done(let status): lookupEnded(server, status)
            }
        }
    }

    /// What came is no answer: nobody must get this server any more.
    private mutating func refuseAnswer(_ server: Handle<Server>, _ what: String) {
        let start = output.count
        let name = lookupName(server)
        appendServerPrefix(server)
        output.append(text: name)
        output.append(": the server ")
        output.append(text: what)
        log(.error, from: start)
        let client = partLookup(server)
        closeServer(server, reason: "unexpected answer to \(name)")
        if clients.contains(client) { lookupFailed(client) }
    }

    /// What the query of a server is called in the log.
    private func lookupName(_ server: Handle<Server>) -> String {
        guard let lookup = lookups[server] else { preconditionFailure("the query of this server runs") }
        return lookup.purpose.name
    }

    /// The query is over; the server is clean unless the query has left a transaction open.
    private mutating func lookupEnded(_ server: Handle<Server>, _ status: UInt8) {
        guard let lookup = lookups[server] else { preconditionFailure("the query of this server runs") }
        if let error = lookup.error {
            let start = output.count
            appendServerPrefix(server)
            output.append(text: lookup.purpose.name)
            output.append(" failed: ")
            output.append(text: error)
            log(.error, from: start)
        }
        let client = partLookup(server)
        servers[server].status = status
        if status == TransactionStatus.idle.rawValue {
            takeBack(server)
            if lifecycle.isEnding { checkDrained() }
        } else {
            closeServer(server, reason: "\(lookup.purpose.name) left a transaction open")
        }
        guard clients.contains(client) else { return }
        if lookup.error != nil { return lookupFailed(client) }
        leaveLookup(client)
        var result = lookup.result
        if case .found(var user) = result {
            user.foundAt = now
            result = .found(user)
        }
        if configuration.settings.authQueryCacheNanoseconds > 0, lookup.epoch == lastEpoch,
            let key = lookupKey(client, lookup.purpose)
        {
            lookupCache.keep(result, at: now, for: key)
        }
        lookedUp(client, result)
    }

    /// Separates a server that looks something up from the client it does that for; answers the client, if it
    /// is still there.
    mutating func partLookup(_ server: Handle<Server>) -> Handle<Client> {
        lookups.removeValue(forKey: server)
        let client = servers[server].client
        servers[server].client = .none
        servers[server].lastActivity = now
        guard clients.contains(client) else { return .none }
        clients[client].server = .none
        return client
    }

    /// The connection to PostgreSQL was lost, or closed, before it had answered: another one is asked once.
    mutating func lookupLost(_ client: Handle<Client>) {
        guard clientLogins[client]?.isAskedAgain == false else { return lookupFailed(client) }
        clientLogins[client]?.isAskedAgain = true
        waitForLookup(client)
    }

    /// It cannot be known who the client is. The reason is in the log; it is none of a stranger's business.
    mutating func lookupFailed(_ client: Handle<Client>) { fail(client, .login(.configuration)) }

    /// A client is in the pool of `auth_user` no more.
    private mutating func leaveLookup(_ client: Handle<Client>) {
        moveClient(client, to: .authenticating)
        let pool = clients[client].pool
        pools[pool].clientCounts[Int(Client.State.authenticating.rawValue)] &-= 1
        pools[pool].lastUse = now
        clients[client].pool = .none
        // While it waited for a server it was one of those who wait.
        if let origin = clientOrigins[client] { strangers.add(client, from: OriginKey(origin), in: &clients) }
    }

    /// It is known who wants to log in, or that nobody does, or in which groups: the login goes on.
    private mutating func lookedUp(_ client: Handle<Client>, _ result: LookupResult) {
        switch result {
        case .found(let user):
            // Groups are those of the name that was asked for.
            if clientLogins[client]?.userName != user.name { clientLogins[client]?.groups = nil }
            clientLogins[client]?.userName = user.name
            clientLogins[client]?.secret = user.secret
            clientLogins[client]?.user = userIndex[user.name]
            clientLogins[client]?.isFound = true
            switch user.secret {
            case .md5: looksUpMD5 = true
            case .scram, .plain: looksUpMD5 = false
            case .none: break
            }
            clientLogins[client]?.foundAt = user.foundAt
        case .nobody:
            clientLogins[client]?.isUnknown = true
        case .groups(let groups):
            clientLogins[client]?.groups = groups
        }
        if let proof = clientLogins[client]?.proof {
            clientLogins[client]?.proof = nil
            answer(client, proof.rawSpan)
        } else {
            goOn(client)
        }
        if clients.contains(client) { resume(client) }
    }

    private func text(_ name: [UInt8]) -> String { String(decoding: name, as: UTF8.self) }

    mutating func logLookupFault(_ client: Handle<Client>, _ what: String) {
        let start = output.count
        appendClientPrefix(client)
        output.append(text: what)
        log(.warning, from: start)
    }

    // MARK: Time

    /// Ends the login of a client that has been looked up for too long. What it is told has no names but its
    /// own.
    mutating func lookupDeadline(_ client: Handle<Client>) {
        let settings = configuration.settings
        let login = settings.clientLoginTimeoutNanoseconds
        let isWaiting = clients[client].state == .waitingForLookup
        let wait = isWaiting ? pools[clients[client].pool].settings.queryWaitTimeoutNanoseconds : 0
        let waited = now &- clients[client].waitStart
        if wait > 0, waited >= wait {
            let names = clientLogins[client] ?? ClientLogin()
            let error = TimeoutFault.loginWait(
                waitedSeconds: seconds(waited), database: text(names.databaseName), user: text(names.userName)
            )
            fail(client, .timeout(error))
        } else if login > 0, now &- clients[client].connectedAt >= login {
            fail(
                client,
                isWaiting
                    ? .timeout(.clientLoginServerDown(limitSeconds: seconds(login)))
                    : .timeout(.clientLogin(limitSeconds: seconds(login))))
        }
    }

    /// Closes a server that does not answer. Its client has a deadline of its own; without one it may take
    /// as long as a login.
    mutating func lookupDeadline(of server: Handle<Server>) {
        let query = pools[servers[server].pool].settings.queryTimeoutNanoseconds
        let login = configuration.settings.serverConnectTimeoutNanoseconds
        let age = now &- servers[server].requestStart
        if query > 0, age >= query {
            refuseAnswer(server, "did not answer within query_timeout")
        } else if login > 0, age >= login, servers[server].client.isNone {
            closeServer(server, reason: "\(lookupName(server)) timed out")
        }
    }

    // MARK: What is known already

    /// What has been found out so lately that `auth_query_cache` lets it count.
    private func rememberedResult(_ client: Handle<Client>, _ purpose: LookupPurpose) -> LookupResult? {
        let lifetime = configuration.settings.authQueryCacheNanoseconds
        guard lifetime > 0, let key = lookupKey(client, purpose) else { return nil }
        return lookupCache.result(key, since: now > lifetime ? now - lifetime : 0)
    }

    private func lookupKey(_ client: Handle<Client>, _ purpose: LookupPurpose) -> LookupCache.Key? {
        clientLogins[client].map {
            LookupCache.Key(purpose: purpose, database: $0.databaseName, name: $0.userName)
        }
    }

    private func secretKey(_ login: ClientLogin) -> LookupCache.Key {
        LookupCache.Key(purpose: .secret, database: login.databaseName, name: login.requestedName)
    }

    /// What a client gives as proof does not fit what was found some time ago. The user is looked up anew,
    /// and the proof held against what is found then.
    ///
    /// - Returns: false when the proof is simply wrong.
    mutating func askAnew(_ client: Handle<Client>, _ proof: RawSpan) -> Bool {
        guard var login = clientLogins[client], login.isFromCache else { return false }
        lookupCache.forget(secretKey(login))
        login.isFromCache = false
        login.isFound = false
        login.secret = .none
        login.userName = login.requestedName
        login.user = knownUser(login.userName)
        login.proof = [UInt8](copying: proof)
        clientLogins[client] = login
        return lookUp(client)
    }

    /// A proof that cannot be held against another secret has failed: the next login asks anew.
    mutating func forgetLookup(_ login: ClientLogin) {
        if login.isFromCache { lookupCache.forget(secretKey(login)) }
    }
}
