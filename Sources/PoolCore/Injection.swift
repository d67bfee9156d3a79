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

    /// Makes sure that a statement is on the server. Answers false when that cannot be known before replies
    /// have arrived.
    mutating func prepare(_ id: UInt32, on server: Handle<Server>) -> Bool {
        switch presence(id, on: server) {
        case .present: return true
        case .inDoubt: return false
        case .absent:
            injectParse(id, isNamed: true, server)
            return true
        }
    }

    /// Sends a Parse whose answer nobody hears of unless it is an error.
    @inline(never)
    mutating func injectParse(_ id: UInt32, isNamed: Bool, _ server: Handle<Server>) {
        var reply = Reply(.parse, .swallow)
        if isNamed {
            makeRoom(server)
            reply.statement = id
            statements.retain(id)
            noteParse(id, server)
        } else {
            reply.serial = clients[servers[server].client].unnamedSerial
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
        _ = statements.add(id, to: server, group: group, &servers[server].statements)
        pools[servers[server].pool].counters.add(.serverParses, 1)
    }

    /// Closes the least recently used statements of a server until one more fits.
    private mutating func makeRoom(_ server: Handle<Server>) {
        while Int(servers[server].statements.count) >= max(1, hot.maxPreparedStatements) {
            injectClose(statements.oldest(servers[server].statements), server)
        }
    }

    /// Closes a statement on the server; nobody hears of the answer.
    @inline(never)
    mutating func injectClose(_ id: UInt32, _ server: Handle<Server>) {
        var reply = Reply(.close, .swallow)
        reply.statement = id
        statements.retain(id)
        statements.remove(id, from: server, &servers[server].statements, &bytes)
        let start = output.count
        let message = output.beginMessage(FrontendMessage.close)
        output.append(UInt8(ascii: "S"))
        statements.appendName(of: id, to: &output)
        output.append(UInt8(0))
        output.endMessage(at: message)
        send(servers[server].connection, from: start)
        push(server, reply)
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
            output.append("pgsluice: unknown")
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
        bytes.release(reply.name)
    }

    /// Undoes what was done for a message that the server will never carry out.
    @inline(never)
    mutating func undo(_ reply: Reply, _ server: Handle<Server>) {
        let client = servers[server].client
        switch reply.kind {
        case .parse:
            if reply.isClientMapping, !client.isNone {
                if reply.nameHash == 0 {
                    if reply.serial == clients[client].unnamedSerial { forgetUnnamed(client) }
                } else {
                    let id = statements.removeName(reply.nameHash, of: client, &clients[client].statements)
                    statements.release(id, &bytes)
                }
            }
            if reply.statement != 0 {
                statements.remove(reply.statement, from: server, &servers[server].statements, &bytes)
            } else if reply.fate == .swallow, !client.isNone, reply.serial == clients[client].unnamedSerial {
                // What the server has under no name now may be another client's.
                clients[client].hasUnnamedOnServer = false
            }
        case .close:
            if reply.isClientMapping {
                restoreName(reply, client)
            } else if reply.statement != 0 {
                let group = servers[server].syncGroup
                _ = statements.add(
                    reply.statement, to: server, group: group, isConfirmed: true, &servers[server].statements)
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
        if !statements.name(reply.statement, reply.nameHash, for: client, &clients[client].statements) {
            statements.release(reply.statement, &bytes)
        }
    }

    /// The client's unnamed statement is gone.
    mutating func forgetUnnamed(_ client: Handle<Client>) {
        statements.release(clients[client].unnamedStatement, &bytes)
        clients[client].unnamedStatement = 0
        clients[client].hasUnnamedOnServer = false
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
