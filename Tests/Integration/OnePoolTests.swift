import Glibc
import Testing

/// Several workers are one pool: its limits, its waiting clients, its servers, and what is left of it when
/// one of them dies.
@Suite struct OnePoolTests {
    static let several = Setup.transaction.filter { $0.workers > 1 }

    /// A database of PostgreSQL's that only this test's pooler uses, so that all of its connections can be
    /// counted.
    private func ownDatabase(_ settings: [String: String]) throws -> (name: String, Configuration) {
        let name = "pool_\(UInt64.random(in: 0 ... .max))"
        try Postgres.shared.ask("create database \(name) owner app")
        var configuration = Configuration(settings: settings)
        configuration.databases["test"] = "host=127.0.0.1 port=\(Postgres.shared.port) dbname=\(name)"
        return (name, configuration)
    }

    /// How many connections there are to a database, asked of PostgreSQL.
    private func count(_ direct: Connection, _ database: String) throws -> Int {
        let query = """
            select count(*) from pg_stat_activity
            where datname = '\(database)' and backend_type = 'client backend'
            """
        return Int(try direct.query(query).value ?? "") ?? -1
    }

    /// One server serves the clients of all workers, and there is never a second one: with clients that move
    /// to its home, and with servers that go from worker to worker.
    @Test(.enabled(if: Options.isOurs), arguments: several, ["0", "1"])
    func oneServerForAllWorkers(setup: Setup, keepsClients: String) async throws {
        let settings = [
            "default_pool_size": "1", "query_wait_timeout": "60", "test_keep_clients": keepsClients,
        ]
        let (name, configuration) = try ownDatabase(settings)
        try await withPooler(setup, configuration) { pooler throws in
            let isOver = Shared(false)
            let peak = Shared(0)
            let watch = Thread {
                let direct = try Postgres.shared.connect(user: "postgres")
                while !isOver.current {
                    let servers = try count(direct, name)
                    peak.with { $0 = max($0, servers) }
                    usleep(5_000)
                }
            }
            defer { isOver.with { $0 = true } }
            try Thread.concurrently(24) { thread in
                let client = try pooler.connect()
                for number in 0..<60 {
                    let value = "\(thread)-\(number)"
                    #expect(try client.query("select '\(value)'").value == value)
                    if number % 20 == 0 {
                        try client.query("begin")
                        let first = try client.query("select pg_backend_pid()").value
                        #expect(try client.query("select pg_backend_pid()").value == first)
                        try client.query("commit")
                    }
                }
            }
            isOver.with { $0 = true }
            try watch.join()
            #expect(peak.current == 1)
            #expect(try pooler.show("SERVERS").count == 1)
        }
    }

    /// What a client has prepared is there on a server that comes from another worker, and what it has set.
    @Test(.enabled(if: Options.isOurs), arguments: several)
    func preparedStatementsAndSettingsSurviveTheMoves(setup: Setup) async throws {
        try await withPooler(
            setup, Configuration(settings: ["default_pool_size": "1", "test_keep_clients": "1"])
        ) { pooler throws in
            try Thread.concurrently(8) { thread in
                let client = try pooler.connect()
                let zone = ["UTC", "Europe/Paris", "Asia/Tokyo"][thread % 3]
                try client.query("set timezone to '\(zone)'")
                try client.prepare("mine", "select $1::text || '\(thread % 2)'")
                try client.prepare("zone", "select current_setting('timezone')")
                for number in 0..<60 {
                    #expect(try client.execute("mine", ["\(number)-"]).value == "\(number)-\(thread % 2)")
                    #expect(try client.execute("zone").value == zone)
                }
            }
        }
    }

    /// A client that waits because of a limit of the database is served soon, when what fills the limit are
    /// the idle servers of another pool in another worker. Goal: within 50 ms, beside the time in which
    /// PostgreSQL lets anybody in.
    @Test(.enabled(if: Options.isOurs), arguments: several)
    func idleServersOfAnotherPoolGiveWay(setup: Setup) async throws {
        let settings = [
            "max_db_connections": "4", "default_pool_size": "4", "test_keep_clients": "1",
        ]
        let (name, configuration) = try ownDatabase(settings)
        try await withPooler(setup, configuration) { pooler throws in
            let direct = try Postgres.shared.connect(user: "postgres")
            var (first, others): ([Connection], [Connection]) = ([], [])
            let worker = try pooler.worker(of: try pooler.connect(user: "app"))
            try eventually("four clients are in one worker, another elsewhere") {
                let (client, other) = (try pooler.connect(user: "app"), try pooler.connect(user: "other"))
                if try pooler.worker(of: client) == worker { first.append(client) }
                if try pooler.worker(of: other) != worker { others.append(other) }
                return first.count >= 4 && !others.isEmpty
            }
            var (waits, logins): ([Double], [Double]) = ([], [])
            for _ in 0..<9 {
                // The first four take all that there may be, and leave them idle.
                for client in first.prefix(4) { try client.send("select pg_sleep(0.2)") }
                for client in first.prefix(4) { try client.finish() }
                #expect(try count(direct, name) == 4)
                waits.append(try seconds { try others[0].query("select 1") })
                logins.append(try seconds { _ = try Postgres.shared.connect() })
                // PostgreSQL counts one that has said goodbye until its process has ended.
                try eventually("there are no more than four") { try count(direct, name) <= 4 }
            }
            let (wait, login) = (waits.sorted()[4], logins.sorted()[4])
            print("served within \(wait) s, PostgreSQL lets in within \(login) s (medians, \(setup))")
            #expect(wait < 0.05 + login, "\(waits)")
        }
    }

    /// A worker is stopped with clients in it that wait: those of the others go on, and when it runs again so
    /// do its own.
    @Test(.enabled(if: Options.isOurs), arguments: several)
    func aStoppedWorkerStopsNobodyElse(setup: Setup) async throws {
        let settings = [
            "default_pool_size": "2", "query_wait_timeout": "60", "test_keep_clients": "1",
        ]
        try await withPooler(setup, Configuration(settings: settings)) { pooler throws in
            let clients = try (0..<24).map { _ in try pooler.connect() }
            for client in clients { try client.query("select 1") }
            var tried = 0
            for worker in pooler.workers() {
                kill(worker, SIGSTOP)
                defer { kill(worker, SIGCONT) }
                // Those of the stopped worker can be told from the others by their silence.
                for client in clients { try client.send("select pg_sleep(0.01)") }
                let deadline = now() + 4
                let served = clients.filter { $0.hasInput(within: max(0.01, deadline - now())) }
                for client in served { try client.finish() }
                // Unless it is that which has all the servers.
                if !served.isEmpty {
                    tried += 1
                    for _ in 0..<20 {
                        for client in served { try client.send("select 1") }
                        for client in served { #expect(try client.finish(within: 5).value == "1") }
                    }
                }
                kill(worker, SIGCONT)
                for client in clients where !served.contains(where: { $0 === client }) {
                    try client.finish()
                }
                for client in clients { #expect(try client.query("select 2").value == "2") }
            }
            #expect(tried > 0)
        }
    }

    /// Workers are killed while clients are at work: those of the others notice nothing, no limit is exceeded
    /// for longer than PostgreSQL takes to notice that its clients are gone, and in the end all is as before.
    @Test(.enabled(if: Options.isOurs), arguments: several)
    func workersThatAreKilledLeaveNothingBehind(setup: Setup) async throws {
        let settings = ["default_pool_size": "6", "max_db_connections": "6", "query_wait_timeout": "60"]
        let (name, configuration) = try ownDatabase(settings)
        try await withPooler(setup, configuration) { pooler throws in
            let isOver = Shared(false)
            let kills = Shared<[Double]>([])
            let samples = Shared<[(time: Double, count: Int)]>([])
            let lost = Shared(0)
            let watch = Thread {
                let direct = try Postgres.shared.connect(user: "postgres")
                while !isOver.current {
                    let servers = try count(direct, name)
                    samples.with { $0.append((now(), servers)) }
                    usleep(10_000)
                }
            }
            let killer = Thread {
                for round in 0..<5 {
                    usleep(1_300_000)
                    let workers = pooler.workers()
                    guard !workers.isEmpty else { continue }
                    kills.with { $0.append(now()) }
                    kill(workers[round % workers.count], SIGKILL)
                }
                isOver.with { $0 = true }
            }
            try Thread.concurrently(16) { thread in
                var count = 0
                while !isOver.current {
                    do {
                        let client = try pooler.connect()
                        while !isOver.current {
                            count += 1
                            let value = "\(thread)-\(count)"
                            #expect(try client.query("select '\(value)'").value == value)
                        }
                    } catch let error as PostgresError where error.sqlState.isEmpty || error.isOfLogin {
                        // Its connection is gone without a word, as with any process that is killed.
                        lost.with { $0 += 1 }
                    }
                }
            }
            try killer.join()
            try watch.join()
            let times = kills.current
            for sample in samples.current where !times.contains(where: { (0..<1).contains(sample.time - $0) })
            {
                #expect(sample.count <= 6, "\(sample.count) servers")
            }
            #expect(lost.current <= 5 * 16, "\(lost.current) connections were lost")
            try eventually("all workers are there") { pooler.workers().count == setup.workers }
            try Thread.concurrently(12) { _ in
                let client = try pooler.connect()
                for _ in 0..<10 { try client.query("select pg_sleep(0.005)") }
            }
            let direct = try Postgres.shared.connect(user: "postgres")
            let servers = try count(direct, name)
            #expect(servers <= 6)
            #expect(try pooler.show("SERVERS").count == servers)
        }
    }
}
