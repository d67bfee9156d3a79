/// Metrics under the names that prometheus-community's pgbouncer_exporter gives them, for its dashboards.
struct PgBouncerMetrics {
    private typealias Label = MetricFamily.Label
    /// A column of a table and what it is called. The name of a counter has no `_total`.
    private typealias Column = (column: String, name: String, factor: Double, help: String)

    private let scrape: Scrape

    init(_ scrape: Scrape) { self.scrape = scrape }

    var families: [MetricFamily] {
        // Older releases of the exporter had the first prefix, newer ones the second.
        instance + lists
            + table("STATS_TOTALS", "stats", .counter, ["database"], PgBouncerMetrics.stats)
            + table("STATS_TOTALS", "stats_totals", .counter, ["database"], PgBouncerMetrics.stats)
            + table("POOLS", "pools", .gauge, ["database", "user"], PgBouncerMetrics.pools)
            + table(
                "DATABASES", "databases", .gauge,
                ["name", "host", "port", "database", "force_user", "pool_mode"], PgBouncerMetrics.databases)
    }

    private var instance: [MetricFamily] {
        var up = MetricFamily("pgbouncer_up", .gauge, "The pgbouncer scrape succeeded")
        up.add(1)
        var version = MetricFamily("pgbouncer_version_info", .gauge, "The pgbouncer version info")
        version.add(1, [Label("version", scrape.version)])
        let settings = [
            ("max_client_conn", "max_client_connections"), ("max_user_connections", "max_user_connections"),
        ]
        return [up, version]
            + settings.map { key, name in
                var family = MetricFamily("pgbouncer_config_" + name, .gauge, "Setting \(key)")
                family.add(scrape.value("CONFIG", key).flatMap { Double($0) })
                return family
            }
    }

    private var lists: [MetricFamily] {
        let names = [
            ("databases", "databases"), ("users", "users"), ("pools", "pools"),
            ("free_clients", "free_clients"), ("used_clients", "used_clients"),
            ("login_clients", "login_clients"), ("free_servers", "free_servers"),
            ("used_servers", "used_servers"), ("dns_names", "cached_dns_names"),
            ("dns_zones", "cached_dns_zones"), ("dns_queries", "in_flight_dns_queries"),
        ]
        return names.map { list, name in
            var family = MetricFamily("pgbouncer_" + name, .gauge, "Count of \(list)")
            family.add(scrape.value("LISTS", list).flatMap { Double($0) })
            return family
        }
    }

    private func table(
        _ table: String, _ prefix: String, _ kind: MetricFamily.Kind, _ labels: [String], _ columns: [Column]
    ) -> [MetricFamily] {
        let records = scrape.records(table)
        return columns.map { column in
            var family = MetricFamily("pgbouncer_\(prefix)_\(column.name)", kind, column.help)
            for record in records {
                family.add(
                    record.number(column.column).map { $0 * column.factor },
                    labels.map { Label($0, record.text($0)) })
            }
            return family
        }
    }

    private static let stats: [Column] = [
        ("query_count", "queries_pooled", 1, "Queries pooled"),
        ("query_time", "queries_duration_seconds", 1e-6, "Time spent in queries"),
        ("bytes_received", "received_bytes", 1, "Bytes received from clients"),
        ("bytes_sent", "sent_bytes", 1, "Bytes sent to clients"),
        ("wait_time", "client_wait_seconds", 1e-6, "Time spent by clients waiting for a server"),
        ("xact_count", "sql_transactions_pooled", 1, "Transactions pooled"),
        ("xact_time", "server_in_transaction_seconds", 1e-6, "Time spent in transactions"),
        ("client_parse_count", "client_parses", 1, "Parse messages of clients"),
        ("server_parse_count", "server_parses", 1, "Parse messages sent to servers"),
        ("bind_count", "binds", 1, "Binds of prepared statements"),
    ]

    private static let pools: [Column] = [
        ("cl_active", "client_active_connections", 1, "Clients linked to a server, or idle"),
        ("cl_active_cancel_req", "client_active_cancel_connections", 1, "Cancel requests under way"),
        ("cl_waiting", "client_waiting_connections", 1, "Clients that wait for a server"),
        ("cl_waiting_cancel_req", "client_waiting_cancel_connections", 1, "Cancel requests that wait"),
        ("sv_active", "server_active_connections", 1, "Servers linked to a client"),
        ("sv_active_cancel", "server_active_cancel_connections", 1, "Servers that carry a cancel request"),
        ("sv_being_canceled", "server_being_canceled_connections", 1, "Servers a cancel is under way for"),
        ("sv_idle", "server_idle_connections", 1, "Servers that are free"),
        ("sv_used", "server_used_connections", 1, "Servers that are checked before the next use"),
        ("sv_tested", "server_testing_connections", 1, "Servers that are reset or checked"),
        ("sv_login", "server_login_connections", 1, "Servers that are logging in"),
        ("maxwait", "client_maxwait_seconds", 1, "Age of the oldest wait for a server"),
    ]

    private static let databases: [Column] = [
        ("pool_size", "pool_size", 1, "Maximum number of server connections"),
        ("reserve_pool_size", "reserve_pool", 1, "Maximum number of additional connections"),
        ("max_connections", "max_connections", 1, "Maximum number of connections of this database"),
        ("current_connections", "current_connections", 1, "Current number of connections"),
        ("paused", "paused", 1, "Whether the database is paused"),
        ("disabled", "disabled", 1, "Whether the database is disabled"),
    ]
}
