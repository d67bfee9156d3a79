import Auth
import Base
import Config
import SharedState
import Wire

/// ReadyForQuery, and what the server reports of its parameters.
extension PoolCore {
    /// A ReadyForQuery at `offset`: the end of a request of the client's or of ours.
    mutating func readyForQuery(_ server: Handle<Server>, _ status: UInt8, _ offset: Int) -> Verdict {
        let type = BackendMessage.readyForQuery
        guard TransactionStatus(rawValue: status) != nil else {
            return firewall(server, type, "a transaction status that does not exist")
        }
        while !servers[server].replies.isEmpty, servers[server].replies.first(in: replies).kind == .copyEnd {
            drop(server)
        }
        guard !servers[server].replies.isEmpty else { return firewall(server, type, "ReadyForQuery unasked") }
        let head = servers[server].replies.first(in: replies)
        switch head.kind {
        case .query, .sync, .functionCall:
            break
        case .parse, .bind, .describe, .execute, .close, .copyEnd:
            return firewall(server, type, "ReadyForQuery before other replies it owes")
        }
        servers[server].status = status
        servers[server].isCopyingIn = false
        if servers[server].state == .tested {
            drop(server)
            if servers[server].replies.isEmpty { testEnded(server) }
            return servers.contains(server) ? .discard : .closed
        }
        guard servers[server].state == .linked else {
            return firewall(server, type, "ReadyForQuery while free")
        }
        if head.fate == .swallow {
            replyRun(server, offset)
            _ = finish(server, .discard)
            servers[server].preludeReplies &-= 1
            if servers[server].preludeReplies == 0 { preludeSucceeded(server) }
            return .discard
        }
        servers[server].settledGroup = head.group
        drop(server)
        let client = servers[server].client
        if status != TransactionStatus.idle.rawValue, clients[client].replication == .none,
            pools[servers[server].pool].settings.poolMode == .statement
        {
            // The client must not take its transaction block for accepted.
            replyRun(server, offset)
            fail(client, .server(.transactionBlockInStatementMode))
            return .closed
        }
        replyRun(server, offset + 6)
        requestEnded(server, status)
        return .replaced(count: 6)
    }

    /// The client has been sent a ReadyForQuery.
    private mutating func requestEnded(_ server: Handle<Server>, _ status: UInt8) {
        let client = servers[server].client
        let pool = servers[server].pool
        synthesiseReady(server)
        let isIdle = status == TransactionStatus.idle.rawValue
        if servers[server].replies.isEmpty {
            let counters = pools[pool].counters
            let queryTime = (now &- clients[client].queryStart) / 1000
            counters.add(.queryMicroseconds, queryTime)
            counters.record(.query, microseconds: queryTime)
            #if CANARY
                let start = clients[client].queryStart
                defer { if Canary.isPlanted(.deadlineLeftArmed) { clients[client].queryStart = start } }
            #endif
            clients[client].queryStart = 0
            if isIdle {
                let transactionTime = (now &- clients[client].transactionStart) / 1000
                counters.add(.transactionMicroseconds, transactionTime)
                counters.record(.transaction, microseconds: transactionTime)
                clients[client].transactionStart = 0
            }
        }
        if clients[client].awaitsReplies {
            // Not only when nothing is owed any more: PostgreSQL keeps replies to itself until the Sync that
            // stands behind the held message.
            clients[client].awaitsReplies = false
            return resume(client)
        }
        releaseIfDone(server)
    }

    /// Has the worker show the input it holds for a client.
    mutating func resume(_ client: Handle<Client>) {
        guard clients[client].isHeld else { return }
        clients[client].isHeld = false
        actions.append(.resume(clients[client].connection))
    }

    // MARK: Parameters

    /// A ParameterStatus: the server's parameters change, and its client's with them.
    @inline(never)
    mutating func parameterStatus(_ server: Handle<Server>, _ body: RawSpan) -> Verdict {
        guard let nameEnd = zero(body, 0, body.byteCount),
            let valueEnd = zero(body, nameEnd + 1, body.byteCount), valueEnd == body.byteCount - 1
        else {
            return firewall(server, BackendMessage.parameterStatus, "a broken ParameterStatus")
        }
        let isForClient = servers[server].state == .linked && !isSwallowing(server)
        guard let index = parameters.index(of: body.extracting(0..<nameEnd)) else {
            return isForClient ? .forward : .discard
        }
        let value = body.extracting((nameEnd + 1)..<valueEnd)
        servers[server].parameters = changed(servers[server].parameters, index, value)
        guard isForClient else { return .discard }
        let client = servers[server].client
        clients[client].parameters = changed(clients[client].parameters, index, value)
        return .forward
    }

    /// Whether what the server sends now answers a message of ours.
    private func isSwallowing(_ server: Handle<Server>) -> Bool {
        guard servers[server].preludeReplies == 0 else { return true }
        guard !servers[server].replies.isEmpty else { return false }
        return servers[server].replies.first(in: replies).fate == .swallow
    }

    /// The set that differs from `set` in one value. Takes over the reference to `set`.
    mutating func changed(_ set: ParameterSetID, _ index: Int, _ value: RawSpan) -> ParameterSetID {
        var values = parameters.values(set)
        let id = bytes.intern(value)
        guard values[index] != id else {
            bytes.release(id)
            return set
        }
        values[index] = id
        for other in 0..<Parameters.limit where other != index { bytes.retain(values[other]) }
        let result = parameters.intern(values, &bytes)
        parameters.release(set, &bytes)
        return result
    }

    /// Appends a ParameterStatus message for a tracked parameter.
    mutating func appendParameterStatus(_ index: Int, _ value: UInt32) {
        let message = output.beginMessage(BackendMessage.parameterStatus)
        output.append(parameters.names[index])
        output.append(UInt8(0))
        bytes.append(value, to: &output)
        output.append(UInt8(0))
        output.endMessage(at: message)
    }

    // MARK: Prelude

    /// Puts in front of the client's first message what makes the server's parameters those of the client.
    ///
    /// It costs no round trip and is fail-closed: the settings are made inside a transaction of their own, so
    /// that when one of them fails the session is left in a failed transaction, in which PostgreSQL rejects
    /// the client's message instead of running it under the wrong settings. The isolation level is given
    /// because the session's default could make a bare BEGIN wait.
    @inline(never)
    mutating func sendPrelude(_ client: Handle<Client>, _ server: Handle<Server>) {
        let wanted = parameters.values(clients[client].parameters)
        let has = parameters.values(servers[server].parameters)
        var differs = 0
        for index in 0..<Parameters.limit where wanted[index] != 0 && has[index] != 0 {
            if wanted[index] != has[index] { differs |= 1 << index }
        }
        guard differs != 0 else { return }
        let start = output.count
        var message = output.beginMessage(FrontendMessage.query)
        output.append("BEGIN ISOLATION LEVEL READ COMMITTED NOT DEFERRABLE;")
        let encoding = Parameters.clientEncodingIndex
        if differs & (1 << encoding) != 0 {
            appendSetting(encoding, wanted[encoding], isFirst: true)
            differs &= ~(1 << encoding)
            // What follows is read in the new encoding, which holds only from the next message on.
            output.append(UInt8(0))
            output.endMessage(at: message)
            push(server, Reply(.query, .swallow))
            servers[server].preludeReplies &+= 1
            message = output.beginMessage(FrontendMessage.query)
        }
        var isFirst = true
        for index in 0..<Parameters.limit where differs & (1 << index) != 0 {
            appendSetting(index, wanted[index], isFirst: isFirst)
            isFirst = false
        }
        output.append(isFirst ? "COMMIT" : ";COMMIT")
        output.append(UInt8(0))
        output.endMessage(at: message)
        send(servers[server].connection, from: start)
        push(server, Reply(.query, .swallow))
        servers[server].preludeReplies &+= 1
    }

    mutating func appendSetting(_ index: Int, _ value: UInt32, isFirst: Bool) {
        output.append(isFirst ? "SELECT pg_catalog.set_config('" : ",pg_catalog.set_config('")
        output.append(parameters.names[index])
        output.append("',")
        let text = [UInt8](copying: bytes[value])
        // Under the old standard_conforming_strings a backslash in a plain literal could mean either thing.
        output.append(text.contains(UInt8(ascii: "\\")) ? "E'" : "'")
        for byte in text {
            if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\\") { output.append(byte) }
            output.append(byte)
        }
        output.append("',false)")
    }

    /// The server has the client's parameters. Where it spells a value differently, the client is told.
    @inline(never)
    private mutating func preludeSucceeded(_ server: Handle<Server>) {
        if servers[server].cancelsInFlight > 0 { releaseHeldCancels(of: server) }
        let client = servers[server].client
        let believed = parameters.values(clients[client].parameters)
        let actual = parameters.values(servers[server].parameters)
        let start = output.count
        for index in 0..<Parameters.limit where actual[index] != 0 && believed[index] != actual[index] {
            appendParameterStatus(index, actual[index])
        }
        send(clients[client].connection, from: start)
        parameters.retain(servers[server].parameters)
        parameters.release(clients[client].parameters, &bytes)
        clients[client].parameters = servers[server].parameters
        if clients[client].awaitsPrelude {
            clients[client].awaitsPrelude = false
            resume(client)
        }
    }

    /// One of the client's parameters was refused: it is told PostgreSQL's reason, and both connections end,
    /// because the server is in a failed transaction with the client's request behind it.
    @inline(never)
    mutating func preludeFailed(_ server: Handle<Server>, _ body: RawSpan) {
        let client = servers[server].client
        guard let fields = try? ErrorFields(body) else {
            firewall(server, BackendMessage.errorResponse, "a broken ErrorResponse")
            return
        }
        let text = String(decodingBytes: fields.message)
        let state = fields.sqlState ?? .protocolViolation
        fail(client, .server(.invalidParameter(state, text)))
    }
}
