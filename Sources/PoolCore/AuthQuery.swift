import Auth
import Base
import Config
import SharedState
import Wire

/// Looking up users that have no secret in `auth_file`: `auth_query`, run as `auth_user`.
///
/// Who logs in waits for a server of the pool of `auth_user` like anybody else (`.waitingForLookup`); then
/// the query runs on it (`.lookingUp`, both), and what comes back is read by `lookupBytes` alone. The server
/// has none of the client's settings: nobody knows yet who it is.
extension PoolCore {
    /// Looks up the user of a login that lacks a secret, if there is a user to do it.
    ///
    /// - Returns: whether the login goes on, or ends, without the caller.
    mutating func lookUp(_ client: Handle<Client>) -> Bool {
        guard let login = clientLogins[client], let plan = lookupPlan(login), !isJudgedOutside(client, login)
        else { return false }
        if let found = rememberedUser(login) {
            clientLogins[client]?.isFromCache = true
            lookedUp(client, .found(found))
            return true
        }
        if lifecycle.waitsForServers {
            fail(client, .login(.shuttingDown))
            return true
        }
        guard let database = databaseNumber(plan.database) else {
            logLookupFault(client, "authentication database \"\(text(plan.database))\" is not configured")
            fail(client, .login(.configuration))
            return true
        }
        guard !databases[database].isDisabled else {
            fail(client, .login(.authenticationDatabaseDisabled(name: name(of: database))))
            return true
        }
        guard let pool = poolNumber(database, userNumber(plan.user)) else {
            fail(client, .login(.limit(.pools)))
            return true
        }
        clientLogins[client]?.lookupQuery = plan.query
        clients[client].pool = pool
        pools[pool].clientCounts[Int(Client.State.authenticating.rawValue)] &+= 1
        waitForLookup(client)
        return true
    }

    /// What is to be asked, by whom and where; `nil` when nobody is to be asked.
    private func lookupPlan(_ login: ClientLogin) -> (database: [UInt8], user: [UInt8], query: [UInt8])? {
        guard login.secret == .none, login.method != .any else { return nil }
        let settings = configuration.settings
        let definition =
            login.isForConsole
            ? nil
            : databaseIndex[login.databaseName].map { databases[$0].definition } ?? configuration.autoDatabase
        guard login.isForConsole || definition != nil, let user = definition?.authUser ?? settings.authUser
        else { return nil }
        let query = definition?.authQuery ?? settings.authQuery
        var database = login.isForConsole ? nil : login.databaseName
        if let other = definition?.authDatabaseName ?? settings.authDatabaseName {
            database = Array(other.utf8)
        }
        guard let database, !query.isEmpty else { return nil }
        return (database, Array(user.utf8), Array(query.utf8))
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
        lookups[server] = Lookup()
        guard let login = clientLogins[client] else {
            preconditionFailure("who is looked up is logging in")
        }
        let start = output.count
        output.appendParse(name: RawSpan(), text: login.lookupQuery.rawSpan)
        appendBind(login.userName)
        output.appendDescribe(.portal, name: RawSpan())
        let message = output.beginMessage(FrontendMessage.execute)
        output.append(UInt8(0))
        output.append(bigEndian: UInt32(0))
        output.endMessage(at: message)
        output.appendSync()
        send(servers[server].connection, from: start)
    }

    /// Bind of the unnamed statement with one parameter; it and the results are text.
    private mutating func appendBind(_ parameter: [UInt8]) {
        let message = output.beginMessage(FrontendMessage.bind)
        output.append(bigEndian: UInt16(0))
        output.append(bigEndian: UInt16(0))
        output.append(bigEndian: UInt16(1))
        output.append(bigEndian: UInt32(parameter.count))
        output.append(parameter)
        output.append(bigEndian: UInt16(0))
        output.endMessage(at: message)
    }

    // MARK: The answer

    /// Bytes of a server that runs `auth_query`.
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
        appendServerPrefix(server)
        output.append("auth_query: the server ")
        output.append(text: what)
        log(.error, from: start)
        let client = partLookup(server)
        closeServer(server, reason: "unexpected answer to auth_query")
        if clients.contains(client) { lookupFailed(client) }
    }

    /// The query is over; the server is clean unless the query has left a transaction open.
    private mutating func lookupEnded(_ server: Handle<Server>, _ status: UInt8) {
        guard let lookup = lookups[server] else { preconditionFailure("the query of this server runs") }
        if let error = lookup.error {
            let start = output.count
            appendServerPrefix(server)
            output.append("auth_query failed: ")
            output.append(text: error)
            log(.error, from: start)
        }
        let client = partLookup(server)
        servers[server].status = status
        if status == TransactionStatus.idle.rawValue {
            takeBack(server)
            if lifecycle.isEnding { checkDrained() }
        } else {
            closeServer(server, reason: "auth_query left a transaction open")
        }
        guard clients.contains(client) else { return }
        if lookup.error != nil {
            lookupFailed(client)
        } else {
            leaveLookup(client)
            guard var user = lookup.user else { return lookedUp(client, .nobody) }
            user.foundAt = now
            if let login = clientLogins[client], configuration.settings.authQueryCacheNanoseconds > 0 {
                lookupCache.keep(user, for: lookupKey(login))
            }
            lookedUp(client, .found(user))
        }
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

    /// It is known who wants to log in, or that nobody does: the client has to prove it now.
    private mutating func lookedUp(_ client: Handle<Client>, _ result: LookupResult) {
        switch result {
        case .found(let user):
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
        }
        if let proof = clientLogins[client]?.proof {
            clientLogins[client]?.proof = nil
            answer(client, proof.rawSpan)
        } else {
            authenticate(client)
        }
        if clients.contains(client) { resume(client) }
    }

    private func text(_ name: [UInt8]) -> String { String(decoding: name, as: UTF8.self) }

    private mutating func logLookupFault(_ client: Handle<Client>, _ what: String) {
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
            closeServer(server, reason: "auth_query timed out")
        }
    }

    // MARK: What is known already

    /// Whom `auth_query` has found so lately that `auth_query_cache` lets it count.
    private func rememberedUser(_ login: ClientLogin) -> LookupUser? {
        let lifetime = configuration.settings.authQueryCacheNanoseconds
        guard lifetime > 0 else { return nil }
        return lookupCache.user(lookupKey(login), since: now > lifetime ? now - lifetime : 0)
    }

    private func lookupKey(_ login: ClientLogin) -> LookupCache.Key {
        LookupCache.Key(database: login.databaseName, name: login.requestedName)
    }

    /// What a client gives as proof does not fit what was found some time ago. The user is looked up anew,
    /// and the proof held against what is found then.
    ///
    /// - Returns: false when the proof is simply wrong.
    mutating func askAnew(_ client: Handle<Client>, _ proof: RawSpan) -> Bool {
        guard var login = clientLogins[client], login.isFromCache else { return false }
        lookupCache.forget(lookupKey(login))
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
        if login.isFromCache { lookupCache.forget(lookupKey(login)) }
    }
}
