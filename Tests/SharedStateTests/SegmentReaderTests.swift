import Base
import SharedState
import Testing

@Suite struct SegmentReaderTests {
    @Test func poolsAreSummedOverWorkersAndSorted() throws {
        let owner = TestSegment()
        let first = owner.segment.worker(0).allocatePool(database: bytes("shop"), user: bytes("web"))
        let second = owner.segment.worker(1).allocatePool(database: bytes("shop"), user: bytes("web"))
        let third = owner.segment.worker(1).allocatePool(database: bytes("app"), user: bytes("zoe"))
        first.add(.queries, 5)
        second.add(.queries)
        second.add(.receivedBytes, 100)
        third.add(.transactions, 2)
        first.set(.activeClients, 3)
        second.adjust(.activeClients, by: 4)
        second.adjust(.activeClients, by: -1)
        first.set(.oldestWaitStart, 900)
        second.set(.oldestWaitStart, 500)
        var reader = SegmentReader(owner.segment)
        let pools = reader.pools()
        #expect(pools.map { text($0.database) } == ["app", "shop"])
        #expect(pools.map { text($0.user) } == ["zoe", "web"])
        let shop = try #require(pools.last)
        #expect(shop.totals[.queries] == 6)
        #expect(shop.totals[.receivedBytes] == 100)
        #expect(shop[.activeClients] == 6)
        #expect(shop[.oldestWaitStart] == 500, "the one who waits longest")
        #expect(pools[0][.oldestWaitStart] == 0)
    }

    /// Goal: a pool that ends, comes back, or whose entry another pool takes never makes totals go backwards.
    @Test func countsOfEndedPoolsStay() {
        let owner = TestSegment(poolCapacity: 1)
        let worker = owner.segment.worker(0)
        var reader = SegmentReader(owner.segment)
        let pool = worker.allocatePool(database: bytes("a"), user: bytes("u"))
        pool.add(.queries, 7)
        pool.set(.idleServers, 2)
        worker.release(pool)
        let again = worker.allocatePool(database: bytes("a"), user: bytes("u"))
        #expect(again[.queries] == 7, "a pool that comes back before it was collected goes on counting")
        #expect(again[PoolGauge.idleServers] == 0)
        again.add(.queries)
        worker.release(again)
        #expect(reader.pools().isEmpty)
        let other = worker.allocatePool(database: bytes("b"), user: bytes("u"))
        #expect(other[.queries] == 0)
        other.add(.queries, 3)
        let totals = reader.databases()
        #expect(totals.map { text($0.database) } == ["a", "b"])
        #expect(totals.map { $0.totals[.queries] } == [8, 3])
    }

    /// Goal: a full table costs names, never counts, and stops nothing.
    @Test func poolsBeyondTheTableAreCountedTogether() {
        let owner = TestSegment(workers: 1, poolCapacity: 2)
        let worker = owner.segment.worker(0)
        var pools: [PoolCounters] = []
        for index in 0..<5 {
            let pool = worker.allocatePool(database: bytes("d\(index)"), user: bytes("u"))
            pool.add(.transactions)
            pools.append(pool)
        }
        #expect(worker.overflowedPoolCount == 3)
        var reader = SegmentReader(owner.segment)
        let totals = reader.databases()
        #expect(totals.map { text($0.database) } == ["(overflow)", "d0", "d1"])
        #expect(totals.map { $0.totals[.transactions] } == [3, 1, 1])
        for pool in pools { worker.release(pool) }
        #expect(reader.pools().isEmpty)
        #expect(reader.databases().map { $0.totals[.transactions] } == [3, 1, 1])
    }

    /// Goal: a dead worker's counts stay, its block is fresh for the next process, and the incarnation goes
    /// on.
    @Test func aDeadWorkersCountsAreKept() {
        let owner = TestSegment(workers: 1, poolCapacity: 1)
        let worker = owner.segment.worker(0)
        worker.begin(pid: 1, realtimeMicroseconds: 0)
        let used = worker.allocatePool(database: bytes("a"), user: bytes("u"))
        used.add(.queries, 10)
        used.set(.activeServers, 4)
        worker.allocatePool(database: bytes("more"), user: bytes("u")).add(.queries, 2)
        var reader = SegmentReader(owner.segment)
        reader.retire(worker: 0)
        #expect(worker.state == .vacant)
        #expect(worker.overflowedPoolCount == 0)
        #expect(reader.pools().isEmpty)
        worker.begin(pid: 2, realtimeMicroseconds: 0)
        #expect(worker.incarnation == 2)
        let next = worker.allocatePool(database: bytes("a"), user: bytes("u"))
        #expect(next[.queries] == 0)
        #expect(next[PoolGauge.activeServers] == 0)
        next.add(.queries)
        let totals = reader.databases()
        #expect(totals.map { text($0.database) } == ["(overflow)", "a"])
        #expect(totals.map { $0.totals[.queries] } == [2, 11])
    }

    @Test func namesAreCutToTheirRoom() {
        let owner = TestSegment()
        let long = [UInt8](repeating: 120, count: 500)
        _ = owner.segment.worker(0).allocatePool(database: long, user: long)
        var reader = SegmentReader(owner.segment)
        let pools = reader.pools()
        #expect(pools.map(\.database.count) == [64])
        #expect(pools.map(\.user.count) == [128])
    }

    /// Random pools come, count, go, and workers die: the totals always equal a plain model's.
    @Test(arguments: 0..<50 as Range<UInt64>)
    func totalsAgreeWithAModel(seed: UInt64) {
        var random = Random(seed: seed)
        let owner = TestSegment(workers: 3, poolCapacity: 3)
        var reader = SegmentReader(owner.segment)
        var live: [[String: PoolCounters]] = [[:], [:], [:]]
        var model: UInt64 = 0
        for _ in 0..<300 {
            let index = random.below(3)
            let worker = owner.segment.worker(index)
            let name = "d\(random.below(5))"
            switch random.below(10) {
            case 0:
                if let pool = live[index].removeValue(forKey: name) { worker.release(pool) }
            case 1 where random.below(5) == 0:
                live[index] = [:]
                reader.retire(worker: index)
            case 2, 3:
                let sum = reader.databases().reduce(0) { $0 + $1.totals[.queries] }
                #expect(sum == model)
            case _:
                let pool = live[index][name] ?? worker.allocatePool(database: bytes(name), user: bytes("u"))
                live[index][name] = pool
                let amount = UInt64(random.below(100))
                pool.add(.queries, amount)
                model += amount
            }
        }
        #expect(reader.databases().reduce(0) { $0 + $1.totals[.queries] } == model)
    }

    @Test func scratchCountersCountAlone() {
        let one = PoolCounters.scratch()
        let two = PoolCounters.scratch()
        one.add(.binds, 4)
        one.set(.usedServers, 1)
        #expect(one[.binds] == 4)
        #expect(one[PoolGauge.usedServers] == 1)
        #expect(two[.binds] == 0)
    }
}
