import Auth
import Base
import Config
public import SharedState
import Wire

/// The rows of the console's tables that this worker knows. The supervisor merges them over workers.
extension PoolCore {
    /// Appends this worker's rows of one kind, with the columns of the console's table of that kind.
    public func appendRows(_ kind: RowsKind, to rows: inout RowWriter) {
        switch kind {
        case .clients: appendClients(&rows)
        case .servers: appendServers(&rows)
        case .pools: appendPools(&rows)
        case .databases: appendDatabases(&rows)
        case .users: appendUsers(&rows)
        case .lists: appendLists(&rows)
        case .peers: appendPeers(&rows)
        case .peerPools: appendPeerPools(&rows)
        case .memory: appendMemory(&rows)
        case .waiters: appendWaiters(&rows)
        // The worker's own.
        case .worker: break
        }
    }

    /// Appends the row of SHOW WORKERS, which the loop's kind completes.
    public func appendWorker(ioBackend: String, to rows: inout RowWriter) {
        var (waiting, idle) = (0, 0)
        var logins = strangers.count
        for slot in 0..<clients.slotLimit {
            guard let client = clients.handle(at: slot) else { continue }
            switch clients[client].state {
            case .waiting, .waitingForWelcome: waiting += 1
            case .waitingForLookup, .lookingUp: logins += 1
            case .startup, .authenticating, .idle, .linked, .relayed, .cancelling, .moving, .waitingForPeer:
                break
            }
        }
        for slot in 0..<pools.slotLimit {
            if let pool = pools.handle(at: slot) { idle += pools[pool].count(Server.State.idle) }
        }
        rows.beginRow(fieldCount: 10)
        for number in [identity.index, clients.count - logins, logins, waiting, servers.count, idle] {
            rows.append(number)
        }
        rows.append(pools.count)
        rows.append(ioBackend)
        rows.append(loginsFailed)
        rows.append(loginsRefused)
    }

    // MARK: Connections

    private func appendClients(_ rows: inout RowWriter) {
        for slot in 0..<clients.slotLimit {
            guard let client = clients.handle(at: slot) else { continue }
            let state: String
            switch clients[client].state {
            case .startup, .authenticating: continue
            case .idle: state = "idle"
            case .moving: state = clients[client].server.isNone ? "idle" : "active"
            case .waiting, .waitingForWelcome, .waitingForLookup: state = "waiting"
            case .linked, .relayed, .lookingUp: state = "active"
            case .cancelling: state = "active_cancel_req"
            case .waitingForPeer: state = "waiting_cancel_req"
            }
            let origin = clientOrigins[client]
            let begin = clients[client].queryStart
            let database = clients[client].database
            rows.beginRow(fieldCount: 21)
            rows.append("C")
            let login = clients[client].isBeingLookedUp ? clientLogins[client] : nil
            rows.append(
                clients[client].user >= 0
                    ? users[Int(clients[client].user)].name : login?.userName ?? Array("(nouser)".utf8))
            if let login {
                rows.append(login.databaseName)
            } else if clients[client].state == .relayed {
                rows.append("pgbouncer")
            } else {
                rows.append(database >= 0 ? databases[Int(database)].name : Array("(nodb)".utf8))
            }
            rows.append(PoolCore.text(clients[client].replication))
            rows.append(state)
            rows.append(origin?.address ?? "")
            rows.append(origin?.port ?? 0)
            rows.append(origin?.localAddress ?? "")
            rows.append(origin?.localPort ?? 0)
            rows.append(wallText(clients[client].connectedAtWall))
            rows.append(begin == 0 ? wallText(clients[client].connectedAtWall) : wallText(begin, now))
            let wait = begin == 0 ? 0 : (now &- begin) / 1000
            rows.append(wait / 1_000_000)
            rows.append(wait % 1_000_000)
            rows.append(0)
            rows.append("C-\(clients[client].id)")
            let server = clients[client].server
            rows.append(servers.contains(server) ? "S-\(servers[server].id)" : "")
            rows.append(Int(origin?.peerProcessID ?? 0) > 0 ? Int(origin?.peerProcessID ?? 0) : 0)
            rows.append(clientEncryptions[client]?.description ?? "")
            appendApplicationName(clients[client].parameters, &rows)
            rows.append(Int(clients[client].statements.count))
            rows.append(clients[client].id)
        }
    }

    private func appendServers(_ rows: inout RowWriter) {
        for slot in 0..<servers.slotLimit {
            guard let server = servers.handle(at: slot) else { continue }
            // One that another worker has taken is shown there.
            if let ticket = servers[server].ticket, ledger.outcome(ticket) == .taken { continue }
            let pool = servers[server].pool
            let address = serverAddresses[server]
            rows.beginRow(fieldCount: 21)
            rows.append("S")
            let isPeer = pools[pool].isPeer
            rows.append(isPeer ? Array("(nouser)".utf8) : users[Int(pools[pool].user)].name)
            rows.append(isPeer ? Array("(nodb)".utf8) : databases[Int(pools[pool].database)].name)
            let client = servers[server].client
            let replication =
                servers[server].isReplication && clients.contains(client)
                ? clients[client].replication : .none
            rows.append(PoolCore.text(replication))
            rows.append(stateText(server))
            rows.append(address?.remote ?? "")
            rows.append(address?.port ?? 0)
            rows.append(address?.local ?? "")
            rows.append(address?.localPort ?? 0)
            rows.append(wallText(servers[server].connectedAtWall))
            let begin = servers[server].requestStart
            rows.append(begin == 0 ? wallText(servers[server].connectedAtWall) : wallText(begin, now))
            let wait = servers[server].state == .linked && begin > 0 ? (now &- begin) / 1000 : 0
            rows.append(wait / 1_000_000)
            rows.append(wait % 1_000_000)
            rows.append(servers[server].needsClose)
            rows.append("S-\(servers[server].id)")
            rows.append(clients.contains(client) ? "C-\(clients[client].id)" : "")
            rows.append(Int(servers[server].processID))
            rows.append(address?.encryption ?? "")
            appendApplicationName(servers[server].parameters, &rows)
            rows.append(Int(servers[server].statements.count))
            rows.append(servers[server].id)
        }
    }

    private func stateText(_ server: Handle<Server>) -> String {
        switch servers[server].state {
        case .connecting, .startup: "new"
        case .idle: isUsed(server) ? "used" : "idle"
        case .lending: "idle"
        case .tested: "tested"
        case .linked, .lookingUp: "active"
        case .cancelling: "active_cancel"
        case .beingCancelled: "being_canceled"
        }
    }

    /// Idle for so long that it is checked before the next use.
    private func isUsed(_ server: Handle<Server>) -> Bool {
        hot.checksBeforeUse && now &- servers[server].lastActivity >= hot.checkDelay
    }

    func appendApplicationName(_ set: ParameterSetID, _ rows: inout RowWriter) {
        rows.append(bytes[parameters.values(set)[Parameters.applicationNameIndex]])
    }

    private static func text(_ replication: Replication) -> String {
        switch replication {
        case .none: "none"
        case .physical: "physical"
        case .logical: "logical"
        }
    }

    // MARK: Pools, databases, users

    private func appendPools(_ rows: inout RowWriter) {
        for slot in 0..<pools.slotLimit {
            guard let pool = pools.handle(at: slot), !pools[pool].isPeer else { continue }
            let database = databases[Int(pools[pool].database)]
            var used = 0
            for serverSlot in 0..<servers.slotLimit {
                guard let server = servers.handle(at: serverSlot), servers[server].pool == pool,
                    servers[server].state == .idle
                else { continue }
                if isUsed(server) { used += 1 }
            }
            rows.beginRow(fieldCount: 17)
            rows.append(database.name)
            rows.append(users[Int(pools[pool].user)].name)
            rows.append(pools[pool].activeClientCount)
            rows.append(pools[pool].waitingClientCount)
            rows.append(pools[pool].count(Server.State.cancelling))
            rows.append(0)
            rows.append(pools[pool].activeServerCount)
            rows.append(pools[pool].count(Server.State.cancelling))
            rows.append(pools[pool].count(Server.State.beingCancelled))
            rows.append(pools[pool].count(Server.State.idle) - used)
            rows.append(used)
            rows.append(pools[pool].count(Server.State.tested))
            rows.append(pools[pool].loginCount)
            let first = pools[pool].waiters.first
            let wait = first.isNone ? 0 : (now &- clients[first].waitStart) / 1000
            rows.append(wait / 1_000_000)
            rows.append(wait % 1_000_000)
            rows.append(pools[pool].settings.poolMode.rawValue)
            appendBalance(database.definition, &rows)
        }
    }

    private func appendBalance(_ definition: DatabaseDefinition, _ rows: inout RowWriter) {
        if definition.hosts.count > 1 {
            rows.append(definition.loadBalanceHosts.rawValue)
        } else {
            rows.appendNull()
        }
    }

    private func appendDatabases(_ rows: inout RowWriter) {
        for database in databases where !database.isRemoved && database.peer == 0 {
            let definition = database.definition
            let settings = configuration.settings
            rows.beginRow(fieldCount: 17)
            rows.append(database.name)
            appendOptional(
                definition.hosts.isEmpty ? nil : definition.hosts.map(\.text).joined(separator: ","), &rows)
            rows.append(definition.port)
            rows.append(definition.serverDatabaseName)
            appendOptional(definition.user, &rows)
            rows.append(definition.poolSize.map(Int.init) ?? settings.defaultPoolSize)
            rows.append(definition.minPoolSize.map(Int.init) ?? settings.minPoolSize)
            rows.append(definition.reservePoolSize.map(Int.init) ?? settings.reservePoolSize)
            rows.append(
                (definition.serverLifetimeNanoseconds ?? settings.serverLifetimeNanoseconds) / 1_000_000_000)
            appendOptional(definition.poolMode?.rawValue, &rows)
            appendBalance(definition, &rows)
            rows.append(definition.maxDatabaseConnections.map(Int.init) ?? settings.maxDatabaseConnections)
            rows.append(database.serverCount)
            rows.append(
                definition.maxDatabaseClientConnections.map(Int.init) ?? settings.maxDatabaseClientConnections
            )
            rows.append(database.clientCount)
            rows.append(database.isHeld)
            rows.append(database.isDisabled)
        }
    }

    private func appendUsers(_ rows: inout RowWriter) {
        for user in users where user.isKnown || user.serverCount > 0 || user.clientCount > 0 {
            // Connections to peers are nobody's.
            guard user.isKnown || !user.name.isEmpty else { continue }
            let definition = userDefinitions[user.name]
            rows.beginRow(fieldCount: 8)
            rows.append(user.name)
            rows.append(PoolCore.sizeText(definition?.poolSize))
            rows.append(PoolCore.sizeText(definition?.reservePoolSize))
            appendOptional(definition?.poolMode?.rawValue, &rows)
            rows.append(
                definition?.maxUserConnections.map(Int.init) ?? configuration.settings.maxUserConnections)
            rows.append(user.serverCount)
            rows.append(
                definition?.maxUserClientConnections.map(Int.init)
                    ?? configuration.settings.maxUserClientConnections)
            rows.append(user.clientCount)
        }
    }

    private func appendPeers(_ rows: inout RowWriter) {
        for peer in configuration.peers {
            rows.beginRow(fieldCount: 4)
            rows.append(Int(peer.id))
            appendOptional(peer.host?.text, &rows)
            rows.append(peer.port)
            rows.append(peer.poolSize.map(Int.init) ?? configuration.settings.defaultPoolSize)
        }
    }

    private func appendPeerPools(_ rows: inout RowWriter) {
        for slot in 0..<pools.slotLimit {
            guard let pool = pools.handle(at: slot), pools[pool].isPeer else { continue }
            rows.beginRow(fieldCount: 5)
            rows.append(Int(databases[Int(pools[pool].database)].peer))
            rows.append(pools[pool].count(Client.State.cancelling))
            rows.append(pools[pool].count(Client.State.waitingForPeer))
            rows.append(pools[pool].count(Server.State.cancelling))
            rows.append(pools[pool].loginCount)
        }
    }

    private func appendOptional(_ text: String?, _ rows: inout RowWriter) {
        if let text { rows.append(text) } else { rows.appendNull() }
    }

    /// PgBouncer shows these two as text, right-aligned in nine columns.
    private static func sizeText(_ size: UInt32?) -> String {
        guard let size else { return "" }
        let digits = String(size)
        return String(repeating: " ", count: max(0, 9 - digits.count)) + digits
    }

    private func appendLists(_ rows: inout RowWriter) {
        var loginClients = 0
        var idleServers = 0
        for slot in 0..<clients.slotLimit {
            guard let client = clients.handle(at: slot) else { continue }
            switch clients[client].state {
            case .startup, .authenticating, .waitingForLookup, .lookingUp: loginClients += 1
            case .idle, .waiting, .waitingForWelcome, .linked, .relayed, .cancelling, .moving,
                .waitingForPeer:
                continue
            }
        }
        for slot in 0..<servers.slotLimit {
            guard let server = servers.handle(at: slot), servers[server].state == .idle else { continue }
            idleServers += 1
        }
        // What every worker knows alike is counted once, by the first.
        let isFirst = identity.index == 0
        let items: [(String, Int)] = [
            ("databases", isFirst ? databases.count { !$0.isRemoved && $0.peer == 0 } : 0),
            ("users", isFirst ? users.count { $0.isKnown } : 0),
            ("peers", isFirst ? configuration.peers.count : 0),
            ("free_clients", 0),
            ("used_clients", clients.count - loginClients), ("login_clients", loginClients),
            ("free_servers", idleServers), ("used_servers", servers.count - idleServers), ("dns_names", 0),
            ("dns_zones", 0), ("dns_queries", 0), ("dns_pending", 0),
        ]
        for (name, count) in items {
            rows.beginRow(fieldCount: 2)
            rows.append(name)
            rows.append(count)
        }
    }

    // MARK: Times

    /// A point on the loop clock as wall-clock text.
    private func wallText(_ time: UInt64, _ now: UInt64) -> String {
        wallText(wallClock &- (now &- time) / 1000)
    }

    /// Microseconds since 1970 as `YYYY-MM-DD HH:MM:SS TZ`.
    private func wallText(_ microseconds: UInt64) -> String {
        let seconds = Int(microseconds / 1_000_000) + identity.timeZoneOffsetSeconds
        let days = seconds / 86_400
        let rest = seconds % 86_400
        // Days since 0000-03-01, in eras of 400 years (Howard Hinnant, "chrono-compatible date algorithms").
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthIndex = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthIndex + 2) / 5 + 1
        let month = monthIndex < 10 ? monthIndex + 3 : monthIndex - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return
            "\(year)-\(two(month))-\(two(day)) \(two(rest / 3600)):\(two(rest / 60 % 60)):\(two(rest % 60)) "
            + identity.timeZoneName
    }
}
