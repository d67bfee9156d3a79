import Base
import SharedState
import System

/// The shared segment of this instance, mapped here and, by inheritance, at the same address in every
/// worker.
@safe
struct MappedSegment {
    let memory: UnsafeMutableRawPointer
    let byteCount: Int
    let segment: Segment

    /// A fresh segment.
    init(workerCount: Int, poolCapacity: Int) throws(SystemError) {
        // Room for as many as a reload may ask for: pages appear on use.
        let layout = SegmentLayout(workers: Supervisor.workerLimit, poolCapacity: poolCapacity)
        let descriptor = try SharedMemory.create("pgsluice-segment", byteCount: layout.byteCount)
        // The mapping stays; nobody needs the descriptor until there is an online restart.
        defer { Descriptors.close(descriptor) }
        try SharedMemory.sealSize(descriptor)
        byteCount = layout.byteCount
        unsafe memory = try SharedMemory.map(descriptor, byteCount: layout.byteCount)
        let secrets = SegmentSecrets(
            instance: Hash128(low: SecureRandom.number(), high: SecureRandom.number()),
            mockAuthentication: SecureRandom.bytes(count: 32))
        segment = unsafe Segment.initialize(
            memory: memory, byteCount: layout.byteCount, layout: layout,
            workerCount: workerCount, generation: 1, startRealtimeMicroseconds: Clock.realNanoseconds / 1000,
            secrets: secrets)
    }
}
