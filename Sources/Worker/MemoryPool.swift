import Base

/// Small blocks of memory for copies of bytes, kept for reuse; larger ones come and go.
@safe
struct MemoryPool: ~Copyable {
    /// Size of the blocks that are kept.
    static let blockByteCount = 4096
    private var free: [UnsafeMutableRawPointer] = unsafe []
    private static let keptLimit = 1024

    init() { unsafe free.reserveCapacity(MemoryPool.keptLimit) }

    deinit {
        for index in 0..<(unsafe free.count) { unsafe free[index].deallocate() }
    }

    /// A block of at least `byteCount` bytes, and its size.
    @unsafe
    mutating func take(_ byteCount: Int) -> (memory: UnsafeMutableRawPointer, capacity: Int) {
        if byteCount <= MemoryPool.blockByteCount {
            if let block = unsafe free.popLast() { return unsafe (block, MemoryPool.blockByteCount) }
            let block = UnsafeMutableRawPointer.allocate(byteCount: MemoryPool.blockByteCount, alignment: 16)
            return unsafe (block, MemoryPool.blockByteCount)
        }
        let block = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 16)
        return unsafe (block, byteCount)
    }

    /// Returns a block.
    @unsafe
    mutating func give(_ memory: UnsafeMutableRawPointer, _ capacity: Int) {
        if capacity == MemoryPool.blockByteCount, unsafe free.count < MemoryPool.keptLimit {
            unsafe free.append(memory)
        } else {
            unsafe memory.deallocate()
        }
    }
}
