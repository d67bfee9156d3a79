import CLibPQ
import Glibc
import Testing

/// Connections to PostgreSQL: what is done to them before, between and after, and what when they break.
@Suite struct ServerLifeTests {
    private static let oneServer = Configuration(settings: ["default_pool_size": "1"])

    @Test(arguments: Setup.singleSession)
    func theResetQueryRunsBetweenSessions(setup: Setup) async throws {
        var configuration = Self.oneServer
        configuration.settings["server_reset_query"] = "set work_mem = '4321kB'"
        try await withPooler(setup, configuration) { pooler throws in
            var client: Connection? = try pooler.connect()
            #expect(try client?.query("show work_mem").value == "4MB")
            client = nil
            #expect(try pooler.connect().query("show work_mem").value == "4321kB")
        }
    }

    @Test(arguments: Setup.single, [false, true])
    func theResetQueryRunsBetweenTransactionsOnlyOnDemand(setup: Setup, always: Bool) async throws {
        var configuration = Self.oneServer
        configuration.settings["server_reset_query"] = "set work_mem = '4321kB'"
        configuration.settings["server_reset_query_always"] = always ? "1" : "0"
        try await withPooler(setup, configuration) { pooler throws in
            let client = try pooler.connect()
            #expect(try client.query("show work_mem").value == "4MB")
            #expect(try client.query("show work_mem").value == (always ? "4321kB" : "4MB"))
        }
    }

    /// A reset query that fails must not hand a server in an unknown state to the next client.
    @Test(arguments: Setup.singleSession)
    func aResetQueryThatFailsDoesNotBlockThePool(setup: Setup) async throws {
        var configuration = Self.oneServer
        configuration.settings["server_reset_query"] = "select 1/0"
        try await withPooler(setup, configuration) { pooler throws in
            for _ in 0..<3 { try pooler.connect().query("select 1") }
        }
    }

    @Test(arguments: Setup.single)
    func theCheckQueryRunsBeforeReuse(setup: Setup) async throws {
        let postgres = try await onOwnPostgres(["log_statement": "all"])
        defer { try? postgres.stop() }
        var configuration = Self.oneServer
        configuration.postgres = postgres
        configuration.settings["server_check_query"] = "select 'checked'"
        configuration.settings["server_check_delay"] = "0"
        try await withPooler(setup, configuration) { pooler throws in
            let client = try pooler.connect()
            for _ in 0..<3 { try client.query("select 'work'") }
            let log = try readFile("\(postgres.folder)/log")
            #expect(log.split(separator: "\n").filter { $0.contains("select 'checked'") }.count >= 2)
        }
    }

    @Test(arguments: Setup.single)
    func theConnectQueryRunsOncePerServer(setup: Setup) async throws {
        var configuration = Self.oneServer
        configuration.databases["prepared"] =
            "host=127.0.0.1 port=\(Postgres.shared.port) dbname=test"
            + " connect_query='set work_mem = ''5432kB'''"
        configuration.databases["broken"] =
            "host=127.0.0.1 port=\(Postgres.shared.port) dbname=test connect_query='select 1/0'"
        try await withPooler(setup, configuration) { pooler throws in
            let memory = try pooler.connect(database: "prepared").query("show work_mem").value
            #expect(memory == "5432kB")
            // Its error is logged, and ignored.
            try pooler.connect(database: "broken").query("select 1")
        }
    }

    @Test(arguments: Setup.all)
    func aServerKilledInATransactionEndsItsClientWithACause(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            let other = try pooler.connect()
            try client.query("begin")
            let pid = try client.query("select pg_backend_pid()").value ?? ""
            try pooler.postgres.ask("select pg_terminate_backend(\(pid))")
            let error = #expect(throws: PostgresError.self) {
                for _ in 0..<100 { try client.query("select pg_sleep(0.05)") }
            }
            #expect(error?.message.isEmpty == false)
            #expect(client.isBroken)
            #expect(try other.query("select 1").value == "1")
        }
    }

    /// Idle servers that PostgreSQL closed are replaced before a client sees one.
    @Test(arguments: Setup.transaction)
    func idleServersKilledAreReplacedUnseen(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            for _ in 0..<5 {
                let pid = try client.query("select pg_backend_pid()").value ?? ""
                try pooler.postgres.ask("select pg_terminate_backend(\(pid))")
                try eventually("the pooler has noticed") { try !pooler.serverPIDs().contains(pid) }
                #expect(try client.query("select 1").value == "1")
            }
        }
    }

    /// A restart under load: clients get errors that name the cause, nobody hangs, and service is back
    /// within two seconds of PostgreSQL accepting again, although `server_login_retry` is long.
    @Test(arguments: Setup.transaction)
    func postgresRestartsUnderLoad(setup: Setup) async throws {
        let postgres = try await onOwnPostgres()
        defer { try? postgres.stop() }
        var configuration = Configuration(settings: ["server_login_retry": "15", "query_wait_timeout": "30"])
        configuration.postgres = postgres
        try await withPooler(setup, configuration) { pooler throws in
            let isOver = Shared(false)
            let backAt = Shared([Int: Double]())
            let acceptedAt = Shared(Double.infinity)
            let causes = Shared(Set<String>())
            let clients = (0..<12).map { number in
                Thread {
                    var client: Connection?
                    while !isOver.current {
                        do {
                            if client == nil { client = try pooler.connect() }
                            try client?.query("select pg_sleep(0.01)", within: 40)
                            let time = now()
                            if time > acceptedAt.current { backAt.with { $0[number] = $0[number] ?? time } }
                        } catch let error as PostgresError {
                            client = nil
                            causes.with { _ = $0.insert(error.message) }
                            usleep(20_000)
                        }
                    }
                }
            }
            usleep(500_000)
            try postgres.stop(.fast)
            usleep(2_500_000)
            try postgres.start()
            acceptedAt.with { $0 = now() }
            try eventually("all clients are served again") { backAt.current.count == 12 }
            isOver.with { $0 = true }
            for client in clients { try client.join() }
            let slowest = (backAt.current.values.max() ?? .infinity) - acceptedAt.current
            if Options.isOurs { #expect(slowest < 2, "the last client was served after \(slowest) s") }
            let named = [
                "terminating connection due to administrator command", "server conn crashed?",
                "login has been failing",
                "the database system is shutting down", "connect failed", "Connection refused",
                "the database system is starting up", "query_wait_timeout",
            ]
            for cause in causes.current {
                #expect(named.contains { cause.contains($0) }, "\(cause)")
            }
        }
    }

    /// PostgreSQL is away when a client comes, and comes back while it waits.
    @Test(arguments: Setup.single)
    func aClientMayWaitForPostgresToCome(setup: Setup) async throws {
        let postgres = try await onOwnPostgres()
        defer { try? postgres.stop() }
        var configuration = Configuration(settings: ["server_login_retry": "1", "query_wait_timeout": "2"])
        configuration.postgres = postgres
        try await withPooler(setup, configuration) { pooler throws in
            try postgres.stop()
            let error = #expect(throws: PostgresError.self) {
                for _ in 0..<20 { try pooler.connect().query("select 1", within: 30) }
            }
            #expect(error?.message.isEmpty == false)
            try postgres.start()
            try eventually("clients are served") {
                (try? pooler.connect().query("select 1").value) == "1"
            }
        }
    }

    @Test(arguments: Setup.single)
    func aDatabaseThatPostgresDoesNotHaveIsNamed(setup: Setup) async throws {
        var configuration = Configuration()
        configuration.databases["phantom"] = "host=127.0.0.1 port=\(Postgres.shared.port) dbname=phantom"
        try await withPooler(setup, configuration) { pooler throws in
            let error = #expect(throws: PostgresError.self) { try pooler.connect(database: "phantom") }
            #expect(error?.message.contains("database \"phantom\" does not exist") == true)
        }
    }

    /// `DROP DATABASE`, as test suites do it, must not be refused for ever because of idle servers.
    @Test(arguments: Setup.single)
    func idleServersDoNotKeepADatabaseForEver(setup: Setup) async throws {
        // Dropping a database waits for all of PostgreSQL, so this one has no other tests in it.
        let postgres = try await onOwnPostgres()
        defer { try? postgres.stop() }
        let name = "dropped"
        try postgres.ask("create database \(name) owner app")
        var configuration = Configuration(settings: ["server_idle_timeout": "1"])
        configuration.postgres = postgres
        configuration.databases[name] = "host=127.0.0.1 port=\(postgres.port)"
        try await withPooler(setup, configuration) { pooler throws in
            try pooler.connect(database: name).query("select 1")
            let owner = try postgres.connect(database: "postgres", user: "postgres")
            try eventually("the database can be dropped") {
                (try? owner.query("drop database \(name)")) != nil
            }
        }
    }

    /// A burst of errors on a server: none is mistaken for the next client's.
    @Test(arguments: Setup.transaction)
    func manyErrorsDoNotConfuseAnybody(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["default_pool_size": "2"])) { pooler throws in
            try Thread.concurrently(8) { number in
                let client = try pooler.connect()
                for round in 0..<50 {
                    do {
                        try client.query("select 'x\(number)y\(round)'::int")
                        throw Failure("no error")
                    } catch let error as PostgresError {
                        guard error.message.contains("\"x\(number)y\(round)\"") else { throw error }
                    }
                }
            }
        }
    }
}
