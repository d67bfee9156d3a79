import CLibPQ
import Testing

/// The console: its columns are what people's monitoring reads.
@Suite struct ConsoleShowTests {
    /// Columns by `SHOW`, in order, as in the reference release.
    private static let columns: [(String, String)] = [
        (
            "STATS",
            """
            database total_server_assignment_count total_xact_count total_query_count total_received \
            total_sent total_xact_time total_query_time total_wait_time total_client_parse_count \
            total_server_parse_count total_bind_count total_client_login_count \
            avg_server_assignment_count avg_xact_count avg_query_count \
            avg_recv avg_sent avg_xact_time avg_query_time avg_wait_time avg_client_parse_count \
            avg_server_parse_count avg_bind_count avg_client_login_count
            """
        ),
        (
            "POOLS",
            """
            database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req sv_active \
            sv_active_cancel sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait maxwait_us \
            pool_mode load_balance_hosts
            """
        ),
        ("CLIENTS", connectionColumns), ("SERVERS", connectionColumns),
        (
            "DATABASES",
            """
            name host port database force_user pool_size min_pool_size reserve_pool_size server_lifetime \
            pool_mode load_balance_hosts max_connections current_connections max_client_connections \
            current_client_connections paused disabled
            """
        ),
        (
            "USERS",
            """
            name pool_size reserve_pool_size pool_mode max_user_connections current_connections \
            max_user_client_connections current_client_connections
            """
        ),
        ("CONFIG", "key value default changeable"), ("LISTS", "list items"), ("VERSION", "version"),
    ]

    private static let connectionColumns = """
        type user database replication state addr port local_addr local_port connect_time request_time wait \
        wait_us close_needed ptr link remote_pid tls application_name prepared_statements id
        """

    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func theColumnsAreThoseOfTheReference(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            try pooler.connect().query("select 1")
            for user in ["admin", "stats"] {
                let console = try pooler.console(user: user)
                for (what, columns) in Self.columns {
                    let rows = try console.query("SHOW \(what)")
                    #expect(rows.columns == columns.split(separator: " ").map(String.init), "SHOW \(what)")
                    #expect(rows.tag == "SHOW")
                }
            }
        }
    }

    @Test(arguments: Setup.transaction)
    func theConsoleSaysWhoItIs(setup: Setup) async throws {
        guard Options.isOurs else { return }
        try await withPooler(setup) { pooler throws in
            let console = try pooler.console()
            #expect(console.parameter("server_version") == "1.26.0/bouncer")
            let version = try console.query("show version;").value ?? ""
            #expect(version.hasPrefix("PgBouncer 1.26.0 (pgsluice "), "\(version)")
            #expect(try Child.output(of: [Folder.binary, "--version"]).hasPrefix(version + "\n"))
            #expect(try console.query("select version").value == version, "SELECT is another word for SHOW")
        }
    }

    /// Counts over all workers agree with what was done.
    @Test(arguments: Setup.transaction)
    func statisticsAddUpOverWorkers(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            try Thread.concurrently(8) { _ in
                let client = try pooler.connect()
                for _ in 0..<10 { try client.query("select 1") }
                try client.query("begin")
                try client.query("select 2")
                try client.query("commit")
            }
            let row = try pooler.show("STATS").first { $0["database"] == "test" }
            #expect(row?["total_query_count"] == "104")
            #expect(row?["total_xact_count"] == "88")
            #expect(Int(row?["total_received"] ?? "") ?? 0 > 104 * 10)
            #expect(Int(row?["total_sent"] ?? "") ?? 0 > 104 * 10)
            #expect(Int(row?["total_query_time"] ?? "") ?? 0 > 0)
        }
    }

    @Test(arguments: Setup.transaction)
    func poolsCountClientsAndServersByState(setup: Setup) async throws {
        // Each worker has a share of the limit, and all busy clients may be one worker's.
        let settings = ["default_pool_size": "\(3 * setup.workers)"]
        try await withPooler(setup, Configuration(settings: settings)) { pooler throws in
            let idle = try pooler.connect()
            try idle.query("select 1")
            let busy = try (0..<3).map { _ in try pooler.connect() }
            for client in busy { try client.query("begin") }
            let pool = try pooler.show("POOLS").first { $0["database"] == "test" && $0["user"] == "app" }
            #expect(pool?["sv_active"] == "3")
            #expect(pool?["cl_waiting"] == "0")
            #expect(pool?["pool_mode"] == "transaction")
            #expect(Int(pool?["cl_active"] ?? "") ?? 0 >= 3)
            for client in busy { try client.query("commit") }
        }
    }

    @Test(arguments: Setup.single)
    func aWaitingClientIsSeen(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["default_pool_size": "1"])) { pooler throws in
            let holder = try pooler.connect()
            try holder.query("begin")
            let waiter = try pooler.connect()
            try waiter.send("select 1")
            try eventually("a client waits a second") {
                let pool = try pooler.show("POOLS").first { $0["database"] == "test" }
                return pool?["cl_waiting"] == "1" && Int(pool?["maxwait"] ?? "") ?? 0 >= 1
            }
            let clients = try pooler.show("CLIENTS").filter { $0["database"] == "test" }
            #expect(clients.compactMap { $0["state"] }.sorted() == ["active", "waiting"])
            try holder.query("commit")
            try waiter.finish()
        }
    }

    @Test(arguments: Setup.transaction)
    func clientsAndServersAreListed(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let clients = try (0..<6).map { try pooler.connect(["application_name": "listed \($0)"]) }
            for client in clients { try client.query("begin") }
            let rows = try pooler.show("CLIENTS").filter { $0["database"] == "test" }
            #expect(rows.count == 6)
            #expect(rows.allSatisfy { $0["type"] == "C" && $0["user"] == "app" && $0["state"] == "active" })
            #expect(rows.allSatisfy { $0["addr"] == "127.0.0.1" && $0["local_port"] == "\(pooler.port)" })
            if Options.isOurs {
                let names = Set(rows.compactMap { $0["application_name"] })
                #expect(names == Set((0..<6).map { "listed \($0)" }))
                #expect(Set(rows.compactMap { $0["id"] }).count == 6)
            }
            // One more may have been opened for a client that waited to be welcomed, and rest in its worker.
            let servers = try pooler.show("SERVERS")
                .filter { $0["database"] == "test" && $0["state"] == "active" }
            #expect(servers.count == 6)
            let pids = try Set(clients.map { try $0.query("select pg_backend_pid()").value })
            #expect(Set(servers.map { $0["remote_pid"] }) == pids)
            for client in clients { try client.query("commit") }
        }
    }

    @Test(arguments: Setup.transaction)
    func settingsAreShown(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["server_idle_timeout": "77"])) { pooler throws in
            let rows = try pooler.show("CONFIG")
            func value(_ key: String) -> String? { rows.first { $0["key"] == key }?["value"] }
            #expect(value("server_idle_timeout") == "77")
            #expect(value("pool_mode") == "transaction")
            #expect(value("listen_port") == "\(pooler.port)")
            if Options.isOurs {
                #expect(value("workers") == "\(setup.workers)")
                #expect(value("io_backend") == setup.backend)
            }
        }
    }

    @Test(arguments: Setup.transaction)
    func onlyAdministratorsAndStatisticiansMayEnter(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let error = #expect(throws: PostgresError.self) { try pooler.console(user: "app") }
            #expect(error?.message.contains("not allowed") == true)
        }
    }

    @Test(arguments: Setup.transaction)
    func errorsKeepTheConsoleOpen(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let console = try pooler.console()
            for wrong in ["show nonsense", "select 1", "drop table x", ";", "show"] {
                let error = #expect(throws: PostgresError.self) { try console.query(wrong) }
                #expect(error?.message.contains("invalid command") == true, "\(wrong)")
                #expect(console.transactionStatus == PQTRANS_IDLE)
            }
            #expect(try console.query("SHOW VERSION").rows.count == 1)
        }
    }

    /// Unlike PgBouncer's console ours speaks the extended protocol, with everything but parameters.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func theConsoleSpeaksTheExtendedProtocol(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let console = try pooler.console()
            let plain = try console.query("show lists")
            let extended = try console.query("show lists", [])
            #expect(extended.columns == plain.columns && extended.types == plain.types)
            #expect(extended.rows == plain.rows)
            try console.prepare("mine", "show state")
            #expect(try console.describe("mine").columns == ["key", "value"])
            #expect(try console.execute("mine").rows[0] == ["active", "yes"])
            let error = #expect(throws: PostgresError.self) { try console.query("show lists", ["x"]) }
            #expect(error?.sqlState == "0A000")
            #expect(try console.query("show version").rows.count == 1)
        }
    }

    /// `pgsluice` is another name of the console.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func theConsoleHasAnotherName(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let console = try pooler.connect(database: "pgsluice", user: "admin")
            #expect(try console.query("show version").rows.count == 1)
        }
    }

    /// From the Unix socket, the pooler's own account is an administrator without a password.
    @Test(arguments: Setup.transaction)
    func theOwnAccountIsAnAdministratorOverTheUnixSocket(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["auth_type": "md5", "admin_users": ""])) {
            pooler in
            let output = try Child.run([
                "psql", "-X", "-At", "-h", pooler.folder, "-p", "\(pooler.port)", "-U", "pgbouncer", "-d",
                "pgbouncer", "-c", "show version",
            ])
            #expect(output.contains("PgBouncer"))
        }
    }
}
