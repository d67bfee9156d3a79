/// Counter values at one moment, as the supervisor keeps and adds them.
public struct PoolTotals: Equatable {
    private var values = [UInt64](repeating: 0, count: PoolCounter.allCases.count)

    /// All zero.
    public init() {}

    /// One counter's value.
    public subscript(_ counter: PoolCounter) -> UInt64 {
        get { values[Int(counter.rawValue)] }
        set { values[Int(counter.rawValue)] = newValue }
    }

    /// Adds every counter of `other`. Wraps rather than traps: what it adds comes from shared memory.
    public mutating func add(_ other: PoolTotals) {
        for index in values.indices { values[index] &+= other.values[index] }
    }

    /// Adds what a worker has counted so far.
    mutating func add(_ counters: PoolCounters) {
        for counter in PoolCounter.allCases { values[Int(counter.rawValue)] &+= counters[counter] }
    }

    /// What each counter grew by since `earlier`; 0 where it is smaller.
    public func since(_ earlier: PoolTotals) -> PoolTotals {
        var result = PoolTotals()
        for index in values.indices where values[index] > earlier.values[index] {
            result.values[index] = values[index] - earlier.values[index]
        }
        return result
    }
}

/// One pool over all workers. Names are bytes: PostgreSQL's names have no encoding until one connects.
public struct PoolSnapshot: Equatable {
    /// Database of the pool.
    public let database: [UInt8]
    /// User of the pool.
    public let user: [UInt8]
    /// Sums of the counters.
    public internal(set) var totals = PoolTotals()
    /// Sums of the gauges, except `oldestWaitStart`, which is the earliest one that is not 0.
    private var gauges = [UInt64](repeating: 0, count: PoolGauge.allCases.count)

    init(database: [UInt8], user: [UInt8]) {
        self.database = database
        self.user = user
    }

    /// One gauge's value.
    public subscript(_ gauge: PoolGauge) -> UInt64 { gauges[Int(gauge.rawValue)] }

    mutating func add(_ counters: PoolCounters) {
        totals.add(counters)
        for gauge in PoolGauge.allCases {
            let index = Int(gauge.rawValue)
            let value = counters[gauge]
            switch gauge {
            case .oldestWaitStart:
                if value != 0, gauges[index] == 0 || value < gauges[index] { gauges[index] = value }
            case .activeClients, .waitingClients, .activeCancelRequests, .waitingCancelRequests,
                .activeServers,
                .activeCancelServers, .beingCanceledServers, .idleServers, .usedServers, .testedServers,
                .loginServers:
                gauges[index] &+= value
            }
        }
    }
}

/// Counters and histograms of all pools together.
public struct StatisticsSums: Equatable {
    /// Sums of the counters.
    public var totals = PoolTotals()
    /// Sums of the histograms.
    public var latencies = PoolLatencies()

    /// All zero.
    public init() {}

    /// What each count grew by since `earlier`.
    public func since(_ earlier: StatisticsSums) -> StatisticsSums {
        var result = StatisticsSums()
        result.totals = totals.since(earlier.totals)
        result.latencies = latencies.since(earlier.latencies)
        return result
    }

    mutating func add(_ counters: PoolCounters) {
        totals.add(counters)
        latencies.add(counters)
    }
}

/// One database's counters over all workers and over pools that are gone.
public struct DatabaseTotals: Equatable {
    /// The database's name.
    public let database: [UInt8]
    /// Sums since the instance started.
    public internal(set) var totals: PoolTotals

    /// Totals from their parts.
    public init(database: [UInt8], totals: PoolTotals) {
        self.database = database
        self.totals = totals
    }
}
