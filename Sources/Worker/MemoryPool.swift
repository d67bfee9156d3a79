/// Blocks of memory for copies of bytes, in a few sizes and kept for reuse; larger ones come and go.
///
/// What a client costs while it waits for a server is a block of the smallest size that holds its request, so
/// thousands can wait without leaving the process large.
@safe
struct MemoryPool: ~Copyable {
    /// Size of a block that more will be added to.
    static let roomyByteCount = 4096
    /// Free blocks of one size, each with the address of the next at its beginning.
    @safe
    private struct Size {
        let byteCount: Int
        /// So many are kept at most.
        let limit: Int
        var count = 0
        var first: UnsafeMutableRawPointer?

        init(byteCount: Int, limit: Int) {
            self.byteCount = byteCount
            self.limit = limit
            unsafe first = nil
        }
    }
    private var sizes: InlineArray<3, Size> = [
        Size(byteCount: 256, limit: 4096), Size(byteCount: 1024, limit: 1024),
        Size(byteCount: roomyByteCount, limit: 1024),
    ]

    deinit {
        for index in sizes.indices {
            var next = unsafe sizes[index].first
            while let block = unsafe next {
                unsafe next = block.load(as: UnsafeMutableRawPointer?.self)
                unsafe block.deallocate()
            }
        }
    }

    /// A block of at least `byteCount` bytes, and its size.
    @unsafe
    mutating func take(_ byteCount: Int) -> (memory: UnsafeMutableRawPointer, capacity: Int) {
        var capacity = byteCount
        for index in sizes.indices where sizes[index].byteCount >= byteCount {
            if let block = unsafe sizes[index].first {
                unsafe sizes[index].first = block.load(as: UnsafeMutableRawPointer?.self)
                sizes[index].count &-= 1
                return unsafe (block, sizes[index].byteCount)
            }
            capacity = sizes[index].byteCount
            break
        }
        let block = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        return unsafe (block, capacity)
    }

    /// Returns a block.
    @unsafe
    mutating func give(_ memory: UnsafeMutableRawPointer, _ capacity: Int) {
        for index in sizes.indices where sizes[index].byteCount == capacity {
            guard sizes[index].count < sizes[index].limit else { break }
            unsafe memory.storeBytes(of: sizes[index].first, as: UnsafeMutableRawPointer?.self)
            unsafe sizes[index].first = memory
            sizes[index].count &+= 1
            return
        }
        unsafe memory.deallocate()
    }
}
