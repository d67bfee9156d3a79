import Auth
import Base
import Config
import SharedState
import Wire

/// Cancel requests: from a key to the server that runs its owner's query, and nowhere else.
extension PoolCore {
    /// A connection brought a cancel key instead of logging in.
    ///
    /// It is closed without an answer when the request has reached PostgreSQL, which is what libpq waits for.
    mutating func cancelArrived(_ requester: Handle<Client>, _ processID: Int32, _ secret: RawSpan) {
        if startCancel(processID, secret, for: requester) { return }
        let start = output.count
        output.append(bigEndian: processID)
        output.append(secret)
        actions.append(.broadcastCancel(offset: start, count: output.count - start))
        closeClient(requester, .now, reason: "")
    }

    /// Another worker has a cancel key it does not know.
    mutating func cancelRequested(_ key: [UInt8]) {
        guard key.count >= 8 else { return }
        let span = unsafe key.span.bytes
        let processID = unsafe Int32(bigEndian: span.unsafeLoadUnaligned(as: Int32.self))
        _ = startCancel(processID, span.extracting(4..<key.count), for: .none)
    }

    /// Sends a cancel request on for the client whose key this is. True when it is one of this worker's.
    private mutating func startCancel(
        _ processID: Int32, _ secret: RawSpan, for requester: Handle<Client>
    ) -> Bool {
        guard let client = owner(processID, secret) else { return false }
        if clients[client].state == .linked {
            let target = clients[client].server
            let pool = servers[target].pool
            let cancelling = pools[pool].count(Server.State.cancelling)
            let limit = max(2, 2 * Int(pools[pool].settings.poolSize))
            // While a prelude runs the client's own query has not begun.
            if servers[target].preludeReplies == 0, cancelling < limit, openCancel(target, requester) {
                if !requester.isNone { moveClient(requester, to: .cancelling) }
                return true
            }
        }
        if !requester.isNone { closeClient(requester, .now, reason: "") }
        return true
    }

    /// The client that was given this key. O(clients).
    private func owner(_ processID: Int32, _ secret: RawSpan) -> Handle<Client>? {
        for slot in 0..<clients.slotLimit {
            guard let client = clients.handle(at: slot), clients[client].processID == processID,
                processID != 0, secret.byteCount == secretByteCount(client)
            else { continue }
            var difference: UInt8 = 0
            for offset in 0..<secret.byteCount {
                let byte = unsafe secret.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
                difference |= byte ^ clients[client].secret[offset]
            }
            if difference == 0 { return client }
        }
        return nil
    }

    /// How long the secret part of a client's cancel key is.
    func secretByteCount(_ client: Handle<Client>) -> Int { clients[client].hasLongKey ? 32 : 4 }

    private mutating func openCancel(_ target: Handle<Server>, _ requester: Handle<Client>) -> Bool {
        let pool = servers[target].pool
        guard let server = servers.insert(Server(id: segment.nextConnectionId(), pool: pool)) else {
            return false
        }
        pools[pool].serverCounts[Int(Server.State.connecting.rawValue)] &+= 1
        databases[Int(pools[pool].database)].serverCount += 1
        users[Int(pools[pool].user)].serverCount += 1
        servers[server].connectedAt = now
        servers[server].connectedAtWall = wallClock
        servers[server].host = servers[target].host
        servers[server].client = requester
        servers[server].cancels = target
        servers[target].cancelsInFlight &+= 1
        scheduleUpkeep(within: PoolCore.busyUpkeep)
        actions.append(.connect(server))
        return true
    }

    /// The connection for a cancel request is open: the request goes out, and PostgreSQL closes when it is
    /// done.
    mutating func sendCancel(_ server: Handle<Server>) {
        let target = servers[server].cancels
        moveServer(server, to: .cancelling)
        guard servers.contains(target) else { return cancelDelivered(server) }
        let start = output.count
        let secret = servers[target].secret
        var key = ByteBuffer(capacity: 64)
        key.append(bigEndian: secret)
        output.appendCancelRequest(processID: servers[target].processID, key: key.bytes)
        send(servers[server].connection, from: start)
    }

    /// The request has been delivered, or cannot be: the server it was for may be used again.
    mutating func cancelDelivered(_ server: Handle<Server>) {
        let target = servers[server].cancels
        let requester = servers[server].client
        servers[server].client = .none
        servers[server].cancels = .none
        closeServer(server, reason: "cancel request done")
        if !requester.isNone, clients.contains(requester) { closeClient(requester, .now, reason: "") }
        guard servers.contains(target), servers[target].cancelsInFlight > 0 else { return }
        servers[target].cancelsInFlight &-= 1
        if servers[target].cancelsInFlight == 0, servers[target].state == .beingCancelled { takeBack(target) }
    }
}
