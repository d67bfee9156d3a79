import Base
import Config
import SharedState

/// Rows about who waits, and about memory.
extension PoolCore {
    func appendWaiters(_ rows: inout RowWriter) {
        for slot in 0..<clients.slotLimit {
            guard let client = clients.handle(at: slot) else { continue }
            let since: UInt64
            switch clients[client].state {
            case .waiting, .waitingForLookup: since = clients[client].waitStart
            case .waitingForWelcome: since = clients[client].connectedAt
            case .startup, .authenticating, .idle, .linked, .relayed, .cancelling, .moving, .waitingForPeer,
                .lookingUp:
                continue
            }
            let pool = clients[client].pool
            let origin = clientOrigins[client]
            rows.beginRow(fieldCount: 10)
            rows.append(clients[client].id)
            rows.append(databases[Int(pools[pool].database)].name)
            rows.append(users[Int(pools[pool].user)].name)
            rows.append(origin?.address ?? "")
            rows.append(origin?.port ?? 0)
            appendApplicationName(clients[client].parameters, &rows)
            rows.append((now &- since) / 1000)
            rows.append(obstacle(of: pool))
            rows.append(ledger.serverCount(pools[pool].entry))
            rows.append(Int(pools[pool].settings.poolSize))
        }
    }

    /// What keeps the clients of a pool waiting, by the name of the setting or command that can change it.
    private func obstacle(of pool: Handle<Pool>) -> String {
        let settings = pools[pool].settings
        if isPaused(pool) { return "RESUME" }
        if pools[pool].hasFailed, now < pools[pool].retryAt { return "server_login_retry" }
        if pools[pool].loginCount > 0 { return "server login" }
        let count = ledger.serverCount(pools[pool].entry)
        if settings.poolSize > 0, count >= Int(settings.poolSize) { return "pool_size" }
        if settings.maxDatabaseConnections > 0 { return "max_db_connections" }
        if settings.maxUserConnections > 0 { return "max_user_connections" }
        return "server login"
    }

    func appendMemory(_ rows: inout RowWriter) {
        func append(_ name: String, _ size: Int, used: Int, slots: Int) {
            rows.beginRow(fieldCount: 5)
            rows.append(name)
            for number in [size, used, slots - used, slots * size] { rows.append(number) }
        }
        append("user_cache", MemoryLayout<User>.stride, used: users.count, slots: users.count)
        append("db_cache", MemoryLayout<Database>.stride, used: databases.count, slots: databases.count)
        append("pool_cache", MemoryLayout<Pool>.stride, used: pools.count, slots: pools.slotLimit)
        append("server_cache", MemoryLayout<Server>.stride, used: servers.count, slots: servers.slotLimit)
        append("client_cache", MemoryLayout<Client>.stride, used: clients.count, slots: clients.slotLimit)
    }
}
