import Auth
import Base
import Config
import SharedState
import Wire

/// From server to client.
extension PoolCore {
    /// Walks over the messages of a server that is logged in.
    mutating func serverMessages(_ server: Handle<Server>, _ bytes: RawSpan) -> Consumption {
        let count = bytes.byteCount
        var offset = 0
        runStart = 0
        servers[server].lastActivity = now
        while offset < count {
            let remaining = Int(servers[server].bodyRemaining)
            if remaining > 0 {
                let part = min(remaining, count - offset)
                servers[server].bodyRemaining = UInt32(remaining - part)
                offset += part
                if servers[server].bodyRoute == .discard { swallow(server, part, before: offset) }
                if part == remaining { settle(server, offset) }
                continue
            }
            guard count - offset >= 5 else {
                replyRun(server, offset)
                return insideHeader(offset, count)
            }
            let type = unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            let length = unsafe UInt32(
                bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset + 1, as: UInt32.self))
            guard length >= 4, length <= hot.maxPacketSize, length < UInt32(Int32.max) else {
                replyRun(server, offset)
                firewall(server, type, "a message with an invalid length")
                return Consumption(consumed: count, needed: 0)
            }
            let total = Int(length) + 1
            let verdict = serverMessage(server, type, bytes, offset, total)
            switch verdict {
            case .forward:
                let part = min(total, count - offset)
                offset += part
                if part < total {
                    servers[server].bodyRemaining = UInt32(total - part)
                    servers[server].bodyRoute = .forward
                } else if type == BackendMessage.dataRow || type == BackendMessage.copyData {
                    offset = endOfRows(type, bytes, offset)
                } else if synthesisIsDue {
                    settle(server, offset)
                }
            case .discard:
                replyRun(server, offset)
                let part = min(total, count - offset)
                offset += part
                swallow(server, part, before: offset)
                if part < total {
                    servers[server].bodyRemaining = UInt32(total - part)
                    servers[server].bodyRoute = .discard
                } else if synthesisIsDue {
                    settle(server, offset)
                }
            case .replaced(let done):
                offset += done
                runStart = offset
                guard servers.contains(server) else { return Consumption(consumed: count, needed: 0) }
            case .need(let needed):
                replyRun(server, offset)
                return Consumption(consumed: offset, needed: needed)
            case .hold:
                preconditionFailure("nothing a server sends has to wait")
            case .closed:
                return Consumption(consumed: count, needed: 0)
            }
        }
        replyRun(server, offset)
        return Consumption(consumed: offset, needed: 0)
    }

    /// The answer to bytes that end in the middle of a header.
    @inline(__always)
    private func insideHeader(_ offset: Int, _ count: Int) -> Consumption {
        #if CANARY
            if Canary.isPlanted(.headerSplit) { return Consumption(consumed: count, needed: 0) }
        #endif
        return Consumption(consumed: offset, needed: 5)
    }

    /// The last bytes before `offset` go no further: an answer to what we have asked ourselves.
    private mutating func swallow(_ server: Handle<Server>, _ count: Int, before offset: Int) {
        runStart = offset
        countSwallowed(server, count)
    }

    /// Counts bytes of a server's that no client gets as they are.
    private func countSwallowed(_ server: Handle<Server>, _ count: Int) {
        guard servers.contains(server) else { return }
        pools[servers[server].pool].counters.add(.sentBytes, UInt64(count))
    }

    /// Where the complete messages of this type from `start` on end: behind one row the next may come, and
    /// goes where that one went.
    private func endOfRows(_ type: UInt8, _ bytes: RawSpan, _ start: Int) -> Int {
        let count = bytes.byteCount
        var offset = start
        while count - offset >= 5, unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self) == type {
            let length = unsafe UInt32(
                bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset + 1, as: UInt32.self))
            guard length >= 4, length <= hot.maxPacketSize, Int(length) < count - offset else { break }
            offset += Int(length) + 1
        }
        return offset
    }

    /// Passes the bytes from the start of the run up to `end` on to the server's client.
    @inline(__always)
    mutating func replyRun(_ server: Handle<Server>, _ end: Int) {
        let start = runStart
        runStart = end
        guard end > start else { return }
        let client = servers[server].client
        guard !client.isNone else { return }
        #if CANARY
            if Canary.isPlanted(.replyToWrongClient), let other = clients.handle(at: 0) {
                return forward(clients[other].connection, start, end - start)
            }
        #endif
        pools[servers[server].pool].counters.add(.sentBytes, UInt64(end - start))
        forward(clients[client].connection, start, end - start)
    }

    /// One message of a server: whether it may come now, what it ends, and where it goes.
    private mutating func serverMessage(
        _ server: Handle<Server>, _ type: UInt8, _ bytes: RawSpan, _ offset: Int, _ total: Int
    ) -> Verdict {
        switch type {
        case BackendMessage.noticeResponse:
            return aside(server)
        case BackendMessage.parameterStatus:
            guard bytes.byteCount - offset >= total else { return .need(total) }
            return parameterStatus(server, bytes.extracting((offset + 5)..<(offset + total)))
        case BackendMessage.notificationResponse:
            return servers[server].state == .linked && servers[server].preludeReplies == 0
                ? .forward : .discard
        case BackendMessage.errorResponse:
            return errorResponse(server, bytes, offset, total)
        case BackendMessage.readyForQuery:
            guard total == 6 else { return firewall(server, type, "a broken ReadyForQuery") }
            guard bytes.byteCount - offset >= total else { return .need(total) }
            return readyForQuery(
                server, unsafe bytes.unsafeLoad(fromByteOffset: offset + 5, as: UInt8.self), offset)
        default:
            break
        }
        guard !servers[server].replies.isEmpty else {
            return firewall(server, type, "a reply nobody asked for")
        }
        var head = servers[server].replies.first(in: replies)
        while head.kind == .copyEnd {
            drop(server)
            guard !servers[server].replies.isEmpty else {
                return firewall(server, type, "a reply nobody asked for")
            }
            head = servers[server].replies.first(in: replies)
        }
        guard PoolCore.isAllowed(type, for: head.kind) else {
            return firewall(server, type, "a reply that does not belong to the request")
        }
        let verdict: Verdict = head.fate == .forward ? .forward : .discard
        switch type {
        case BackendMessage.commandComplete:
            return commandComplete(server, head, bytes, offset, total)
        case BackendMessage.copyInResponse, BackendMessage.copyBothResponse:
            servers[server].isCopyingIn = true
            resumeInCopy(server)
            return verdict
        case BackendMessage.parseComplete:
            if head.statement != 0 {
                statements.confirm(head.statement, on: server, group: head.group)
            }
            // It was sent to be refused, under the name of another text that others use: nobody must get this
            // server any more.
            if head.name != 0 { servers[server].needsClose = true }
            return finish(server, verdict)
        case BackendMessage.closeComplete:
            if head.statement != 0 {
                statements.closed(head.statement, on: server, &servers[server], &self.bytes)
            }
            return finish(server, verdict)
        case BackendMessage.bindComplete:
            return finish(server, verdict)
        case BackendMessage.rowDescription, BackendMessage.noData:
            return head.kind == .describe ? finish(server, verdict) : verdict
        case BackendMessage.emptyQueryResponse, BackendMessage.portalSuspended:
            return head.kind == .execute ? finish(server, verdict) : verdict
        default:
            return verdict
        }
    }

    /// Notices go to whoever is linked, except those of our own work.
    private func aside(_ server: Handle<Server>) -> Verdict {
        guard servers[server].state == .linked, servers[server].preludeReplies == 0 else { return .discard }
        guard !servers[server].replies.isEmpty else { return .forward }
        return servers[server].replies.first(in: replies).fate == .swallow ? .discard : .forward
    }

    // MARK: The queue of owed replies

    /// The first owed reply has been given; made-up replies behind it are due when its message has passed.
    mutating func finish(_ server: Handle<Server>, _ verdict: Verdict) -> Verdict {
        drop(server)
        if !servers[server].replies.isEmpty, servers[server].replies.first(in: replies).fate == .synthesise {
            synthesisIsDue = true
        }
        return verdict
    }

    /// Gives the made-up replies that are due, behind the bytes up to `offset`.
    private mutating func settle(_ server: Handle<Server>, _ offset: Int) {
        synthesisIsDue = false
        guard !servers[server].replies.isEmpty,
            servers[server].replies.first(in: replies).fate == .synthesise
        else { return }
        replyRun(server, offset)
        synthesiseReady(server)
    }

    /// Removes the first owed reply and lets go of what it holds.
    mutating func drop(_ server: Handle<Server>) {
        letGo(of: servers[server].replies.first(in: replies))
        servers[server].replies.removeFirst(in: &replies)
    }

    /// Gives the made-up replies whose turn has come.
    mutating func synthesiseReady(_ server: Handle<Server>) {
        while !servers[server].replies.isEmpty {
            let head = servers[server].replies.first(in: replies)
            if head.kind == .copyEnd {
                drop(server)
                continue
            }
            guard head.fate == .synthesise else { return }
            servers[server].replies.removeFirst(in: &replies)
            emit(head, servers[server].client)
        }
    }

    private mutating func commandComplete(
        _ server: Handle<Server>, _ head: Reply, _ bytes: RawSpan, _ offset: Int, _ total: Int
    ) -> Verdict {
        let verdict: Verdict = head.fate == .forward ? .forward : .discard
        guard bytes.byteCount - offset >= min(total, 8) else { return .need(min(total, 8)) }
        let letters: UInt16 =
            total < 8 ? 0 : unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset + 5, as: UInt16.self)
        switch UInt16(bigEndian: letters) {
        case 0x44_45, 0x44_49:  // DE, DI
            guard total == 17 || total == 20 else { break }
            guard bytes.byteCount - offset >= total else { return .need(total) }
            let tag = bytes.extracting((offset + 5)..<(offset + total - 1))
            if tag.isEqual(to: "DISCARD ALL") || tag.isEqual(to: "DEALLOCATE ALL") { statementsGone(server) }
        case 0x41_4C, 0x44_52:  // AL, DR
            // ALTER or DROP: what was prepared before may have another result than its text has now.
            segment.noteDefinitionChange()
        default:
            break
        }
        let endsCopy = servers[server].isCopyingIn
        servers[server].isCopyingIn = false
        if endsCopy { removeThroughCopyEnd(server) }
        return head.kind == .execute ? finish(server, verdict) : verdict
    }

    /// The client has destroyed all prepared statements of its session: here, those of the server, and its
    /// names.
    @inline(never)
    private mutating func statementsGone(_ server: Handle<Server>) {
        statements.removeAll(from: server, &servers[server], &bytes)
        let client = servers[server].client
        var names: [ClientStatement] = []
        // What is owed behind this was sent after it, and PostgreSQL comes to it afterwards.
        for reply in servers[server].replies.all(in: replies).dropFirst() {
            guard reply.kind == .parse || reply.kind == .close else { continue }
            if reply.statement != 0, reply.fate != .synthesise { sentAgain(reply, server) }
            guard reply.kind == .parse, reply.isClientMapping, !client.isNone else { continue }
            guard let name = statements.name(client, reply.nameHash) else { continue }
            statements.retain(name.statement)
            bytes.retain(name.name)
            names.append(name)
        }
        guard !client.isNone else { return }
        statements.removeNames(of: client, &clients[client].statements, &bytes)
        for name in names {
            if statements.find(client, name.nameHash) == 0 {
                _ = giveName(client, name.statement, name.name, name.nameHash)
            } else {
                statements.release(name.statement, &bytes)
                bytes.release(name.name)
            }
        }
    }

    /// A Parse or Close of ours that is on its way decides what the server has when it gets there.
    private mutating func sentAgain(_ reply: Reply, _ server: Handle<Server>) {
        if reply.kind == .close {
            statements.remove(reply.statement, from: server, &servers[server], &bytes)
        } else {
            // Its answer confirms it in the group it was sent in, whatever has been sent since.
            _ = statements.add(reply.statement, to: server, group: reply.group, &servers[server])
        }
    }

    /// A COPY has ended: PostgreSQL has read, and not answered, everything up to the end of the client's
    /// data.
    @inline(never)
    private mutating func removeThroughCopyEnd(_ server: Handle<Server>) {
        var queue = ReplyQueue()
        var rest: [Reply] = []
        var index = 0
        while !servers[server].replies.isEmpty {
            rest.append(servers[server].replies.first(in: replies))
            servers[server].replies.removeFirst(in: &replies)
        }
        if let end = rest.firstIndex(where: { $0.kind == .copyEnd }) {
            for index in 1...max(end, 1) where index <= end {
                // What ended a group there is settled together with the query, as nothing else answers it.
                if rest[0].kind == .query, rest[index].endsGroup { rest[0].group = rest[index].group }
                letGo(of: rest[index])
            }
            rest.removeSubrange(min(1, end)...end)
        }
        while index < rest.count {
            // What was taken out a moment ago fits.
            _ = queue.append(rest[index], in: &replies)
            index += 1
        }
        servers[server].replies = queue
        resumeBehindCopy(server)
    }

    /// A COPY has begun, and waits for what stands behind the message that is held until it is over: a
    /// message that must not come now.
    @inline(never)
    private mutating func resumeInCopy(_ server: Handle<Server>) {
        let client = servers[server].client
        guard !client.isNone, clients[client].awaitsReplies,
            !servers[server].replies.all(in: replies).contains(where: { $0.kind == .copyEnd })
        else { return }
        clients[client].awaitsReplies = false
        resume(client)
    }

    /// Where PostgreSQL has ignored the Sync in front of a held message, the message belongs to the group of
    /// the COPY, and no answer to a Sync will let it go on.
    private mutating func resumeBehindCopy(_ server: Handle<Server>) {
        guard !servers[server].replies.all(in: replies).contains(where: \.endsGroup) else { return }
        servers[server].settledGroup = servers[server].syncGroup &- 1
        let client = servers[server].client
        guard !client.isNone, clients[client].awaitsReplies else { return }
        clients[client].awaitsReplies = false
        resume(client)
    }

    /// A COPY FROM in an extended query has failed. The Syncs that were sent before the end of the data, or
    /// before the failure, were ignored by PostgreSQL: one of libpq's stands right behind Execute.
    @inline(never)
    private mutating func removeIgnoredByCopy(_ server: Handle<Server>) {
        var rest: [Reply] = []
        while !servers[server].replies.isEmpty {
            rest.append(servers[server].replies.first(in: replies))
            servers[server].replies.removeFirst(in: &replies)
        }
        let end = rest.firstIndex { $0.kind == .copyEnd } ?? rest.count - 1
        var queue = ReplyQueue()
        for index in rest.indices where index == 0 || index > end {
            // What was taken out a moment ago fits.
            _ = queue.append(rest[index], in: &replies)
        }
        servers[server].replies = queue
        if end > 0 { for index in (1...end).reversed() { undo(rest[index], isRefused: false, server) } }
    }

    // MARK: Errors

    private mutating func errorResponse(
        _ server: Handle<Server>, _ bytes: RawSpan, _ offset: Int, _ total: Int
    ) -> Verdict {
        if servers[server].state != .linked {
            servers[server].hasFailed = true
            if servers[server].state == .tested { return .discard }
            // On a free server it is the announcement of its end, and nobody must get it any more.
            closeServer(server, reason: "idle server got an error")
            return .closed
        }
        guard !servers[server].replies.isEmpty else { return .forward }
        let head = servers[server].replies.first(in: replies)
        if head.kind == .query, head.fate == .swallow {
            guard bytes.byteCount - offset >= total else { return .need(total) }
            preludeFailed(server, bytes.extracting((offset + 5)..<(offset + total)))
            return .closed
        }
        let isRenamed = head.name != 0
        if isRenamed {
            guard bytes.byteCount - offset >= total else { return .need(total) }
            replyRun(server, offset)
            self.bytes.retain(head.name)
        }
        let wasCopying = servers[server].isCopyingIn
        servers[server].isCopyingIn = false
        switch head.kind {
        case .query:
            if wasCopying { removeThroughCopyEnd(server) }
        case .sync, .functionCall:
            break
        case .parse, .bind, .describe, .execute, .close, .copyEnd:
            if wasCopying { removeIgnoredByCopy(server) }
            abandonUntilSync(server)
        }
        guard isRenamed else { return .forward }
        countSwallowed(server, total)
        sendRenamedError(server, head, bytes.extracting((offset + 5)..<(offset + total)))
        self.bytes.release(head.name)
        return .replaced(count: total)
    }

    /// PostgreSQL ignores everything from the failed message up to the next Sync: so do we.
    @inline(never)
    private mutating func abandonUntilSync(_ server: Handle<Server>) {
        var skipped: [Reply] = []
        var findsSync = false
        while !findsSync, !servers[server].replies.isEmpty {
            let head = servers[server].replies.first(in: replies)
            findsSync = head.kind == .sync
            guard !findsSync else { break }
            servers[server].replies.removeFirst(in: &replies)
            skipped.append(head)
        }
        // The last is undone first, so that what comes back is what was there before.
        for index in skipped.indices.reversed() { undo(skipped[index], isRefused: index == 0, server) }
        guard !findsSync else { return }
        servers[server].skipsUntilSync = true
        let client = servers[server].client
        if !client.isNone, clients[client].awaitsReplies {
            // The Sync stands behind the held message, which is skipped with the others.
            clients[client].awaitsReplies = false
            resume(client)
        }
    }

    /// Sends an error whose text names a statement by the server's name, with the client's name put back.
    @inline(never)
    private mutating func sendRenamedError(_ server: Handle<Server>, _ reply: Reply, _ body: RawSpan) {
        let client = servers[server].client
        let start = output.count
        let message = output.beginMessage(BackendMessage.errorResponse)
        var offset = 0
        while offset < body.byteCount {
            let code = unsafe body.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            output.append(code)
            guard code != 0, let end = zero(body, offset + 1, body.byteCount) else { break }
            let field = body.extracting((offset + 1)..<end)
            switch code {
            case UInt8(ascii: "M"):
                appendRenamed(field, reply.name)
            case UInt8(ascii: "C") where field.isEqual(to: "0A000"):
                // A plan whose result has changed: who prepares the same text from now on gets another one.
                segment.noteDefinitionChange()
                output.append(field)
            default:
                output.append(field)
            }
            output.append(UInt8(0))
            offset = end + 1
        }
        output.endMessage(at: message)
        send(clients[client].connection, from: start)
    }

    /// Appends a text with the client's name in place of the first of our own; in any language, so quotes
    /// are no guide.
    private mutating func appendRenamed(_ text: RawSpan, _ name: UInt32) {
        var offset = 0
        while offset < text.byteCount {
            let rest = text.extracting(offset..<text.byteCount)
            let length = Statements.serverNameLength(atStartOf: rest)
            if length > 0 {
                output.append(text.extracting(0..<offset))
                bytes.append(name, to: &output)
                output.append(rest.extracting(length..<rest.byteCount))
                return
            }
            offset += 1
        }
        output.append(text)
    }

    /// A server broke the rules: its connection and its client's are closed, and nobody else hears of it.
    @discardableResult
    @inline(never)
    mutating func firewall(_ server: Handle<Server>, _ type: UInt8, _ what: StaticString) -> Verdict {
        firewallHits += 1
        let start = output.count
        appendServerPrefix(server)
        output.append("server sent ")
        output.append(what)
        output.append(": type ")
        output.append(decimal: Int(type))
        log(.error, from: start)
        let client = servers[server].client
        servers[server].needsClose = true
        if servers[server].state == .linked, !client.isNone {
            // No message to the client: the reply may have been cut in the middle.
            closeClient(client, .flushed, reason: "unexpected reply from server")
        }
        if servers.contains(server) { closeServer(server, reason: "unexpected reply") }
        return .closed
    }

    /// The replies that may come for each kind of request, beside those that may come at any time.
    private static func isAllowed(_ type: UInt8, for kind: Reply.Kind) -> Bool {
        switch type {
        case BackendMessage.parseComplete: return kind == .parse
        case BackendMessage.bindComplete: return kind == .bind
        case BackendMessage.closeComplete: return kind == .close
        default: break
        }
        guard type >= 0x40, type < 0x80 else { return false }
        let mask: UInt64 =
            switch kind {
            case .query: PoolCore.queryReplies
            case .execute: PoolCore.executeReplies
            case .describe: PoolCore.describeReplies
            case .functionCall: PoolCore.functionReplies
            case .parse, .bind, .close, .sync, .copyEnd: 0
            }
        return mask >> UInt64(type - 0x40) & 1 == 1
    }

    private static var queryReplies: UInt64 {
        bit("T") | bit("D") | bit("C") | bit("I") | bit("G") | bit("H") | bit("W") | bit("d") | bit("c")
    }
    private static var executeReplies: UInt64 {
        bit("D") | bit("C") | bit("I") | bit("s") | bit("G") | bit("H") | bit("W") | bit("d") | bit("c")
    }
    private static var describeReplies: UInt64 { bit("t") | bit("T") | bit("n") }
    private static var functionReplies: UInt64 { bit("V") }

    @inline(__always)
    private static func bit(_ type: Unicode.Scalar) -> UInt64 { 1 << UInt64(UInt8(ascii: type) - 0x40) }
}

extension RawSpan {
    /// Whether these are exactly the bytes of `text`.
    func isEqual(to text: StaticString) -> Bool {
        byteCount == text.utf8CodeUnitCount && begins(with: text)
    }

    /// Whether the first bytes are those of `text`.
    func begins(with text: StaticString) -> Bool {
        guard byteCount >= text.utf8CodeUnitCount else { return false }
        for offset in 0..<text.utf8CodeUnitCount {
            if unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self) != text.utf8Start[offset] {
                return false
            }
        }
        return true
    }
}
