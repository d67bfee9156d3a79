public import SharedState

/// Remembers what the histograms were at the end of the last statistics period, and how they grew in it.
public struct LatencyStatistics {
    private var last: [PoolName: PoolLatencies] = [:]
    private var period: [PoolName: PoolLatencies] = [:]

    /// Nothing is known of any period yet.
    public init() {}

    /// Ends a period (`stats_period`).
    public mutating func endPeriod(_ pools: [PoolName: PoolLatencies]) {
        period = [:]
        for (pool, latencies) in pools {
            // Of a pool that did nothing there is nothing to keep.
            if let before = last[pool], before == latencies { continue }
            period[pool] = latencies.since(last[pool] ?? PoolLatencies())
        }
        last = pools
    }

    /// SHOW LATENCY: per pool and kind of time, how many there were and what so many of a hundred did not
    /// exceed, in the last whole period and since the start. Ordered by pool.
    public func table(_ pools: [PoolName: PoolLatencies]) -> ConsoleTable {
        var table = ConsoleTable(columns: ShowCommand.latency.columns)
        for pool in pools.keys.sorted() {
            let total = pools[pool] ?? PoolLatencies()
            let recent = period[pool] ?? PoolLatencies()
            for kind in PoolHistogram.allCases {
                var row: [[UInt8]?] = [pool.database, pool.user, Array(LatencyColumns.name(kind).utf8)]
                for latencies in [recent, total] {
                    let numbers = [latencies.count(kind)] + LatencyColumns.percentiles(latencies, kind)
                    row += numbers.map { Array(String($0).utf8) }
                }
                table.append(row)
            }
        }
        return table
    }
}

/// Names of columns with percentiles, and what is in them.
enum LatencyColumns {
    /// The percentiles, in thousandths, and their names.
    private static let percentiles: [(permille: UInt64, name: String)] = [
        (500, "p50"), (900, "p90"), (990, "p99"), (999, "p999"),
    ]

    /// Of SHOW LATENCY, after database, user and kind.
    static let latency =
        ["count"] + percentiles.map(\.name)
        + (["count"] + percentiles.map(\.name)).map { "total_" + $0 }

    /// Of SHOW HISTORY, after the counters.
    static let history = PoolHistogram.allCases.flatMap { kind in
        percentiles.map { LatencyColumns.name(kind) + "_" + $0.name }
    }

    /// As the counters call it.
    static func name(_ kind: PoolHistogram) -> String {
        switch kind {
        case .query: "query"
        case .transaction: "xact"
        case .wait: "wait"
        }
    }

    /// The values, in the order of the names.
    static func percentiles(_ latencies: PoolLatencies, _ kind: PoolHistogram) -> [UInt64] {
        latencies.percentiles(percentiles.map(\.permille), of: kind)
    }
}
