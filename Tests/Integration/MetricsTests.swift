import Glibc
import Testing

/// What pgsluice-web serves.
@Suite(.enabled(if: Options.isOurs)) struct MetricsTests {
    private static let setups = Setup.transaction.filter { $0.workers > 1 }
    private static let promtool = ".build/promtool/usr/bin/promtool"

    /// All values of a scrape, by name and labels as they are written.
    private static func values(_ port: Int) throws -> [String: Double] {
        let answer = try HTTPConnection.get("/metrics", port: port)
        guard answer.status == 200 else { throw Failure("\(answer.status): \(answer.body)") }
        var values: [String: Double] = [:]
        for line in answer.body.split(separator: "\n") where !line.hasPrefix("#") {
            guard let space = line.lastIndex(of: " ") else { continue }
            values[String(line[..<space])] = Double(line[line.index(after: space)...])
        }
        return values
    }

    private static func waitUntilServed(_ port: Int) throws {
        try eventually("metrics are served") {
            (try? HTTPConnection.get("/healthz", port: port).status) == 200
        }
    }

    /// The process that serves metrics.
    private static func process(_ pooler: Pooler) -> pid_t? {
        pooler.processes().first { (try? readFile("/proc/\($0)/comm")) == "pgsluice-web\n" }
    }

    /// Goal: counters are the clients' own, under our names and under those of the exporter.
    @Test(arguments: setups)
    func countersAreThoseOfTheClients(setup: Setup) async throws {
        let port = try freePort()
        let settings = ["metrics_listen": "127.0.0.1:\(port)", "max_db_connections": "30"]
        try await withPooler(setup, Configuration(settings: settings)) { pooler throws in
            try Self.waitUntilServed(port)
            try Thread.concurrently(4) { _ in
                let client = try pooler.connect()
                for _ in 0..<25 { try client.query("select 1") }
                try client.query("begin")
                try client.query("select 2")
                try client.query("commit")
            }
            var values: [String: Double] = [:]
            let test = #"{database="test"}"#
            try eventually("everything is counted") {
                values = try Self.values(port)
                return values["pgsluice_queries_total" + test] == 112
            }
            let pool = #"{database="test",user="app"}"#
            let all = #"{database="test",user="app",le="+Inf"}"#
            for (name, expected) in [
                "pgsluice_up": 1, "pgsluice_transactions_total" + test: 104,
                "pgsluice_client_logins_total" + test: 4,
                "pgsluice_query_duration_seconds_count" + pool: 112,
                "pgsluice_query_duration_seconds_bucket" + all: 112,
                "pgsluice_transaction_duration_seconds_count" + pool: 104,
                "pgbouncer_stats_queries_pooled_total" + test: 112,
                "pgbouncer_stats_totals_sql_transactions_pooled_total" + test: 104,
                #"pgsluice_limit_connections{limit="max_db_connections",database="test"}"#: 30,
            ] {
                #expect(values[name] == Double(expected), "\(name)")
            }
            #expect(
                values["pgsluice_wait_duration_seconds_count" + pool]
                    == values["pgsluice_server_assignments_total" + test])
            #expect(values.keys.count { $0.hasPrefix("pgsluice_worker_ready{") } == setup.workers)
            try Self.checkFiles(values)
            try Self.checkFormats(port)
        }
    }

    /// Alerts and dashboard name no metric that is not there.
    private static func checkFiles(_ values: [String: Double]) throws {
        let names = Set(values.keys.map { $0.prefix { $0 != "{" } })
        for file in ["Config/prometheus-alerts.yml", "Config/grafana-dashboard.json"] {
            let words = try readFile(file).split {
                !($0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_"))
            }
            let used = Set(words.filter { $0.hasPrefix("pgsluice_") })
            #expect(used.count > 5 && used.isSubset(of: names), "\(file): \(used.subtracting(names))")
        }
        guard access(promtool, X_OK) == 0 else { return }
        _ = try Child.output(of: [promtool, "check", "rules", "Config/prometheus-alerts.yml"])
    }

    private static func checkFormats(_ port: Int) throws {
        let open = try HTTPConnection.get(
            "/metrics", port: port, ["Accept: application/openmetrics-text;version=1.0.0"])
        #expect(open.head.contains("application/openmetrics-text; version=1.0.0; charset=utf-8"))
        #expect(open.body.hasSuffix("# EOF\n") && open.body.contains("# TYPE pgsluice_queries counter\n"))
        let classic = try HTTPConnection.get("/metrics", port: port)
        #expect(classic.head.contains("text/plain; version=0.0.4; charset=utf-8"))
        guard access(promtool, X_OK) == 0 else { return }
        let file = Folder.shared.path("metrics-\(unique())")
        try writeFile(file, classic.body)
        #expect(try Child.output(of: ["sh", "-c", "\(promtool) check metrics < \(file) 2>&1"]).isEmpty)
    }

    /// Goal: the process may die or stand still without a client noticing; it comes back, and goes where a
    /// reload sends it.
    @Test(arguments: Setup.once)
    func itsTroublesAreItsOwn(setup: Setup) async throws {
        let port = try freePort()
        let settings = ["metrics_listen": "127.0.0.1:\(port)"]
        try await withPooler(setup, Configuration(settings: settings)) { pooler throws in
            try Self.waitUntilServed(port)
            let client = try pooler.connect()
            try client.query("begin")
            let first = try #require(Self.process(pooler))
            kill(first, SIGKILL)
            try eventually("another takes its place") { Self.process(pooler).map { $0 != first } ?? false }
            try Self.waitUntilServed(port)
            #expect(pooler.log.contains("pgsluice-web killed by signal 9"))
            try client.query("select 1")

            let second = try #require(Self.process(pooler))
            kill(second, SIGSTOP)
            for _ in 0..<20 { try client.query("select 1") }
            try client.query("commit")
            #expect(try pooler.show("VERSION").count == 1)

            // A stopped process is ended too when it is to serve elsewhere.
            let other = try freePort()
            try pooler.rewrite { $0.settings["metrics_listen"] = "127.0.0.1:\(other)" }
            pooler.reload()
            try Self.waitUntilServed(other)
            #expect((try? HTTPConnection.get("/healthz", port: port)) == nil)
            try pooler.rewrite { $0.settings["metrics_listen"] = nil }
            pooler.reload()
            try eventually("it is gone") { Self.process(pooler) == nil }
            try client.query("select 1")
        }
    }

    /// Goal: the process belongs to the program that runs.
    @Test(arguments: setups)
    func anOnlineRestartStartsAnother(setup: Setup) async throws {
        let port = try freePort()
        let settings = ["metrics_listen": "127.0.0.1:\(port)"]
        try await withPooler(setup, Configuration(settings: settings)) { pooler throws in
            try Self.waitUntilServed(port)
            let first = try #require(Self.process(pooler))
            try pooler.console().query("RESTART")
            try eventually("another takes its place") { Self.process(pooler).map { $0 != first } ?? false }
            try Self.waitUntilServed(port)
            try eventually("it is ready") { try HTTPConnection.get("/readyz", port: port).status == 200 }
            #expect(try Self.values(port)["pgsluice_up"] == 1)
        }
    }

    /// Goal: clients that send or read nothing keep nobody else from being answered.
    @Test(arguments: Setup.once)
    func slowScrapersKeepNobodyWaiting(setup: Setup) async throws {
        let port = try freePort()
        let settings = ["metrics_listen": "127.0.0.1:\(port)"]
        try await withPooler(setup, Configuration(settings: settings)) { pooler throws in
            try Self.waitUntilServed(port)
            let slow = try (0..<40).map { _ in try HTTPConnection(port: port) }
            for (index, connection) in slow.enumerated() {
                let request = HTTPConnection.request("/metrics")
                connection.send(index % 2 == 0 ? request : String(request.prefix(20)))
            }
            for _ in 0..<5 {
                #expect(try HTTPConnection.get("/metrics", port: port).status == 200)
                #expect(try HTTPConnection.get("/nothing", port: port).status == 404)
            }
            #expect(try pooler.connect().query("select 1").records.count == 1)
            // However many come at once, the console is asked once a second at most.
            let before = try Self.values(port)[#"pgbouncer_stats_queries_pooled_total{database="pgbouncer"}"#]
            let took = try seconds { for _ in 0..<100 { _ = try Self.values(port) } }
            let after = try Self.values(port)[#"pgbouncer_stats_queries_pooled_total{database="pgbouncer"}"#]
            #expect((after ?? 0) - (before ?? 0) <= 10 * (took + 2))
            withExtendedLifetime(slow) {}
        }
    }

    /// Goal: whoever balances load sends nobody to an instance that ends.
    @Test(arguments: Setup.once)
    func anInstanceThatEndsIsNotReady(setup: Setup) async throws {
        let port = try freePort()
        let settings = ["metrics_listen": "127.0.0.1:\(port)"]
        try await withPooler(setup, Configuration(settings: settings)) { pooler throws in
            try Self.waitUntilServed(port)
            try eventually("it is ready") { try HTTPConnection.get("/readyz", port: port).status == 200 }
            let client = try pooler.connect()
            pooler.process.signal(SIGTERM)
            try eventually("it is not ready") {
                let answer = try HTTPConnection.get("/readyz", port: port)
                return answer.status == 503 && answer.body.contains("draining")
            }
            #expect(try HTTPConnection.get("/healthz", port: port).status == 200)
            try client.query("select 1")
        }
    }

    /// Goal: without metrics the pooler serves, and says what is missing.
    @Test(arguments: Setup.once)
    func whatCannotBeServedIsSaid(setup: Setup) async throws {
        let taken = Postgres.shared.port
        let settings = ["metrics_listen": "127.0.0.1:\(taken)"]
        try await withPooler(setup, Configuration(settings: settings)) { pooler throws in
            try eventually("the log says why") {
                pooler.log.contains("metrics: cannot serve metrics at 127.0.0.1:\(taken): ")
                    && pooler.log.contains("pgsluice-web exited with status 1")
            }
            #expect(try pooler.connect().query("select 1").records.count == 1)
            let folder = try Folder.shared.make("alone")
            try writeFile("\(folder)/pgsluice", bytes: readBytes(Folder.binary))
            chmod("\(folder)/pgsluice", 0o755)
            let text = Pooler.text(
                Configuration(settings: settings), setup: setup, port: try freePort(), folder: folder,
                postgres: Postgres.shared)
            try writeFile("\(folder)/pgsluice.ini", text)
            try writeFile("\(folder)/userlist.txt", "")
            let child = try Child(
                ["\(folder)/pgsluice", "\(folder)/pgsluice.ini"], output: "\(folder)/log")
            try eventually("the log says what is missing") {
                try readFile("\(folder)/log").contains("there is no \(folder)/pgsluice-web")
            }
            try eventually("it serves") { try readFile("\(folder)/log").contains("process up") }
            child.signal(SIGQUIT)
            #expect(try child.wait() == .exited(0))
        }
    }
}
