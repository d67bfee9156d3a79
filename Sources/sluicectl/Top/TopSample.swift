/// One look at an instance.
struct TopSample: Equatable {
    /// A pool, as SHOW POOLS and SHOW LATENCY have it.
    struct Pool: Equatable {
        let database: String
        let user: String
        var clients = 0
        var waiting = 0
        var longestWaitMicroseconds: UInt64 = 0
        var servers = 0
        var idle = 0
        /// Transactions since the start; `nil` where the instance has no SHOW LATENCY.
        var transactionCount: Int?
        var queryCount: Int?
        /// Percentiles of the last statistics period, in microseconds.
        var queryP50: UInt64?
        var queryP99: UInt64?
        var transactionP99: UInt64?
        var waitP99: UInt64?
    }

    /// A worker, as SHOW WORKERS has it.
    struct Worker: Equatable {
        let index: Int
        let process: Int?
        let state: String
        let restarts: Int?
        let beatMilliseconds: UInt64?
        let processorMilliseconds: Int?
        let clients: Int?
        let waiting: Int?
        let servers: Int?
        let idle: Int?
    }

    /// A client that waits, as SHOW WAITERS has it.
    struct Waiter: Equatable {
        let id: String
        let database: String
        let user: String
        let application: String
        let address: String
        let waitMicroseconds: UInt64
        let waitsFor: String
    }

    /// When it was taken, monotonic.
    var nanoseconds: UInt64 = 0
    var state = ""
    var sums = PoolSums()
    /// Since the start, over all databases.
    var transactionCount = 0
    var queryCount = 0
    var pools: [Pool] = []
    var workers: [Worker] = []
    /// The one that waits longest first.
    var waiters: [Waiter] = []

    init() {}

    /// What the answers say. Those of commands an instance does not know are empty.
    init(
        nanoseconds: UInt64, state: Answer, pools: Answer, totals: Answer, latency: Answer, workers: Answer,
        waiters: Answer
    ) {
        self.nanoseconds = nanoseconds
        self.state = Summary.state(state)
        sums = PoolSums(pools)
        for record in totals.records where record["database"] != "pgbouncer" {
            transactionCount += TopSample.number(record["xact_count"]) ?? 0
            queryCount += TopSample.number(record["query_count"]) ?? 0
        }
        self.pools = TopSample.pools(pools, latency)
        self.workers = workers.records.map(TopSample.worker)
        self.waiters = waiters.records.map(TopSample.waiter)
            .sorted { $0.waitMicroseconds > $1.waitMicroseconds }
    }

    private static func number(_ text: String?) -> Int? { text.flatMap { Int($0) } }

    private static func pools(_ pools: Answer, _ latency: Answer) -> [Pool] {
        var times: [[String]: [String: String]] = [:]
        for record in latency.records {
            times[[record["database"] ?? "", record["user"] ?? "", record["kind"] ?? ""]] = record
        }
        return pools.records.filter { $0["database"] != "pgbouncer" }.map { record in
            var pool = Pool(database: record["database"] ?? "", user: record["user"] ?? "")
            var one = Answer()
            one.columns = record.keys.map { Column($0) }
            one.rows = [Array(record.values)]
            let sums = PoolSums(one)
            pool.clients = sums.clients
            pool.waiting = sums.waitingClients
            pool.longestWaitMicroseconds = sums.longestWaitMicroseconds
            pool.servers = sums.servers
            pool.idle = sums.idleServers
            func time(_ kind: String, _ column: String) -> Int? {
                number(times[[pool.database, pool.user, kind]]?[column])
            }
            pool.transactionCount = time("xact", "total_count")
            pool.queryCount = time("query", "total_count")
            pool.queryP50 = time("query", "p50").map { UInt64(clamping: $0) }
            pool.queryP99 = time("query", "p99").map { UInt64(clamping: $0) }
            pool.transactionP99 = time("xact", "p99").map { UInt64(clamping: $0) }
            pool.waitP99 = time("wait", "p99").map { UInt64(clamping: $0) }
            return pool
        }
    }

    private static func worker(_ record: [String: String]) -> Worker {
        Worker(
            index: number(record["worker"]) ?? 0, process: number(record["pid"]),
            state: record["state"] ?? "", restarts: number(record["restarts"]),
            beatMilliseconds: number(record["beat_age_ms"]).map { UInt64(clamping: $0) },
            processorMilliseconds: number(record["cpu_ms"]), clients: number(record["clients"]),
            waiting: number(record["waiting_clients"]), servers: number(record["servers"]),
            idle: number(record["idle_servers"]))
    }

    private static func waiter(_ record: [String: String]) -> Waiter {
        Waiter(
            id: record["id"] ?? "", database: record["database"] ?? "", user: record["user"] ?? "",
            application: record["application_name"] ?? "", address: record["addr"] ?? "",
            waitMicroseconds: UInt64(record["wait_us"] ?? "") ?? 0, waitsFor: record["waits_for"] ?? "")
    }
}
