import Testing

/// How many connections there may be, exactly, over all workers.
@Suite struct LimitTests {
    @Test(arguments: Setup.transaction)
    func thePoolSizeIsNotExceeded(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["default_pool_size": "3"])) { pooler throws in
            let peak = Shared(0)
            try Thread.concurrently(12) { _ in
                let client = try pooler.connect()
                for _ in 0..<10 { try client.query("select pg_sleep(0.005)") }
                let servers = try pooler.serverPIDs().count
                peak.with { $0 = max($0, servers) }
            }
            #expect(peak.current == 3)
        }
    }

    /// More than one login at a time: a burst of clients is not served one by one.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func aPoolGrowsBySeveralServersAtATime(setup: Setup) async throws {
        var configuration = Configuration(settings: ["default_pool_size": "8"])
        configuration.databases["slow"] =
            "host=127.0.0.1 port=\(Postgres.shared.port) dbname=test connect_query='select pg_sleep(0.5)'"
        try await withPooler(setup, configuration) { pooler throws in
            let took = try seconds {
                try Thread.concurrently(8) { _ in
                    let client = try pooler.connect(database: "slow")
                    try client.query("begin")
                    try client.query("select pg_sleep(0.2)")
                    try client.query("commit")
                }
            }
            #expect(took < 3.5, "eight logins of half a second each, one after another, take four seconds")
        }
    }

    @Test(arguments: Setup.transaction)
    func aPoolSizeMayBeGivenPerDatabaseAndUser(setup: Setup) async throws {
        var configuration = Configuration(settings: ["default_pool_size": "5"])
        configuration.databases["one"] = "host=127.0.0.1 port=\(Postgres.shared.port) dbname=test pool_size=1"
        if Options.isOurs { configuration.users["other"] = "pool_size=2" }
        try await withPooler(setup, configuration) { pooler throws in
            for (database, user, expected) in [("one", "app", 1), ("test", "other", 2), ("test", "app", 5)]
            where user == "app" || Options.isOurs {
                let clients = try (0..<7).map { _ in try pooler.connect(database: database, user: user) }
                for client in clients { try client.send("select pg_sleep(0.3)") }
                for client in clients { try client.finish() }
                let servers = try pooler.show("SERVERS")
                    .filter { $0["database"] == database && $0["user"] == user }
                #expect(servers.count == expected, "\(database), \(user)")
            }
        }
    }

    @Test(arguments: Setup.transaction)
    func clientsBeyondMaxClientConnAreRefused(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["max_client_conn": "3"])) { pooler throws in
            var clients = try (0..<3).map { _ in try pooler.connect() }
            for client in clients { try client.query("select 1") }
            let error = #expect(throws: PostgresError.self) { try pooler.connect() }
            #expect(error?.message.contains("no more connections allowed (max_client_conn)") == true)
            #expect(try pooler.console().query("show version").rows.count == 1, "the console is exempt")
            clients.removeLast()
            try eventually("there is room again") { (try? pooler.connect()) != nil }
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func clientsPerDatabaseAndUserAreLimited(setup: Setup) async throws {
        var configuration = Configuration()
        configuration.databases["narrow"] =
            "host=127.0.0.1 port=\(Postgres.shared.port) dbname=test max_db_client_connections=2"
        configuration.users["other"] = "max_user_client_connections=1"
        try await withPooler(setup, configuration) { pooler throws in
            let held = try (0..<2).map { _ in try pooler.connect(database: "narrow") }
            let database = #expect(throws: PostgresError.self) { try pooler.connect(database: "narrow") }
            #expect(
                database?.message.contains("client connections exceeded (max_db_client_connections)") == true)
            let other = try pooler.connect(user: "other")
            let user = #expect(throws: PostgresError.self) { try pooler.connect(user: "other") }
            #expect(
                user?.message.contains("client connections exceeded (max_user_client_connections)") == true)
            _ = (held, other)
        }
    }

    /// Two users share the limit of one database: the second gets a server by eviction of the first's idle
    /// one.
    @Test(arguments: Setup.transaction)
    func serversPerDatabaseAreLimitedAndIdleOnesEvicted(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["max_db_connections": "2"])) { pooler throws in
            let clients = try (0..<4).map { _ in try pooler.connect() }
            for client in clients { try client.send("select pg_sleep(0.2)") }
            for client in clients { try client.finish() }
            #expect(try pooler.show("SERVERS").count == 2)
            let other = try pooler.connect(user: "other")
            #expect(try other.query("select current_user").value == "other")
            let users = try pooler.show("SERVERS").compactMap { $0["user"] }.sorted()
            #expect(users == ["app", "other"])
        }
    }

    @Test(arguments: Setup.transaction)
    func serversPerUserAreLimitedOverAllDatabases(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["max_user_connections": "2"])) { pooler throws in
            let clients = try ["test", "test", "second", "second"].map { try pooler.connect(database: $0) }
            for client in clients { try client.send("select pg_sleep(0.1)") }
            for client in clients { try client.finish() }
            // The last to finish may have had the server of another database closed for it.
            #expect((1...2).contains(try pooler.show("SERVERS").count))
        }
    }

    @Test(arguments: Setup.transaction)
    func theReserveIsUsedAfterItsTimeout(setup: Setup) async throws {
        let settings = ["default_pool_size": "1", "reserve_pool_size": "1", "reserve_pool_timeout": "1"]
        try await withPooler(setup, Configuration(settings: settings)) { pooler throws in
            let holder = try pooler.connect()
            try holder.query("begin")
            let waiter = try pooler.connect()
            var before = 0.0
            let took = try seconds {
                before = now()
                try waiter.query("select 1")
            }
            _ = before
            #expect(took > 0.6 && took < 5, "waited \(took) s")
            #expect(pooler.log.contains("taking connection from reserve_pool"))
            try holder.query("commit")
        }
    }

    @Test(arguments: Setup.transaction)
    func waitingClientsAreServedInOrder(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["default_pool_size": "1"])) { pooler throws in
            let holder = try pooler.connect()
            try holder.query("begin")
            let waiters = try (0..<8).map { _ in try pooler.connect() }
            let sequence = "order_\(unique())"
            try holder.query("create sequence \(sequence)")
            try holder.query("commit; begin")
            for (index, waiter) in waiters.enumerated() {
                let start = now()
                try waiter.send("select nextval('\(sequence)')")
                try eventually("\(index + 1) clients wait") {
                    // Clients of different workers are in order but for two milliseconds.
                    try pooler.show("POOLS").contains { $0["cl_waiting"] == "\(index + 1)" }
                        && now() - start > 0.005
                }
            }
            try holder.query("commit")
            for (index, waiter) in waiters.enumerated() {
                #expect(try waiter.finish().value == "\(index + 1)")
            }
            try holder.query("drop sequence \(sequence)")
        }
    }

    /// Servers used last are used first, so that the others can be closed; round robin uses all.
    @Test(arguments: Setup.single, [false, true])
    func idleServersAreReusedInTheConfiguredOrder(setup: Setup, roundRobin: Bool) async throws {
        let settings = ["server_round_robin": roundRobin ? "1" : "0", "default_pool_size": "3"]
        try await withPooler(setup, Configuration(settings: settings)) { pooler throws in
            let clients = try (0..<3).map { _ in try pooler.connect() }
            for client in clients { try client.query("begin") }
            for client in clients { try client.query("commit") }
            let used = try (0..<9).map { _ in try clients[0].query("select pg_backend_pid()").value ?? "" }
            #expect(Set(used).count == (roundRobin ? 3 : 1))
        }
    }

    @Test(arguments: Setup.transaction)
    func minPoolSizeKeepsServersReady(setup: Setup) async throws {
        let settings = ["min_pool_size": "3", "default_pool_size": "5"]
        try await withPooler(setup, Configuration(settings: settings)) { pooler throws in
            let client = try pooler.connect()
            try client.query("select 1")
            try eventually("three servers are open") { try pooler.show("SERVERS").count == 3 }
        }
    }

    /// A forced user's pool is filled before the first client.
    @Test(arguments: Setup.transaction)
    func minPoolSizeOfAForcedUserNeedsNoClient(setup: Setup) async throws {
        var configuration = Configuration()
        configuration.databases["ready"] =
            "host=127.0.0.1 port=\(Postgres.shared.port) dbname=test user=app min_pool_size=2"
        guard Options.isOurs else { return }
        try await withPooler(setup, configuration) { pooler throws in
            try eventually("two servers are open") { try pooler.show("SERVERS").count == 2 }
        }
    }

    /// Who would need a pool too many is told what to change; everybody else goes on.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func poolsAreLimited(setup: Setup) async throws {
        var configuration = Configuration(settings: ["max_pools": "16"])
        configuration.databases["*"] = "host=127.0.0.1 port=\(Postgres.shared.port) dbname=test"
        try await withPooler(setup, configuration) { pooler throws in
            let clients = try (0..<16).map { try pooler.connect(database: "d\($0)") }
            for number in 0..<4 {
                do {
                    _ = try pooler.connect(database: "more_\(number)")
                    Issue.record("there is a seventeenth pool")
                } catch let error as PostgresError {
                    #expect(
                        error.message.contains("no room for another pool of database and user: raise max_"))
                }
            }
            for client in clients { #expect(try client.query("select 1").value == "1") }
            _ = try pooler.connect(database: "d3")
        }
    }
}
