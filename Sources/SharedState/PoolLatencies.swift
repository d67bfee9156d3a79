/// The histograms of a pool, or of many together, as the supervisor keeps and adds them.
public struct PoolLatencies: Equatable {
    /// Bucket by bucket, in each one count of every histogram.
    private var counts = [UInt64](repeating: 0, count: Histogram.bucketCount * kindCount)

    private static var kindCount: Int { PoolHistogram.allCases.count }

    /// All empty.
    public init() {}

    /// Adds every count of `other`. Wraps rather than traps: what it adds comes from shared memory.
    public mutating func add(_ other: PoolLatencies) {
        for index in counts.indices { counts[index] &+= other.counts[index] }
    }

    /// Adds what a worker has counted so far.
    public mutating func add(_ counters: PoolCounters) {
        guard counters.mayHaveHistograms else { return }
        var index = 0
        for bucket in 0..<Histogram.bucketCount {
            for kind in PoolHistogram.allCases {
                counts[index] &+= counters.count(kind, bucket: bucket)
                index += 1
            }
        }
    }

    /// What each count grew by since `earlier`; 0 where it is smaller.
    public func since(_ earlier: PoolLatencies) -> PoolLatencies {
        var result = PoolLatencies()
        for index in counts.indices where counts[index] > earlier.counts[index] {
            result.counts[index] = counts[index] - earlier.counts[index]
        }
        return result
    }

    /// How many times a histogram has.
    public func count(_ histogram: PoolHistogram) -> UInt64 {
        var sum: UInt64 = 0
        for bucket in 0..<Histogram.bucketCount { sum &+= self[histogram, bucket] }
        return sum
    }

    /// The time, in microseconds, that so many of a thousand did not exceed; 0 when there is none.
    public func percentile(_ permille: UInt64, of histogram: PoolHistogram) -> UInt64 {
        percentiles([permille], of: histogram)[0]
    }

    /// The times, in microseconds, that so many of a thousand did not exceed each; 0 when there is none.
    ///
    /// At most a sixteenth away from what the sorted list of all times would tell.
    /// - Precondition: parts are 1...1000 and ascend.
    public func percentiles(_ permilles: [UInt64], of histogram: PoolHistogram) -> [UInt64] {
        var result = [UInt64](repeating: 0, count: permilles.count)
        let count = count(histogram)
        guard count > 0 else { return result }
        var passed: UInt128 = 0
        var index = 0
        for bucket in 0..<Histogram.bucketCount where self[histogram, bucket] > 0 {
            passed += UInt128(self[histogram, bucket])
            while index < permilles.count, passed * 1000 >= UInt128(count) * UInt128(permilles[index]) {
                result[index] = Histogram.value(of: bucket)
                index += 1
            }
        }
        return result
    }

    /// Of the times below each bound, how many there are and their sum, in microseconds; then of all. The sum
    /// is at most a sixteenth off.
    ///
    /// - Precondition: bounds ascend, and each is the first time of a bucket.
    public func cumulated(
        _ bounds: [UInt64], of histogram: PoolHistogram
    ) -> [(count: UInt64, microseconds: UInt64)] {
        var result: [(count: UInt64, microseconds: UInt64)] = []
        var count: UInt64 = 0
        var sum: UInt64 = 0
        for bucket in 0..<Histogram.bucketCount {
            let first = Histogram.times(of: bucket).lowerBound
            if result.count < bounds.count, first >= bounds[result.count] {
                precondition(first == bounds[result.count], "a bound begins a bucket")
                result.append((count, sum))
            }
            count &+= self[histogram, bucket]
            sum &+= self[histogram, bucket] &* Histogram.value(of: bucket)
        }
        return result + [(count, sum)]
    }

    /// The count of one bucket.
    subscript(_ histogram: PoolHistogram, _ bucket: Int) -> UInt64 {
        get { counts[bucket * PoolLatencies.kindCount + Int(histogram.rawValue)] }
        set { counts[bucket * PoolLatencies.kindCount + Int(histogram.rawValue)] = newValue }
    }
}
