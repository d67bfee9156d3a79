import Testing

@testable import Metrics

/// What is made of the console's tables.
@Suite struct ScrapeTests {
    private static func table(_ columns: String, _ rows: [String?]...) -> ResultTable {
        ResultTable(columns: columns.split(separator: " ").map(String.init), rows: rows)
    }

    private static func scrape(names: String = "1", _ changes: [String: ResultTable] = [:]) -> Scrape {
        let tables = [
            "VERSION": table("version", ["PgBouncer 1.26.0 (pgsluice 1)"]),
            "STATE": table("key value", ["active", "no"], ["paused", "yes"]),
            "CONFIG": table(
                "key value default changeable", ["max_client_conn", "200", "100", "yes"],
                ["max_login_conn", "1000", "10000", "yes"],
                ["max_user_connections", "0", "0", "yes"], ["metrics_pgbouncer_names", names, "1", "yes"]),
            "WORKERS": table(
                "worker pid state restarts beat_age_ms cpu_ms clients login_clients",
                ["0", "11", "ready", "0", "100", "2500", "7", "1"],
                ["1", nil, "restarting", "3", nil, nil, nil, nil]),
            "STATS_TOTALS": table(
                "database query_count query_time wait_time", ["shop", "12", "1500000", "250"]),
            "POOLS": table(
                "database user cl_active cl_waiting sv_active sv_active_cancel sv_idle maxwait maxwait_us",
                ["shop", "web", "5", "2", "3", "1", "4", "1", "500000"],
                ["shop", "batch", "1", "0", "1", "0", "0", "0", "0"],
                ["pgbouncer", "pgbouncer", "1", "0", "0", "0", "0", "0", "0"]),
            "DATABASES": table(
                "name host port pool_size max_connections current_connections paused disabled",
                ["shop", "h", "5432", "20", "30", "8", "0", "1"],
                ["pgbouncer", nil, "6432", "2", "0", "0", "0", "0"]),
            "USERS": table(
                "name pool_size max_user_connections current_connections", ["web", "", "0", "7"],
                ["batch", "        2", "9", "1"]),
            "LISTS": table("list items", ["databases", "2"], ["dns_names", "0"]),
            "HISTOGRAMS": table(
                "database user kind le count seconds", ["shop", "web", "wait", "0.000128", "3", "0.0002"],
                ["shop", "web", "wait", "+Inf", "4", "2.5"]),
        ]
        return Scrape(tables.merging(changes) { _, new in new }, seconds: 0.5)
    }

    private static func lines(_ scrape: Scrape) -> Set<String> {
        Set(TextFormat.classic.text(scrape.families).split(separator: "\n").map(String.init))
    }

    @Test func ours() {
        let lines = Self.lines(Self.scrape())
        for line in [
            "pgsluice_up 1", "pgsluice_paused 1", "pgsluice_scrape_duration_seconds 0.5",
            #"pgsluice_build_info{version="PgBouncer 1.26.0 (pgsluice 1)"} 1"#,
            #"pgsluice_queries_total{database="shop"} 12"#,
            #"pgsluice_query_seconds_total{database="shop"} 1.5"#,
            #"pgsluice_pool_clients{database="shop",user="web",state="waiting"} 2"#,
            #"pgsluice_pool_longest_wait_seconds{database="shop",user="web"} 1.5"#,
            #"pgsluice_wait_duration_seconds_bucket{database="shop",user="web",le="0.000128"} 3"#,
            #"pgsluice_wait_duration_seconds_bucket{database="shop",user="web",le="+Inf"} 4"#,
            #"pgsluice_wait_duration_seconds_sum{database="shop",user="web"} 2.5"#,
            #"pgsluice_wait_duration_seconds_count{database="shop",user="web"} 4"#,
            #"pgsluice_database_disabled{database="shop"} 1"#,
            #"pgsluice_worker_ready{worker="0"} 1"#, #"pgsluice_worker_ready{worker="1"} 0"#,
            #"pgsluice_worker_restarts_total{worker="1"} 3"#,
            #"pgsluice_worker_cpu_seconds_total{worker="0"} 2.5"#,
        ] {
            #expect(lines.contains(line), "\(line)")
        }
        #expect(!lines.contains { $0.hasPrefix("pgsluice_worker_cpu_seconds_total{worker=\"1\"}") })
    }

    @Test func limits() {
        let lines = Self.lines(Self.scrape())
        let used = "pgsluice_limit_used_connections"
        for line in [
            #"pgsluice_limit_connections{limit="max_client_conn"} 200"#,
            #"\#(used){limit="max_client_conn"} 7"#, #"\#(used){limit="max_login_conn"} 1"#,
            #"pgsluice_limit_connections{limit="max_db_connections",database="shop"} 30"#,
            #"\#(used){limit="max_db_connections",database="shop"} 8"#,
            #"pgsluice_limit_connections{limit="max_user_connections",user="batch"} 9"#,
            // The user's size goes before the database's, and cancel requests count towards no limit.
            #"pgsluice_limit_connections{limit="pool_size",database="shop",user="web"} 20"#,
            #"\#(used){limit="pool_size",database="shop",user="web"} 7"#,
            #"pgsluice_limit_connections{limit="pool_size",database="shop",user="batch"} 2"#,
        ] {
            #expect(lines.contains(line), "\(line)")
        }
        // What has no limit has no values, and nor has the console.
        #expect(!lines.contains { $0.contains(#"limit="max_user_connections",user="web""#) })
        #expect(!lines.contains { $0.contains("limit=") && $0.contains("pgbouncer") })
    }

    @Test func thoseOfTheExporter() {
        let lines = Self.lines(Self.scrape())
        for line in [
            "pgbouncer_up 1", "pgbouncer_databases 2", "pgbouncer_cached_dns_names 0",
            "pgbouncer_config_max_client_connections 200",
            #"pgbouncer_version_info{version="PgBouncer 1.26.0 (pgsluice 1)"} 1"#,
            #"pgbouncer_stats_queries_pooled_total{database="shop"} 12"#,
            #"pgbouncer_stats_totals_queries_pooled_total{database="shop"} 12"#,
            #"pgbouncer_stats_totals_queries_duration_seconds_total{database="shop"} 1.5"#,
            #"pgbouncer_pools_client_waiting_connections{database="shop",user="web"} 2"#,
            #"pgbouncer_pools_client_maxwait_seconds{database="shop",user="web"} 1"#,
        ] {
            #expect(lines.contains(line), "\(line)")
        }
        #expect(lines.contains { $0.hasPrefix("pgbouncer_databases_pool_size{name=\"shop\",host=\"h\"") })
        #expect(!Self.lines(Self.scrape(names: "0")).contains { $0.contains("pgbouncer_") })
    }

    /// An older instance may not know a table; then its metrics are missing and the others are there.
    @Test func tablesMayBeMissing() {
        #expect(TextFormat.classic.text(Scrape([:], seconds: 1).families).contains("pgsluice_up 1\n"))
        let text = TextFormat.classic.text(Scrape.familiesWithoutAnswer)
        #expect(text.contains("pgsluice_up 0\n") && text.contains("pgbouncer_up 0\n"))
    }

    @Test func readyMeansThatAWorkerServes() {
        #expect(Self.scrape().readiness == (true, "1 of 2 workers ready: ready restarting"))
        let ending = Self.scrape(["WORKERS": Self.table("worker state", ["0", "draining"])])
        #expect(!ending.readiness.isReady)
        #expect(!Scrape([:], seconds: 1).readiness.isReady)
    }
}
