import Auth
import Base
import Config
import SharedState
import Wire

/// Prepared statements in transaction and statement mode: clients keep their names, servers know statements
/// by names of our own, and what a server lacks is prepared on it in front of the message that needs it.
///
/// Errors about statements are raised by PostgreSQL itself, so that SQLSTATE, the abort of the transaction
/// and the skipping until Sync are its own; only the name in the text is put back.
extension PoolCore {
    /// Larger unnamed statements are not kept for use after the end of their transaction.
    private static var unnamedLimit: Int { 256 * 1024 }
    /// Parse, Bind, Describe, Execute or Close of a client that has a server.
    mutating func virtualMessage(
        _ client: Handle<Client>, _ server: Handle<Server>, _ type: UInt8, _ bytes: RawSpan, _ offset: Int,
        _ total: Int
    ) -> Verdict {
        switch type {
        case FrontendMessage.execute:
            if servers[server].beginGroup != servers[server].syncGroup {
                servers[server].unsettlingGroup = servers[server].syncGroup
            }
            return owe(server, Reply(.execute, .forward))
        case FrontendMessage.parse:
            return virtualParse(client, server, bytes, offset, total)
        case FrontendMessage.bind:
            return virtualBind(client, server, bytes, offset, total)
        default:
            guard bytes.byteCount - offset >= total else { return .need(total) }
            guard total >= 7, let end = zero(bytes, offset + 6, offset + total), end == offset + total - 1
            else {
                failMalformed(client, type)
                return .closed
            }
            let kind = unsafe bytes.unsafeLoad(fromByteOffset: offset + 5, as: UInt8.self)
            let reply: Reply.Kind = type == FrontendMessage.close ? .close : .describe
            guard kind == UInt8(ascii: "S") else { return owe(server, Reply(reply, .forward)) }
            let name = bytes.extracting((offset + 6)..<end)
            return type == FrontendMessage.close
                ? virtualClose(client, server, name, offset, total)
                : virtualDescribe(client, server, bytes, name, offset, total)
        }
    }

    // MARK: Parse

    private mutating func virtualParse(
        _ client: Handle<Client>, _ server: Handle<Server>, _ bytes: RawSpan, _ offset: Int, _ total: Int
    ) -> Verdict {
        let there = bytes.byteCount - offset
        guard there >= min(total, 6) else { return .need(min(total, 6)) }
        let isUnnamed = unsafe total > 5 && bytes.unsafeLoad(fromByteOffset: offset + 5, as: UInt8.self) == 0
        if isUnnamed, total > PoolCore.unnamedLimit {
            if servers[server].preludeReplies > 0 { return holdForPrelude(client) }
            var reply = Reply(.parse, .forward)
            changeUnnamed(client, server, to: 0, isOnServer: true, by: &reply)
            return owe(server, reply)
        }
        guard there >= total else { return .need(total) }
        guard let nameEnd = zero(bytes, offset + 5, offset + total),
            let textEnd = zero(bytes, nameEnd + 1, offset + total), textEnd + 2 < offset + total
        else {
            failMalformed(client, FrontendMessage.parse)
            return .closed
        }
        let body = bytes.extracting((nameEnd + 1)..<(offset + total))
        if servers[server].preludeReplies > 0, canEndTransaction(text: body) { return holdForPrelude(client) }
        if isUnnamed {
            let id = statements.intern(body, environment: 0, variant: 0, &self.bytes) ?? 0
            var reply = Reply(.parse, .forward)
            changeUnnamed(client, server, to: id, isOnServer: true, by: &reply)
            return owe(server, reply)
        }
        if isInDoubt(clients[client].namesGroup, on: server) { return holdForReplies(client) }
        return parseNamed(client, server, body, bytes, nameEnd, offset, total)
    }

    /// A Parse of a named statement, which is not sent when the server has such a one.
    private mutating func parseNamed(
        _ client: Handle<Client>, _ server: Handle<Server>, _ body: RawSpan, _ bytes: RawSpan,
        _ nameEnd: Int, _ offset: Int, _ total: Int
    ) -> Verdict {
        let name = bytes.extracting((offset + 5)..<nameEnd)
        let hash = statements.nameHash(name)
        let known = statements.find(client, hash)
        if known != 0 { return parseAgain(client, server, known, name, bytes, nameEnd, offset, total) }
        // With settings on their way nobody can say what the text will mean: it is not shared then.
        let isShared = !isUnsettled(server)
        if !isShared, servers[server].unsettlingGroup != servers[server].syncGroup {
            return holdForReplies(client)
        }
        guard let id = internStatement(body, client, server, isShared: isShared) else {
            failTooMany(client, limit: statements.statements.capacity)
            return .closed
        }
        var reply = Reply(.parse, .synthesise)
        reply.isClientMapping = true
        reply.nameHash = hash
        let isFailed =
            servers[server].status == TransactionStatus.failed.rawValue
            && !statements.statement(id).canEndTransaction
        let presence = presence(id, on: server)
        guard presence != .inDoubt else {
            statements.release(id, &self.bytes)
            return holdForReplies(client)
        }
        guard giveName(client, id, self.bytes.intern(name), hash) else {
            failTooMany(client, limit: statements.statements.capacity)
            return .closed
        }
        pools[clients[client].pool].counters.add(.clientParses, 1)
        clients[client].namesGroup = servers[server].syncGroup
        forwardRun(client, offset)
        if presence == .present {
            if !isFailed, !isInDoubt(servers[server].syncGroup &- 1, on: server) {
                pools[clients[client].pool].counters.add(.receivedBytes, UInt64(total))
                synthesise(server, reply)
                return .replaced(count: total)
            }
            // The transaction has failed, or may have, and PostgreSQL has to say so; but it must not find the
            // name in use.
            injectClose(id, server)
        }
        reply.fate = .forward
        reply.statement = id
        reply.group = servers[server].syncGroup
        statements.retain(id)
        return rename(client, reply, id, bytes, offset + 5, nameEnd, offset, total)
    }

    /// A Parse under a name that the client uses already: PostgreSQL is made to raise 42P05.
    private mutating func parseAgain(
        _ client: Handle<Client>, _ server: Handle<Server>, _ known: UInt32, _ name: RawSpan,
        _ bytes: RawSpan,
        _ nameEnd: Int, _ offset: Int, _ total: Int
    ) -> Verdict {
        // What is on its way could be a DEALLOCATE ALL, after which PostgreSQL would accept this.
        guard !isInDoubt(servers[server].syncGroup &- 1, on: server) else { return holdForReplies(client) }
        forwardRun(client, offset)
        guard let known = prepare(known, statements.nameHash(name), on: server) else {
            return holdForReplies(client)
        }
        var reply = Reply(.parse, .forward)
        reply.name = self.bytes.intern(name)
        return rename(client, reply, known, bytes, offset + 5, nameEnd, offset, total)
    }

    // MARK: Bind, Describe

    private mutating func virtualBind(
        _ client: Handle<Client>, _ server: Handle<Server>, _ bytes: RawSpan, _ offset: Int, _ total: Int
    ) -> Verdict {
        let there = min(total, bytes.byteCount - offset)
        guard let portalEnd = zero(bytes, offset + 5, offset + there),
            let nameEnd = zero(bytes, portalEnd + 1, offset + there)
        else {
            if there < total { return .need(min(total, max(256, there * 2))) }
            failMalformed(client, FrontendMessage.bind)
            return .closed
        }
        pools[clients[client].pool].counters.add(.binds, nameEnd > portalEnd + 1 ? 1 : 0)
        let name = bytes.extracting((portalEnd + 1)..<nameEnd)
        return use(name, client, server, Reply(.bind, .forward), bytes, portalEnd + 1, nameEnd, offset, total)
    }

    private mutating func virtualDescribe(
        _ client: Handle<Client>, _ server: Handle<Server>, _ bytes: RawSpan, _ name: RawSpan, _ offset: Int,
        _ total: Int
    ) -> Verdict {
        let reply = Reply(.describe, .forward)
        return use(name, client, server, reply, bytes, offset + 6, offset + total - 1, offset, total)
    }

    /// A message that uses a statement by its name, which stands at `nameStart..<nameEnd`.
    private mutating func use(
        _ name: RawSpan, _ client: Handle<Client>, _ server: Handle<Server>, _ plain: Reply, _ bytes: RawSpan,
        _ nameStart: Int, _ nameEnd: Int, _ offset: Int, _ total: Int
    ) -> Verdict {
        var reply = plain
        let isUnnamed = nameStart == nameEnd
        let group = isUnnamed ? clients[client].unnamedGroup : clients[client].namesGroup
        if isInDoubt(group, on: server) { return holdForReplies(client) }
        if isUnnamed, clients[client].hasUnnamedOnServer {
            noteUse(clients[client].unnamedStatement, plain, server)
            return owe(server, reply)
        }
        let hash = isUnnamed ? 0 : statements.nameHash(name)
        let named = isUnnamed ? nil : statements.name(client, hash)
        let id = isUnnamed ? clients[client].unnamedStatement : named?.statement ?? 0
        if id != 0, servers[server].preludeReplies > 0, statements.statement(id).canEndTransaction {
            return holdForPrelude(client)
        }
        forwardRun(client, offset)
        if isUnnamed {
            // PostgreSQL itself says that there is none; it must not find another client's.
            if id == 0 { injectCloseUnnamed(server) } else { injectParse(id, isNamed: false, server) }
            noteUse(id, plain, server)
            return owe(server, reply)
        }
        if id == 0 {
            reply.name = self.bytes.intern(name)
            return rename(client, reply, nil, bytes, nameStart, nameEnd, offset, total)
        }
        guard let id = prepare(id, hash, on: server) else { return holdForReplies(client) }
        noteUse(id, plain, server)
        let text = named?.name ?? 0
        self.bytes.retain(text)
        reply.name = text
        return rename(client, reply, id, bytes, nameStart, nameEnd, offset, total)
    }

    /// Notes that a statement is about to run, unless it is only described.
    @inline(__always)
    private mutating func noteUse(_ id: UInt32, _ reply: Reply, _ server: Handle<Server>) {
        guard reply.kind == .bind else { return }
        let group = servers[server].syncGroup
        if id != 0, statements.statement(id).isBegin {
            servers[server].beginGroup = group
        } else {
            servers[server].unsettlingGroup = group
        }
    }

    // MARK: Close

    private mutating func virtualClose(
        _ client: Handle<Client>, _ server: Handle<Server>, _ name: RawSpan, _ offset: Int, _ total: Int
    ) -> Verdict {
        if name.byteCount == 0 {
            var reply = Reply(.close, .forward)
            changeUnnamed(client, server, to: 0, isOnServer: false, by: &reply)
            return owe(server, reply)
        }
        if isInDoubt(clients[client].namesGroup, on: server) { return holdForReplies(client) }
        clients[client].namesGroup = servers[server].syncGroup
        forwardRun(client, offset)
        pools[clients[client].pool].counters.add(.receivedBytes, UInt64(total))
        var reply = Reply(.close, .synthesise)
        reply.nameHash = statements.nameHash(name)
        let removed = statements.removeName(reply.nameHash, of: client, &clients[client].statements)
        reply.statement = removed.statement
        reply.name = removed.name
        reply.isClientMapping = true
        synthesise(server, reply)
        return .replaced(count: total)
    }

    /// Close of a named statement by a client without a server needs none. `nil` for all other kinds of
    /// Close.
    mutating func closeWithoutServer(
        _ client: Handle<Client>, _ bytes: RawSpan, _ offset: Int, _ total: Int
    ) -> Verdict? {
        guard total > 7,
            unsafe bytes.unsafeLoad(fromByteOffset: offset + 5, as: UInt8.self) == UInt8(ascii: "S"),
            let end = zero(bytes, offset + 6, offset + total), end == offset + total - 1, end > offset + 6
        else { return nil }
        let hash = statements.nameHash(bytes.extracting((offset + 6)..<end))
        forgetName(client, hash)
        let start = output.count
        output.appendCloseComplete()
        send(clients[client].connection, from: start)
        return .replaced(count: total)
    }
}
