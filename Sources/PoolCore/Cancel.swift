import Auth
import Base
import Config
import SharedState
import Wire

/// What another worker's cancel request is answered with.
public struct CancelTicket: BitwiseCopyable, Equatable, Sendable {
    /// The index of that worker.
    public let worker: Int
    /// What means the request to that worker.
    public let number: UInt64

    /// A ticket as it came.
    public init(worker: Int, number: UInt64) {
        self.worker = worker
        self.number = number
    }
}

/// Cancel requests: from a key to the server that runs its owner's query, and nowhere else.
extension PoolCore {
    /// A connection brought a cancel key instead of logging in.
    ///
    /// It is closed without an answer when the request has reached PostgreSQL, which is what libpq waits for.
    mutating func cancelArrived(_ requester: Handle<Client>, _ processID: Int32, _ secret: RawSpan) {
        if passOn(requester, processID, secret) { return }
        if startCancel(processID, secret, for: requester, nil) { return }
        let start = output.count
        output.append(bigEndian: processID)
        output.append(secret)
        moveClient(requester, to: .cancelling)
        scheduleUpkeep(within: PoolCore.busyUpkeep)
        actions.append(.broadcastCancel(requester, offset: start, count: output.count - start))
    }

    /// The key has been sent to the other workers; there may be none.
    mutating func cancelBroadcast(_ requester: Handle<Client>, _ workers: Int) {
        guard clients.contains(requester), clients[requester].state == .cancelling else { return }
        clients[requester].awaitedAnswers = UInt16(clamping: workers)
        if workers == 0 { closeClient(requester, .now, reason: "") }
    }

    /// Another worker has passed the request on to PostgreSQL, or has nothing to cancel.
    mutating func cancelAnswered(_ requester: Handle<Client>, _ isFound: Bool) {
        // The ticket may be a predecessor's of this worker.
        guard clients.contains(requester), clients[requester].awaitedAnswers > 0 else { return }
        clients[requester].awaitedAnswers -= 1
        if isFound || clients[requester].awaitedAnswers == 0 { closeClient(requester, .now, reason: "") }
    }

    /// Another worker has a cancel key it does not know.
    mutating func cancelRequested(_ key: [UInt8], _ ticket: CancelTicket) {
        var isFound = false
        if key.count >= 8 {
            let span = unsafe key.span.bytes
            let processID = unsafe Int32(bigEndian: span.unsafeLoadUnaligned(as: Int32.self))
            isFound = startCancel(processID, span.extracting(4..<key.count), for: .none, ticket)
        }
        if !isFound { actions.append(.answerCancel(ticket, isFound: false)) }
    }

    /// Sends a cancel request on for the client whose key this is. True when it is one of this worker's.
    private mutating func startCancel(
        _ processID: Int32, _ secret: RawSpan, for requester: Handle<Client>, _ ticket: CancelTicket?
    ) -> Bool {
        guard let client = owner(processID, secret) else { return false }
        if clients[client].state == .waiting, clients[client].replication == .none { cancelWaiting(client) }
        if clients[client].state == .linked {
            let target = clients[client].server
            let pool = servers[target].pool
            let cancelling = pools[pool].count(Server.State.cancelling)
            let limit = max(2, 2 * Int(pools[pool].settings.poolSize))
            if cancelling < limit, openCancel(target, requester, ticket) {
                if !requester.isNone { moveClient(requester, to: .cancelling) }
                return true
            }
        }
        if !requester.isNone { closeClient(requester, .now, reason: "") }
        if let ticket { actions.append(.answerCancel(ticket, isFound: true)) }
        return true
    }

    /// A client's request is cancelled before it has a server: it is answered as PostgreSQL would answer it,
    /// and what belongs to it is thrown away.
    private mutating func cancelWaiting(_ client: Handle<Client>) {
        moveClient(client, to: .idle)
        clients[client].isCancelled = true
        clients[client].isGroupCancelled = false
        abandonRequest(client)
        let start = output.count
        output.appendErrorResponse(.error, .queryCanceled, "canceling statement due to user request")
        send(clients[client].connection, from: start)
        resume(client)
    }

    /// A message of a request that was cancelled while it waited: the one that ends it is answered.
    @inline(never)
    mutating func cancelledMessage(_ client: Handle<Client>, _ type: UInt8) -> Verdict {
        switch type {
        case FrontendMessage.terminate:
            closeAtRequest(client)
            return .closed
        case FrontendMessage.query, FrontendMessage.functionCall:
            if clients[client].isGroupCancelled { return .discard }
        case FrontendMessage.sync:
            break
        default:
            clients[client].isGroupCancelled = true
            return .discard
        }
        clients[client].isCancelled = false
        let start = output.count
        output.appendReadyForQuery(.idle)
        send(clients[client].connection, from: start)
        return .discard
    }

    /// The client that was given this key; none that is on its way to another worker, which may have taken it
    /// long ago: nothing of it runs here. O(clients).
    private func owner(_ processID: Int32, _ secret: RawSpan) -> Handle<Client>? {
        // A peer that has passed the request on has counted that in the last byte.
        let ignored = configuration.settings.peerID > 0 ? PoolCore.hopBits : 0
        for slot in 0..<clients.slotLimit {
            guard let client = clients.handle(at: slot), clients[client].processID == processID,
                processID != 0, clients[client].state != .moving, secret.byteCount == secretByteCount(client)
            else { continue }
            var difference: UInt8 = 0
            for offset in 0..<secret.byteCount {
                let byte = unsafe secret.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
                let isLast = offset == secret.byteCount - 1
                difference |= (byte ^ clients[client].secret[offset]) & ~(isLast ? ignored : 0)
            }
            if difference == 0 { return client }
        }
        return nil
    }

    /// How long the secret part of a client's cancel key is.
    func secretByteCount(_ client: Handle<Client>) -> Int { clients[client].hasLongKey ? 32 : 4 }

    private mutating func openCancel(
        _ target: Handle<Server>, _ requester: Handle<Client>, _ ticket: CancelTicket?
    ) -> Bool {
        guard let server = addMessenger(servers[target].pool, for: requester) else { return false }
        servers[server].host = servers[target].host
        servers[server].cancels = target
        servers[server].cancelTicket = ticket
        servers[target].cancelsInFlight &+= 1
        return true
    }

    /// Makes the record of a connection that carries a cancel request, and has the worker connect it; `nil`
    /// when there is no room.
    mutating func addMessenger(_ pool: Handle<Pool>, for requester: Handle<Client>) -> Handle<Server>? {
        guard let server = servers.insert(Server(id: segment.nextConnectionId(), pool: pool)) else {
            return nil
        }
        count(server, in: pool)
        servers[server].connectedAt = now
        servers[server].connectedAtWall = wallClock
        servers[server].client = requester
        scheduleUpkeep(within: PoolCore.busyUpkeep)
        actions.append(.connect(server))
        return server
    }

    /// The connection for a cancel request is open: the request goes out, and PostgreSQL or the peer closes
    /// when it is done.
    mutating func sendCancel(_ server: Handle<Server>) {
        let target = servers[server].isForwarding ? server : servers[server].cancels
        if servers[server].state != .cancelling { moveServer(server, to: .cancelling) }
        guard servers.contains(target) else { return cancelDelivered(server) }
        // While a prelude runs the client's own query has not begun, and it is that which is to be hit.
        guard servers[target].preludeReplies == 0 else { return }
        servers[server].isCancelSent = true
        let start = output.count
        let secret = servers[target].secret
        var key = ByteBuffer(capacity: 64)
        key.append(bigEndian: secret)
        output.appendCancelRequest(processID: servers[target].processID, key: key.bytes)
        send(servers[server].connection, from: start)
    }

    /// The prelude of a server is over, or the server is: requests that waited for that go on.
    @inline(never)
    mutating func releaseHeldCancels(of target: Handle<Server>) {
        for slot in 0..<servers.slotLimit {
            guard let server = servers.handle(at: slot), servers[server].state == .cancelling,
                servers[server].cancels == target, !servers[server].isCancelSent
            else { continue }
            sendCancel(server)
        }
    }

    /// The request has been delivered, or cannot be: the server it was for may be used again.
    mutating func cancelDelivered(_ server: Handle<Server>) {
        let target = servers[server].cancels
        let requester = servers[server].client
        if let ticket = servers[server].cancelTicket { actions.append(.answerCancel(ticket, isFound: true)) }
        servers[server].client = .none
        servers[server].cancels = .none
        servers[server].cancelTicket = nil
        closeServer(server, reason: "cancel request done")
        if !requester.isNone, clients.contains(requester) { closeClient(requester, .now, reason: "") }
        guard servers.contains(target), servers[target].cancelsInFlight > 0 else { return }
        servers[target].cancelsInFlight &-= 1
        if servers[target].cancelsInFlight == 0, servers[target].state == .beingCancelled { takeBack(target) }
    }
}
