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
    /// Kept for a program that takes over.
    let descriptor: Int32

    /// Why a segment that another program made cannot be used.
    enum Failure: Error {
        /// It is built in another way.
        case segment(SegmentError)
        case system(SystemError)

        /// In the words of the log.
        var text: String {
            switch self {
            case .segment(.layoutVersion(let found, let expected)):
                "the running program's shared memory has layout \(found), this program's has \(expected): "
                    + "stop the one and start the other"
            case .segment(let error): "the running program's shared memory cannot be used: \(error)"
            case .system(let error): "\(error)"
            }
        }
    }

    /// The segment that the program before made.
    init(adopting descriptor: Int32) throws(Failure) {
        self.descriptor = descriptor
        do throws(SystemError) {
            byteCount = try SharedMemory.byteCount(of: descriptor)
            unsafe memory = try SharedMemory.map(descriptor, byteCount: byteCount)
        } catch { throw .system(error) }
        do throws(SegmentError) {
            segment = unsafe try Segment.attach(memory: memory, byteCount: byteCount)
        } catch { throw .segment(error) }
    }

    /// A fresh segment.
    init(workerCount: Int, poolCapacity: Int) throws(SystemError) {
        // Room for as many as a reload may ask for: pages appear on use.
        let layout = SegmentLayout(workers: Supervisor.workerLimit, poolCapacity: poolCapacity)
        descriptor = try SharedMemory.create("pgsluice-segment", byteCount: layout.byteCount)
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
