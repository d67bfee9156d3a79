import Auth
import Base
import Config
import SharedState
import Wire

/// From accept to the point where a client is known: first packets, parameters, limits.
extension PoolCore {
    /// A listener has accepted a connection.
    mutating func accepted(_ connection: ConnectionID, _ origin: ClientOrigin) {
        guard let client = clients.insert(Client(connection: connection, id: segment.nextConnectionId()))
        else {
            let start = output.count
            output.appendErrorResponse(ClientError.login(.limit(.instance(limit: clients.capacity))))
            send(connection, from: start)
            return actions.append(.close(connection, .flushed))
        }
        clients[client].connectedAt = now
        clients[client].connectedAtWall = wallClock
        clients[client].lastActivity = now
        clientOrigins[client] = origin
        clients[client].awaitsProxyHeader = mustSayWhoseItIs(origin)
        // The upper bits would make the process id negative.
        clients[client].processID = Int32(
            bitPattern: UInt32(entropy.takeByte() & 0x7F) << 24
                | UInt32(entropy.takeByte()) << 16 | UInt32(entropy.takeByte()) << 8
                | UInt32(entropy.takeByte()))
        for index in 0..<32 { clients[client].secret[index] = entropy.takeByte() }
        scheduleUpkeep(within: PoolCore.busyUpkeep)
        actions.append(.serve(connection, client))
        strangerArrived(client, origin)
    }

    /// Bytes of a client that has not sent its startup packet yet.
    mutating func startupBytes(_ client: Handle<Client>, _ bytes: RawSpan) -> Consumption {
        let count = bytes.byteCount
        var offset = 0
        while offset < count {
            let rest = bytes.extracting(offset..<count)
            if clients[client].awaitsProxyHeader {
                var needed = 0
                guard let length = proxyHeader(client, rest, needed: &needed) else {
                    return Consumption(consumed: needed > 0 ? offset : count, needed: needed)
                }
                offset += length
                continue
            }
            if beginsDirectTLS(client, rest) { return Consumption(consumed: offset, needed: 0) }
            let length: Int?
            do throws(WireError) { length = try StartupPacket.byteCount(of: rest) } catch {
                fail(client, .startup(.invalidHeader(hexadecimal: StartupFault.hexadecimal(rest))))
                return Consumption(consumed: count, needed: 0)
            }
            guard let length else { return Consumption(consumed: offset, needed: 8) }
            guard rest.byteCount >= length else { return Consumption(consumed: offset, needed: length) }
            let packet = rest.extracting(0..<length)
            offset += length
            clients[client].lastActivity = now
            startupPacket(client, packet, isLast: offset == count)
            guard clients.contains(client) else { return Consumption(consumed: count, needed: 0) }
            guard clients[client].state == .startup else {
                return receivedRest(.client(client), bytes, offset)
            }
        }
        return Consumption(consumed: count, needed: 0)
    }

    private mutating func startupPacket(_ client: Handle<Client>, _ packet: RawSpan, isLast: Bool) {
        switch StartupPacket.parse(packet) {
        case .sslRequest:
            requestTLS(client, isLast: isLast)
        case .gssEncryptionRequest:
            refuseEncryption(client, isLast, .unencryptedDataAfterGSSRequest)
        case .cancelRequest(let processID, let key):
            cancelArrived(client, processID, packet.extracting(key))
        case .invalidCancelRequest:
            closeClient(client, .now, reason: "bad cancel request")
        case .protocol2:
            fail(client, .startup(.protocol2))
        case .invalidHeader:
            fail(client, .startup(.invalidHeader(hexadecimal: StartupFault.hexadecimal(packet))))
        case .startup(let minor, let range):
            do throws(StartupFault) {
                let login = try readParameters(client, minor, packet.extracting(range))
                begin(client, login)
            } catch {
                fail(client, .startup(error))
            }
        }
    }

    mutating func refuseEncryption(_ client: Handle<Client>, _ isLast: Bool, _ fault: StartupFault) {
        // Anything behind the request was put there by somebody who hoped we would take it for encrypted.
        guard isLast else { return fail(client, .startup(fault)) }
        let start = output.count
        output.append(UInt8(ascii: "N"))
        send(clients[client].connection, from: start)
    }

    // MARK: Parameters

    private mutating func readParameters(
        _ client: Handle<Client>, _ minor: Int, _ range: RawSpan
    ) throws(StartupFault) -> ClientLogin {
        var login = ClientLogin()
        var scan = try StartupParameters(range)
        while let parameter = scan.next() {
            if parameter.name.isEqual(to: "replication") { readReplication(client, parameter.value) }
        }
        var unsupported: [[UInt8]] = []
        var reader = try StartupParameters(range)
        while let parameter = reader.next() {
            try readParameter(client, parameter, &login, &unsupported)
        }
        guard !login.userName.isEmpty else { throw .noUserName }
        guard login.userName.count < 128 else { throw .userNameTooLong }
        if login.databaseName.isEmpty { login.databaseName = login.userName }
        clients[client].hasLongKey = minor >= 2
        if minor > 2 || !unsupported.isEmpty, !clients[client].isNegotiated {
            clients[client].isNegotiated = true
            let start = output.count
            output.appendNegotiateProtocolVersion(newestMinor: min(minor, 2), unsupportedNames: unsupported)
            send(clients[client].connection, from: start)
        }
        return login
    }

    private mutating func readReplication(_ client: Handle<Client>, _ value: RawSpan) {
        switch String(decodingBytes: value).lowercased() {
        case "database": clients[client].replication = .logical
        case "true", "on", "yes", "1", "t", "y": clients[client].replication = .physical
        default: clients[client].replication = .none
        }
    }

    private mutating func readParameter(
        _ client: Handle<Client>, _ parameter: borrowing StartupParameter, _ login: inout ClientLogin,
        _ unsupported: inout [[UInt8]]
    ) throws(StartupFault) {
        let name = parameter.name
        if name.isEqual(to: "user") {
            login.userName = [UInt8](copying: parameter.value)
        } else if name.isEqual(to: "database") {
            login.databaseName = [UInt8](copying: parameter.value)
        } else if name.isEqual(to: "replication") {
            return
        } else if name.isEqual(to: "options") {
            try readOptions(client, parameter.value, &login)
        } else if name.byteCount >= 5, name.extracting(0..<5).isEqual(to: "_pq_.") {
            unsupported.append([UInt8](copying: name))
        } else if !take(name, parameter.value, &login) {
            throw .unsupportedParameter(name: String(decodingBytes: name))
        }
    }

    /// Keeps a parameter if it is tracked, drops it if it may be dropped; false when it is neither.
    private mutating func take(_ name: RawSpan, _ value: RawSpan, _ login: inout ClientLogin) -> Bool {
        if let index = parameters.index(of: name) {
            login.parameters.append((index, [UInt8](copying: value)))
            return true
        }
        let text = String(decodingBytes: name).lowercased()
        if configuration.settings.ignoreStartupParameters.contains(where: { $0.lowercased() == text }) {
            return true
        }
        // Servers from 12 on treat every positive value alike, and JDBC always sends one.
        if text == "extra_float_digits", let digits = Int(String(decodingBytes: value)), digits >= 1 {
            return true
        }
        return false
    }

    private mutating func readOptions(
        _ client: Handle<Client>, _ value: RawSpan, _ login: inout ClientLogin
    ) throws(StartupFault) {
        if clients[client].replication != .none {
            bytes.release(clients[client].replicationOptions)
            clients[client].replicationOptions = bytes.intern(value)
            return
        }
        var parsed = ByteBuffer(capacity: 256)
        try StartupOptions.parse(value, into: &parsed)
        let ignoresOthers = configuration.settings.ignoreStartupParameters.contains("options")
        var reader = try StartupParameters(parsed.bytes)
        while let option = reader.next() {
            if !take(option.name, option.value, &login), !ignoresOthers {
                throw .unsupportedOption(name: String(decodingBytes: option.name))
            }
        }
    }

    // MARK: Who may come in

    /// The startup packet has been read: limits first, then authentication.
    private mutating func begin(_ client: Handle<Client>, _ login: ClientLogin) {
        var login = login
        let isConsole = login.isForConsole
        clientLogins[client] = login
        if lacksTLS(client) { return fail(client, .login(.tlsRequired)) }
        if !isConsole {
            let limit = configuration.settings.maxClientConnections
            // Counted when it has proved who it is: strangers take no places from those who have.
            if ledger.clientCount >= limit { return fail(client, .login(.limit(.instance(limit: limit)))) }
        }
        if let problem = failureLimit(client, login) { return fail(client, problem) }
        if !isConsole, lifecycle.isShuttingDown { return fail(client, .login(.shuttingDown)) }
        // Nobody makes us remember a database before it is known who asks for it.
        if !isConsole { login.database = databaseIndex[login.databaseName] }
        if isConsole {
            guard let role = consoleRole(client, login) else { return fail(client, .login(.notAllowed)) }
            login.consoleRole = role
        }
        login.requestedName = login.userName
        login.user = knownUser(login.userName)
        if let user = login.user { login.secret = users[user].secret }
        if let problem = fullLimit(login) { return fail(client, problem) }
        login.method = configuration.settings.authType
        clientLogins[client] = login
        logAttempt(client, login)
        moveClient(client, to: .authenticating)
        if login.isTrustedOwner { return authenticated(client) }
        goOn(client)
    }

    /// The user of `auth_file` or `[users]` of this name.
    func knownUser(_ name: [UInt8]) -> Int? { userIndex[name].flatMap { users[$0].isKnown ? $0 : nil } }

    /// The limit that is known to be full before anybody has proved who he is.
    private func fullLimit(_ login: ClientLogin) -> ClientError? {
        guard !login.isForConsole else { return nil }
        let limits = clientLimits(login)
        if let database = login.database, limits.database > 0, !databases[database].entry.isNone,
            ledger.clientCount(databases[database].entry) >= limits.database
        {
            return .login(.limit(.database(name: name(of: database), limit: limits.database)))
        }
        if let user = login.user, limits.user > 0, !users[user].entry.isNone,
            ledger.clientCount(users[user].entry) >= limits.user
        {
            return .login(.limit(.user(name: text(login.userName), limit: limits.user)))
        }
        return nil
    }

    /// How many clients the database and the user of a login may have; 0 for any number.
    private func clientLimits(_ login: ClientLogin) -> (database: Int, user: Int) {
        let ofDatabase =
            login.database.flatMap { databases[$0].definition.maxDatabaseClientConnections }.map(Int.init)
            ?? 0
        let ofUser = login.user.flatMap { userDefinition($0)?.maxUserClientConnections }.map(Int.init) ?? 0
        let settings = configuration.settings
        return (
            ofDatabase > 0 ? ofDatabase : settings.maxDatabaseClientConnections,
            ofUser > 0 ? ofUser : settings.maxUserClientConnections
        )
    }

    private func text(_ name: [UInt8]) -> String { String(decoding: name, as: UTF8.self) }

    /// Counts a client in its database and user; the error when a limit is in the way.
    ///
    /// - Parameter user: as which it is counted.
    mutating func count(
        _ client: Handle<Client>, _ login: ClientLogin, _ database: Int, _ user: Int
    ) -> ClientError? {
        let limits = clientLimits(login)
        joinNames(database, user)
        if databases[database].entry.isNone || users[user].entry.isNone {
            // Where nothing is limited nothing need be counted.
            if limits.database > 0 || limits.user > 0 { return .login(.limit(.pools)) }
        } else {
            let obstacle = ledger.admit(
                database: databases[database].entry, limit: limits.database, user: users[user].entry,
                limit: limits.user)
            switch obstacle {
            case nil: clients[client].isInLedger = true
            case .user: return .login(.limit(.user(name: text(login.userName), limit: limits.user)))
            default: return .login(.limit(.database(name: name(of: database), limit: limits.database)))
            }
        }
        clients[client].database = Int32(database)
        clients[client].user = Int32(user)
        clients[client].isCounted = true
        databases[database].clientCount += 1
        users[user].clientCount += 1
        return nil
    }

    /// Counts a client off in its database and user.
    mutating func uncount(_ client: Handle<Client>) {
        let (database, user) = (Int(clients[client].database), Int(clients[client].user))
        databases[database].clientCount -= 1
        users[user].clientCount -= 1
        if clients[client].isInLedger {
            ledger.dismiss(database: databases[database].entry, user: users[user].entry)
        }
        leaveNames(database, user)
    }

    /// Has a database and a user stand in the ledger, if there is room.
    mutating func joinNames(_ database: Int, _ user: Int) {
        let secret = segment.secrets.instance
        if databases[database].entry.isNone {
            databases[database].entry =
                ledger.join(Ledger.key(database: databases[database].name, secret)) ?? .none
        }
        if users[user].entry.isNone {
            users[user].entry = ledger.join(Ledger.key(user: users[user].name, secret)) ?? .none
        }
    }

    /// Has a database and a user leave the ledger, if they have no client here any more.
    mutating func leaveNames(_ database: Int, _ user: Int) {
        if databases[database].clientCount == 0, !databases[database].entry.isNone {
            ledger.leave(databases[database].entry)
            databases[database].entry = .none
        }
        if users[user].clientCount == 0, !users[user].entry.isNone {
            users[user].keysAreShared = false
            ledger.leave(users[user].entry)
            users[user].entry = .none
        }
    }

    /// What a user may do on the console; `nil` when nothing.
    private mutating func consoleRole(_ client: Handle<Client>, _ login: ClientLogin) -> ConsoleAccess? {
        let name = String(decoding: login.userName, as: UTF8.self)
        let settings = configuration.settings
        if name == "pgbouncer", let origin = clientOrigins[client], origin.isUnix, origin.isOwnUser {
            return .owner
        }
        if settings.adminUsers.contains(name) { return .admin }
        if settings.statsUsers.contains(name) { return .stats }
        return settings.authType == .any ? .stats : nil
    }

    private mutating func logAttempt(_ client: Handle<Client>, _ login: ClientLogin) {
        guard configuration.settings.logConnections else { return }
        let start = output.count
        appendClientPrefix(client)
        output.append("login attempt: db=")
        output.append(login.databaseName)
        output.append(" user=")
        output.append(login.userName)
        output.append(" tls=")
        output.append(text: clientEncryptions[client]?.description ?? "no")
        output.append(" replication=")
        switch clients[client].replication {
        case .none: output.append("no")
        case .physical: output.append("physical")
        case .logical: output.append("logical")
        }
        log(.log, from: start)
    }
}

/// What is known of a client while it logs in.
struct ClientLogin {
    var userName: [UInt8] = []
    var databaseName: [UInt8] = []
    /// Tracked parameters from the startup packet, by index.
    var parameters: [(index: Int, value: [UInt8])] = []
    /// Index of the database, or `nil` when there is none of that name: authentication runs all the same.
    var database: Int?
    /// Index of the user, or `nil` when nobody of that name exists: authentication runs all the same.
    var user: Int?
    var secret = StoredSecret.none
    /// How the client is to prove who it is.
    var method = AuthType.scramSHA256
    var consoleRole: ConsoleAccess?
    /// Who is asked whether the password is right, where the method is ldap or pam.
    var judge: PasswordJudge?
    /// The exchange that runs.
    var exchange = Exchange.none

    /// The name the client gave; `userName` may become another.
    var requestedName: [UInt8] = []
    /// What is being looked up, and the text of the query.
    var lookupPurpose = LookupPurpose.secret
    var lookupQuery: [UInt8] = []
    /// The server that was to look it up was lost, and another one is asked.
    var isAskedAgain = false
    /// `auth_query` has found it: name and secret are what that says, and `user` may still be `nil`.
    var isFound = false
    /// When, on the clock that all workers share.
    var foundAt: UInt64 = 0
    /// `auth_query` has not found it.
    var isUnknown = false
    /// It was found some time ago, and the secret may have changed.
    var isFromCache = false
    /// The names of all roles that it is a member of, itself included; `nil` when they are not known.
    var groups: Set<[UInt8]>?
    /// What the client gave as proof, to be held against what is found now.
    var proof: [UInt8]?
    /// What the client's proof has shown of the secret that `auth_query` found.
    var keys: ScramKeys?

    /// Whether there is a user of this name.
    var isKnown: Bool { user != nil || isFound }

    /// Whether it wants the console and not a database.
    var isForConsole: Bool {
        databaseName.elementsEqual("pgbouncer".utf8) || databaseName.elementsEqual("pgsluice".utf8)
    }

    /// The owner of the process, over the Unix socket, needs no password.
    var isTrustedOwner: Bool { consoleRole == .owner }
}

/// What a console session may do.
public enum ConsoleAccess: Sendable {
    /// Everything, as the user who runs the process.
    case owner
    /// Everything.
    case admin
    /// Look, and change nothing.
    case stats
}

/// The authentication exchange with a client.
enum Exchange {
    case none
    case plain
    case md5(salt: UInt32)
    case scram(ScramServer)
    /// A password in clear is awaited, which somebody outside judges.
    case outside
    /// It is being judged.
    case judged([UInt8])
    /// It has succeeded, and the supervisor is about to take over.
    case finished

    /// What the client sends meanwhile is held.
    var holdsInput: Bool {
        switch self {
        case .finished, .judged: true
        case .none, .plain, .md5, .scram, .outside: false
        }
    }
}
