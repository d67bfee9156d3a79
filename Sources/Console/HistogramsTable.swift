public import SharedState
import Wire

/// SHOW HISTOGRAMS: per pool, kind of time and upper bound in seconds, how many times did not exceed it and
/// their sum. For programs that make histograms of it, so the bounds are few and always the same.
public enum HistogramsTable {
    static let columns =
        ["database", "user", "kind", "le"].map { ConsoleColumn($0, .text) }
        + ["count", "seconds"].map { ConsoleColumn($0, .numeric) }

    /// Powers of two, 128 µs to 34 s: there the histograms of the segment have bounds too, so that counts
    /// are exact.
    private static let bounds: [UInt64] = (7...25).map { 1 << $0 }

    /// All pools that have done something, ordered by name.
    public static func table(_ pools: [PoolName: PoolLatencies]) -> ConsoleTable {
        var table = ConsoleTable(columns: columns)
        let labels = bounds.map(seconds) + ["+Inf"]
        for pool in pools.keys.sorted() {
            guard let latencies = pools[pool] else { continue }
            for kind in PoolHistogram.allCases {
                let name = Array(LatencyColumns.name(kind).utf8)
                for (label, below) in zip(labels, latencies.cumulated(bounds, of: kind)) {
                    let numbers = [label, String(below.count), seconds(below.microseconds)]
                    table.append([pool.database, pool.user, name] + numbers.map { Array($0.utf8) })
                }
            }
        }
        return table
    }

    /// Microseconds as seconds.
    private static func seconds(_ microseconds: UInt64) -> String {
        let fraction = String(1_000_000 + microseconds % 1_000_000).dropFirst()
        return "\(microseconds / 1_000_000).\(fraction)"
    }
}
