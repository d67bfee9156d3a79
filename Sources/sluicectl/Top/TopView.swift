/// What two looks at an instance say about the time between them.
struct TopView: Equatable {
    /// A pool with its rates per second, which the first look does not have.
    struct Pool: Equatable {
        let now: TopSample.Pool
        var transactionRate: Double?
        var queryRate: Double?
    }

    /// A worker with its share of a processor.
    struct Worker: Equatable {
        let now: TopSample.Worker
        var processorShare: Double?
    }

    let now: TopSample
    var transactionRate: Double?
    var queryRate: Double?
    var pools: [Pool]
    var workers: [Worker]

    init(before: TopSample?, now: TopSample) {
        self.now = now
        pools = now.pools.map { Pool(now: $0) }
        workers = now.workers.map { Worker(now: $0) }
        guard let before, now.nanoseconds > before.nanoseconds else { return }
        let seconds = Double(now.nanoseconds - before.nanoseconds) / 1e9
        // Counts that are smaller than before are those of another instance.
        func rate(_ now: Int?, _ before: Int?) -> Double? {
            guard let now, let before, now >= before else { return nil }
            return Double(now - before) / seconds
        }
        transactionRate = rate(now.transactionCount, before.transactionCount)
        queryRate = rate(now.queryCount, before.queryCount)
        var old: [[String]: TopSample.Pool] = [:]
        for pool in before.pools { old[[pool.database, pool.user]] = pool }
        for index in pools.indices {
            let pool = now.pools[index]
            let earlier = old[[pool.database, pool.user]]
            pools[index].transactionRate = rate(pool.transactionCount, earlier?.transactionCount)
            pools[index].queryRate = rate(pool.queryCount, earlier?.queryCount)
        }
        for index in workers.indices {
            let worker = now.workers[index]
            let earlier = before.workers.first { $0.index == worker.index && $0.process == worker.process }
            let milliseconds = rate(worker.processorMilliseconds, earlier?.processorMilliseconds)
            workers[index].processorShare = milliseconds.map { $0 / 1000 }
        }
    }

    /// Pools in an order; those that are equal in it by name.
    func sorted(by order: TopOrder) -> [Pool] {
        func measure(_ pool: Pool) -> Double {
            switch order {
            case .name: 0
            case .clients: Double(pool.now.clients)
            case .waiting: Double(pool.now.waiting)
            case .wait: Double(pool.now.longestWaitMicroseconds)
            case .servers: Double(pool.now.servers)
            case .transactions: pool.transactionRate ?? 0
            case .queries: pool.queryRate ?? 0
            case .latency: Double(pool.now.queryP99 ?? 0)
            }
        }
        return pools.sorted { a, b in
            let (left, right) = (measure(a), measure(b))
            if left != right { return left > right }
            return (a.now.database, a.now.user) < (b.now.database, b.now.user)
        }
    }
}
