import Glibc
import Testing

/// What SHOW STATS says is what clients have counted themselves.
@Suite struct StatisticsTests {
    private static let several = Setup.transaction.filter { $0.workers > 1 }
    private static let settings = ["default_pool_size": "6", "stats_period": "1"]

    /// The row of the database that clients use.
    private static func totals(_ pooler: Pooler) throws -> [String: Int] {
        let row = try pooler.show("STATS_TOTALS").first { $0["database"] == "test" } ?? [:]
        return row.compactMapValues { Int($0) }
    }

    /// Goal: nothing is lost or counted twice whatever happens to a living pooler: reloads, pauses, workers
    /// that come and go, clients that move to others and servers that are lent.
    @Test(.enabled(if: Options.isOurs), arguments: several)
    func clientsAndStatisticsCountTheSame(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: Self.settings)) { pooler throws in
            let isOver = Shared(false)
            let tally = Shared(Tally())
            let clients = Thread {
                try Thread.concurrently(12) { thread in
                    try CountingClient(pooler, tally).run(until: isOver, reconnects: thread % 3 == 0)
                }
            }
            for round in 0..<6 {
                let before = tally.current.queries
                try eventually("clients work") { tally.current.queries > before + 100 }
                let workers = round == 2 || round == 4 ? 2 : setup.workers
                try pooler.rewrite {
                    $0.settings["default_pool_size"] = "\(4 + round)"
                    $0.settings["workers"] = "\(workers)"
                }
                pooler.reload()
                try eventually("there are \(workers) workers") { pooler.workers().count == workers }
                // A session of the console would keep its worker from leaving.
                let console = try pooler.console()
                try console.query(round % 2 == 0 ? "PAUSE" : "PAUSE test")
                try console.query(round % 2 == 0 ? "RESUME" : "RESUME test")
            }
            isOver.with { $0 = true }
            try clients.join()
            let counted = tally.current
            let totals = try Self.totals(pooler)
            #expect(totals["query_count"] == counted.queries)
            #expect(totals["xact_count"] == counted.transactions)
            #expect(totals["bytes_received"] == counted.sentBytes)
            #expect(totals["bytes_sent"] == counted.receivedBytes)
            #expect(totals["client_login_count"] == counted.logins)
            try Self.expectLatencies(pooler, queries: counted.queries, transactions: counted.transactions)
            try Self.expectHistory(pooler, queries: counted.queries)
        }
    }

    /// Histograms have as many entries as the totals count.
    private static func expectLatencies(_ pooler: Pooler, queries: Int, transactions: Int) throws {
        let rows = try pooler.show("LATENCY").filter { $0["database"] == "test" && $0["user"] == "app" }
        #expect(rows.map { $0["kind"] } == ["query", "xact", "wait"])
        #expect(rows.map { Int($0["total_count"] ?? "") }.prefix(2) == [queries, transactions])
        #expect(
            try totals(pooler)["server_assignment_count"]
                == rows.last.flatMap { Int($0["total_count"] ?? "") })
        let median = rows.first.flatMap { Int($0["total_p50"] ?? "") } ?? 0
        #expect(median > 0 && median <= rows.first.flatMap { Int($0["total_p999"] ?? "") } ?? 0)
    }

    /// The rows of the history add up to the totals.
    private static func expectHistory(_ pooler: Pooler, queries: Int) throws {
        var sum = 0
        try eventually("the last second is over") {
            let rows = try pooler.show("HISTORY")
            sum = rows.reduce(0) { $0 + (Int($1["query_count"] ?? "") ?? 0) }
            return sum >= queries
        }
        #expect(sum == queries)
    }

    /// Goal: with a worker dies at most what was under way in it, one request for each of its clients.
    @Test(.enabled(if: Options.isOurs), arguments: several)
    func aKilledWorkerTakesNoCountsWithIt(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: Self.settings)) { pooler throws in
            let isOver = Shared(false)
            let tally = Shared(Tally())
            let lost = Shared(0)
            let clients = Thread {
                try Thread.concurrently(12) { _ in
                    while !isOver.current {
                        let isWhole = try CountingClient(pooler, tally).survives(until: isOver)
                        if !isWhole { lost.with { $0 += 1 } }
                    }
                }
            }
            for _ in 0..<4 {
                let before = tally.current.queries
                try eventually("clients work") { tally.current.queries > before + 200 }
                let workers = pooler.workers()
                let victim = try #require(workers.sorted().first)
                kill(victim, SIGKILL)
                try eventually("another takes its place") {
                    let now = pooler.workers()
                    return now.count == workers.count && !now.contains(victim)
                }
            }
            isOver.with { $0 = true }
            try clients.join()
            let counted = tally.current
            let totals = try Self.totals(pooler)
            let queries = (totals["query_count"] ?? 0) - counted.queries
            let transactions = (totals["xact_count"] ?? 0) - counted.transactions
            print(
                "\(setup): \(lost.current) lost, \(queries) queries, \(transactions) transactions more"
            )
            #expect((0...lost.current).contains(queries))
            #expect((0...lost.current).contains(transactions))
            #expect((totals["bytes_received"] ?? 0) >= counted.sentBytes)
            #expect((totals["bytes_sent"] ?? 0) >= counted.receivedBytes)
            try Self.expectHistory(pooler, queries: totals["query_count"] ?? 0)
        }
    }

    /// The line that monitoring parses, once per period; with nothing to do it says so.
    @Test(arguments: Setup.transaction.suffix(1))
    func theLogHasALineOfStatisticsEachPeriod(setup: Setup) async throws {
        let settings = ["stats_period": "1", "log_stats": "1"]
        try await withPooler(setup, Configuration(settings: settings)) { pooler throws in
            func lines() -> [Substring] {
                pooler.log.split(separator: "\n").filter { $0.contains(" LOG stats: ") }
            }
            try eventually("there are lines") { lines().count >= 2 }
            let client = try pooler.connect()
            try eventually("work is seen") {
                try client.query("select 1")
                return lines().contains { !$0.contains("stats: 0 xacts/s") }
            }
            let names = [
                "xacts/s", "queries/s", "client parses/s", "server parses/s", "binds/s", "client logins/s",
                "in B/s", "out B/s", "xact us", "query us", "wait us",
            ]
            for line in lines() {
                let words = line.split(separator: " ")
                let start = (words.firstIndex(of: "stats:") ?? 0) + 1
                let text = words[start...].filter { Int($0) == nil }.joined(separator: " ")
                #expect(text == names.joined(separator: ", "), "\(line)")
                #expect(words.count - start == 11 + names.joined(separator: " ").split(separator: " ").count)
            }
        }
    }
}

/// What clients have counted themselves of requests that were answered to their end.
private struct Tally {
    var queries = 0
    var transactions = 0
    var sentBytes = 0
    var receivedBytes = 0
    var logins = 0
}

/// A client that speaks the protocol by hand and counts what it does.
private struct CountingClient {
    let pooler: Pooler
    let tally: Shared<Tally>

    init(_ pooler: Pooler, _ tally: Shared<Tally>) {
        self.pooler = pooler
        self.tally = tally
    }

    func run(until isOver: Shared<Bool>, reconnects: Bool) throws {
        repeat {
            let connection = try logIn()
            var round = 0
            while !isOver.current, !reconnects || round < 10 {
                try transaction(connection, round)
                round += 1
            }
            // Not counted, as it asks for nothing.
            try connection.send(Bytes.terminate)
        } while !isOver.current
    }

    /// Works until the end, or until the connection is lost: then `false`.
    func survives(until isOver: Shared<Bool>) throws -> Bool {
        guard let connection = try? logIn() else { return true }
        var round = 0
        do {
            while !isOver.current {
                try transaction(connection, round)
                round += 1
            }
        } catch { return false }
        return true
    }

    private func logIn() throws -> RawConnection {
        let connection = try pooler.rawLogin()
        tally.with { $0.logins += 1 }
        return connection
    }

    /// One of several kinds of transactions.
    private func transaction(_ connection: RawConnection, _ round: Int) throws {
        switch round % 4 {
        case 0:
            try request(connection, Bytes.query("select 1"), ends: true)
        case 1:
            let extended =
                Bytes.parse("", "select repeat('x', $1)") + Bytes.bind("", "", ["3000"])
                + Bytes.describe("P", "") + Bytes.execute("") + Bytes.sync
            try request(connection, extended, ends: true)
        case 2:
            try request(connection, Bytes.query("begin"), ends: false)
            try request(connection, Bytes.query("select pg_backend_pid()"), ends: false)
            try request(connection, Bytes.query("commit"), ends: true)
        default:
            try request(connection, Bytes.query("select no_such_column"), ends: true)
        }
    }

    private func request(_ connection: RawConnection, _ bytes: [UInt8], ends: Bool) throws {
        try connection.send(bytes)
        let answer = try connection.receive(through: "Z")
        tally.with {
            $0.queries += 1
            if ends { $0.transactions += 1 }
            $0.sentBytes += bytes.count
            $0.receivedBytes += answer.reduce(0) { $0 + 5 + $1.body.count }
        }
    }
}
