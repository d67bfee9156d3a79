import Auth
import Base
import Config
import SharedState
import Wire

/// Logging in to PostgreSQL.
extension PoolCore {
    /// PBKDF2 iterations done for one server in one go; more are done in slices, so that no other connection
    /// waits long.
    private static var iterationsAtOnce: Int { 10_000 }

    /// The socket is open: the startup packet goes out, or the cancel request.
    mutating func connected(_ server: Handle<Server>, _ connection: ConnectionID, _ address: ServerAddress) {
        guard servers.contains(server), servers[server].state == .connecting else {
            return actions.append(.close(connection, .now))
        }
        servers[server].connection = connection
        serverAddresses[server] = address
        if servers[server].isMessenger { return sendCancel(server) }
        moveServer(server, to: .startup)
        serverLogins[server] = ServerLogin()
        if configuration.settings.logConnections {
            let begin = output.count
            appendServerPrefix(server)
            output.append("new connection to server (from ")
            output.append(text: address.local)
            output.append(":")
            output.append(decimal: address.localPort)
            output.append(")")
            log(.log, from: begin)
        }
        if !asksForTLS(server) { startUp(server) }
    }

    /// Sends the startup packet.
    mutating func startUp(_ server: Handle<Server>) {
        let pool = servers[server].pool
        let definition = databases[Int(pools[pool].database)].definition
        let start = output.count
        let packet = output.beginStartupPacket()
        let user = users[Int(pools[pool].user)].name
        output.appendStartupParameter("user", user.rawSpan)
        output.appendStartupParameter("database", Array(definition.serverDatabaseName.utf8).rawSpan)
        appendOptional("client_encoding", definition.clientEncoding)
        appendOptional("datestyle", definition.dateStyle)
        appendOptional("timezone", definition.timeZone)
        appendOptional("application_name", definition.applicationName)
        if servers[server].isReplication { appendReplication(servers[server].client) }
        output.endStartupPacket(at: packet)
        send(servers[server].connection, from: start)
    }

    private mutating func appendOptional(_ name: StaticString, _ value: String?) {
        guard let value, !value.isEmpty else { return }
        output.appendStartupParameter(name, Array(value.utf8).rawSpan)
    }

    /// A replication connection has its client's own parameters from the beginning.
    private mutating func appendReplication(_ client: Handle<Client>) {
        let isLogical = clients[client].replication == .logical
        output.appendStartupParameter("replication", Array((isLogical ? "database" : "true").utf8).rawSpan)
        if clients[client].replicationOptions != 0 {
            let options = [UInt8](copying: bytes[clients[client].replicationOptions])
            output.appendStartupParameter("options", options.rawSpan)
        }
        let values = parameters.values(clients[client].parameters)
        for index in 0..<Parameters.limit where values[index] != 0 {
            // It cannot be set by a client that starts up.
            if index == Parameters.standardStringsIndex { continue }
            let value = [UInt8](copying: bytes[values[index]])
            let name = parameters.names[index]
            output.appendStartupParameter(name.rawSpan, value.rawSpan)
        }
    }

    /// Bytes of a server that is logging in.
    mutating func serverLoginBytes(_ server: Handle<Server>, _ bytes: RawSpan) -> Consumption {
        let count = bytes.byteCount
        if serverLogins[server]?.awaitsTLS == true { return answerTLS(server, bytes) }
        var offset = 0
        while offset < count {
            guard count - offset >= 5 else { return Consumption(consumed: offset, needed: 5) }
            let type = unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            let length = unsafe UInt32(
                bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset + 1, as: UInt32.self))
            guard length >= 4, length <= 1 << 20 else {
                loginFailed(server, "the server does not speak PostgreSQL's protocol", state: nil)
                return Consumption(consumed: count, needed: 0)
            }
            let total = Int(length) + 1
            guard count - offset >= total else { return Consumption(consumed: offset, needed: total) }
            loginMessage(server, type, bytes.extracting((offset + 5)..<(offset + total)))
            offset += total
            guard servers.contains(server) else { return Consumption(consumed: count, needed: 0) }
            guard servers[server].state == .startup else {
                return receivedRest(.server(server), bytes, offset)
            }
        }
        return Consumption(consumed: count, needed: 0)
    }

    private mutating func loginMessage(_ server: Handle<Server>, _ type: UInt8, _ body: RawSpan) {
        switch type {
        case BackendMessage.authentication:
            authenticationRequest(server, body)
        case BackendMessage.parameterStatus:
            startupParameter(server, body)
        case BackendMessage.backendKeyData:
            var reader = MessageReader(body)
            guard let processID = try? reader.readInt32(), let secret = try? reader.readInt32() else {
                return loginFailed(server, "broken BackendKeyData", state: nil)
            }
            servers[server].processID = processID
            servers[server].secret = UInt32(bitPattern: secret)
        case BackendMessage.readyForQuery:
            loginReady(server)
        case BackendMessage.errorResponse:
            loginError(server, body)
        case BackendMessage.noticeResponse, BackendMessage.negotiateProtocolVersion:
            return
        default:
            // Results of connect_query are of no interest; before it there are none.
            if servers[server].runsConnectQuery { return }
            loginFailed(server, "unexpected message during login: type \(type)", state: nil)
        }
    }

    private mutating func loginError(_ server: Handle<Server>, _ body: RawSpan) {
        guard let fields = try? ErrorFields(body) else {
            return loginFailed(server, "broken ErrorResponse", state: nil)
        }
        let text = String(decodingBytes: fields.message)
        if servers[server].runsConnectQuery {
            let start = output.count
            appendServerPrefix(server)
            output.append("connect_query failed: ")
            output.append(text: text)
            return log(.warning, from: start)
        }
        loginFailed(server, text, state: fields.sqlState ?? .protocolViolation)
    }

    private mutating func startupParameter(_ server: Handle<Server>, _ body: RawSpan) {
        guard let nameEnd = zero(body, 0, body.byteCount),
            let valueEnd = zero(body, nameEnd + 1, body.byteCount)
        else { return loginFailed(server, "broken ParameterStatus", state: nil) }
        let name = body.extracting(0..<nameEnd)
        let value = body.extracting((nameEnd + 1)..<valueEnd)
        if let index = parameters.index(of: name) {
            servers[server].parameters = changed(servers[server].parameters, index, value)
        } else if !servers[server].runsConnectQuery {
            var message = ByteBuffer(capacity: 128)
            message.appendParameterStatus(name: name, value: value)
            serverLogins[server]?.otherParameters += [UInt8](copying: message.bytes)
        }
    }

    // MARK: Authentication

    private mutating func authenticationRequest(_ server: Handle<Server>, _ body: RawSpan) {
        var reader = MessageReader(body)
        guard let code = try? reader.readInt32() else {
            return loginFailed(server, "broken authentication request", state: nil)
        }
        let rest = body.extracting(4..<body.byteCount)
        switch code {
        case 0:
            // A server that skips the end of the exchange has not proved that it knows the password.
            if serverLogins[server]?.scram != nil {
                loginFailed(server, "the server ended the SASL exchange without its proof", state: nil)
            }
        case 3: sendPassword(server)
        case 5: sendMD5(server, rest)
        case 10: beginScram(server, rest)
        case 11: continueScram(server, rest)
        case 12: finishScram(server, rest)
        default: loginFailed(server, "unknown/unsupported auth method: \(code)", state: nil)
        }
    }

    private mutating func wrongPasswordType(_ server: Handle<Server>) {
        loginFailed(
            server, "wrong password type", state: .invalidPassword,
            told: "server login failed: wrong password type")
    }

    private mutating func sendPassword(_ server: Handle<Server>) {
        guard case .plain(let password) = secret(of: servers[server].pool), !password.isEmpty else {
            return wrongPasswordType(server)
        }
        let start = output.count
        output.appendPasswordMessage(password.rawSpan)
        send(servers[server].connection, from: start)
    }

    private mutating func sendMD5(_ server: Handle<Server>, _ salt: RawSpan) {
        let user = users[Int(pools[servers[server].pool].user)].name
        guard salt.byteCount == 4,
            let response = secret(of: servers[server].pool).md5Response(
                user: user, salt: unsafe UInt32(bigEndian: salt.unsafeLoadUnaligned(as: UInt32.self)))
        else { return wrongPasswordType(server) }
        let start = output.count
        output.appendPasswordMessage(response.rawSpan)
        send(servers[server].connection, from: start)
    }

    private mutating func beginScram(_ server: Handle<Server>, _ mechanisms: RawSpan) {
        let isBound = serverLogins[server]?.endPoint.isEmpty == false
        guard
            ScramClient.isOffered(in: mechanisms)
                || isBound && ScramClient.isBindingOffered(in: mechanisms)
        else {
            return loginFailed(server, "no SASL mechanism in common with the server", state: nil)
        }
        let credential: ScramClient.Credential
        switch secret(of: servers[server].pool) {
        case .plain(let password) where !password.isEmpty:
            credential = .password(password)
        case .scram(let verifier):
            guard let keys = passThrough(servers[server].pool, verifier) else {
                return wrongPasswordType(server)
            }
            credential = .keys(keys, of: verifier)
        case .plain, .md5, .none:
            return wrongPasswordType(server)
        }
        let scram = ScramClient(
            credential: credential, nonce: entropy.take(18), endPoint: serverLogins[server]?.endPoint ?? [],
            isBindingOffered: ScramClient.isBindingOffered(in: mechanisms))
        let start = output.count
        output.appendSASLInitialResponse(mechanism: scram.mechanism, scram.clientFirst.rawSpan)
        send(servers[server].connection, from: start)
        serverLogins[server]?.scram = scram
    }

    private mutating func continueScram(_ server: Handle<Server>, _ data: RawSpan) {
        guard var scram = serverLogins[server]?.scram else {
            return loginFailed(server, "SASL continuation without a beginning", state: nil)
        }
        let user = Int(pools[servers[server].pool].user)
        do throws(ScramError) { try scram.receiveServerFirst(data, known: users[user].derived) } catch {
            return loginFailed(server, "SASL authentication failed: \(error)", state: nil)
        }
        serverLogins[server]?.scram = scram
        if scram.isReady { sendProof(server, scram) } else { stepLogin(server) }
    }

    private mutating func sendProof(_ server: Handle<Server>, _ scram: ScramClient) {
        let start = output.count
        output.appendSASLResponse(scram.clientFinal.rawSpan)
        send(servers[server].connection, from: start)
    }

    /// Does a slice of the key derivation of a login; the proof goes out when it is done.
    mutating func stepLogin(_ server: Handle<Server>) {
        guard var scram = serverLogins[server]?.scram, scram.isDeriving else { return }
        let isDone = scram.step(iterations: PoolCore.iterationsAtOnce)
        if isDone {
            sendProof(server, scram)
            let user = Int(pools[servers[server].pool].user)
            users[user].derived = scram.derived ?? users[user].derived
        } else {
            nextFullUpkeep = now
        }
        serverLogins[server]?.scram = scram
    }

    private mutating func finishScram(_ server: Handle<Server>, _ data: RawSpan) {
        guard let scram = serverLogins[server]?.scram, scram.isServerProven(by: data) else {
            return loginFailed(server, "the server could not prove that it knows the password", state: nil)
        }
        serverLogins[server]?.scram = nil
    }

    // MARK: Ready

    /// A ReadyForQuery during startup: after the login, and once more after `connect_query`.
    private mutating func loginReady(_ server: Handle<Server>) {
        guard serverLogins[server]?.scram == nil else {
            return loginFailed(server, "the server ended the SASL exchange without its proof", state: nil)
        }
        let pool = servers[server].pool
        let query = databases[Int(pools[pool].database)].definition.connectQuery ?? ""
        if !servers[server].runsConnectQuery {
            learnWelcome(server)
            if !query.isEmpty {
                servers[server].runsConnectQuery = true
                let start = output.count
                output.appendQuery(query)
                return send(servers[server].connection, from: start)
            }
        }
        servers[server].runsConnectQuery = false
        servers[server].isReady = true
        servers[server].lastActivity = now
        serverLogins.removeValue(forKey: server)
        serverWorks(pool)
        if servers[server].isReplication { return startReplication(server) }
        welcomeWaiters(pool)
        guard servers.contains(server) else { return }
        becomeFree(server)
    }

    /// There is a server that works: failures of before are over.
    mutating func serverWorks(_ pool: Handle<Pool>) {
        databases[Int(pools[pool].database)].hasWorked = true
        pools[pool].hasFailed = false
        pools[pool].failedSince = 0
        pools[pool].retryPause = 0
        pools[pool].retryAt = 0
    }

    /// The first server of a pool tells what its clients are welcomed with.
    private mutating func learnWelcome(_ server: Handle<Server>) {
        let pool = servers[server].pool
        guard !servers[server].isReplication, pools[pool].welcomeMessages == 0 else { return }
        pools[pool].welcomeMessages = bytes.intern(serverLogins[server]?.otherParameters ?? [])
        parameters.retain(servers[server].parameters)
        parameters.release(pools[pool].welcomeParameters, &bytes)
        pools[pool].welcomeParameters = servers[server].parameters
        tellWelcome(pool)
    }

    /// Welcomes those who wait for it, if it is known with what: whoever sends us a client or a server may
    /// not know either, after RECONNECT.
    mutating func welcomeWaiters(_ pool: Handle<Pool>) {
        guard pools[pool].welcomeMessages != 0 else { return }
        while !pools[pool].welcomeWaiters.isEmpty { welcome(pools[pool].welcomeWaiters.first) }
    }

    private mutating func startReplication(_ server: Handle<Server>) {
        let client = servers[server].client
        guard clients.contains(client), clients[client].state == .waiting else {
            servers[server].client = .none
            return closeServer(server, reason: "replication client left")
        }
        clients[client].server = .none
        servers[server].client = .none
        parameters.retain(servers[server].parameters)
        parameters.release(clients[client].parameters, &bytes)
        clients[client].parameters = servers[server].parameters
        link(client, server)
        resume(client)
    }
}

/// What is known of a server while it logs in.
struct ServerLogin {
    /// ParameterStatus messages of parameters that are not tracked.
    var otherParameters: [UInt8] = []
    /// It has been asked for TLS and not answered yet.
    var awaitsTLS = false
    /// The TLS handshake runs: what goes wrong in it will go wrong the next time too.
    var isShakingHands = false
    /// Channel binding data of its TLS session; empty without one.
    var endPoint: [UInt8] = []
    /// The SCRAM exchange that runs.
    var scram: ScramClient?
}
