import Auth
import Base
import Config
import SharedState
import Wire

/// Ends of clients and servers: every connection ends here, with a reason.
extension PoolCore {
    /// Tells a client why, and closes its connection.
    @inline(never)
    mutating func fail(_ client: Handle<Client>, _ error: ClientError) {
        if configuration.settings.logPoolerErrors {
            let start = output.count
            appendClientPrefix(client)
            output.append("pooler error: ")
            output.append(text: error.message)
            log(.warning, from: start)
        }
        if clients[client].state == .startup || clients[client].state == .authenticating {
            countFailedLogin(error)
        }
        let server = clients[client].server
        let isCut =
            servers.contains(server) && servers[server].bodyRemaining > 0
            && servers[server].bodyRoute == .forward
        if !isCut || clients[client].state != .linked, clients[client].ticket == nil {
            // In the middle of a message it would pass for a part of it; and one that has been offered to
            // another worker may be served there already.
            let start = output.count
            output.appendErrorResponse(error)
            send(clients[client].connection, from: start)
        }
        closeClient(client, .flushed, reason: error.message)
    }

    /// Closes a client's connection and forgets the client. Its server is taken back if it is clean, else
    /// closed.
    @inline(never)
    mutating func closeClient(_ client: Handle<Client>, _ style: CloseStyle, reason: String) {
        let isElsewhere = style == .elsewhere || clients[client].state == .moving && abandonMove(client)
        if configuration.settings.logDisconnections, !isElsewhere, !reason.isEmpty {
            let start = output.count
            appendClientPrefix(client)
            output.append("closing because: ")
            output.append(text: reason)
            output.append(" (age=")
            output.append(decimal: Int((now &- clients[client].connectedAt) / 1_000_000_000))
            output.append("s)")
            log(.log, from: start)
        }
        abandonRequest(client)
        let server = clients[client].server
        let state = clients[client].state
        let hasServer = state == .linked || state == .moving && servers.contains(server)
        if hasServer { part(client, server) }
        if state == .lookingUp, servers.contains(server) {
            // It has something to answer, and is free then: strangers must not be able to cost a connection.
            servers[server].client = .none
            clients[client].server = .none
        }
        if state == .relayed { actions.append(.close(clients[client].relay, .flushed)) }
        unlistClient(client)
        if state == .waiting, clients[client].replication != .none { abandonReplication(client, server) }
        releaseRecords(of: client)
        actions.append(.close(clients[client].connection, isElsewhere ? .elsewhere : style))
        let pool = clients[client].pool
        clients.remove(client)
        if !pool.isNone { pools[pool].lastUse = now }
        if hasServer, servers.contains(server) { settleParted(server) }
        if lifecycle.isShuttingDown { checkDrained() }
    }

    /// A replication client leaves before the server of its own is ready.
    private mutating func abandonReplication(_ client: Handle<Client>, _ server: Handle<Server>) {
        clients[client].server = .none
        guard servers.contains(server) else {
            pools[clients[client].pool].replicationWaiters -= 1
            return
        }
        servers[server].client = .none
        closeServer(server, reason: "replication client left")
    }

    /// Separates a client that leaves from its server.
    private mutating func part(_ client: Handle<Client>, _ server: Handle<Server>) {
        // A message of the client's that has been sent only in part spoils the stream.
        if clients[client].bodyRemaining > 0, clients[client].bodyRoute == .forward {
            servers[server].needsClose = true
        }
        if clients[client].state == .moving, !servers[server].isElsewhere { stayWithServer(of: client) }
        servers[server].client = .none
        clients[client].server = .none
        servers[server].lastActivity = now
        actions.append(.resume(servers[server].connection))
    }

    /// Decides what becomes of a server whose client has left.
    private mutating func settleParted(_ server: Handle<Server>) {
        if servers[server].isElsewhere { return closeServer(server, reason: "moved") }
        let isClean =
            servers[server].status == TransactionStatus.idle.rawValue && servers[server].replies.isEmpty
            && !servers[server].needsSync && !servers[server].skipsUntilSync
            && servers[server].bodyRemaining == 0 && !servers[server].isReplication
        if isClean {
            takeBack(server)
        } else if servers[server].replies.isEmpty {
            closeServer(server, reason: "client disconnect while server was not ready")
        } else {
            closeServer(server, reason: "client disconnected with query in progress")
        }
    }

    /// Gives back what a client holds in the tables.
    private mutating func releaseRecords(of client: Handle<Client>) {
        statements.removeNames(of: client, &clients[client].statements, &bytes)
        statements.release(clients[client].unnamedStatement, &bytes)
        parameters.release(clients[client].parameters, &bytes)
        bytes.release(clients[client].replicationOptions)
        if clients[client].isCounted {
            uncount(client)
        }
        if clients[client].isAdmitted { ledger.dismiss() }
        clientLogins.removeValue(forKey: client)
        clientOrigins.removeValue(forKey: client)
        clientEncryptions.removeValue(forKey: client)
    }

    /// Closes a connection to PostgreSQL and forgets the server.
    ///
    /// - Precondition: it has no client, or one that only waits for a cancel request.
    @inline(never)
    mutating func closeServer(_ server: Handle<Server>, reason: String) {
        precondition(
            servers[server].state != .linked || servers[server].client.isNone, "its client comes first")
        if servers[server].state == .lending { abandonLending(server) }
        let lookedUp = servers[server].state == .lookingUp ? partLookup(server) : .none
        if configuration.settings.logDisconnections, !servers[server].isElsewhere {
            let start = output.count
            appendServerPrefix(server)
            output.append("closing because: ")
            output.append(text: reason)
            output.append(" (age=")
            output.append(decimal: Int((now &- servers[server].connectedAt) / 1_000_000_000))
            output.append("s)")
            log(.log, from: start)
        }
        while !servers[server].replies.isEmpty {
            letGo(of: servers[server].replies.first(in: replies))
            servers[server].replies.removeFirst(in: &replies)
        }
        statements.removeAll(from: server, &servers[server], &bytes)
        parameters.release(servers[server].parameters, &bytes)
        serverLogins.removeValue(forKey: server)
        serverAddresses.removeValue(forKey: server)
        if servers[server].isElsewhere {
            actions.append(.close(servers[server].connection, .elsewhere))
        } else if servers[server].connection.isNone {
            actions.append(.abandonConnect(server))
        } else if servers[server].isReady, servers[server].state == .idle {
            let start = output.count
            output.appendTerminate()
            send(servers[server].connection, from: start)
            actions.append(.close(servers[server].connection, .flushed))
        } else {
            actions.append(.close(servers[server].connection, .now))
        }
        let pool = servers[server].pool
        let database = Int(pools[pool].database)
        let user = Int(pools[pool].user)
        databases[database].serverCount -= 1
        users[user].serverCount -= 1
        pools[pool].lastUse = now
        let isBeingCancelled = servers[server].cancelsInFlight > 0
        if servers[server].isCounted { ledger.close(pools[pool].entry) }
        if !servers[server].isElsewhere { tellFreed(pools[pool].entry) }
        unlistServer(server)
        servers.remove(server)
        if !pools[pool].welcomeWaiters.isEmpty { publishWaiting(pool) }
        if isBeingCancelled { releaseHeldCancels(of: server) }
        openWhereLimitsAllow(pool, database: database, user: user)
        if !lookedUp.isNone { lookupLost(lookedUp) }
        checkPendingOrders()
        if lifecycle.isShuttingDown { checkDrained() }
    }

    /// The peer of a connection has gone.
    mutating func connectionClosed(_ peer: Peer, _ reason: String) {
        switch peer {
        case .client(let client), .console(let client):
            guard clients.contains(client) else { return }
            closeClient(client, .flushed, reason: reason)
        case .server(let server):
            guard servers.contains(server) else { return }
            serverGone(server, reason)
        }
    }

    private mutating func serverGone(_ server: Handle<Server>, _ reason: String) {
        switch servers[server].state {
        case .connecting, .startup:
            if serverLogins[server]?.isShakingHands == true {
                return loginFailed(server, reason, state: .connectionFailure)
            }
            loginFailed(server, "server closed the connection during login: \(reason)", state: nil)
        case .cancelling:
            cancelDelivered(server)
        case .linked:
            let client = servers[server].client
            if !clients.contains(client) { return closeServer(server, reason: reason) }
            serverAddresses[server]?.isBroken = true
            servers[server].needsClose = true
            fail(client, .server(.connectionLost))
        case .idle, .tested, .beingCancelled, .lending, .lookingUp:
            closeServer(server, reason: "server conn crashed? (\(reason))")
        }
    }

    /// Tells a client that its message has a length it cannot have.
    @inline(never)
    mutating func failLength(_ client: Handle<Client>, _ bytes: RawSpan, _ offset: Int, _ length: UInt32) {
        if length >= 4, Int(length) > Int(hot.maxPacketSize) {
            let error = ProtocolFault.messageTooLarge(byteCount: Int(length), limit: Int(hot.maxPacketSize))
            return fail(client, .violation(error))
        }
        let header = bytes.extracting(offset..<min(offset + 8, bytes.byteCount))
        fail(client, .violation(.invalidHeader(hexadecimal: StartupFault.hexadecimal(header))))
    }

    /// The client said goodbye.
    @inline(never)
    mutating func closeAtRequest(_ client: Handle<Client>) {
        closeClient(client, .now, reason: "client close request")
    }

    /// The client sent a message of a type that clients do not send.
    @inline(never)
    mutating func failUnknown(_ client: Handle<Client>, _ type: UInt8) {
        fail(client, .violation(.unknownMessage(type: type)))
    }

    /// The client sent a message whose fields do not fit its length.
    @inline(never)
    mutating func failMalformed(_ client: Handle<Client>, _ type: UInt8) {
        let name =
            switch type {
            case FrontendMessage.parse: "Parse"
            case FrontendMessage.bind: "Bind"
            case FrontendMessage.describe: "Describe"
            default: "Close"
            }
        fail(client, .violation(.malformed(messageName: name)))
    }

    /// There is no room for another request or statement of the client's.
    @inline(never)
    mutating func failTooMany(_ client: Handle<Client>, limit: Int) {
        fail(client, .violation(.tooManyOutstanding(limit: limit)))
    }

    /// The client sent a simple query where `disable_pqexec` forbids them.
    @inline(never)
    mutating func failQuery(_ client: Handle<Client>) { fail(client, .violation(.queryDisallowed)) }

    // MARK: Names for the log

    /// Appends `C-<id>: db/user@address:port `.
    mutating func appendClientPrefix(_ client: Handle<Client>) {
        output.append("C-")
        output.append(decimal: Int(clients[client].id))
        output.append(": ")
        let database = clients[client].database
        let user = clients[client].user
        if let login = clientLogins[client] {
            appendNames(login.databaseName, login.userName)
        } else {
            appendNames(
                database >= 0 ? databases[Int(database)].name : [], user >= 0 ? users[Int(user)].name : [])
        }
        output.append("@")
        if let origin = clientOrigins[client] {
            if origin.isUnix {
                output.append("unix(")
                output.append(decimal: Int(origin.peerProcessID))
                output.append(")")
            } else {
                output.append(text: origin.address.contains(":") ? "[\(origin.address)]" : origin.address)
            }
            output.append(":")
            output.append(decimal: origin.port)
        }
        output.append(" ")
    }

    /// Appends `db/user`, and notes how long they are.
    private mutating func appendNames(_ database: [UInt8], _ user: [UInt8]) {
        let start = output.count
        if database.isEmpty { output.append("(nodb)") } else { output.append(database) }
        let middle = output.count
        output.append("/")
        if user.isEmpty { output.append("(nouser)") } else { output.append(user) }
        lineSubject = LogSubject(databaseLength: middle - start, userLength: output.count - middle - 1)
    }

    /// Appends `S-<id>: db/user@address:port `.
    mutating func appendServerPrefix(_ server: Handle<Server>) {
        let pool = servers[server].pool
        output.append("S-")
        output.append(decimal: Int(servers[server].id))
        output.append(": ")
        appendNames(databases[Int(pools[pool].database)].name, users[Int(pools[pool].user)].name)
        output.append("@")
        if let address = serverAddresses[server] {
            output.append(text: address.remote.contains(":") ? "[\(address.remote)]" : address.remote)
            output.append(":")
            output.append(decimal: address.port)
        } else {
            output.append("(bad-af):0")
        }
        output.append(" ")
    }
}
