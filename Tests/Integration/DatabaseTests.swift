import CLibPQ
import Glibc
import Testing

/// Where databases come from, and how they are reached.
@Suite struct DatabaseTests {
    private static var host: String { "host=127.0.0.1 port=\(Postgres.shared.port)" }

    @Test(arguments: Setup.transaction)
    func theStarTakesEveryName(setup: Setup) async throws {
        let configuration = Configuration(databases: ["*": Self.host])
        try await withPooler(setup, configuration) { pooler throws in
            for name in ["postgres", "template1", "test"] {
                let client = try pooler.connect(database: name, user: "postgres")
                #expect(try client.query("select current_database()").value == name)
            }
            let error = #expect(throws: PostgresError.self) { try pooler.connect(database: "not_there") }
            #expect(error?.message.contains("database \"not_there\" does not exist") == true)
        }
    }

    @Test(arguments: Setup.transaction)
    func anEntryMayHaveAnotherName(setup: Setup) async throws {
        let configuration = Configuration(databases: ["alias": "\(Self.host) dbname=test"])
        try await withPooler(setup, configuration) { pooler throws in
            #expect(try pooler.connect(database: "alias").query("select current_database()").value == "test")
        }
    }

    @Test(arguments: Setup.transaction)
    func aForcedUserServesEverybody(setup: Setup) async throws {
        let configuration = Configuration(databases: ["forced": "\(Self.host) dbname=test user=other"])
        try await withPooler(setup, configuration) { pooler throws in
            for user in ["app", "postgres", "other"] {
                let client = try pooler.connect(database: "forced", user: user)
                #expect(try client.query("select current_user").value == "other")
            }
            let pools = try pooler.show("POOLS").filter { $0["database"] == "forced" }
            #expect(pools.count == 1 && pools.first?["user"] == "other")
        }
    }

    /// Each new connection goes to the next host of the list.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.single)
    func aListOfHostsIsUsedInTurn(setup: Setup) async throws {
        let configuration = Configuration(databases: [
            "spread": "host=127.0.0.1,localhost port=\(Postgres.shared.port) dbname=test"
        ])
        try await withPooler(setup, configuration) { pooler throws in
            let clients = try (0..<6).map { _ in try pooler.connect(database: "spread") }
            for client in clients { try client.query("begin") }
            #expect(try pooler.show("SERVERS").filter { $0["database"] == "spread" }.count == 6)
            let row = try pooler.show("POOLS").first { $0["database"] == "spread" }
            #expect(row?["load_balance_hosts"] == "round-robin")
        }
    }

    /// A host of the list that is down does not keep clients from the others.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.single)
    func aHostThatIsDownIsSkipped(setup: Setup) async throws {
        var configuration = Configuration(settings: ["query_wait_timeout": "15"])
        configuration.databases["pair"] =
            "host=127.0.0.99,127.0.0.1 port=\(Postgres.shared.port) dbname=test load_balance_hosts=disable"
        try await withPooler(setup, configuration) { pooler throws in
            let took = try seconds {
                try pooler.connect(database: "pair").query("select 1")
            }
            #expect(took < 5, "took \(took) s")
        }
    }

    @Test(arguments: Setup.transaction)
    func unixSocketsOnBothSides(setup: Setup) async throws {
        let folder = Postgres.shared.folder
        let configuration = Configuration(databases: [
            "local": "host=\(folder) port=\(Postgres.shared.port) dbname=test"
        ])
        // The pooler's account must be able to enter PostgreSQL's folder; both are the same account here.
        try await withPooler(setup, configuration) { pooler throws in
            for _ in 0..<12 {
                let client = try Connection([
                    "host": pooler.folder, "port": "\(pooler.port)", "dbname": "local", "user": "app",
                ])
                #expect(try client.query("select inet_server_addr()").rows == [[nil]])
                try client.query("begin")
                #expect(try pooler.show("CLIENTS").contains { $0["addr"] == "unix" })
                try client.query("commit")
            }
            let size = 3_000_000
            let client = try Connection([
                "host": pooler.folder, "port": "\(pooler.port)", "dbname": "local", "user": "app",
            ])
            #expect(try client.query("select length(repeat('x', \(size)))").value == "\(size)")
            #expect(try client.query("select repeat('x', \(size))").value?.utf8.count == size)
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.once)
    func severalAddressesAreListenedOn(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["listen_addr": "127.0.0.1, ::1"])) {
            pooler throws in
            for host in ["127.0.0.1", "::1"] {
                let client = try pooler.connect(["host": host])
                #expect(try client.query("select 1").value == "1")
            }
        }
        try await withPooler(setup, Configuration(settings: ["listen_addr": "*"])) { pooler throws in
            for host in ["127.0.0.1", "::1", "127.0.0.2"] {
                let client = try pooler.connect(["host": host])
                #expect(try client.query("select 1").value == "1")
            }
        }
    }

    /// A name is resolved without stopping the loop.
    @Test(arguments: Setup.transaction)
    func aHostMayBeAName(setup: Setup) async throws {
        let configuration = Configuration(
            settings: ["query_wait_timeout": "3"],
            databases: [
                "named": "host=localhost port=\(Postgres.shared.port) dbname=test",
                "lost": "host=no-such-host.invalid port=\(Postgres.shared.port) dbname=test",
            ])
        try await withPooler(setup, configuration) { pooler throws in
            #expect(try pooler.connect(database: "named").query("select 1").value == "1")
            let lost = Thread { _ = try? pooler.connect(database: "lost") }
            for _ in 0..<20 { try pooler.connect(database: "named").query("select 1") }
            if Options.isOurs {
                try eventually("the log says so") { pooler.log.contains("DNS lookup failed") }
            }
            try lost.join()
        }
    }

    /// Parameters of an entry are what its servers start with.
    @Test(arguments: Setup.transaction)
    func anEntryMayGiveParameters(setup: Setup) async throws {
        let configuration = Configuration(databases: [
            "tuned": "\(Self.host) dbname=test timezone=Asia/Tokyo datestyle=German application_name=pooled"
        ])
        try await withPooler(setup, configuration) { pooler throws in
            let client = try pooler.connect(database: "tuned")
            #expect(try client.query("show timezone").value == "Asia/Tokyo")
            #expect(try client.query("show datestyle").value?.hasPrefix("German") == true)
        }
    }

    @Test(arguments: Setup.transaction)
    func aDatabaseMayHaveItsOwnMode(setup: Setup) async throws {
        let configuration = Configuration(databases: [
            "sessions": "\(Self.host) dbname=test pool_mode=session pool_size=1"
        ])
        try await withPooler(setup, configuration) { pooler throws in
            let client = try pooler.connect(database: "sessions")
            try client.query("create temp table kept(a int)")
            #expect(try client.query("select count(*) from kept").value == "0")
            #expect(
                try pooler.show("POOLS").first { $0["database"] == "sessions" }?["pool_mode"] == "session")
        }
    }

    /// What tutorials have people paste, comments and all, with addresses and paths of this test.
    private func tutorial(_ postgresPort: Int, _ port: Int, _ folder: String, _ setup: Setup) -> String {
        """
        [databases]
        myapp = host=localhost port=\(postgresPort) dbname=test

        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = \(port)
        auth_type = md5
        auth_file = \(folder)/userlist.txt
        pool_mode = transaction ; the key setting
        max_client_conn = 1000 ; from clients
        default_pool_size = 20 ; to PostgreSQL, per database
        min_pool_size = 5
        reserve_pool_size = 5
        reserve_pool_timeout = 3
        server_idle_timeout = 600
        client_idle_timeout = 0
        server_connect_timeout = 15
        server_login_retry = 15
        log_connections = 1
        log_disconnections = 1
        log_pooler_errors = 1
        stats_period = 60
        admin_users = pgbouncer_admin
        unix_socket_dir = \(folder)
        workers = \(setup.workers)
        io_backend = \(setup.backend)

        """
    }

    /// The configuration that tutorials give, with its comments behind values, works as it is.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func theTutorialsConfigurationWorksAsItIs(setup: Setup) async throws {
        try await onThread { () throws in
            let folder = try Folder.shared.make("tutorial")
            let port = try freePort()
            let postgres = Postgres.shared
            let text = tutorial(postgres.port, port, folder, setup)
            try writeFile("\(folder)/pgbouncer.ini", text)
            let digest = try postgres.ask("select md5('secretmd5_user')") ?? ""
            try writeFile(
                "\(folder)/userlist.txt",
                "\"md5_user\" \"md5\(digest)\"\n\"pgbouncer_admin\" \"admin password\"\n")
            let process = try Child([Folder.binary, "\(folder)/pgbouncer.ini"], output: "\(folder)/log")
            try eventually("it accepts connections") {
                if let ending = process.ending() {
                    throw Failure("\(ending): \(try readFile("\(folder)/log"))")
                }
                return RawConnection.canConnect(port: port)
            }
            let base = ["host": "127.0.0.1", "port": "\(port)"]
            func connect(_ more: [String: String]) throws -> Connection {
                try Connection(base.merging(more) { $1 })
            }
            let login = ["dbname": "myapp", "user": "md5_user", "password": "secret"]
            let clients = try (0..<40).map { _ in try connect(login) }
            for client in clients { #expect(try client.query("select 1").value == "1") }
            try clients[0].prepare("s", "select $1::int")
            for _ in 0..<5 { #expect(try clients[0].execute("s", ["7"]).value == "7") }
            let admin = try connect([
                "dbname": "pgbouncer", "user": "pgbouncer_admin", "password": "admin password",
            ])
            for what in ["POOLS", "STATS", "SERVERS", "CLIENTS", "CONFIG"] {
                #expect(try !admin.query("SHOW \(what);").rows.isEmpty, "SHOW \(what)")
            }
            let config = try admin.query("SHOW CONFIG").records
            for (key, value) in [
                ("pool_mode", "transaction"), ("max_client_conn", "1000"), ("default_pool_size", "20"),
            ] {
                #expect(config.first { $0["key"] == key }?["value"] == value)
            }
            process.signal(SIGQUIT)
            #expect(try process.wait() == .exited(0))
        }
    }

    /// A typing mistake is an error with file and line and the nearest name; what is not built yet is a
    /// warning.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.once)
    func aTypingMistakeIsNamed(setup: Setup) async throws {
        try await onThread { () throws in
            let error = #expect(throws: Failure.self) {
                _ = try Pooler(setup, Configuration(settings: ["pool_mod": "session"]))
            }
            let text = error?.description ?? ""
            #expect(text.contains("pool_mod") && text.contains("pool_mode"), "\(text)")
            #expect(text.contains("pgsluice.ini:"), "\(text)")
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.once)
    func theCommandLineIsThatOfPgBouncer(setup: Setup) async throws {
        try await onThread { () throws in
            #expect(try Child.run([Folder.binary, "--help"]).lowercased().contains("usage"))
            #expect(try Child.run([Folder.binary, "-V"]).hasPrefix("PgBouncer 1.26.0 (pgsluice "))
            let missing = #expect(throws: Failure.self) { try Child.run([Folder.binary]) }
            #expect(missing?.description.contains("exited(1)") == true)
            let absent = #expect(throws: Failure.self) { try Child.run([Folder.binary, "/nowhere/x.ini"]) }
            #expect(absent?.description.contains("/nowhere/x.ini") == true)
            let unknown = #expect(throws: Failure.self) { try Child.run([Folder.binary, "--nonsense"]) }
            #expect(unknown?.description.contains("exited(") == true)
        }
    }

    /// Root is refused, as a network service has no business being root.
    @Test(.enabled(if: Options.isOurs && getuid() == 0), arguments: Setup.once)
    func rootIsRefused(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            #expect(throws: Failure.self) {
                try Child.output(of: [Folder.binary, pooler.configurationFile])
            }
        }
    }
}
