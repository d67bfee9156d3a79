import CShared

/// Where everything is in a segment of given capacities. Offsets are bytes from the segment's start.
public struct SegmentLayout: Equatable {
    /// Workers that have a block, 1...64.
    public let workerCount: Int
    /// Pools the ledger has room for, and each worker can count separately.
    public let poolCapacity: Int
    /// Bytes of each worker's log ring, a power of two.
    public let ringByteCount: Int

    /// Size of the whole segment. Reserve it sparse: pages appear as they are used.
    public let byteCount: Int
    /// Where the ledger is.
    let ledgerOffset: Int
    /// Bytes of the ledger.
    let ledgerByteCount: Int
    /// Of the first worker's transfers, from the ledger.
    let transfersOffset: Int
    /// Of the ledger's first pool, and from one to the next.
    let ledgerPoolsOffset: Int
    let ledgerPoolStride: Int
    /// Of the ledger's first name, and from one to the next.
    let namesOffset: Int
    let nameStride: Int
    let workersOffset: Int
    let workerStride: Int
    /// Of a worker's first pool entry, from its block.
    let poolsOffset: Int
    /// Of a worker's log ring, from its block.
    let ringOffset: Int

    /// A page, so that workers never share one.
    static let alignment = 4096

    /// - Parameters:
    ///   - workers: blocks to lay out.
    ///   - poolCapacity: pool entries per worker.
    ///   - ringBytes: log ring per worker.
    /// - Precondition: 1...64 workers, at least one pool, `ringBytes` a power of two of at least 4096.
    public init(workers: Int, poolCapacity: Int = 1024, ringBytes: Int = 256 * 1024) {
        precondition(workers >= 1 && workers <= 64, "there are 1 to 64 workers")
        precondition(poolCapacity >= 1 && poolCapacity <= 1 << 20, "a worker has room for at least one pool")
        precondition(
            ringBytes >= 4096 && ringBytes <= 1 << 30 && ringBytes & (ringBytes - 1) == 0,
            "a ring is a power of two of at least 4096 bytes")
        workerCount = workers
        self.poolCapacity = poolCapacity
        ringByteCount = ringBytes
        ledgerOffset = SegmentLayout.aligned(MemoryLayout<cshared_header>.size)
        transfersOffset = MemoryLayout<cshared_ledger>.size
        let transfers = Int(CSHARED_TRANSFERS) * MemoryLayout<cshared_transfer>.size
        ledgerPoolsOffset = SegmentLayout.aligned(transfersOffset + workers * transfers)
        ledgerPoolStride =
            MemoryLayout<cshared_ledger_pool>.size + workers * MemoryLayout<cshared_pool_row>.size
        namesOffset = SegmentLayout.aligned(ledgerPoolsOffset + poolCapacity * ledgerPoolStride)
        let nameRows = (workers * MemoryLayout<cshared_name_row>.size + 63) / 64 * 64
        nameStride = MemoryLayout<cshared_ledger_name>.size + nameRows
        ledgerByteCount = namesOffset + SegmentLayout.nameCount(poolCapacity) * nameStride
        workersOffset = SegmentLayout.aligned(ledgerOffset + ledgerByteCount)
        poolsOffset = MemoryLayout<cshared_worker>.size
        let entries = (poolCapacity + 1) * MemoryLayout<cshared_pool>.size
        ringOffset = SegmentLayout.aligned(poolsOffset + entries)
        workerStride = SegmentLayout.aligned(ringOffset + ringBytes)
        byteCount = workersOffset + workers * workerStride
    }

    /// Names of databases and users that the ledger has room for.
    var nameCapacity: Int { SegmentLayout.nameCount(poolCapacity) }

    private static func nameCount(_ poolCapacity: Int) -> Int { 2 * poolCapacity }

    private static func aligned(_ offset: Int) -> Int {
        (offset + alignment - 1) / alignment * alignment
    }
}
