import Base
import Config
import SharedState

/// Cancel requests for the clients of other poolers: their keys tell whose they are.
///
/// The layout is PgBouncer's, so that both can stand side by side. Of a key's eight bytes the second and the
/// third are the `peer_id` of who gave it, the lower byte first, and the last two bits say how often the
/// request may still be passed on. The first bit is 0, and 45 are random. With `peer_id` 0 nothing of this
/// holds.
///
/// A peer is a database without clients, whose pool has connections that carry one request each.
extension PoolCore {
    /// The bits of a key's last byte that count hops; all set in a key as it is given.
    static var hopBits: UInt8 { 3 }

    /// Makes a client's key tell that it is ours; before the client is told it.
    mutating func signKey(of client: Handle<Client>) {
        let id = UInt32(configuration.settings.peerID)
        guard id > 0 else {
            // 0 is no process.
            clients[client].processID |= 1
            return
        }
        let random = UInt32(bitPattern: clients[client].processID) & 0x7F00_00FF
        clients[client].processID = Int32(bitPattern: random | (id & 0xFF) << 16 | (id >> 8) << 8)
        clients[client].secret[3] |= PoolCore.hopBits
        // Peers take keys of eight bytes only.
        clients[client].hasLongKey = false
    }

    /// Passes a cancel request on to the peer that gave the key. False when no other peer did.
    mutating func passOn(_ requester: Handle<Client>, _ processID: Int32, _ secret: RawSpan) -> Bool {
        guard configuration.settings.peerID > 0, secret.byteCount == 4 else { return false }
        let number = UInt32(bitPattern: processID)
        let id = UInt16((number >> 16 & 0xFF) | (number >> 8 & 0xFF) << 8)
        guard Int(id) != configuration.settings.peerID else { return false }
        let key = unsafe UInt32(bigEndian: secret.unsafeLoadUnaligned(as: UInt32.self))
        guard key & UInt32(PoolCore.hopBits) > 0 else {
            closeClient(requester, .now, reason: "cancel request has been passed on too often")
            return true
        }
        guard let peer = peerIndex[id], !databases[peer].isRemoved else {
            closeClient(requester, .now, reason: "cancel request for peer \(id), which is not in [peers]")
            return true
        }
        guard let pool = poolNumber(peer, userNumber([])) else {
            closeClient(requester, .now, reason: "cancel request for peer \(id): there are too many pools")
            return true
        }
        clients[requester].pool = pool
        // It will never have a key of its own.
        clients[requester].processID = processID
        clients[requester].shortSecret = key - 1
        clients[requester].waitStart = now
        moveClient(requester, to: .waitingForPeer)
        scheduleUpkeep(within: PoolCore.busyUpkeep)
        openServers(pool)
        return true
    }

    /// Opens a connection for each request that waits for a peer, as far as its `pool_size` allows.
    mutating func openToPeer(_ pool: Handle<Pool>) {
        let limits = ServerLimits(pool: Int(pools[pool].settings.poolSize), database: 0, user: 0)
        while !pools[pool].waiters.isEmpty {
            guard servers.count < servers.capacity, ledger.open(pools[pool].entry, limits) == nil else {
                return
            }
            let requester = pools[pool].waiters.first
            guard let server = addMessenger(pool, for: requester) else {
                preconditionFailure("there was room for it a moment ago")
            }
            servers[server].isCounted = true
            servers[server].isForwarding = true
            servers[server].processID = clients[requester].processID
            servers[server].secret = clients[requester].shortSecret
            moveClient(requester, to: .cancelling)
        }
    }

    /// Takes over `[peers]`. What is under way to a peer goes on; what waits for one that is gone is dropped.
    mutating func applyPeers() {
        for index in peerIndex.values { databases[index].isRemoved = true }
        for peer in configuration.peers {
            var definition = DatabaseDefinition(name: "peer \(peer.id)")
            definition.hosts = peer.host.map { [$0] } ?? []
            definition.port = peer.port
            definition.poolSize = peer.poolSize
            definition.minPoolSize = 0
            if let index = peerIndex[peer.id] {
                databases[index].definition = definition
                databases[index].isRemoved = false
                continue
            }
            var record = Database(name: Array(definition.name.utf8), definition: definition, isAuto: false)
            record.peer = peer.id
            record.lastUse = now
            peerIndex[peer.id] = databases.count
            databases.append(record)
        }
        for slot in 0..<clients.slotLimit {
            guard let client = clients.handle(at: slot), clients[client].state == .waitingForPeer,
                databases[Int(pools[clients[client].pool].database)].isRemoved
            else { continue }
            closeClient(client, .now, reason: "its peer is no longer in [peers]")
        }
    }
}
