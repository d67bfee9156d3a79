import SharedState

/// The tables made of rows that workers send.
struct RowsTables {
    /// The user, database and pool of the console itself.
    static let consoleName = Array(ConsoleSession.databaseName.utf8)

    let collected: CollectedRows
    /// Writes microseconds since 1970 as the machine's local time, `YYYY-MM-DD HH:MM:SS TZ`.
    let formatTime: (UInt64) -> String
    /// Answers that could not be read to their end.
    private(set) var badSourceCount = 0

    init(_ collected: CollectedRows, formatTime: @escaping (UInt64) -> String) {
        self.collected = collected
        self.formatTime = formatTime
    }

    /// The table of a command, or `nil` when it is not made of rows.
    mutating func table(_ command: ShowCommand) -> ConsoleTable? {
        let rows: [[[UInt8]?]]
        switch command {
        case .clients: rows = connections(.clients)
        case .servers: rows = connections(.servers)
        case .pools: rows = merged(.pools)
        case .databases: rows = merged(.databases)
        case .users: rows = users()
        case .lists: rows = lists()
        case .peers: rows = merged(.peers)
        case .peerPools: rows = merged(.peerPools)
        case .sockets: rows = SocketsTable.rows(connections(.clients) + connections(.servers))
        case .mem: rows = merged(.memory)
        case .workers: rows = WorkersTable.rows(collected.workers, received(.worker), formatTime)
        case .waiters: rows = waiters()
        case .help, .config, .version, .stats, .totals, .state, .statsTotals, .statsAverages, .fds,
            .activeSockets, .dnsHosts, .dnsZones, .reload, .latency, .history, .histograms:
            return nil
        }
        return ConsoleTable(columns: command.columns, rows: rows)
    }

    /// Rows of connections, ordered by pool, with readable times.
    private mutating func connections(_ kind: RowsKind) -> [[[UInt8]?]] {
        let columns = kind.columns
        guard let user = columns.firstIndex(of: "user"), let database = columns.firstIndex(of: "database")
        else { return [] }
        let times = columns.indices.filter { columns[$0].hasSuffix("_time") }
        let rows = RowsMerge.sorted(received(kind)) { [$0[database] ?? [], $0[user] ?? []] }
        return rows.map { row in
            var row = row
            for index in times {
                guard let field = row[index], let time = UInt64(String(decoding: field, as: UTF8.self))
                else { continue }
                row[index] = Array(formatTime(time).utf8)
            }
            return row
        }
    }

    /// Who waits, longest first, with the clients whose servers they wait for.
    private mutating func waiters() -> [[[UInt8]?]] {
        let links = received(.servers)
        let columns = RowsKind.servers.columns
        guard let user = columns.firstIndex(of: "user"), let database = columns.firstIndex(of: "database"),
            let link = columns.firstIndex(of: "link")
        else { return [] }
        let rows = received(.waiters).sorted { RowsMerge.number($0[6]) > RowsMerge.number($1[6]) }
        return rows.map { row in
            let holders = links.filter {
                // A limit of the database or of the user is held by servers of other pools too.
                let limit = String(decoding: row[7] ?? [], as: UTF8.self)
                let isHere = $0[database] == row[1] || limit == "max_user_connections"
                let isTheirs = $0[user] == row[2] || limit == "max_db_connections"
                return isHere && isTheirs && $0[link]?.isEmpty == false
            }
            let names = holders.prefix(10).map { String(decoding: $0[link] ?? [], as: UTF8.self) }
            let rest = holders.count > names.count ? " and \(holders.count - names.count) more" : ""
            return row + [Array((names.joined(separator: ", ") + rest).utf8)]
        }
    }

    private mutating func merged(_ kind: RowsKind) -> [[[UInt8]?]] {
        var rows: [[[UInt8]?]] = []
        if let own = consoleRow(kind) { rows.append(own) }
        return RowsMerge.merge(rows + received(kind), kind.merge)
    }

    private mutating func received(_ kind: RowsKind) -> [[[UInt8]?]] {
        let received = collected.rows(kind, fieldCount: kind.columns.count)
        badSourceCount += received.badSources
        return received.rows
    }

    /// Sizes to the right of nine places, as PgBouncer prints them; empty where none is set.
    private mutating func users() -> [[[UInt8]?]] {
        merged(.users).map { row in
            var row = row
            for index in 1...2 {
                let size = row[index] ?? []
                let padding = size.isEmpty ? 0 : max(0, 9 - size.count)
                row[index] = [UInt8](repeating: 0x20, count: padding) + size
            }
            return row
        }
    }

    private mutating func lists() -> [[[UInt8]?]] {
        var items: [String: Int] = [:]
        for row in merged(.lists) {
            items[String(decoding: row[0] ?? [], as: UTF8.self)] = RowsMerge.number(row[1])
        }
        items["databases"] = merged(.databases).count
        items["users"] = merged(.users).count
        items["pools"] = merged(.pools).count
        items["peer_pools"] = merged(.peerPools).count
        items["used_clients", default: 0] += collected.controlSessionCount
        let names = [
            "databases", "users", "peers", "pools", "peer_pools", "free_clients", "used_clients",
            "login_clients", "free_servers", "used_servers", "dns_names", "dns_zones", "dns_queries",
            "dns_pending",
        ]
        return names.map { [Array($0.utf8), Array(String(items[$0] ?? 0).utf8)] }
    }

    /// The console's own row of pools, databases and users.
    private func consoleRow(_ kind: RowsKind) -> [[UInt8]?]? {
        let sessions = String(collected.sessionCount)
        let name = ConsoleSession.databaseName
        let row: [String?]
        switch kind {
        case .clients, .servers, .lists, .peers, .peerPools, .worker, .memory, .waiters:
            return nil
        case .pools:
            row =
                [name, name, sessions] + [String?](repeating: "0", count: 12) + ["statement", nil]
        case .databases:
            row =
                [
                    name, nil, String(collected.listenPort), name, name, "2", "0", "0", "3600", "statement",
                    nil,
                ]
                + ["0", "0", "0", sessions, "0", "0"]
        case .users:
            row = [name, nil, nil, nil, "0", "0", "0", String(collected.controlSessionCount)]
        }
        return row.map { $0.map { Array($0.utf8) } }
    }
}
