public import CShared

/// How times are put into the buckets of a histogram: log-linear, 8 buckets for each power of two, and one
/// for each number below 16. A bucket's `value` is at most a sixteenth away from any time in it.
public enum Histogram {
    /// Buckets of a histogram.
    @inlinable
    public static var bucketCount: Int { Int(CSHARED_HISTOGRAM_BUCKETS) }

    /// The longest time that has its place, microseconds: a little more than 71 minutes. Longer ones are in
    /// the last bucket too.
    @inlinable
    public static var longest: UInt64 { UInt64(UInt32.max) }

    /// The bucket of a time, 0..<`bucketCount`.
    @_noLocks @inlinable @inline(__always)
    public static func bucket(of microseconds: UInt64) -> Int {
        let time = min(microseconds, longest)
        // Of the number the first bit and three more count; how far they are shifted tells the power.
        let shift = 60 &- (time | 8).leadingZeroBitCount
        return shift &* 8 &+ Int(truncatingIfNeeded: time &>> UInt64(truncatingIfNeeded: shift))
    }

    /// The times in a bucket, microseconds.
    public static func times(of bucket: Int) -> ClosedRange<UInt64> {
        precondition(bucket >= 0 && bucket < bucketCount, "a bucket is one of the histogram's")
        guard bucket >= 16 else { return UInt64(bucket)...UInt64(bucket) }
        let shift = UInt64(bucket / 8 - 1)
        let first = UInt64(bucket % 8 + 8) << shift
        return first...(first + (1 << shift) - 1)
    }

    /// What stands for every time in a bucket: its middle.
    public static func value(of bucket: Int) -> UInt64 {
        let times = times(of: bucket)
        return times.lowerBound + (times.upperBound - times.lowerBound) / 2
    }
}
