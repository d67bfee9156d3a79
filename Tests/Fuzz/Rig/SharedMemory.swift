import Base
import SharedState

/// The memory that the workers of one instance share.
public final class SharedMemory {
    public let workers: Int
    public let segment: Segment
    private let memory: UnsafeMutableRawPointer

    public init(workers: Int) {
        self.workers = workers
        let layout = SegmentLayout(workers: workers, poolCapacity: 64, ringBytes: 4096)
        memory = .allocate(byteCount: layout.byteCount, alignment: 4096)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: layout.byteCount)
        segment = Segment.initialize(
            memory: memory, byteCount: layout.byteCount, layout: layout, generation: 1,
            startRealtimeMicroseconds: 0,
            secrets: SegmentSecrets(
                instance: Hash128(low: 1, high: 2), mockAuthentication: Array(repeating: 7, count: 32)))
    }

    deinit { memory.deallocate() }
}
