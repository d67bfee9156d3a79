public import Base
import CShared

/// Why memory that was handed in is not a segment this program can use.
public enum SegmentError: Error, Equatable {
    /// Fewer bytes than a header, or than the header says.
    case tooShort
    /// Something else is in the memory.
    case notASegment
    /// A segment of another program version.
    case layoutVersion(found: UInt64, expected: UInt64)
    /// The header contradicts itself.
    case inconsistent
}

/// The secrets every process of one instance shares, made by the supervisor from the system's random source.
public struct SegmentSecrets {
    /// Key of the hashes that name statements and settings.
    public let instance: Hash128
    /// 32 bytes that make up challenges for users that do not exist.
    public let mockAuthentication: [UInt8]

    /// - Precondition: `mockAuthentication` has 32 bytes.
    public init(instance: Hash128, mockAuthentication: [UInt8]) {
        precondition(mockAuthentication.count == 32, "the secret for mock authentication has 32 bytes")
        self.instance = instance
        self.mockAuthentication = mockAuthentication
    }
}

/// The shared memory of one instance: header, ledger, and one block per worker.
///
/// A handle to memory that somebody else mapped and keeps mapped for as long as any copy of this is used.
@safe
public struct Segment {
    /// Capacities and offsets.
    public let layout: SegmentLayout
    let memory: UnsafeMutableRawPointer

    var header: UnsafeMutablePointer<cshared_header> {
        unsafe memory.assumingMemoryBound(to: cshared_header.self)
    }

    /// Makes a segment in zeroed memory. For the supervisor, once, before the first fork.
    ///
    /// - Parameters:
    ///   - memory: at least `layout.byteCount` zeroed bytes, aligned to a page.
    ///   - workerCount: how many of the layout's workers there are to begin with; `nil` for all.
    ///   - generation: 1 at first start, one more after each online restart.
    ///   - startRealtimeMicroseconds: since 1970.
    @unsafe
    public static func initialize(
        memory: UnsafeMutableRawPointer, byteCount: Int, layout: SegmentLayout, workerCount: Int? = nil,
        generation: UInt64, startRealtimeMicroseconds: UInt64, secrets: SegmentSecrets
    ) -> Segment {
        precondition(byteCount >= layout.byteCount, "the memory is as large as its layout")
        let segment = unsafe Segment(layout: layout, memory: memory)
        var header = cshared_header()
        header.magic = UInt64(CSHARED_MAGIC)
        header.layout_version = UInt64(CSHARED_LAYOUT_VERSION)
        header.byte_count = UInt64(layout.byteCount)
        header.generation = generation
        header.start_realtime_us = startRealtimeMicroseconds
        header.worker_count = UInt64(layout.workerCount)
        header.pool_capacity = UInt64(layout.poolCapacity)
        header.ring_bytes = UInt64(layout.ringByteCount)
        header.ledger_offset = UInt64(layout.ledgerOffset)
        header.ledger_byte_count = UInt64(layout.ledgerByteCount)
        header.workers_offset = UInt64(layout.workersOffset)
        header.worker_stride = UInt64(layout.workerStride)
        header.pools_offset = UInt64(layout.poolsOffset)
        header.ring_offset = UInt64(layout.ringOffset)
        header.next_connection_id = 1
        unsafe segment.header.initialize(to: header)
        let instance = unsafe UnsafeMutableRawPointer(cshared_header_instance_secret(segment.header)!)
        unsafe instance.storeBytes(of: secrets.instance.low, as: UInt64.self)
        unsafe instance.storeBytes(of: secrets.instance.high, toByteOffset: 8, as: UInt64.self)
        let mock = unsafe cshared_header_mock_secret(segment.header)!
        for (index, byte) in secrets.mockAuthentication.enumerated() { unsafe mock[index] = byte }
        segment.ledger(of: 0).makeLock()
        segment.workerCount = workerCount ?? layout.workerCount
        return segment
    }

    /// The segment somebody else made in this memory.
    ///
    /// - Throws: when the memory is none, or one of another layout.
    @unsafe
    public static func attach(
        memory: UnsafeMutableRawPointer, byteCount: Int
    ) throws(SegmentError) -> Segment {
        guard byteCount >= MemoryLayout<cshared_header>.size else { throw .tooShort }
        let header = unsafe memory.load(as: cshared_header.self)
        guard header.magic == UInt64(CSHARED_MAGIC) else { throw .notASegment }
        guard header.layout_version == UInt64(CSHARED_LAYOUT_VERSION) else {
            throw .layoutVersion(found: header.layout_version, expected: UInt64(CSHARED_LAYOUT_VERSION))
        }
        guard header.byte_count <= UInt64(byteCount) else { throw .tooShort }
        guard
            (1...64).contains(header.worker_count), (1...(1 << 20)).contains(header.pool_capacity),
            (4096...(1 << 30)).contains(header.ring_bytes), header.ring_bytes.nonzeroBitCount == 1
        else { throw .inconsistent }
        let layout = SegmentLayout(
            workers: Int(header.worker_count), poolCapacity: Int(header.pool_capacity),
            ringBytes: Int(header.ring_bytes))
        guard
            header.byte_count == UInt64(layout.byteCount),
            header.ledger_offset == UInt64(layout.ledgerOffset),
            header.ledger_byte_count == UInt64(layout.ledgerByteCount),
            header.workers_offset == UInt64(layout.workersOffset),
            header.worker_stride == UInt64(layout.workerStride),
            header.pools_offset == UInt64(layout.poolsOffset),
            header.ring_offset == UInt64(layout.ringOffset)
        else { throw .inconsistent }
        return unsafe Segment(layout: layout, memory: memory)
    }

    /// 1 at first start, one more after each online restart.
    public var generation: UInt64 { unsafe header.pointee.generation }

    /// When this instance started, microseconds since 1970.
    public var startRealtimeMicroseconds: UInt64 { unsafe header.pointee.start_realtime_us }

    /// The secrets all processes of this instance share.
    public var secrets: SegmentSecrets {
        let instance = unsafe UnsafeRawPointer(cshared_header_instance_secret(header)!)
        let mock = unsafe UnsafeBufferPointer(start: cshared_header_mock_secret(header), count: 32)
        return unsafe SegmentSecrets(
            instance: Hash128(
                low: instance.loadUnaligned(as: UInt64.self),
                high: instance.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
            mockAuthentication: Array(mock))
    }

    /// An id no other connection of this instance has or had: clients and servers of all workers count
    /// together, from 1.
    public func nextConnectionId() -> UInt64 {
        unsafe cshared_fetch_add(cshared_header_next_connection_id(header), 1)
    }

    /// Counts the changes of tables that any worker has noticed: the same text is another prepared statement
    /// afterwards, because PostgreSQL refuses to run one whose result has changed.
    public var definitionEpoch: UInt64 {
        unsafe cshared_load(cshared_header_definition_epoch(header))
    }

    /// Notes that a table has changed.
    public func noteDefinitionChange() {
        _ = unsafe cshared_fetch_add(cshared_header_definition_epoch(header), 1)
    }

    /// How many worker indexes have ever been in use. Set by the supervisor; grows only, up to the layout's.
    public var workerCount: Int {
        get { ledger(of: 0).workerCount }
        nonmutating set {
            precondition(newValue <= layout.workerCount, "there is room for every worker")
            unsafe cshared_store(cshared_ledger_worker_count(ledger(of: 0).head), UInt64(newValue))
        }
    }

    /// The ledger, as the worker with this index writes it.
    ///
    /// - Precondition: `index` is below the layout's `workerCount`.
    public func ledger(of index: Int) -> Ledger {
        precondition(index >= 0 && index < layout.workerCount, "a worker's index is below their number")
        return unsafe Ledger(layout: layout, memory: memory + layout.ledgerOffset, worker: index)
    }

    /// The block of one worker.
    ///
    /// - Precondition: `index` is below the layout's `workerCount`.
    public func worker(_ index: Int) -> WorkerBlock {
        precondition(index >= 0 && index < layout.workerCount, "a worker's index is below their number")
        return unsafe WorkerBlock(
            index: index, layout: layout,
            memory: memory + layout.workersOffset + index * layout.workerStride)
    }
}

@available(*, unavailable)
extension Segment: Sendable {}
