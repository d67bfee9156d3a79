import Glibc
import Testing

/// What the console orders, seen by clients and by PostgreSQL.
@Suite struct ConsoleOrderTests {
    private static func error(_ client: Connection, _ query: String) -> PostgresError? {
        do { _ = try client.query(query) } catch { return error as? PostgresError }
        return nil
    }

    /// Goal: whatever the clients of a database are doing, they go, those of others stay, and RESUME serves
    /// again.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction, [nil, "test"])
    func aKillEndsEverythingOfADatabase(setup: Setup, database: String?) async throws {
        try await withPooler(setup) { pooler throws in
            let console = try pooler.console()
            let clients = try (0..<6).map { _ in try pooler.connect() }
            for (index, client) in clients.enumerated() where index % 2 == 0 { try client.query("begin") }
            let other = try pooler.connect(database: "second")
            try other.query("begin")
            #expect(try console.query("KILL \(database ?? "")").tag == "KILL")
            for client in clients { #expect(Self.error(client, "select 1") != nil) }
            #expect((Self.error(other, "select 1") == nil) == (database != nil))
            // A worker that has never had a server of the pool cannot even welcome it.
            let next = Thread {
                let answer = try pooler.connect().query("select 'served'").value
                guard answer == "served" else { throw Failure("the answer is \(answer ?? "none")") }
            }
            try eventually("it waits") {
                try pooler.show("WAITERS").contains {
                    $0["waits_for"] == "RESUME" && $0["database"] == "test"
                }
            }
            let paused = try pooler.show("DATABASES").first { $0["name"] == "test" }?["paused"]
            #expect(paused == "1")
            #expect(try console.query("RESUME test").tag == "RESUME")
            try next.join()
            #expect(
                Self.error(console, "RESUME test")?.message.contains("database test is not paused") == true)
            if database == nil { #expect(try console.query("RESUME").tag == "RESUME") }
            #expect(try pooler.connect(database: "second").query("select 1").value == "1")
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func oneClientIsKilledInWhicheverWorkerItIs(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let console = try pooler.console()
            let clients = try (0..<8).map {
                try pooler.connect(
                    database: "test", user: "app", password: "", ["application_name": "n\($0)"])
            }
            for client in clients { try client.query("select 1") }
            for number in [5, 2] {
                let row = try pooler.show("CLIENTS").first { $0["application_name"] == "n\(number)" }
                let id = try #require(row?["id"])
                #expect(try console.query("KILL_CLIENT \(id)").tag == "KILL_CLIENT")
                #expect(Self.error(clients[number], "select 1") != nil)
                #expect(
                    Self.error(console, "KILL_CLIENT \(id)")?.message.contains("client not found") == true)
            }
            for number in [0, 1, 3, 4, 6, 7] { #expect(try clients[number].query("select 1").value == "1") }
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func aReconnectIsWaitedFor(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let console = try pooler.console()
            let client = try pooler.connect()
            try client.query("begin")
            let before = try client.query("select pg_backend_pid()").value
            #expect(try console.query("RECONNECT test").tag == "RECONNECT")
            #expect(try console.query("WAIT_CLOSE second").tag == "WAIT_CLOSE")
            try console.send("WAIT_CLOSE test")
            #expect(!console.hasInput(within: 0.4))
            try client.query("commit")
            #expect(try console.finish().tag == "WAIT_CLOSE")
            #expect(try client.query("select pg_backend_pid()").value != before)
        }
    }

    /// Goal: what was ordered holds in workers that were not there yet.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func aDisabledDatabaseStaysSoWhenWorkersDie(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let console = try pooler.console()
            #expect(try console.query("DISABLE test").tag == "DISABLE")
            let refused = "database \"test\" is disabled"
            func refusal() -> String {
                do { _ = try pooler.connect() } catch { return "\(error)" }
                return "none"
            }
            #expect(refusal().contains(refused))
            try eventually("all workers are there") { pooler.workers().count == setup.workers }
            let before = pooler.workers()
            for worker in before { kill(worker, SIGKILL) }
            try eventually("all workers are others") {
                let now = pooler.workers()
                return now.count == before.count && Set(now).isDisjoint(with: before)
            }
            for _ in 0..<5 { #expect(refusal().contains(refused)) }
            #expect(try pooler.console().query("ENABLE test").tag == "ENABLE")
            #expect(try pooler.connect().query("select 1").value == "1")
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func aSettingIsChangedUntilTheNextReload(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let console = try pooler.console()
            #expect(try console.query("SET default_pool_size = 3").tag == "SET default_pool_size=3")
            func size() throws -> String? {
                try pooler.show("DATABASES").first { $0["name"] == "test" }?["pool_size"]
            }
            #expect(try size() == "3")
            #expect(
                Self.error(console, "SET default_pool_size = many")?.message.contains("SET failed") == true)
            #expect(try console.query("RELOAD").tag == "RELOAD")
            #expect(try size() == "20")
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func whoWaitsIsShownWithWhatItWaitsFor(setup: Setup) async throws {
        let configuration = Configuration(settings: ["default_pool_size": "1"])
        try await withPooler(setup, configuration) { pooler throws in
            let holder = try pooler.connect(
                database: "test", user: "app", password: "", ["application_name": "holder"])
            try holder.query("begin")
            let waiter = try pooler.connect(
                database: "test", user: "app", password: "", ["application_name": "waiter"])
            try waiter.send("select 1")
            try eventually("it is shown") { try !pooler.show("WAITERS").isEmpty }
            let row = try pooler.show("WAITERS")[0]
            let id = try pooler.show("CLIENTS").first { $0["application_name"] == "holder" }?["id"] ?? ""
            #expect(row["application_name"] == "waiter" && row["waits_for"] == "pool_size")
            #expect(row["holders"] == "C-\(id)" && row["pool_size"] == "1" && row["servers"] == "1")
            #expect(Int(row["wait_us"] ?? "") ?? 0 > 0)
            try holder.query("commit")
            #expect(try waiter.finish().value == "1")
            #expect(try pooler.show("WAITERS").isEmpty)
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func aPauseThatTakesTooLongIsUndone(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let console = try pooler.console()
            let client = try pooler.connect()
            try client.query("begin")
            let refusal = Self.error(console, "PAUSE test TIMEOUT 1")
            #expect(refusal?.sqlState == "57014")
            #expect(try pooler.connect().query("select 1").value == "1")
            try client.query("commit")
            #expect(try console.query("PAUSE test TIMEOUT 5").tag == "PAUSE")
            #expect(try console.query("RESUME test").tag == "RESUME")
        }
    }

    /// Goal: the console is there when a client's password, or no worker at all, would be in the way.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func theControlSocketServesTheConsole(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            func console() throws -> Connection {
                try Connection([
                    "host": "\(pooler.folder)/.pgsluice.\(pooler.port)", "port": "\(pooler.port)",
                    "dbname": "pgsluice", "user": "anybody",
                ])
            }
            try eventually("all workers are there") { pooler.workers().count == setup.workers }
            for worker in pooler.workers() { kill(worker, SIGSTOP) }
            let session = try console()
            #expect(try session.query("SHOW VERSION").value?.contains("pgsluice") == true)
            let silent = try session.query("SHOW WORKERS").records
            #expect(silent.count == setup.workers && silent.allSatisfy { $0["io_backend"] == "NULL" })
            for worker in pooler.workers() { kill(worker, SIGCONT) }
            try eventually("the workers answer") {
                try session.query("SHOW WORKERS").records.allSatisfy {
                    $0["state"] == "ready" && $0["io_backend"] == setup.backend
                }
            }
            let client = try pooler.connect()
            try client.query("select 1")
            let workers = try session.query("SHOW WORKERS").records
            #expect(workers.compactMap { Int($0["clients"] ?? "") }.reduce(0, +) == 1)
            #expect(workers.compactMap { Int($0["servers"] ?? "") }.reduce(0, +) == 1)
            let memory = try session.query("SHOW MEM").records.first { $0["name"] == "client_cache" }
            #expect(memory?["used"] == "1")
            let sockets = try session.query("SHOW SOCKETS").records.compactMap { $0["state"] }
            #expect(sockets.sorted() == ["cl_active", "cl_active", "sv_idle"])
        }
    }
}
