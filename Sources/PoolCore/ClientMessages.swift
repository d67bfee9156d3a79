import Auth
import Base
import Config
import SharedState
import Wire

/// What is to become of a message whose header has been read.
enum Verdict {
    /// It goes on as it is.
    case forward
    /// It ends here.
    case discard
    /// The core has queued other bytes for its first `count` bytes; the rest goes on as it is.
    case replaced(count: Int)
    /// More of it must be there before anything can be said: this many bytes of it.
    case need(Int)
    /// It has to wait, with all that follows it, until the connection is resumed.
    case hold
    /// The connection it came from is gone.
    case closed
}

/// From client to server.
extension PoolCore {
    /// Shows the core bytes that arrived. It answers how many it is done with; see `Consumption`.
    ///
    /// Actions of the kind `forward` that it queues speak of `bytes`. A peer that is gone takes everything.
    public mutating func received(_ peer: Peer, _ bytes: RawSpan) -> Consumption {
        let all = Consumption(consumed: bytes.byteCount, needed: 0)
        freedTold = 0
        switch peer {
        case .client(let client):
            guard clients.contains(client) else { return all }
            switch clients[client].state {
            case .idle, .linked:
                return clientMessages(client, bytes)
            case .waiting, .waitingForWelcome, .moving, .waitingForLookup, .lookingUp:
                clients[client].isHeld = true
                return Consumption(consumed: 0, needed: 0)
            case .startup:
                return startupBytes(client, bytes)
            case .authenticating:
                return authenticationBytes(client, bytes)
            case .relayed:
                forward(clients[client].relay, 0, bytes.byteCount)
                return all
            case .cancelling, .waitingForPeer:
                return all
            }
        case .server(let server):
            guard servers.contains(server) else { return all }
            switch servers[server].state {
            case .idle, .linked, .tested, .beingCancelled, .lending:
                return serverMessages(server, bytes)
            case .startup:
                return serverLoginBytes(server, bytes)
            case .lookingUp:
                return lookupBytes(server, bytes)
            case .connecting, .cancelling:
                return all
            }
        case .console(let client):
            guard clients.contains(client) else { return all }
            forward(clients[client].connection, 0, bytes.byteCount)
            return all
        }
    }

    /// Has the bytes from `offset` on read by whoever is responsible for the peer's new state.
    @inline(never)
    mutating func receivedRest(_ peer: Peer, _ bytes: RawSpan, _ offset: Int) -> Consumption {
        let start = inputStart
        inputStart += offset
        defer { inputStart = start }
        let rest = received(peer, bytes.extracting(offset..<bytes.byteCount))
        return Consumption(consumed: offset + rest.consumed, needed: rest.needed)
    }

    /// Walks over the messages of a client that is logged in.
    ///
    /// Only headers are read, but for the messages that must be understood; whole runs of messages are passed
    /// on with one action.
    mutating func clientMessages(_ client: Handle<Client>, _ bytes: RawSpan) -> Consumption {
        let count = bytes.byteCount
        var offset = 0
        runStart = 0
        clients[client].lastActivity = now
        while offset < count {
            if clients[client].bodyRemaining > 0 {
                offset = passBody(client, offset, count)
                // It may have been the last that a client was waited for to be sent away.
                guard clients.contains(client) else { return Consumption(consumed: count, needed: 0) }
                if clients[client].state == .moving { return holdRest(client, offset, count) }
                continue
            }
            guard count - offset >= 5 else {
                forwardRun(client, offset)
                return Consumption(consumed: offset, needed: 5)
            }
            let type = unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            let length = unsafe UInt32(
                bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset + 1, as: UInt32.self))
            guard length >= 4, length <= hot.maxPacketSize, length < UInt32(Int32.max) else {
                forwardRun(client, offset)
                failLength(client, bytes, offset, length)
                return Consumption(consumed: count, needed: 0)
            }
            let total = Int(length) + 1
            switch message(client, type, bytes, offset, total) {
            case .forward:
                let part = min(total, count - offset)
                offset += part
                if part < total {
                    clients[client].bodyRemaining = UInt32(total - part)
                    clients[client].bodyRoute = .forward
                }
            case .discard:
                forwardRun(client, offset)
                let part = min(total, count - offset)
                offset += part
                runStart = offset
                if part < total {
                    clients[client].bodyRemaining = UInt32(total - part)
                    clients[client].bodyRoute = .discard
                }
            case .replaced(let done):
                offset += done
                runStart = offset
                if done < total {
                    clients[client].bodyRemaining = UInt32(total - done)
                    clients[client].bodyRoute = .forward
                }
            case .need(let needed):
                forwardRun(client, offset)
                return Consumption(consumed: offset, needed: needed)
            case .hold:
                forwardRun(client, offset)
                clients[client].isHeld = true
                return Consumption(consumed: offset, needed: 0)
            case .closed:
                return Consumption(consumed: count, needed: 0)
            }
        }
        forwardRun(client, offset)
        return Consumption(consumed: offset, needed: 0)
    }

    /// A client begins to move in the middle of its input: what is left is read where it goes.
    @inline(never)
    private mutating func holdRest(_ client: Handle<Client>, _ offset: Int, _ count: Int) -> Consumption {
        if offset < count { clients[client].isHeld = true }
        return Consumption(consumed: offset, needed: 0)
    }

    /// More of a message whose header has been seen. Answers where the bytes after it begin.
    @inline(__always)
    private mutating func passBody(_ client: Handle<Client>, _ offset: Int, _ count: Int) -> Int {
        let remaining = Int(clients[client].bodyRemaining)
        let part = min(remaining, count - offset)
        clients[client].bodyRemaining = UInt32(remaining - part)
        if clients[client].bodyRoute == .discard {
            forwardRun(client, offset)
            runStart = offset + part
        } else if part == remaining {
            forwardRun(client, offset + part)
            releaseIfDone(clients[client].server)
        }
        return offset + part
    }

    /// What is to become of the next message; a client that needs a server for it is given one if there is
    /// one.
    @inline(__always)
    private mutating func message(
        _ client: Handle<Client>, _ type: UInt8, _ bytes: RawSpan, _ offset: Int, _ total: Int
    ) -> Verdict {
        if clients[client].state == .linked { return linkedMessage(client, type, bytes, offset, total) }
        let verdict = idleMessage(client, type, bytes, offset, total)
        guard case .forward = verdict else { return verdict }
        // A server has just been linked: what goes to it begins here.
        runStart = offset
        return linkedMessage(client, type, bytes, offset, total)
    }

    /// Passes the bytes from the start of the run up to `end` on to the client's server; the next run begins
    /// there. Before anything is queued for the server out of turn, the run in front of it has to go.
    @inline(__always)
    mutating func forwardRun(_ client: Handle<Client>, _ end: Int) {
        let start = runStart
        runStart = end
        guard end > start else { return }
        let server = clients[client].server
        guard !server.isNone else { return }
        pools[clients[client].pool].counters.add(.receivedBytes, UInt64(end - start))
        forward(servers[server].connection, start, end - start)
    }

    /// A message of a client without a server. `forward` means: it has one now.
    private mutating func idleMessage(
        _ client: Handle<Client>, _ type: UInt8, _ bytes: RawSpan, _ offset: Int, _ total: Int
    ) -> Verdict {
        if clients[client].isCancelled { return cancelledMessage(client, type) }
        switch type {
        case FrontendMessage.terminate:
            closeAtRequest(client)
            return .closed
        case FrontendMessage.copyData, FrontendMessage.copyDone, FrontendMessage.copyFail,
            FrontendMessage.flush:
            // What is left of a COPY that has failed, which PostgreSQL ignores too.
            return .discard
        case FrontendMessage.close where isVirtual(client):
            guard bytes.byteCount - offset >= total else { return .need(total) }
            if let verdict = closeWithoutServer(client, bytes, offset, total) { return verdict }
        case FrontendMessage.query where hot.disablesQuery:
            failQuery(client)
            return .closed
        case FrontendMessage.query, FrontendMessage.parse, FrontendMessage.bind, FrontendMessage.describe,
            FrontendMessage.execute, FrontendMessage.close, FrontendMessage.sync,
            FrontendMessage.functionCall:
            break
        default:
            failUnknown(client, type)
            return .closed
        }
        beginRequest(client)
        return acquire(client) ? .forward : (clients.contains(client) ? .hold : .closed)
    }

    /// A message of a client that has a server: what the server will owe for it, and whether it can go as
    /// it is.
    private mutating func linkedMessage(
        _ client: Handle<Client>, _ type: UInt8, _ bytes: RawSpan, _ offset: Int, _ total: Int
    ) -> Verdict {
        let server = clients[client].server
        if clients[client].queryStart == 0, type != FrontendMessage.terminate { beginRequest(client) }
        if servers[server].isCopyingIn, !isAllowedInCopy(type, server) {
            fail(client, .violation(.unexpectedInCopy(type: type)))
            return .closed
        }
        switch type {
        case FrontendMessage.query:
            return query(client, server, bytes, offset, total)
        case FrontendMessage.sync:
            servers[server].skipsUntilSync = false
            return endGroup(server, Reply(.sync, .forward))
        case FrontendMessage.copyData, FrontendMessage.flush:
            return .forward
        case FrontendMessage.copyDone, FrontendMessage.copyFail:
            // Also from a client that has not waited for PostgreSQL to ask for the data.
            guard !servers[server].replies.isEmpty else { return .forward }
            return owe(server, Reply(.copyEnd, .forward))
        case FrontendMessage.terminate:
            // What it asked for before it said goodbye is asked of PostgreSQL, as it would be without us.
            forwardRun(client, offset)
            closeAtRequest(client)
            return .closed
        case FrontendMessage.parse, FrontendMessage.bind, FrontendMessage.describe, FrontendMessage.execute,
            FrontendMessage.close, FrontendMessage.functionCall:
            break
        default:
            failUnknown(client, type)
            return .closed
        }
        // PostgreSQL ignores these until Sync, so it owes nothing for them.
        if servers[server].skipsUntilSync { return .forward }
        if type == FrontendMessage.functionCall {
            return endGroup(server, Reply(.functionCall, .forward))
        }
        servers[server].needsSync = true
        if isVirtual(client) { return virtualMessage(client, server, type, bytes, offset, total) }
        if servers[server].preludeReplies > 0 {
            if let verdict = waitForPrelude(client, type, bytes, offset, total) { return verdict }
        }
        switch type {
        case FrontendMessage.parse: return owe(server, Reply(.parse, .forward))
        case FrontendMessage.bind: return owe(server, Reply(.bind, .forward))
        case FrontendMessage.describe: return owe(server, Reply(.describe, .forward))
        case FrontendMessage.execute: return owe(server, Reply(.execute, .forward))
        default: return owe(server, Reply(.close, .forward))
        }
    }

    /// Whether an extended message must not be sent behind a prelude whose success is not known, where
    /// prepared statements are the client's own: a Parse that could end a transaction, or a Bind of what is
    /// not known here.
    @inline(never)
    private mutating func waitForPrelude(
        _ client: Handle<Client>, _ type: UInt8, _ bytes: RawSpan, _ offset: Int, _ total: Int
    ) -> Verdict? {
        guard type == FrontendMessage.parse || type == FrontendMessage.bind else { return nil }
        let there = min(total, bytes.byteCount - offset)
        guard there >= min(total, 256) else { return .need(min(total, 256)) }
        guard let first = zero(bytes, offset + 5, offset + there) else { return holdForPrelude(client) }
        if type == FrontendMessage.parse {
            let text = bytes.extracting((first + 1)..<(offset + there))
            return canEndTransaction(text: text) ? holdForPrelude(client) : nil
        }
        let isUnnamed =
            unsafe first + 1 < offset + there
            && bytes.unsafeLoad(fromByteOffset: first + 1, as: UInt8.self) == 0
        return isUnnamed ? nil : holdForPrelude(client)
    }

    /// PostgreSQL eats a message of any other type together with the COPY that it ends, and which of those
    /// behind it cannot be told from here.
    @inline(never)
    private func isAllowedInCopy(_ type: UInt8, _ server: Handle<Server>) -> Bool {
        switch type {
        case FrontendMessage.copyData, FrontendMessage.copyDone, FrontendMessage.copyFail,
            FrontendMessage.flush, FrontendMessage.sync, FrontendMessage.terminate:
            true
        default:
            clients[servers[server].client].replication != .none
                || servers[server].replies.all(in: replies).contains { $0.kind == .copyEnd }
        }
    }

    private mutating func query(
        _ client: Handle<Client>, _ server: Handle<Server>, _ bytes: RawSpan, _ offset: Int, _ total: Int
    ) -> Verdict {
        if hot.disablesQuery {
            failQuery(client)
            return .closed
        }
        if servers[server].skipsUntilSync { return .forward }
        if servers[server].preludeReplies > 0 {
            let there = min(total, bytes.byteCount - offset)
            guard there >= min(total, 64) else { return .need(min(total, 64)) }
            if canEndTransaction(text: bytes.extracting((offset + 5)..<(offset + there))) {
                clients[client].awaitsPrelude = true
                return .hold
            }
        }
        if bytes.byteCount - offset > 24,
            unsafe bytes.unsafeLoad(fromByteOffset: offset + 5, as: UInt8.self) | 0x20 == UInt8(ascii: "d")
        {
            noteDrop(bytes.extracting((offset + 5)..<min(offset + total, bytes.byteCount)))
        }
        var reply = Reply(.query, .forward)
        // A simple query destroys the unnamed statement, also one that a skipped message will give back.
        if clients[client].unnamedStatement != 0 || clients[client].hasUnnamedOnServer
            || isInDoubt(clients[client].unnamedGroup, on: server)
        {
            changeUnnamed(client, server, to: 0, isOnServer: false, by: &reply)
        }
        return endGroup(server, reply)
    }

    /// Notes what the server will owe for a message that ends in ReadyForQuery.
    @inline(__always)
    private mutating func endGroup(_ server: Handle<Server>, _ reply: Reply) -> Verdict {
        var reply = reply
        reply.group = servers[server].syncGroup
        if reply.kind != .sync { servers[server].unsettlingGroup = servers[server].syncGroup }
        servers[server].needsSync = false
        servers[server].syncGroup &+= 1
        return owe(server, reply)
    }

    /// Notes what the server will owe for a message that goes to it.
    mutating func owe(_ server: Handle<Server>, _ reply: Reply) -> Verdict {
        guard servers[server].replies.append(reply, in: &replies) else {
            // The memory for replies is used up: the client has more requests in flight than all together
            // may.
            letGo(of: reply)
            failTooMany(servers[server].client, limit: replies.capacity * ReplyChunk.capacity)
            return .closed
        }
        return .forward
    }

    /// Counts the beginning of a query, and of a transaction when none is open.
    private mutating func beginRequest(_ client: Handle<Client>) {
        guard clients[client].queryStart == 0 else { return }
        let pool = clients[client].pool
        clients[client].queryStart = now
        pools[pool].counters.add(.queries, 1)
        if clients[client].transactionStart == 0 {
            clients[client].transactionStart = now
            pools[pool].counters.add(.transactions, 1)
        }
    }

    /// Puts the times of what a client has under way, and will not see the end of, into the histograms: every
    /// query and transaction that was counted is there once. The totals leave such times out, as PgBouncer's.
    @inline(never)
    mutating func abandonRequest(_ client: Handle<Client>) {
        let pool = clients[client].pool
        if clients[client].queryStart != 0 {
            let time = (now &- clients[client].queryStart) / 1000
            pools[pool].counters.record(.query, microseconds: time)
            clients[client].queryStart = 0
        }
        if clients[client].transactionStart != 0 {
            let time = (now &- clients[client].transactionStart) / 1000
            pools[pool].counters.record(.transaction, microseconds: time)
            clients[client].transactionStart = 0
        }
    }

    /// Whether prepared statements of this client are kept by us, so that they follow it from server to
    /// server.
    @inline(__always)
    func isVirtual(_ client: Handle<Client>) -> Bool {
        hot.maxPreparedStatements > 0 && pools[clients[client].pool].settings.poolMode != .session
            && clients[client].replication == .none
    }
}
