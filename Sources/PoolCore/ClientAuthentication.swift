import Auth
public import Base
import Config
public import SharedState
import Wire

/// Proving who a client is, and its welcome.
extension PoolCore {
    /// Begins the exchange of the login's method.
    ///
    /// A user that does not exist goes through the same exchange as one that does, and fails at its end.
    mutating func authenticate(_ client: Handle<Client>) {
        guard let login = clientLogins[client] else { return }
        // Whoever had to be looked up has waited for us until now.
        clients[client].lastActivity = now
        let start = output.count
        switch login.method {
        case .any:
            authenticated(client)
        case .trust:
            if login.isKnown {
                authenticated(client)
            } else {
                refuse(client, .authentication(.trust, user: userName(login)))
            }
        case .plain:
            clientLogins[client]?.exchange = .plain
            output.appendAuthenticationCleartext()
            send(clients[client].connection, from: start)
        case .md5:
            if login.secret == .none, login.isFound || login.isUnknown {
                // As those look whom `auth_query` has found.
                if !looksUpMD5 { return beginScram(client, login) }
            } else if case .scram = likeness(of: login) {
                return beginScram(client, login)
            }
            var salt: UInt32 = 0
            for _ in 0..<4 { salt = salt << 8 | UInt32(entropy.takeByte()) }
            clientLogins[client]?.exchange = .md5(salt: salt)
            output.appendAuthenticationMD5(salt: salt)
            send(clients[client].connection, from: start)
        case .scramSHA256:
            beginScram(client, login)
        case .hba:
            authenticateByRules(client, login)
        case .cert:
            authenticateByCertificate(client, login, nil)
        case .ldap, .pam:
            authenticateOutside(client, login)
        }
    }

    private mutating func beginScram(_ client: Handle<Client>, _ login: ClientLogin) {
        let verifier = scramVerifier(login)
        let nonce = entropy.take(18)
        let endPoint = clientEncryptions[client]?.endPoint ?? []
        clientLogins[client]?.exchange = .scram(
            ScramServer(
                verifier: verifier.value, nonce: nonce, isMock: verifier.isMock, endPoint: endPoint))
        let start = output.count
        let unbound = ScramServer.mechanism
        output.appendAuthenticationSASL(
            mechanisms: endPoint.isEmpty ? [unbound] : [ScramServer.boundMechanism, unbound])
        send(clients[client].connection, from: start)
    }

    /// What the client's proof is checked against; for users without a usable secret a mock one.
    private mutating func scramVerifier(_ login: ClientLogin) -> (value: ScramVerifier, isMock: Bool) {
        // Made for everybody: it takes a little time.
        let mock = mockVerifier(login)
        switch login.secret {
        case .scram(let verifier):
            return (verifier, false)
        case .plain(let password) where !password.isEmpty:
            guard login.isKnown else { break }
            let user = login.user.flatMap { users[$0].secret == login.secret ? $0 : nil }
            if let user, let known = users[user].verifier { return (known, false) }
            let made = madeVerifier(password, login.userName)
            if let user { users[user].verifier = made }
            return (made, false)
        case .plain, .none, .md5:
            break
        }
        return (mock, true)
    }

    /// Bytes of a client that is being authenticated.
    mutating func authenticationBytes(_ client: Handle<Client>, _ bytes: RawSpan) -> Consumption {
        let count = bytes.byteCount
        var offset = 0
        while offset < count {
            if clientLogins[client]?.exchange.holdsInput == true {
                // The supervisor is about to take over, and reads this; or it comes too early.
                clients[client].isHeld = true
                return Consumption(consumed: offset, needed: 0)
            }
            guard count - offset >= 5 else { return Consumption(consumed: offset, needed: 5) }
            let type = unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            let length = unsafe UInt32(
                bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset + 1, as: UInt32.self))
            guard type == FrontendMessage.password || type == FrontendMessage.terminate, length >= 4,
                length <= 65_536
            else {
                failLength(client, bytes, offset, length)
                return Consumption(consumed: count, needed: 0)
            }
            if type == FrontendMessage.terminate {
                closeClient(client, .now, reason: "client close request")
                return Consumption(consumed: count, needed: 0)
            }
            let total = Int(length) + 1
            guard count - offset >= total else { return Consumption(consumed: offset, needed: total) }
            answer(client, bytes.extracting((offset + 5)..<(offset + total)))
            noteSecret((offset + 5)..<(offset + total))
            offset += total
            guard clients.contains(client) else { return Consumption(consumed: count, needed: 0) }
            guard clients[client].state == .authenticating else {
                return receivedRest(.client(client), bytes, offset)
            }
        }
        return Consumption(consumed: count, needed: 0)
    }

    /// Notes that a part of the bytes being walked over must not stay in memory. Messages of a login follow
    /// each other, so what stands between two of them may go with them.
    private mutating func noteSecret(_ range: Range<Int>) {
        let (lower, upper) = (inputStart + range.lowerBound, inputStart + range.upperBound)
        secretBytes = (secretBytes.isEmpty ? lower : secretBytes.lowerBound)..<upper
    }

    /// What the client gives as proof, or a step of it.
    mutating func answer(_ client: Handle<Client>, _ body: RawSpan) {
        guard let login = clientLogins[client] else { return }
        clients[client].lastActivity = now
        switch login.exchange {
        case .none, .finished, .judged:
            refuse(client, .passwordBeforeStartup)
        case .outside:
            guard let password = PasswordMessage.password(in: body), password.byteCount > 0 else {
                return refuse(client, .emptyPassword)
            }
            judge(client, [UInt8](copying: password))
        case .plain:
            guard let password = PasswordMessage.password(in: body), password.byteCount > 0 else {
                return refuse(client, .emptyPassword)
            }
            let isRight = likeness(of: login).matches(password: password, user: login.userName)
            judge(client, isRight && hasSecret(login), body)
        case .md5(let salt):
            guard let response = PasswordMessage.password(in: body) else {
                return refuse(client, .emptyPassword)
            }
            let isRight = likeness(of: login)
                .matches(md5Response: response, user: login.userName, salt: salt)
            judge(client, isRight && hasSecret(login), body)
        case .scram(var exchange):
            answerScram(client, login, &exchange, body)
        }
    }

    private mutating func judge(_ client: Handle<Client>, _ isRight: Bool, _ proof: RawSpan) {
        if isRight { return authenticated(client) }
        if askAnew(client, proof) { return }
        let name = clientLogins[client].map { userName($0) } ?? ""
        refuse(client, .authentication(.password, user: name))
    }

    private mutating func answerScram(
        _ client: Handle<Client>, _ login: ClientLogin, _ exchange: inout ScramServer, _ body: RawSpan
    ) {
        switch exchange.receive(body) {
        case .continue(let data):
            clientLogins[client]?.exchange = .scram(exchange)
            let start = output.count
            output.appendAuthenticationSASLContinue(data.rawSpan)
            send(clients[client].connection, from: start)
        case .success(let data, let clientKey):
            let start = output.count
            output.appendAuthenticationSASLFinal(data.rawSpan)
            send(clients[client].connection, from: start)
            // Only a secret that PostgreSQL may store too opens PostgreSQL.
            if case .scram(let verifier) = login.secret {
                let keys = ScramKeys(clientKey: clientKey, serverKey: verifier.serverKey)
                if login.isFound {
                    clientLogins[client]?.keys = keys
                } else if let user = login.user {
                    users[user].passThrough = keys
                }
            }
            authenticated(client)
        case .invalidMechanism:
            refuse(client, .invalidMechanism)
        case .failure:
            forgetLookup(login)
            refuse(client, .authentication(.sasl, user: userName(login)))
        }
    }

    private func userName(_ login: ClientLogin) -> String { String(decoding: login.userName, as: UTF8.self) }

    mutating func refuse(_ client: Handle<Client>, _ fault: LoginFault) {
        if let login = clientLogins[client] {
            let start = output.count
            appendClientPrefix(client)
            output.append("login failed: db=")
            output.append(login.databaseName)
            output.append(" user=")
            output.append(login.userName)
            log(.log, from: start)
            noteFailure(client, login)
        }
        fail(client, .login(fault))
    }

    // MARK: Authenticated

    /// The client is who it says: into its pool, or to the console.
    mutating func authenticated(_ client: Handle<Client>) {
        guard var login = clientLogins[client] else { return }
        strangerLeft(client)
        if login.isForConsole {
            if let user = login.user { clients[client].user = Int32(user) }
            clientLogins[client]?.exchange = .finished
            return actions.append(.openConsole(client))
        }
        if lifecycle.waitsForServers { return fail(client, .login(.shuttingDown)) }
        let limit = configuration.settings.maxClientConnections
        guard ledger.admit(limit: limit) else { return fail(client, .login(.limit(.instance(limit: limit)))) }
        clients[client].isAdmitted = true
        // Looked up only now, or again: a reload may have come in between.
        login.database = databaseNumber(login.databaseName)
        guard let database = login.database else {
            return fail(
                client, .login(.noSuchDatabase(name: String(decoding: login.databaseName, as: UTF8.self))))
        }
        guard !databases[database].isDisabled else {
            return fail(client, .login(.databaseDisabled(name: name(of: database))))
        }
        let forced = databases[database].definition.user.map { userNumber(Array($0.utf8)) }
        // Who was looked up is remembered only now, or strangers could fill the memory with names.
        if login.isFound, login.user == nil { login.user = userNumber(login.userName) }
        guard let poolUser = forced ?? login.user else { return fail(client, .login(.configuration)) }
        guard let pool = poolNumber(database, poolUser) else { return fail(client, .login(.limit(.pools))) }
        if databases[database].definition.user == nil, let loginUser = login.user, loginUser != poolUser {
            preconditionFailure("without a forced user a client's pool is its own user's")
        }
        let user = login.user ?? poolUser
        if let problem = count(client, login, database, user) { return fail(client, problem) }
        shareKeys(of: user)
        shareProven(user)
        // A forced user's pool has the forced user's own secret, whatever its clients have shown.
        if poolUser == user { learnCredentials(login, for: pool) }
        enter(pool, client, login)
    }

    /// Lets the other workers have what this one has learnt of a user.
    private mutating func shareKeys(of user: Int) {
        guard let keys = users[user].passThrough, !users[user].keysAreShared, !users[user].entry.isNone else {
            return
        }
        users[user].keysAreShared = true
        ledger.keep(keys.bytes, of: users[user].entry)
    }

    private mutating func enter(_ pool: Handle<Pool>, _ client: Handle<Client>, _ login: ClientLogin) {
        clients[client].pool = pool
        pools[pool].clientCounts[Int(Client.State.authenticating.rawValue)] &+= 1
        var values = ParameterValues(repeating: 0)
        for (index, value) in login.parameters {
            bytes.release(values[index])
            values[index] = bytes.intern(value)
        }
        addHost(client, &values)
        clients[client].parameters = parameters.intern(values, &bytes)
        pools[pool].counters.add(.clientLogins, 1)
        if pools[pool].welcomeMessages != 0 { return welcome(client) }
        if let failure = knownFailure(pool) { return fail(client, failure) }
        clients[client].waitStart = now
        moveClient(client, to: .waitingForWelcome)
        if pools[pool].welcomeWaiters.count == 1 { askForWelcome(pool) }
        openServers(pool)
    }

    /// With `application_name_add_host` the name tells where the client is.
    private mutating func addHost(_ client: Handle<Client>, _ values: inout ParameterValues) {
        guard configuration.settings.applicationNameAddHost, let origin = clientOrigins[client] else {
            return
        }
        let index = Parameters.applicationNameIndex
        var text = values[index] == 0 ? Array("app".utf8) : [UInt8](copying: bytes[values[index]])
        text += Array(" - \(origin.address):\(origin.port)".utf8)
        bytes.release(values[index])
        values[index] = bytes.intern(text)
    }

    /// Tells a client that it is in, with the parameters of its pool and a cancel key.
    mutating func welcome(_ client: Handle<Client>) {
        let pool = clients[client].pool
        let start = output.count
        output.appendAuthenticationOk()
        bytes.append(pools[pool].welcomeMessages, to: &output)
        let own = parameters.values(clients[client].parameters)
        var values = own
        let common = parameters.values(pools[pool].welcomeParameters)
        for index in 0..<Parameters.limit {
            if values[index] == 0 { values[index] = common[index] }
            bytes.retain(values[index])
            guard values[index] != 0 else { continue }
            appendParameterStatus(index, values[index])
        }
        let merged = parameters.intern(values, &bytes)
        parameters.release(clients[client].parameters, &bytes)
        clients[client].parameters = merged
        appendKey(client)
        let notice = configuration.settings.loginNotifyMessage
        if !notice.isEmpty { output.appendNoticeResponse(.notice, .successfulCompletion, notice) }
        output.appendReadyForQuery(.idle)
        send(clients[client].connection, from: start)
        moveClient(client, to: .idle)
        clientLogins.removeValue(forKey: client)
        resume(client)
        if lifecycle.isLeaving { sendAway(client) } else { sendHome(client) }
    }

    private mutating func appendKey(_ client: Handle<Client>) {
        signKey(of: client)
        var key = InlineArray<32, UInt8>(repeating: 0)
        let count = secretByteCount(client)
        for index in 0..<count { key[index] = clients[client].secret[index] }
        output.appendBackendKeyData(
            processID: clients[client].processID, key: unsafe key.span.bytes.extracting(0..<count))
    }

    // MARK: Console

    /// What the supervisor has to know of a console login; for the worker that carries out `openConsole`.
    public func consoleLogin(of client: Handle<Client>) -> ConsoleLogin? {
        guard clients.contains(client), let login = clientLogins[client], let access = login.consoleRole
        else {
            return nil
        }
        let origin = clientOrigins[client]
        return ConsoleLogin(
            clientId: clients[client].id, user: login.userName, role: access == .stats ? .stats : .admin,
            address: Array((origin?.address ?? "").utf8), port: UInt16(clamping: origin?.port ?? 0),
            parameters: login.parameters.map { Parameter(name: parameters.names[$0.index], value: $0.value) })
    }

    /// Whether a connection belongs to a console session.
    public func isOfConsole(_ peer: Peer) -> Bool {
        switch peer {
        case .client(let client): clients.contains(client) && clients[client].state == .relayed
        case .server: false
        case .console: true
        }
    }

    /// The supervisor serves the session from now on; this worker only passes bytes.
    mutating func consoleOpened(_ client: Handle<Client>, _ relay: ConnectionID) {
        guard clients.contains(client), clients[client].state == .authenticating else {
            return actions.append(.close(relay, .now))
        }
        clients[client].relay = relay
        moveClient(client, to: .relayed)
        clientLogins.removeValue(forKey: client)
        resume(client)
        actions.append(.resume(clients[client].connection))
    }
}
