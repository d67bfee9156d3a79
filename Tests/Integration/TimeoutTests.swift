import CLibPQ
import Testing

/// What happens when something takes longer than a setting allows. The settings are small, the bounds wide.
@Suite struct TimeoutTests {
    /// Expects the client's next word from the pooler to be a FATAL with the text, within four seconds.
    private func expectEnd(
        _ text: String, within limit: Double = 6, _ body: () throws -> Void,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let start = now()
        let error = #expect(throws: PostgresError.self, sourceLocation: sourceLocation) { try body() }
        let took = now() - start
        #expect(
            error?.message.contains(text) == true, "\(String(describing: error))",
            sourceLocation: sourceLocation)
        #expect(took < limit, "took \(took) s", sourceLocation: sourceLocation)
    }

    @Test(arguments: Setup.singleBoth)
    func queryTimeout(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["query_timeout": "1"])) { pooler throws in
            let client = try pooler.connect()
            try client.query("select pg_sleep(0.2)")
            try expectEnd("query timeout") { try client.query("select pg_sleep(30)") }
            #expect(client.isBroken)
            #expect(try pooler.connect().query("select 1").value == "1")
        }
    }

    @Test(arguments: Setup.single)
    func queryWaitTimeout(setup: Setup) async throws {
        let settings = ["query_wait_timeout": "1", "default_pool_size": "1"]
        try await withPooler(setup, Configuration(settings: settings)) { pooler throws in
            let holder = try pooler.connect()
            try holder.query("begin")
            let waiter = try pooler.connect()
            try expectEnd("query_wait_timeout") { try waiter.query("select 1") }
            #expect(try holder.query("select 'still here'").value == "still here")
            try holder.query("commit")
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.single)
    func queryWaitTimeoutOfAUserAlone(setup: Setup) async throws {
        var configuration = Configuration(settings: ["query_wait_timeout": "0", "default_pool_size": "1"])
        configuration.users["app"] = "query_wait_timeout=1"
        try await withPooler(setup, configuration) { pooler throws in
            let holder = try pooler.connect()
            try holder.query("begin")
            let waiter = try pooler.connect()
            try expectEnd("query_wait_timeout") { try waiter.query("select 1") }
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.single)
    func queryWaitNotify(setup: Setup) async throws {
        let settings = ["query_wait_notify": "1", "default_pool_size": "1"]
        try await withPooler(setup, Configuration(settings: settings)) { pooler throws in
            let holder = try pooler.connect()
            try holder.query("begin")
            let waiter = try pooler.connect()
            try waiter.send("select 1")
            try waiter.waitForInput()
            try holder.query("commit")
            try waiter.finish()
            #expect(waiter.notices.count == 1)
            #expect(
                waiter.notices.first?.contains("No server connection available in postgres backend") == true)
        }
    }

    @Test(arguments: Setup.singleBoth)
    func idleTransactionTimeout(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["idle_transaction_timeout": "1"])) {
            pooler throws in
            let client = try pooler.connect()
            try client.query("begin")
            try client.waitForInput()
            try expectEnd("idle transaction timeout") { try client.query("select 1") }
            let other = try pooler.connect()
            try other.query("begin")
            try other.query("select pg_sleep(1.5)")
            #expect(try other.query("select 'not idle'").value == "not idle")
            try other.query("commit")
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.single)
    func transactionTimeout(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["transaction_timeout": "1"])) { pooler throws in
            let client = try pooler.connect()
            try expectEnd("transaction timeout") {
                try client.query("begin")
                for _ in 0..<100 { try client.query("select pg_sleep(0.1)") }
            }
        }
    }

    @Test(arguments: Setup.singleBoth)
    func clientIdleTimeout(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["client_idle_timeout": "1"])) { pooler throws in
            let client = try pooler.connect()
            if setup.mode == .transaction {
                try client.query("select 1")
                try client.waitForInput()
                try expectEnd("client_idle_timeout") { try client.query("select 1") }
            }
            let busy = try pooler.connect()
            try busy.query("begin")
            try busy.query("select pg_sleep(1.5)")
            #expect(try busy.query("select 'was in a transaction'").value == "was in a transaction")
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.single)
    func clientIdleTimeoutOfAUserLeavesTheOthersAlone(setup: Setup) async throws {
        var configuration = Configuration()
        configuration.users["other"] = "client_idle_timeout=1"
        try await withPooler(setup, configuration) { pooler throws in
            let idle = try pooler.connect()
            try idle.query("select 1")
            let limited = try pooler.connect(user: "other")
            try limited.query("select 1")
            try limited.waitForInput()
            try expectEnd("client_idle_timeout") { try limited.query("select 1") }
            #expect(try idle.query("select 1").value == "1")
        }
    }

    @Test(arguments: Setup.single)
    func clientLoginTimeout(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["client_login_timeout": "1"])) { pooler throws in
            let silent = try pooler.raw()
            let half = try pooler.raw()
            try half.send([0, 0, 0])
            for client in [silent, half] {
                let end = try client.receiveToEnd(within: 8)
                #expect(end.allSatisfy { $0.fields["M"]?.contains("client_login_timeout") == true })
            }
            #expect(try pooler.connect().query("select 1").value == "1")
        }
    }

    @Test(arguments: Setup.single)
    func serverIdleTimeout(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["server_idle_timeout": "1"])) { pooler throws in
            let client = try pooler.connect()
            try client.query("select 1")
            #expect(try pooler.show("SERVERS").count == 1)
            try eventually("the idle server is closed") { try pooler.show("SERVERS").isEmpty }
            #expect(try client.query("select 1").value == "1", "its client does not notice")
        }
    }

    @Test(arguments: Setup.single)
    func serverLifetime(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["server_lifetime": "1"])) { pooler throws in
            let client = try pooler.connect()
            let first = try client.query("select pg_backend_pid()").value
            try eventually("another server answers") {
                try client.query("select pg_backend_pid()").value != first
            }
        }
    }

    @Test(arguments: Setup.single)
    func aServerLifetimeOfZeroMeansOneUse(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["server_lifetime": "0"])) { pooler throws in
            let client = try pooler.connect()
            let servers = try (0..<5).map { _ in try client.query("select pg_backend_pid()").value ?? "" }
            #expect(Set(servers).count == 5)
        }
    }

    /// A server that accepts a connection and then says nothing.
    @Test(arguments: Setup.single)
    func serverConnectTimeout(setup: Setup) async throws {
        let silent = try SilentServer()
        var configuration = Configuration(settings: [
            "server_connect_timeout": "1", "query_wait_timeout": "3",
        ])
        configuration.databases["silent"] = "host=127.0.0.1 port=\(silent.port)"
        try await withPooler(setup, configuration) { pooler throws in
            let start = now()
            #expect(throws: PostgresError.self) { try pooler.connect(database: "silent") }
            #expect(now() - start < 10)
            #expect(pooler.log.contains("connect timeout"))
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.single)
    func autoDatabasesAreForgotten(setup: Setup) async throws {
        var configuration = Configuration(
            settings: ["autodb_idle_timeout": "1", "server_idle_timeout": "1"])
        configuration.databases["*"] = "host=127.0.0.1 port=\(Postgres.shared.port)"
        try await withPooler(setup, configuration) { pooler throws in
            var client: Connection? = try pooler.connect(database: "postgres")
            try client?.query("select 1")
            #expect(try pooler.show("DATABASES").contains { $0["name"] == "postgres" })
            client = nil
            try eventually("the auto-database is gone") {
                try !pooler.show("DATABASES").contains { $0["name"] == "postgres" }
            }
            client = try pooler.connect(database: "postgres")
            #expect(try client?.query("select 1").value == "1")
        }
    }
}
