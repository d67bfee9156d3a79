import SharedState

/// Names of the statistics columns. They are irregular; every name is as tools know it.
enum StatisticsColumns {
    /// The counters in the order of the tables.
    static let counters: [PoolCounter] = [
        .serverAssignments, .transactions, .queries, .receivedBytes, .sentBytes, .transactionMicroseconds,
        .queryMicroseconds, .waitMicroseconds, .clientParses, .serverParses, .binds, .clientLogins,
    ]

    /// Of SHOW STATS, after the database.
    static let stats = [
        "total_server_assignment_count", "total_xact_count", "total_query_count", "total_received",
        "total_sent",
        "total_xact_time", "total_query_time", "total_wait_time", "total_client_parse_count",
        "total_server_parse_count", "total_bind_count", "total_client_login_count",
        "avg_server_assignment_count", "avg_xact_count", "avg_query_count", "avg_recv", "avg_sent",
        "avg_xact_time", "avg_query_time", "avg_wait_time", "avg_client_parse_count",
        "avg_server_parse_count",
        "avg_bind_count", "avg_client_login_count",
    ]

    /// Of SHOW STATS_TOTALS, after the database.
    static let totals = [
        "server_assignment_count", "xact_count", "query_count", "bytes_received", "bytes_sent", "xact_time",
        "query_time", "wait_time", "client_parse_count", "server_parse_count", "bind_count",
        "client_login_count",
    ]

    /// Of SHOW STATS_AVERAGES, after the database.
    static let averages = [
        "server_assignment_count", "xact_count", "query_count", "bytes_received", "bytes_sent", "xact_time",
        "query_time", "wait_time", "avg_client_parse_count", "avg_server_parse_count", "avg_bind_count",
        "avg_client_login_count",
    ]

    /// Rows of SHOW TOTALS, once with `total_` and once with `avg_` in front.
    static let sums = [
        "server_assignment_count", "xact_count", "query_count", "client_bytes", "server_bytes", "xact_time",
        "query_time", "wait_time", "ps_client_parse_count", "ps_server_parse_count", "ps_bind_count",
        "client_login_count",
    ]
}

/// The tables made of statistics.
enum StatisticsTables {
    /// SHOW STATS, STATS_TOTALS, STATS_AVERAGES and TOTALS.
    static func table(_ command: ShowCommand, _ report: StatisticsReport) -> ConsoleTable {
        var table = ConsoleTable(columns: command.columns)
        if command == .totals {
            appendSum("total_", report.sum.totals, to: &table)
            appendSum("avg_", report.sum.averages, to: &table)
            return table
        }
        for database in report.databases {
            var row: [[UInt8]?] = [database.database]
            if command != .statsAverages { append(database.totals, to: &row) }
            if command != .statsTotals { append(database.averages, to: &row) }
            table.append(row)
        }
        return table
    }

    private static func append(_ totals: PoolTotals, to row: inout [[UInt8]?]) {
        for counter in StatisticsColumns.counters { row.append(Array(String(totals[counter]).utf8)) }
    }

    private static func appendSum(_ prefix: String, _ totals: PoolTotals, to table: inout ConsoleTable) {
        for (name, counter) in zip(StatisticsColumns.sums, StatisticsColumns.counters) {
            table.append([prefix + name, String(totals[counter])])
        }
    }
}
