import Base
import SharedState
import Testing

@Suite struct HistogramTests {
    /// Goal: buckets follow each other without gap or overlap, and every time is in the bucket that says so.
    @Test func bucketsCoverEveryTimeOnce() {
        var next: UInt64 = 0
        for bucket in 0..<Histogram.bucketCount {
            let times = Histogram.times(of: bucket)
            #expect(times.lowerBound == next, "bucket \(bucket)")
            #expect(Histogram.bucket(of: times.lowerBound) == bucket)
            #expect(Histogram.bucket(of: times.upperBound) == bucket)
            next = times.upperBound + 1
        }
        #expect(next == Histogram.longest + 1)
        #expect(next > 3_600_000_000, "an hour has its place")
        let last = Histogram.bucketCount - 1
        #expect(Histogram.bucket(of: next) == last)
        #expect(Histogram.bucket(of: .max) == last, "what is longer is counted too")
    }

    /// Goal: what stands for a time is at most a sixteenth away from it.
    @Test func aValueIsAtMostASixteenthAway() {
        for bucket in 0..<Histogram.bucketCount {
            let (times, value) = (Histogram.times(of: bucket), Histogram.value(of: bucket))
            for time in [times.lowerBound, times.upperBound] {
                let distance = time > value ? time - value : value - time
                #expect(distance * 16 <= time, "\(time) is shown as \(value)")
            }
        }
    }

    /// Random times in a histogram and in a sorted list: counts are the same, percentiles a sixteenth apart.
    @Test(arguments: 0..<40 as Range<UInt64>)
    func percentilesAgreeWithASortedList(seed: UInt64) throws {
        var random = Random(seed: seed)
        let owner = TestSegment(workers: 2)
        let pools = (0..<2).map { owner.segment.worker($0).allocatePool(database: [1], user: [2]) }
        var model: [PoolHistogram: [UInt64]] = [:]
        for _ in 0..<(1 + random.below(2000)) {
            let pool = pools[random.below(2)]
            let kind = PoolHistogram.allCases[random.below(3)]
            let time = random.next() >> UInt64(32 + random.below(32))
            pool.add(.queries)
            pool.record(kind, microseconds: time)
            model[kind, default: []].append(time)
        }
        let found = SegmentReader(owner.segment).latencies()
        #expect(found.count == 1)
        let latencies = try #require(found[PoolName(database: [1], user: [2])])
        for kind in PoolHistogram.allCases {
            let times = (model[kind] ?? []).sorted()
            #expect(latencies.count(kind) == UInt64(times.count))
            let parts: [UInt64] = [1, 500, 900, 990, 999, 1000]
            for (permille, shown) in zip(parts, latencies.percentiles(parts, of: kind)) {
                #expect(latencies.percentile(permille, of: kind) == shown)
                guard !times.isEmpty else {
                    #expect(shown == 0)
                    continue
                }
                let exact = times[(times.count * Int(permille) + 999) / 1000 - 1]
                let distance = exact > shown ? exact - shown : shown - exact
                #expect(distance * 16 <= exact, "\(permille): \(shown) for \(exact)")
            }
        }
    }

    @Test func aSinglePoolHasNoNeighbours() {
        let owner = TestSegment(workers: 1, poolCapacity: 2)
        let worker = owner.segment.worker(0)
        let first = worker.allocatePool(database: bytes("a"), user: bytes("u"))
        let second = worker.allocatePool(database: bytes("b"), user: bytes("u"))
        for pool in [first, second] { pool.add(.queries) }
        for kind in PoolHistogram.allCases {
            first.record(kind, microseconds: 0)
            first.record(kind, microseconds: .max)
        }
        for kind in PoolHistogram.allCases {
            for bucket in 0..<Histogram.bucketCount { #expect(second.count(kind, bucket: bucket) == 0) }
        }
        #expect(second[.queries] == 1)
        #expect(second[PoolGauge.activeClients] == 0)
    }

    /// Goal: what a pool that has ended, one that found no room, and a dead worker counted stays; an entry
    /// that another pool takes over begins empty.
    @Test func histogramsOfWhatIsGoneAreKept() throws {
        let owner = TestSegment(workers: 1, poolCapacity: 1)
        let worker = owner.segment.worker(0)
        var reader = SegmentReader(owner.segment)
        func count(_ database: String, _ user: String = "u") -> UInt64? {
            reader.latencies()[PoolName(database: bytes(database), user: bytes(user))]?.count(.query)
        }
        func use(_ database: String) -> PoolCounters {
            let pool = worker.allocatePool(database: bytes(database), user: bytes("u"))
            pool.add(.queries)
            pool.record(.query, microseconds: 100)
            return pool
        }
        let first = use("a")
        _ = use("beyond")
        #expect(count("a") == 1)
        #expect(count("(overflow)", "") == 1)
        worker.release(first)
        #expect(count("a") == 1, "given back, and not yet collected")
        #expect(reader.pools().isEmpty)
        #expect(count("a") == 1)
        let second = worker.allocatePool(database: bytes("b"), user: bytes("u"))
        #expect(second.count(.query, bucket: Histogram.bucket(of: 100)) == 0)
        second.add(.queries)
        second.record(.query, microseconds: 100)
        let before = reader.sums()
        reader.retire(worker: 0)
        #expect(reader.sums() == before)
        #expect([count("a"), count("b"), count("(overflow)", "")] == [1, 1, 1])
        _ = use("b")
        #expect(count("b") == 2)
        #expect(reader.sums().latencies.count(.query) == 4)
        #expect(reader.sums().totals[.queries] == 4)
    }

    @Test func growthIsTheDifference() {
        let owner = TestSegment(workers: 1)
        let pool = owner.segment.worker(0).allocatePool(database: bytes("a"), user: bytes("u"))
        let reader = SegmentReader(owner.segment)
        pool.add(.queries, 2)
        pool.record(.query, microseconds: 5)
        pool.record(.query, microseconds: 9)
        let before = reader.sums()
        pool.add(.queries)
        pool.record(.query, microseconds: 9)
        let growth = reader.sums().since(before)
        #expect(growth.totals[.queries] == 1)
        #expect(growth.latencies.count(.query) == 1)
        #expect(growth.latencies.percentile(500, of: .query) == 9)
        #expect(before.since(reader.sums()) == StatisticsSums(), "nothing is counted backwards")
    }

    /// Goal: nobody has to read counts to see that nothing was done; a death counts as something.
    @Test func activityTellsWhetherToLook() {
        let owner = TestSegment(workers: 2)
        var reader = SegmentReader(owner.segment)
        func hasChanged() -> Bool { reader.hasChanged() }
        _ = hasChanged()
        #expect(!hasChanged())
        owner.segment.worker(1).noteActivity()
        #expect(hasChanged())
        #expect(!hasChanged())
        owner.segment.worker(1).beat(5)
        #expect(!hasChanged(), "a loop that only turns has done nothing")
        reader.retire(worker: 1)
        owner.segment.worker(1).begin(pid: 2, realtimeMicroseconds: 0)
        owner.segment.worker(1).noteActivity()
        #expect(hasChanged(), "a successor has not been seen yet")
    }
}
