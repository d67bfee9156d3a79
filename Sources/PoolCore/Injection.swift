import Auth
import Base
import Config
import SharedState
import Wire

/// Messages of our own among those of a client: renamed ones, Parse and Close of statements, made-up replies.
extension PoolCore {
    /// Whether a statement is on the server, seen from the message that is about to be sent.
    mutating func presence(_ id: UInt32, on server: Handle<Server>) -> Presence {
        statements.use(id, on: server, group: servers[server].syncGroup, &servers[server].statements)
    }

    /// The statement that this Parse body is for this client and server now; `nil` when the table is full.
    ///
    /// - Parameter isShared: whether others who send the same may use it too.
    mutating func internStatement(
        _ body: RawSpan, _ client: Handle<Client>, _ server: Handle<Server>, isShared: Bool
    ) -> UInt32? {
        guard isShared else {
            privateStatements &+= 1
            return statements.intern(body, environment: 0, variant: privateStatements, &bytes)
        }
        let set = parametersAhead(client, server)
        parameters.keep(set)
        return statements.intern(
            body, environment: parameters.environment(set), variant: segment.definitionEpoch, &bytes)
    }

    /// The parameters that hold for what is sent next: behind a prelude, those of the client.
    private func parametersAhead(_ client: Handle<Client>, _ server: Handle<Server>) -> ParameterSetID {
        servers[server].preludeReplies > 0 ? clients[client].parameters : servers[server].parameters
    }

    /// Whether something is on its way that may change settings, or destroy statements.
    @inline(__always)
    func isUnsettled(_ server: Handle<Server>) -> Bool {
        Int32(bitPattern: servers[server].settledGroup &- servers[server].unsettlingGroup) < 0
    }

    /// Makes sure that a client's statement is on the server, and answers which one it is now. `nil` when
    /// that cannot be known before replies have arrived.
    mutating func prepare(_ id: UInt32, _ nameHash: UInt64, on server: Handle<Server>) -> UInt32? {
        switch presence(id, on: server) {
        case .present: return id
        case .inDoubt: return nil
        case .absent: return prepareAnew(id, nameHash, server)
        }
    }

    /// Parses a statement on a server that does not have it, under the settings it was first parsed under: a
    /// date written in its text must go on to mean the same day.
    @inline(never)
    private mutating func prepareAnew(
        _ id: UInt32, _ nameHash: UInt64, _ server: Handle<Server>
    ) -> UInt32? {
        let environment = statements.statement(id).parseEnvironment
        let client = servers[server].client
        if environment != 0 {
            if isUnsettled(server) {
                if servers[server].unsettlingGroup != servers[server].syncGroup { return nil }
                return prepareApart(id, nameHash, server)
            }
            let ahead = parametersAhead(client, server)
            if parameters.environment(ahead) != environment {
                guard let kept = parameters.kept[environment] else {
                    return prepareApart(id, nameHash, server)
                }
                injectSettings(from: ahead, to: kept, server)
                injectParse(id, isNamed: true, server)
                injectSettings(from: kept, to: ahead, server)
                // Old servers report each change at once, so for a while what they report is not what holds.
                servers[server].unsettlingGroup = servers[server].syncGroup
                return id
            }
        }
        injectParse(id, isNamed: true, server)
        return id
    }

    /// Parses a statement for its client alone, because the settings it would be parsed under are not known.
    private mutating func prepareApart(
        _ id: UInt32, _ nameHash: UInt64, _ server: Handle<Server>
    ) -> UInt32? {
        let client = servers[server].client
        let body = [UInt8](copying: bytes[statements.statement(id).body])
        let new = unsafe internStatement(body.span.bytes, client, server, isShared: false)
        guard let new, let name = statements.name(client, nameHash)?.name else { return id }
        bytes.retain(name)
        forgetName(client, nameHash)
        _ = giveName(client, new, name, nameHash)
        injectParse(new, isNamed: true, server)
        return new
    }

    /// Changes the settings that shape parsing, with messages that nobody hears the answers of.
    private mutating func injectSettings(
        from: ParameterSetID, to: ParameterSetID, _ server: Handle<Server>
    ) {
        let has = parameters.values(from)
        let wanted = parameters.values(to)
        let name: StaticString = "pgsluice settings"
        let start = output.count
        var message = output.beginMessage(FrontendMessage.parse)
        output.append(name)
        output.append(UInt8(0))
        var isFirst = true
        for index in 0..<Parameters.limit
        where parameters.shapesParsing(index) && wanted[index] != 0 && has[index] != wanted[index] {
            appendSetting(index, wanted[index], isFirst: isFirst)
            isFirst = false
        }
        output.append(UInt8(0))
        output.append(bigEndian: UInt16(0))
        output.endMessage(at: message)
        message = output.beginMessage(FrontendMessage.bind)
        // A portal of its own: the unnamed one may be the client's.
        output.append(name)
        output.append(UInt8(0))
        output.append(name)
        output.append(UInt8(0))
        for _ in 0..<3 { output.append(bigEndian: UInt16(0)) }
        output.endMessage(at: message)
        message = output.beginMessage(FrontendMessage.execute)
        output.append(name)
        output.append(UInt8(0))
        output.append(bigEndian: UInt32(0))
        output.endMessage(at: message)
        for kind in [UInt8(ascii: "P"), UInt8(ascii: "S")] {
            message = output.beginMessage(FrontendMessage.close)
            output.append(kind)
            output.append(name)
            output.append(UInt8(0))
            output.endMessage(at: message)
        }
        send(servers[server].connection, from: start)
        for kind in [Reply.Kind.parse, .bind, .execute, .close, .close] {
            push(server, Reply(kind, .swallow))
        }
    }

    /// Sends a Parse whose answer nobody hears of unless it is an error.
    @inline(never)
    mutating func injectParse(_ id: UInt32, isNamed: Bool, _ server: Handle<Server>) {
        var reply = Reply(.parse, .swallow)
        if isNamed {
            makeRoom(server)
            reply.statement = id
            reply.group = servers[server].syncGroup
            statements.retain(id)
            noteParse(id, server)
        } else {
            // The same as before as far as the client can tell.
            let client = servers[server].client
            statements.retain(id)
            changeUnnamed(client, server, to: id, isOnServer: true, by: &reply)
        }
        let start = output.count
        let message = output.beginMessage(FrontendMessage.parse)
        if isNamed { statements.appendName(of: id, to: &output) }
        output.append(UInt8(0))
        bytes.append(statements.statement(id).body, to: &output)
        output.endMessage(at: message)
        send(servers[server].connection, from: start)
        push(server, reply)
    }

    /// Notes on the server that a Parse of the statement has been sent.
    private mutating func noteParse(_ id: UInt32, _ server: Handle<Server>) {
        let group = servers[server].syncGroup
        // A full table only means that the statement will be prepared again.
        _ = statements.add(id, to: server, group: group, &servers[server])
        pools[servers[server].pool].counters.add(.serverParses, 1)
    }

    /// Closes the least recently used statements of a server until one more fits; as long as many are in
    /// doubt there are more of them.
    private mutating func makeRoom(_ server: Handle<Server>) {
        while Int(servers[server].statements.count) >= max(1, hot.maxPreparedStatements) {
            let oldest = statements.oldest(servers[server].statements, group: servers[server].syncGroup)
            guard oldest != 0 else { return }
            injectClose(oldest, server)
        }
    }

    /// Closes a statement on the server; nobody hears of the answer.
    @inline(never)
    mutating func injectClose(_ id: UInt32, _ server: Handle<Server>) {
        var reply = Reply(.close, .swallow)
        reply.statement = id
        statements.retain(id)
        let group = servers[server].syncGroup
        statements.close(id, on: server, group: group, &servers[server])
        let start = output.count
        let message = output.beginMessage(FrontendMessage.close)
        output.append(UInt8(ascii: "S"))
        statements.appendName(of: id, to: &output)
        output.append(UInt8(0))
        output.endMessage(at: message)
        send(servers[server].connection, from: start)
        push(server, reply)
    }

    /// Closes whatever the server has as its unnamed statement; nobody hears of the answer.
    @inline(never)
    mutating func injectCloseUnnamed(_ server: Handle<Server>) {
        let start = output.count
        let message = output.beginMessage(FrontendMessage.close)
        output.append(UInt8(ascii: "S"))
        output.append(UInt8(0))
        output.endMessage(at: message)
        send(servers[server].connection, from: start)
        push(server, Reply(.close, .swallow))
    }

    /// Sends a message with another statement name than the one at `nameStart..<nameEnd`: the server's name
    /// of `id`, or one that no server has. What follows the name goes on as it is.
    @inline(never)
    mutating func rename(
        _ client: Handle<Client>, _ reply: Reply, _ id: UInt32?, _ input: RawSpan, _ nameStart: Int,
        _ nameEnd: Int, _ offset: Int, _ total: Int
    ) -> Verdict {
        let server = clients[client].server
        forwardRun(client, offset)
        if reply.kind == .parse, reply.statement != 0 {
            makeRoom(server)
            noteParse(reply.statement, server)
        }
        let start = output.count
        output.append(unsafe input.unsafeLoad(fromByteOffset: offset, as: UInt8.self))
        let lengthOffset = output.count
        output.append(bigEndian: UInt32(0))
        output.append(input.extracting((offset + 5)..<nameStart))
        let newName = output.count
        if let id {
            statements.appendName(of: id, to: &output)
        } else {
            output.append(Statements.unknownName)
        }
        let length = total - 1 - (nameEnd - nameStart) + (output.count - newName)
        output.store(bigEndian: UInt32(length), at: lengthOffset)
        output.append(UInt8(0))
        send(servers[server].connection, from: start)
        pools[clients[client].pool].counters.add(.receivedBytes, UInt64(nameEnd + 1 - offset))
        if case .closed = owe(server, reply) { return .closed }
        return .replaced(count: nameEnd + 1 - offset)
    }

    /// Notes a reply for a message of our own.
    mutating func push(_ server: Handle<Server>, _ reply: Reply) {
        if !servers[server].replies.append(reply, in: &replies) {
            // The owner of the server is told; the server is closed with it.
            letGo(of: reply)
            servers[server].needsClose = true
            servers[server].hasFailed = true
        }
    }

    /// Gives a made-up reply: now when nothing is owed before it and no message is being passed on, else in
    /// its turn.
    mutating func synthesise(_ server: Handle<Server>, _ reply: Reply) {
        if servers[server].replies.isEmpty, servers[server].bodyRemaining == 0 {
            emit(reply, servers[server].client)
        } else {
            push(server, reply)
        }
    }

    /// Sends a made-up reply to the client, and lets go of what the reply holds.
    @inline(never)
    mutating func emit(_ reply: Reply, _ client: Handle<Client>) {
        let start = output.count
        switch reply.kind {
        case .parse: output.appendParseComplete()
        case .close: output.appendCloseComplete()
        case .query, .bind, .describe, .execute, .sync, .functionCall, .copyEnd:
            preconditionFailure("only Parse and Close are answered without the server")
        }
        if !client.isNone { send(clients[client].connection, from: start) }
        letGo(of: reply)
    }

    /// Gives back what a reply holds.
    mutating func letGo(of reply: Reply) {
        statements.release(reply.statement, &bytes)
        statements.release(reply.unnamed, &bytes)
        bytes.release(reply.name)
    }

    /// Undoes what was done for a message that PostgreSQL has refused (`isRefused`) or skipped.
    @inline(never)
    mutating func undo(_ reply: Reply, isRefused: Bool, _ server: Handle<Server>) {
        let client = servers[server].client
        if reply.changesUnnamed { undoUnnamed(reply, isRefused: isRefused, server) }
        switch reply.kind {
        case .parse:
            if reply.isClientMapping, !client.isNone {
                forgetName(client, reply.nameHash)
            }
            if reply.statement != 0 {
                statements.remove(reply.statement, from: server, &servers[server], &bytes)
            }
        case .close:
            if reply.isClientMapping {
                restoreName(reply, client)
            } else if reply.statement != 0 {
                let group = servers[server].syncGroup
                statements.reopen(reply.statement, on: server, group: group, &servers[server])
            }
        case .query, .bind, .describe, .execute, .sync, .functionCall, .copyEnd:
            break
        }
        letGo(of: reply)
    }

    private mutating func restoreName(_ reply: Reply, _ client: Handle<Client>) {
        guard reply.statement != 0, !client.isNone, statements.find(client, reply.nameHash) == 0 else {
            return
        }
        statements.retain(reply.statement)
        bytes.retain(reply.name)
        _ = giveName(client, reply.statement, reply.name, reply.nameHash)
    }

    /// Has the client call a statement by a name; takes over one reference of each. Answers false when the
    /// table is full.
    mutating func giveName(_ client: Handle<Client>, _ id: UInt32, _ name: UInt32, _ hash: UInt64) -> Bool {
        if statements.name(id, name, hash, for: client, &clients[client].statements) { return true }
        statements.release(id, &bytes)
        bytes.release(name)
        return false
    }

    /// The client has no statement of this name any more.
    mutating func forgetName(_ client: Handle<Client>, _ hash: UInt64) {
        let removed = statements.removeName(hash, of: client, &clients[client].statements)
        statements.release(removed.statement, &bytes)
        bytes.release(removed.name)
    }

    // MARK: The unnamed statement

    /// Gives the client another unnamed statement, of which it takes over one reference; 0 for none. `reply`
    /// keeps what was before, in case PostgreSQL skips the message.
    mutating func changeUnnamed(
        _ client: Handle<Client>, _ server: Handle<Server>, to id: UInt32, isOnServer: Bool,
        by reply: inout Reply
    ) {
        clients[client].unnamedSerial &+= 1
        reply.changesUnnamed = true
        reply.serial = clients[client].unnamedSerial
        reply.unnamed = clients[client].unnamedStatement
        reply.hadUnnamedOnServer = clients[client].hasUnnamedOnServer
        clients[client].unnamedStatement = id
        clients[client].hasUnnamedOnServer = isOnServer
        clients[client].unnamedGroup = servers[server].syncGroup
    }

    /// A skipped message has changed nothing. A Parse that was refused has destroyed the statement before;
    /// if it was one of ours, that was none of the client's.
    private mutating func undoUnnamed(_ reply: Reply, isRefused: Bool, _ server: Handle<Server>) {
        let client = servers[server].client
        guard !client.isNone else { return }
        let id = isRefused && reply.fate != .swallow ? 0 : reply.unnamed
        let isOnServer = !isRefused && reply.hadUnnamedOnServer
        statements.retain(id)
        if reply.serial == clients[client].unnamedSerial {
            statements.release(clients[client].unnamedStatement, &bytes)
            clients[client].unnamedStatement = id
            clients[client].hasUnnamedOnServer = isOnServer
            clients[client].unnamedSerial &-= 1
            return
        }
        // A later change is on its way; should that one be skipped too, this is what comes back.
        var released = id
        servers[server].replies.forEach(in: &replies) { later in
            guard later.changesUnnamed else { return true }
            released = later.unnamed
            later.unnamed = id
            later.hadUnnamedOnServer = isOnServer
            return false
        }
        statements.release(released, &bytes)
    }

    /// Whether something noted in a Sync group may yet turn out otherwise: that group has not been answered,
    /// and what is sent now does not fail with it.
    @inline(__always)
    func isInDoubt(_ group: UInt32, on server: Handle<Server>) -> Bool {
        group != servers[server].syncGroup
            && Int32(bitPattern: servers[server].settledGroup &- group) < 0
    }

    /// Holds a client's input until the Sync group in front of it has been answered.
    mutating func holdForReplies(_ client: Handle<Client>) -> Verdict {
        clients[client].awaitsReplies = true
        return .hold
    }

    /// Holds a client's input until the prelude in front of it has succeeded.
    mutating func holdForPrelude(_ client: Handle<Client>) -> Verdict {
        clients[client].awaitsPrelude = true
        return .hold
    }

    /// The offset of the first zero byte in `from..<end`, or `nil`.
    func zero(_ input: RawSpan, _ from: Int, _ end: Int) -> Int? {
        var offset = from
        while offset < end {
            if unsafe input.unsafeLoad(fromByteOffset: offset, as: UInt8.self) == 0 { return offset }
            offset &+= 1
        }
        return nil
    }
}
