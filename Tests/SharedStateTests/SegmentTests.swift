import Base
import SharedState
import Testing

@Suite struct SegmentTests {
    /// Goal: another process that maps the same memory sees the same capacities, secrets and counters.
    @Test func whatOneProcessInitializesAnotherAttaches() throws {
        let owner = TestSegment(workers: 3, poolCapacity: 7, ringBytes: 8192)
        let other = try Segment.attach(memory: owner.memory, byteCount: owner.byteCount)
        #expect(other.layout == owner.segment.layout)
        #expect(other.generation == 3)
        #expect(other.startRealtimeMicroseconds == 1_700_000_000_000_000)
        #expect(other.secrets.instance == Hash128(low: 11, high: 22))
        #expect(other.secrets.mockAuthentication == Array(100..<132))
    }

    @Test func connectionIdsStartAtOneAndAreNeverRepeated() throws {
        let owner = TestSegment()
        let other = try Segment.attach(memory: owner.memory, byteCount: owner.byteCount)
        #expect(owner.segment.nextConnectionId() == 1)
        #expect(other.nextConnectionId() == 2)
        #expect(owner.segment.nextConnectionId() == 3)
    }

    /// Goal: memory of another program, another version or too few bytes is refused, never believed.
    @Test func foreignMemoryIsRefused() {
        let owner = TestSegment()
        #expect(throws: SegmentError.tooShort) { try Segment.attach(memory: owner.memory, byteCount: 511) }
        #expect(throws: SegmentError.tooShort) {
            try Segment.attach(memory: owner.memory, byteCount: owner.byteCount - 1)
        }
        owner.memory.storeBytes(of: 99, toByteOffset: 8, as: UInt64.self)
        #expect(throws: SegmentError.layoutVersion(found: 99, expected: 5)) {
            try Segment.attach(memory: owner.memory, byteCount: owner.byteCount)
        }
        owner.memory.storeBytes(of: 0, toByteOffset: 0, as: UInt64.self)
        #expect(throws: SegmentError.notASegment) {
            try Segment.attach(memory: owner.memory, byteCount: owner.byteCount)
        }
    }

    /// Goal: no damage to a header's numbers makes `attach` trap or hand out offsets outside the memory.
    @Test(arguments: 0..<200 as Range<UInt64>)
    func damagedHeadersAreRefusedOrHarmless(seed: UInt64) throws {
        var random = Random(seed: seed)
        let owner = TestSegment()
        let offset = 16 + 8 * random.below(12)
        owner.memory.storeBytes(of: random.next() >> random.below(64), toByteOffset: offset, as: UInt64.self)
        guard let segment = try? Segment.attach(memory: owner.memory, byteCount: owner.byteCount) else {
            return
        }
        #expect(segment.layout.byteCount <= owner.byteCount)
    }

    @Test func workersLieApartAndInside() {
        let layout = SegmentLayout(workers: 64, poolCapacity: 1024, ringBytes: 1 << 18)
        #expect(layout.byteCount % 4096 == 0)
    }

    @Test func aBlockTellsItsWorkersLife() {
        let owner = TestSegment()
        let worker = owner.segment.worker(1)
        #expect(worker.state == .vacant)
        #expect(worker.incarnation == 0)
        worker.begin(pid: 4711, realtimeMicroseconds: 5)
        #expect(worker.state == .starting)
        #expect(worker.pid == 4711)
        #expect(worker.incarnation == 1)
        worker.state = .ready
        worker.beat(123)
        worker.set(.clients, 9)
        let seen = owner.segment.worker(1)
        #expect(seen.state == .ready)
        #expect(seen.heartbeatMicroseconds == 123)
        #expect(seen[.clients] == 9)
        #expect(owner.segment.worker(0)[.clients] == 0)
    }
}
