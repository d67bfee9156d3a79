import Testing

@testable import sluicectl

@Suite struct TopTests {
    private static func pool(
        _ database: String, _ user: String, clients: Int, waiting: Int = 0, wait: UInt64 = 0,
        xacts: Int? = nil,
        p99: UInt64? = nil
    ) -> TopSample.Pool {
        var pool = TopSample.Pool(database: database, user: user)
        pool.clients = clients
        pool.waiting = waiting
        pool.longestWaitMicroseconds = wait
        pool.servers = clients / 2
        pool.idle = 1
        pool.transactionCount = xacts
        pool.queryCount = xacts.map { $0 * 3 }
        pool.queryP50 = p99.map { $0 / 4 }
        pool.queryP99 = p99
        return pool
    }

    private static func worker(_ index: Int, processor: Int) -> TopSample.Worker {
        TopSample.Worker(
            index: index, process: 1000 + index, state: "ready", restarts: 0, beatMilliseconds: 3,
            processorMilliseconds: processor, clients: 5, waiting: 0, servers: 2, idle: 1)
    }

    private static func view(pools: Int = 2, workers: Int = 2, waiters: Int = 1) -> TopView {
        func sample(_ second: UInt64) -> TopSample {
            var sample = TopSample()
            sample.nanoseconds = second * 1_000_000_000
            sample.state = "active"
            sample.transactionCount = 1000 * Int(second)
            sample.queryCount = 3000 * Int(second)
            sample.pools = (0..<pools).map {
                pool(
                    "base\($0)", "user", clients: 10 + $0, waiting: $0, wait: UInt64($0) * 1500,
                    xacts: 500 * Int(second), p99: 2000)
            }
            sample.workers = (0..<workers).map { worker($0, processor: 250 * Int(second) * ($0 + 1)) }
            sample.waiters = (0..<waiters).map {
                TopSample.Waiter(
                    id: "\($0)", database: "base1", user: "user", application: "app", address: "10.0.0.\($0)",
                    waitMicroseconds: 1500, waitsFor: "pool_size")
            }
            return sample
        }
        return TopView(before: sample(10), now: sample(12))
    }

    private func screen(_ view: TopView, _ width: Int, _ height: Int) -> [String] {
        TopLayout(width: width, height: height, order: .waiting)
            .lines(view, title: "pgsluice 0.1.0   process 1   /run/c/.s.PGSQL.6432", clock: "12:00:01")
            .map(\.text)
    }

    @Test func aSmallTerminalShowsWhatMattersMost() {
        let lines = screen(Self.view(), 80, 24)
        #expect(lines.count == 24)
        #expect(lines[0] == "pgsluice 0.1.0   process 1   /run/c/.s.PGSQL.6432".padded(to: 72) + "12:00:01")
        #expect(lines[1] == "active  xact/s 1000  query/s 3000  clients 0, 0 waiting  servers 0, 0 idle")
        #expect(lines[3] == "DATABASE  USER  CLIENTS  WAITING  LONGEST  SERVERS  QUERY/S  QUERY99  WAIT99")
        #expect(lines[4] == "base1     user       11        1    1.5ms        5     1500      2ms       -")
        #expect(lines[7] == "WORKER  PROCESS  STATE  CPU%  CLIENTS  WAITING  SERVERS  IDLE  BEAT  RESTARTS")
        #expect(lines[8] == "     0     1000  ready    25        5        0        2     1   3ms         0")
        #expect(lines[9] == "     1     1001  ready    50        5        0        2     1   3ms         0")
        #expect(lines[11] == "WAITING  FOR        DATABASE  USER  CLIENT  ADDRESS   APPLICATION")
        #expect(lines[12] == "  1.5ms  pool_size  base1     user       0  10.0.0.0  app")
        #expect(lines[23] == "sort: n c [w] m s x r l   q quit")
    }

    @Test func aLargeTerminalShowsEverything() {
        let lines = screen(Self.view(pools: 30, workers: 4, waiters: 3), 200, 50)
        #expect(lines.count == 50)
        #expect(lines[3].hasSuffix("XACT/S  QUERY/S  QUERY50  QUERY99  XACT99  WAIT99"))
        #expect(lines[4].hasPrefix("base29 "))
        #expect(lines.count { $0.hasPrefix("base") } == 30)
        #expect(lines.contains { $0.contains("10.0.0.2") })
        #expect(lines[49].hasPrefix("sorted by waiting   n name  c clients"))
    }

    @Test func whatHasNoRoomIsCounted() {
        let lines = screen(Self.view(pools: 100, workers: 2, waiters: 50), 80, 24)
        #expect(lines.count == 24)
        #expect(lines.contains { $0.hasPrefix("base99 ") })
        let more = lines.filter { $0.hasSuffix(" more") }
        #expect(more.count == 2)
        let shown = lines.count { $0.hasPrefix("base") }
        #expect(more.first == "and \(100 - shown) more")
    }

    /// Goal: whatever the size, no line breaks and nothing scrolls.
    @Test func noSizeIsExceeded() {
        for view in [
            Self.view(), Self.view(pools: 0, workers: 0, waiters: 0), Self.view(pools: 60, workers: 9),
        ] {
            for width in [1, 2, 5, 10, 20, 39, 40, 79, 80, 81, 132, 300] {
                for height in [1, 2, 3, 4, 5, 6, 7, 8, 12, 23, 24, 25, 60] {
                    let lines = screen(view, width, height)
                    #expect(lines.count == height, "\(width)x\(height)")
                    #expect(lines.allSatisfy { $0.displayWidth <= width }, "\(width)x\(height)")
                }
            }
        }
        #expect(screen(Self.view(), 0, 24).isEmpty && screen(Self.view(), 80, 0).isEmpty)
    }

    @Test func longNamesAreCutBeforeColumnsAreLeftOut() {
        var sample = TopSample()
        sample.pools = [Self.pool(String(repeating: "long", count: 15), "\u{1b}[2Jname", clients: 1)]
        let lines = screen(TopView(before: nil, now: sample), 80, 24)
        #expect(lines[3].hasPrefix("DATABASE"))
        #expect(lines[4].hasPrefix("longlong") && lines[4].contains("~"))
        #expect(lines[3].contains("QUERY99"))
        #expect(!lines.joined().unicodeScalars.contains("\u{1b}"))
    }

    @Test(arguments: [
        ([5, 5, 5], 30, [5, 5, 5]), ([100, 2, 50], 21, [7, 2, 6]), ([3, 0, 2], 10, [3, 0, 2]),
        ([9, 9, 9], 8, [2, 2, 0]), ([9, 9, 9], 2, [0, 0, 0]), ([9], 3, [1]), ([], 10, []),
    ])
    func roomIsSharedOut(wanted: [Int], available: Int, shares: [Int]) {
        #expect(TopLayout.shares(wanted, available: available) == shares)
        #expect(shares.reduce(0) { $0 + ($1 > 0 ? $1 + 2 : 0) } <= available)
    }

    // MARK: Rates and orders

    @Test func ratesAreOfTheTimeBetweenTwoLooks() {
        let view = Self.view()
        #expect(view.transactionRate == 1000 && view.queryRate == 3000)
        #expect(view.pools.map(\.transactionRate) == [500, 500] && view.pools[0].queryRate == 1500)
        #expect(view.workers.map(\.processorShare) == [0.25, 0.5])
        #expect(TopView(before: nil, now: view.now).pools[0].transactionRate == nil)
        // An instance that was started anew counts from zero, a new process too.
        var later = view.now
        later.nanoseconds += 1_000_000_000
        later.transactionCount = 1
        later.pools[0].transactionCount = 1
        later.workers[0] = TopSample.Worker(
            index: 0, process: 9, state: "ready", restarts: 1, beatMilliseconds: 0, processorMilliseconds: 5,
            clients: 0, waiting: 0, servers: 0, idle: 0)
        let anew = TopView(before: view.now, now: later)
        #expect(anew.transactionRate == nil && anew.pools[0].transactionRate == nil)
        #expect(anew.workers[0].processorShare == nil && anew.workers[1].processorShare == 0)
    }

    @Test func poolsAreSortedByWhatIsAskedFor() {
        var sample = TopSample()
        sample.pools = [
            Self.pool("b", "u", clients: 1, waiting: 3, wait: 10, p99: 5),
            Self.pool("a", "v", clients: 8, waiting: 3, wait: 30, p99: 1),
            Self.pool("a", "u", clients: 5, waiting: 9, wait: 20, p99: 3),
        ]
        let view = TopView(before: nil, now: sample)
        func names(_ order: TopOrder) -> [String] {
            view.sorted(by: order).map { $0.now.database + $0.now.user }
        }
        #expect(names(.name) == ["au", "av", "bu"])
        #expect(names(.clients) == ["av", "au", "bu"])
        #expect(names(.waiting) == ["au", "av", "bu"])
        #expect(names(.wait) == ["av", "au", "bu"])
        #expect(names(.latency) == ["bu", "au", "av"])
        #expect(names(.queries) == ["au", "av", "bu"], "without rates by name")
    }

    @Test func keysSortOrEnd() {
        var order = TopOrder.name
        for (key, expected) in TopOrder.allCases.map({ ($0.key, $0) }) {
            #expect(Top.take(Array(String(key).utf8), &order) && order == expected)
            #expect(Top.take(Array(String(key).uppercased().utf8), &order) && order == expected)
        }
        #expect(Set(TopOrder.allCases.map(\.key) + ["q"]).count == TopOrder.allCases.count + 1)
        order = .name
        #expect(Top.take(Array("\u{1b}[C".utf8), &order) && order == .name, "an arrow is no key of ours")
        #expect(Top.take(Array("?".utf8), &order) && order == .name)
        for end in ["q", "Q", "\u{3}", "wq"] { #expect(!Top.take(Array(end.utf8), &order)) }
    }

    // MARK: Samples

    @Test func aSampleIsMadeOfWhatTheInstanceShows() {
        func answer(_ names: [String], _ rows: [[String?]]) -> Answer {
            var answer = Answer()
            answer.columns = names.map { Column($0) }
            answer.rows = rows
            return answer
        }
        let sample = TopSample(
            nanoseconds: 7, state: answer(["key", "value"], [["active", "no"], ["paused", "yes"]]),
            pools: answer(
                ["database", "user", "cl_active", "cl_waiting", "sv_idle", "maxwait", "maxwait_us"],
                [["a", "u", "3", "1", "2", "1", "5"], ["pgbouncer", "pgbouncer", "1", "0", "0", "0", "0"]]),
            totals: answer(
                ["database", "xact_count", "query_count"], [["a", "10", "30"], ["pgbouncer", "5", "5"]]),
            latency: answer(
                ["database", "user", "kind", "p50", "p99", "total_count"],
                [["a", "u", "query", "4", "9", "30"], ["a", "u", "xact", "5", "11", "10"]]),
            workers: answer(["worker", "pid", "state", "cpu_ms"], [["0", nil, "restarting", nil]]),
            waiters: answer(["id", "wait_us", "waits_for"], [["1", "5", "x"], ["2", "9", "y"]]))
        #expect(sample.state == "paused" && sample.transactionCount == 10 && sample.queryCount == 30)
        #expect(sample.pools.count == 1 && sample.pools[0].clients == 4 && sample.pools[0].idle == 2)
        #expect(sample.pools[0].longestWaitMicroseconds == 1_000_005)
        #expect(sample.pools[0].queryP99 == 9 && sample.pools[0].transactionCount == 10)
        #expect(sample.pools[0].waitP99 == nil)
        #expect(sample.workers.map(\.state) == ["restarting"] && sample.workers[0].process == nil)
        #expect(sample.waiters.map(\.id) == ["2", "1"])
    }

    @Test func theVersionIsShort() {
        #expect(Top.short("PgBouncer 1.26.0 (pgsluice 0.1.0)") == "pgsluice 0.1.0")
        #expect(Top.short("PgBouncer 1.18.0") == "PgBouncer 1.18.0")
    }
}
