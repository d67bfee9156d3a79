/// Metrics under names of our own.
struct OwnMetrics {
    private typealias Label = MetricFamily.Label

    private let scrape: Scrape

    init(_ scrape: Scrape) { self.scrape = scrape }

    var families: [MetricFamily] {
        instance + databases + pools + histograms + limits + workers
    }

    private var instance: [MetricFamily] {
        var build = MetricFamily("pgsluice_build_info", .gauge, "Always 1; the label is the version.")
        build.add(1, [Label("version", scrape.version)])
        var paused = MetricFamily("pgsluice_paused", .gauge, "Whether the whole instance is paused.")
        paused.add(scrape.value("STATE", "paused").map { $0 == "yes" ? 1 : 0 })
        return [build, paused]
    }

    /// Columns of SHOW STATS_TOTALS.
    private static let counters: [(column: String, name: String, factor: Double, help: String)] = [
        ("query_count", "queries", 1, "Queries of clients."),
        ("xact_count", "transactions", 1, "Transactions of clients."),
        ("bytes_received", "received_bytes", 1, "Bytes received from clients."),
        ("bytes_sent", "sent_bytes", 1, "Bytes sent to clients."),
        ("query_time", "query_seconds", 1e-6, "Time spent in queries."),
        ("xact_time", "transaction_seconds", 1e-6, "Time spent in transactions."),
        ("wait_time", "wait_seconds", 1e-6, "Time that clients have waited for a server."),
        ("server_assignment_count", "server_assignments", 1, "Times that a client was given a server."),
        ("client_parse_count", "client_parses", 1, "Statements prepared by clients."),
        ("server_parse_count", "server_parses", 1, "Statements prepared at servers."),
        ("bind_count", "binds", 1, "Binds of prepared statements."),
        ("client_login_count", "client_logins", 1, "Clients that have finished their login."),
    ]

    private var databases: [MetricFamily] {
        var families = OwnMetrics.counters.map { MetricFamily("pgsluice_" + $0.name, .counter, $0.help) }
        for record in scrape.records("STATS_TOTALS") {
            let labels = [Label("database", record.text("database"))]
            for (index, counter) in OwnMetrics.counters.enumerated() {
                families[index].add(record.number(counter.column).map { $0 * counter.factor }, labels)
            }
        }
        var paused = MetricFamily("pgsluice_database_paused", .gauge, "Whether the database is paused.")
        var disabled = MetricFamily(
            "pgsluice_database_disabled", .gauge, "Whether the database takes no new clients.")
        for record in scrape.records("DATABASES") {
            let labels = [Label("database", record.text("name"))]
            paused.add(record.number("paused"), labels)
            disabled.add(record.number("disabled"), labels)
        }
        return families + [paused, disabled]
    }

    /// Columns of SHOW POOLS, and the states they count.
    private static let clientStates = [
        ("cl_active", "active"), ("cl_waiting", "waiting"), ("cl_active_cancel_req", "active_cancel"),
        ("cl_waiting_cancel_req", "waiting_cancel"),
    ]
    private static let serverStates = [
        ("sv_active", "active"), ("sv_idle", "idle"), ("sv_used", "used"), ("sv_tested", "tested"),
        ("sv_login", "login"), ("sv_active_cancel", "active_cancel"),
        ("sv_being_canceled", "being_canceled"),
    ]

    private var pools: [MetricFamily] {
        var clients = MetricFamily("pgsluice_pool_clients", .gauge, "Clients of the pool, by state.")
        var servers = MetricFamily(
            "pgsluice_pool_servers", .gauge, "Server connections of the pool, by state.")
        var wait = MetricFamily(
            "pgsluice_pool_longest_wait_seconds", .gauge,
            "How long the client has waited that waits longest for a server of the pool now.")
        for record in scrape.records("POOLS") {
            let labels = OwnMetrics.pool(record)
            for (column, state) in OwnMetrics.clientStates {
                clients.add(record.number(column), labels + [Label("state", state)])
            }
            for (column, state) in OwnMetrics.serverStates {
                servers.add(record.number(column), labels + [Label("state", state)])
            }
            wait.add(
                record.number("maxwait").map { $0 + (record.number("maxwait_us") ?? 0) / 1e6 }, labels)
        }
        return [clients, servers, wait]
    }

    private static func pool(_ record: Record) -> [Label] {
        [Label("database", record.text("database")), Label("user", record.text("user"))]
    }

    /// Kinds of SHOW HISTOGRAMS.
    private static let kinds = [
        ("query", "query_duration_seconds", "How long queries took."),
        ("xact", "transaction_duration_seconds", "How long transactions took."),
        ("wait", "wait_duration_seconds", "How long clients waited for a server, once per assignment."),
    ]

    private var histograms: [MetricFamily] {
        let records = scrape.records("HISTOGRAMS")
        return OwnMetrics.kinds.map { kind, name, help in
            var family = MetricFamily("pgsluice_" + name, .histogram, help)
            for record in records where record.text("kind") == kind {
                let labels = OwnMetrics.pool(record)
                let bound = record.text("le")
                family.add(record.number("count"), labels + [Label("le", bound)], suffix: "_bucket")
                guard bound == "+Inf" else { continue }
                family.add(record.number("seconds"), labels, suffix: "_sum")
                family.add(record.number("count"), labels, suffix: "_count")
            }
            return family
        }
    }

    /// Columns of SHOW WORKERS.
    private static let workerColumns:
        [(
            column: String, name: String, kind: MetricFamily.Kind, factor: Double, help: String
        )] = [
            ("restarts", "restarts", .counter, 1, "Processes that have followed the first."),
            ("cpu_ms", "cpu_seconds", .counter, 1e-3, "Processor time of the process."),
            ("beat_age_ms", "silence_seconds", .gauge, 1e-3, "How long the worker's loop has not turned."),
            ("clients", "clients", .gauge, 1, "Clients of the worker."),
            ("login_clients", "login_clients", .gauge, 1, "Clients that are logging in."),
            ("waiting_clients", "waiting_clients", .gauge, 1, "Clients that wait for a server."),
            ("servers", "servers", .gauge, 1, "Server connections of the worker."),
            ("idle_servers", "idle_servers", .gauge, 1, "Server connections that are free."),
            (
                "logins_failed", "login_failures", .counter, 1,
                "Logins that failed by what the client said, or did not say in time."
            ),
            ("logins_refused", "login_refusals", .counter, 1, "Logins that were refused because of a limit."),
        ]

    private var workers: [MetricFamily] {
        var ready = MetricFamily("pgsluice_worker_ready", .gauge, "Whether the worker takes clients.")
        var families = OwnMetrics.workerColumns.map {
            MetricFamily("pgsluice_worker_" + $0.name, $0.kind, $0.help)
        }
        for record in scrape.records("WORKERS") {
            let labels = [Label("worker", record.text("worker"))]
            ready.add(record.text("state") == "ready" ? 1 : 0, labels)
            for (index, column) in OwnMetrics.workerColumns.enumerated() {
                families[index].add(record.number(column.column).map { $0 * column.factor }, labels)
            }
        }
        return [ready] + families
    }
}

/// What is used of each limit. A limit that is not set has no values.
extension OwnMetrics {
    private var limits: [MetricFamily] {
        var limit = MetricFamily(
            "pgsluice_limit_connections", .gauge,
            "Connections that a setting allows: pool_size (without reserve), max_db_connections and so on.")
        var used = MetricFamily(
            "pgsluice_limit_used_connections", .gauge, "Connections that count towards the limit.")
        for entry in limitEntries {
            guard let most = entry.limit, most > 0, let now = entry.used else { continue }
            let labels = [Label("limit", entry.name)] + entry.labels
            limit.add(most, labels)
            used.add(now, labels)
        }
        return [limit, used]
    }

    private struct LimitEntry {
        let name: String
        let labels: [Label]
        let limit: Double?
        let used: Double?
    }

    private var limitEntries: [LimitEntry] {
        let workers = scrape.records("WORKERS")
        var entries = [("max_client_conn", "clients"), ("max_login_conn", "login_clients")].map {
            (name, column) in
            LimitEntry(
                name: name, labels: [], limit: scrape.value("CONFIG", name).flatMap { Double($0) },
                used: workers.reduce(0) { $0 + ($1.number(column) ?? 0) })
        }
        var sizes: [String: Double] = [:]
        for record in scrape.records("DATABASES") where record.text("name") != "pgbouncer" {
            sizes[record.text("name")] = record.number("pool_size")
            let labels = [Label("database", record.text("name"))]
            entries += OwnMetrics.entries("db", record, labels)
        }
        var userSizes: [String: Double] = [:]
        for record in scrape.records("USERS") where record.text("name") != "pgbouncer" {
            userSizes[record.text("name")] = record.number("pool_size")
            entries += OwnMetrics.entries("user", record, [Label("user", record.text("name"))])
        }
        for record in scrape.records("POOLS") where record.text("database") != "pgbouncer" {
            let columns = ["sv_active", "sv_idle", "sv_used", "sv_tested", "sv_login", "sv_being_canceled"]
            entries.append(
                LimitEntry(
                    name: "pool_size", labels: OwnMetrics.pool(record),
                    limit: userSizes[record.text("user")] ?? sizes[record.text("database")],
                    used: columns.reduce(0) { $0 + (record.number($1) ?? 0) }))
        }
        return entries
    }

    /// The two limits of a database or user.
    private static func entries(_ of: String, _ record: Record, _ labels: [Label]) -> [LimitEntry] {
        let servers = of == "db" ? "max_connections" : "max_user_connections"
        let clients = of == "db" ? "max_client_connections" : "max_user_client_connections"
        return [
            LimitEntry(
                name: "max_\(of)_connections", labels: labels, limit: record.number(servers),
                used: record.number("current_connections")),
            LimitEntry(
                name: "max_\(of)_client_connections", labels: labels, limit: record.number(clients),
                used: record.number("current_client_connections")),
        ]
    }
}
