import Base
import SharedState

/// A segment in the test's own memory, freed with it.
final class TestSegment {
    let memory: UnsafeMutableRawPointer
    let byteCount: Int
    let segment: Segment

    init(workers: Int = 2, poolCapacity: Int = 4, ringBytes: Int = 4096) {
        let layout = SegmentLayout(workers: workers, poolCapacity: poolCapacity, ringBytes: ringBytes)
        byteCount = layout.byteCount
        memory = .allocate(byteCount: byteCount, alignment: 4096)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
        segment = Segment.initialize(
            memory: memory, byteCount: byteCount, layout: layout, generation: 3,
            startRealtimeMicroseconds: 1_700_000_000_000_000,
            secrets: SegmentSecrets(
                instance: Hash128(low: 11, high: 22), mockAuthentication: Array(100..<132)))
    }

    deinit { memory.deallocate() }
}

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
