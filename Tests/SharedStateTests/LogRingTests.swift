import Base
import SharedState
import Testing

@Suite struct LogRingTests {
    @Test func recordsComeOutAsTheyWentIn() {
        let owner = TestSegment()
        let ring = owner.segment.worker(0).logRing
        #expect(ring.take() == nil)
        ring.append(.warning, realtimeMicroseconds: 77, pid: 42, text: "first")
        ring.append(.noise, realtimeMicroseconds: 78, pid: 43, text: "")
        #expect(owner.segment.worker(1).logRing.take() == nil)
        #expect(
            ring.take() == LogRecord(level: .warning, realtimeMicroseconds: 77, pid: 42, text: bytes("first"))
        )
        #expect(ring.take() == LogRecord(level: .noise, realtimeMicroseconds: 78, pid: 43, text: []))
        #expect(ring.take() == nil)
    }

    @Test func theNamesOfALineAreToldApart() {
        let owner = TestSegment()
        let ring = owner.segment.worker(0).logRing
        for (database, user) in [(1, 0), (4095, 4095), (64, 128)] {
            let subject = LogSubject(databaseLength: database, userLength: user)
            let text = bytes("x")
            ring.append(.noise, realtimeMicroseconds: 1, pid: 1, subject: subject, text: text.span.bytes)
            let record = ring.take()
            #expect(record?.subject == subject && record?.level == .noise)
        }
        #expect(LogSubject(databaseLength: 4096, userLength: 1).databaseLength == 0)
    }

    /// Goal: a full ring drops new records and counts them; those in it stay whole.
    @Test func aFullRingDropsAndCounts() {
        let owner = TestSegment()
        let ring = owner.segment.worker(0).logRing
        let line = String(repeating: "x", count: 1000)
        for index in 0..<10 { ring.append(.log, realtimeMicroseconds: UInt64(index), pid: 1, text: line) }
        #expect(ring.droppedCount == 6, "4096 bytes hold four records of 1024")
        var taken: [UInt64] = []
        while let record = ring.take() {
            taken.append(record.realtimeMicroseconds)
            #expect(record.text.count == 1000)
        }
        #expect(taken == [0, 1, 2, 3])
        ring.append(.log, realtimeMicroseconds: 99, pid: 1, text: "again")
        #expect(ring.take()?.realtimeMicroseconds == 99)
    }

    @Test func longTextsAreCut() {
        let owner = TestSegment()
        let ring = owner.segment.worker(0).logRing
        ring.append(.log, realtimeMicroseconds: 0, pid: 1, text: String(repeating: "y", count: 5000))
        #expect(ring.take()?.text.count == LogRing.textLimit)
    }

    /// Goal: whatever the lengths, records wrap around the end unharmed and none is lost but those counted.
    @Test(arguments: 0..<50 as Range<UInt64>)
    func randomTrafficAgreesWithAQueue(seed: UInt64) {
        var random = Random(seed: seed)
        let owner = TestSegment()
        let ring = owner.segment.worker(1).logRing
        var model: [[UInt8]] = []
        var appended = 0
        for _ in 0..<2000 {
            if random.below(2) == 0 {
                let fill = UInt8(random.below(256))
                let line = [UInt8](repeating: fill, count: random.below(random.below(10) == 0 ? 2000 : 60))
                let before = ring.droppedCount
                ring.append(.debug, realtimeMicroseconds: 0, pid: 1, text: line.span.bytes)
                if ring.droppedCount == before { model.append(line) }
                appended += 1
            } else {
                let record = ring.take()
                #expect(record?.text == (model.isEmpty ? nil : model.removeFirst()))
            }
        }
        #expect(appended > 0)
    }

    /// Goal: a ring whose writer went wrong never traps the supervisor and is usable afterwards.
    @Test(arguments: 0..<300 as Range<UInt64>)
    func garbageInTheRingIsHarmless(seed: UInt64) {
        var random = Random(seed: seed)
        let owner = TestSegment(workers: 1)
        let ring = owner.segment.worker(0).logRing
        for _ in 0..<20 {
            for offset in stride(from: owner.byteCount - 4096, to: owner.byteCount, by: 8) {
                owner.memory.storeBytes(
                    of: random.next() >> random.below(64), toByteOffset: offset, as: UInt64.self)
            }
            // Also the positions: tail at 256 and head at 320 of the block, which follows two pages.
            let block = 4096 + 256
            owner.memory.storeBytes(
                of: random.next() >> random.below(64), toByteOffset: block, as: UInt64.self)
            for _ in 0..<20 { _ = ring.take() }
        }
        while ring.take() != nil {}
        ring.append(.log, realtimeMicroseconds: 1, pid: 1, text: "works")
        #expect(ring.take()?.text == bytes("works"))
    }
}
