import SharedState
import Wire

extension ConsoleCommand {
    /// The columns of what it shows; `nil` when it shows nothing.
    var columns: [ConsoleColumn]? {
        switch self {
        case .show(let what): what.columns.isEmpty ? nil : what.columns
        case .showParameter(let parameter): [ConsoleColumn(parameter.rawValue, .text)]
        case .setParameter, .set, .reload, .pause, .resume, .suspend, .shutdown, .drain, .database,
            .killClient, .restart:
            nil
        }
    }
}

/// The columns of PgBouncer 1.26, in order. Tools find them by name, some by place.
extension ShowCommand {
    /// The columns of this table; none for what is not a table or not available.
    var columns: [ConsoleColumn] {
        switch self {
        case .stats:
            [ConsoleColumn("database", .text)] + ShowCommand.numerics(StatisticsColumns.stats)
        case .statsTotals:
            [ConsoleColumn("database", .text)] + ShowCommand.numerics(StatisticsColumns.totals)
        case .statsAverages:
            [ConsoleColumn("database", .text)] + ShowCommand.numerics(StatisticsColumns.averages)
        case .totals:
            [ConsoleColumn("name", .text), ConsoleColumn("value", .numeric)]
        case .latency:
            ["database", "user", "kind"].map { ConsoleColumn($0, .text) }
                + ShowCommand.numerics(LatencyColumns.latency)
        case .histograms: HistogramsTable.columns
        case .history:
            [ConsoleColumn("time", .text)]
                + ShowCommand.numerics(
                    ["microseconds"] + StatisticsColumns.totals + LatencyColumns.history)
        case .clients: ShowCommand.columns(.clients)
        case .servers: ShowCommand.columns(.servers)
        case .pools: ShowCommand.columns(.pools)
        case .databases: ShowCommand.columns(.databases)
        case .users: ShowCommand.columns(.users)
        case .lists: ShowCommand.columns(.lists)
        case .peers: ShowCommand.columns(.peers)
        case .peerPools: ShowCommand.columns(.peerPools)
        case .config:
            ["key", "value", "default", "changeable"].map { ConsoleColumn($0, .text) }
        case .version: [ConsoleColumn("version", .text)]
        case .state: [ConsoleColumn("key", .text), ConsoleColumn("value", .text)]
        case .sockets, .activeSockets:
            ShowCommand.columns(.clients) + SocketsTable.buffers.map { ConsoleColumn($0, .int4) }
        case .fds: PlainTables.descriptorColumns
        case .mem: ShowCommand.columns(.memory)
        case .dnsHosts:
            [
                ConsoleColumn("hostname", .text), ConsoleColumn("ttl", .int8), ConsoleColumn("addrs", .text),
            ]
        case .dnsZones:
            [
                ConsoleColumn("zonename", .text), ConsoleColumn("serial", .int8),
                ConsoleColumn("count", .int4),
            ]
        case .workers: WorkersTable.columns
        case .waiters: ShowCommand.columns(.waiters) + [ConsoleColumn("holders", .text)]
        case .reload: [ConsoleColumn("item", .text), ConsoleColumn("text", .text)]
        case .help: []
        }
    }

    private static func numerics(_ names: [String]) -> [ConsoleColumn] {
        names.map { ConsoleColumn($0, .numeric) }
    }

    /// The columns of rows that workers send, with their types: numbers, except those that are text.
    private static func columns(_ kind: RowsKind) -> [ConsoleColumn] {
        kind.columns.map { name in
            // The sizes of a user are text: PgBouncer shows an empty one where none is set.
            let isText = texts.contains(name) || kind == .users && sizes.contains(name)
            // PgBouncer counts microseconds in 32 bits; ours are not cut into seconds.
            let isLong = kind == .waiters && name == "wait_us"
            return ConsoleColumn(name, isText ? .text : isLong ? .int8 : .int4)
        }
    }

    private static let sizes: Set = ["pool_size", "reserve_pool_size"]

    private static let texts: Set = [
        "type", "user", "database", "replication", "state", "addr", "local_addr", "connect_time",
        "request_time", "ptr", "link", "tls", "application_name", "pool_mode", "load_balance_hosts", "name",
        "host", "force_user", "list", "waits_for", "io_backend",
    ]
}
