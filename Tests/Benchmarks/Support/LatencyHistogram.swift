/// Counts durations in buckets whose width grows with the duration: exact below 128 ns, within 0.8 % above.
///
/// The counters live in memory that the caller gives, so that several processes can each fill one in a shared
/// mapping. Recording is a few instructions and never allocates.
public struct LatencyHistogram {
    private static let subBucketBits = 7
    private static let subBuckets = 1 << subBucketBits
    /// Longest duration told apart, about 68 s; longer ones count as this.
    private static let longest: UInt64 = (1 << 36) - 1

    /// How many counters a histogram has.
    public static let bucketCount = bucket(of: longest) + 1

    private let counts: UnsafeMutablePointer<UInt64>

    /// A histogram over counters that are already there (zeroed ones for an empty one).
    public init(counts: UnsafeMutablePointer<UInt64>) { self.counts = counts }

    /// Counts one duration.
    public func record(nanoseconds: UInt64) {
        counts[LatencyHistogram.bucket(of: min(nanoseconds, LatencyHistogram.longest))] &+= 1
    }

    /// Adds what another histogram counted.
    public func add(_ other: LatencyHistogram) {
        for index in 0..<LatencyHistogram.bucketCount { counts[index] &+= other.counts[index] }
    }

    /// How many durations were counted.
    public var total: UInt64 {
        var sum: UInt64 = 0
        for index in 0..<LatencyHistogram.bucketCount { sum &+= counts[index] }
        return sum
    }

    /// The duration that a share of all durations do not exceed, in nanoseconds; 0 when nothing was counted.
    /// - Parameter share: 0.5 for the median, 0.999 for p99.9.
    public func quantile(_ share: Double) -> UInt64 {
        let all = total
        guard all > 0 else { return 0 }
        let rank = min(max(UInt64((share * Double(all)).rounded(.up)), 1), all)
        var seen: UInt64 = 0
        for index in 0..<LatencyHistogram.bucketCount {
            seen &+= counts[index]
            if seen >= rank { return LatencyHistogram.middle(of: index) }
        }
        return LatencyHistogram.longest
    }

    /// Which bucket counts a duration: within each power of two, equal steps.
    static func bucket(of nanoseconds: UInt64) -> Int {
        guard nanoseconds >= UInt64(subBuckets) else { return Int(nanoseconds) }
        let shift = (63 - nanoseconds.leadingZeroBitCount) - subBucketBits
        return (shift + 1) * subBuckets + Int(nanoseconds >> UInt64(shift)) - subBuckets
    }

    /// A duration in the middle of what a bucket counts.
    static func middle(of bucket: Int) -> UInt64 {
        guard bucket >= 2 * subBuckets else { return UInt64(bucket) }
        let shift = bucket / subBuckets - 1
        let first = UInt64(bucket % subBuckets + subBuckets) << UInt64(shift)
        return first + (1 << UInt64(shift)) / 2
    }
}
