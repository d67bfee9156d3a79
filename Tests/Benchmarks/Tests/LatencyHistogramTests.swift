import Base
import Testing

@testable import BenchmarkSupport

@Suite struct LatencyHistogramTests {
    private func withHistogram(_ body: (LatencyHistogram) -> Void) {
        let counts = UnsafeMutablePointer<UInt64>.allocate(capacity: LatencyHistogram.bucketCount)
        counts.initialize(repeating: 0, count: LatencyHistogram.bucketCount)
        defer { counts.deallocate() }
        body(LatencyHistogram(counts: counts))
    }

    /// Goal: no duration falls between two buckets or into the one before its neighbour's.
    @Test func everyBucketFollowsTheOneBefore() {
        var last = LatencyHistogram.bucket(of: 0)
        for duration in UInt64(1)...100_000 {
            let bucket = LatencyHistogram.bucket(of: duration)
            #expect(bucket == last || bucket == last + 1)
            last = bucket
        }
        #expect(LatencyHistogram.bucket(of: 1 << 36 - 1) < LatencyHistogram.bucketCount)
    }

    /// Goal: a bucket answers with a duration it counts, at most 0.8 % from any other.
    @Test(arguments: [0, 1, 127, 128, 255, 256, 257, 1000, 12_345, 1_000_000, 60_000_000_000] as [UInt64])
    func theMiddleOfABucketIsNear(duration: UInt64) {
        let middle = LatencyHistogram.middle(of: LatencyHistogram.bucket(of: duration))
        let distance = middle > duration ? middle - duration : duration - middle
        #expect(Double(distance) <= Double(duration) * 0.008)
    }

    @Test(arguments: 0..<8 as Range<UInt64>)
    func quantilesAgreeWithSorting(seed: UInt64) {
        var random = Random(seed: seed)
        var durations: [UInt64] = []
        withHistogram { histogram in
            for _ in 0..<5000 {
                let duration = UInt64(random.below(1 << (8 + random.below(24))))
                durations.append(duration)
                histogram.record(nanoseconds: duration)
            }
            durations.sort()
            for (share, index) in [(0.5, 2499), (0.99, 4949), (0.999, 4994), (1.0, 4999)] {
                let exact = Double(durations[index])
                let found = Double(histogram.quantile(share))
                #expect(abs(found - exact) <= exact * 0.008 + 0.5, "share \(share)")
            }
        }
    }

    @Test func twoHistogramsAddUp() {
        withHistogram { first in
            withHistogram { second in
                first.record(nanoseconds: 100)
                second.record(nanoseconds: 1_000_000)
                first.add(second)
                #expect(first.total == 2)
                #expect(first.quantile(0.5) == 100)
            }
        }
    }

    @Test func anEmptyHistogramAnswersZero() {
        withHistogram { #expect($0.quantile(0.5) == 0) }
    }
}
