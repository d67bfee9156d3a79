/// A growable run of bytes that keeps its memory when emptied.
///
/// Once it has grown to what its user needs it allocates no more; it is not shared and not copied.
@safe
public struct ByteBuffer: ~Copyable {
    @usableFromInline var start: UnsafeMutableRawPointer
    /// Bytes that fit without growing.
    @inlinable
    public var capacity: Int { room }
    /// Bytes written.
    @inlinable
    public var count: Int { used }

    @usableFromInline var room: Int
    @usableFromInline var used = 0

    /// An empty buffer with room for `capacity` bytes.
    public init(capacity: Int = 4096) {
        room = max(capacity, 64)
        unsafe start = UnsafeMutableRawPointer.allocate(byteCount: room, alignment: 16)
    }

    deinit { unsafe start.deallocate() }

    /// Forgets the bytes and keeps the memory.
    @inlinable
    public mutating func removeAll() { truncate(to: 0) }

    /// Forgets the bytes from `count` on.
    public mutating func truncate(to newCount: Int) {
        precondition(newCount >= 0 && newCount <= count, "a buffer is truncated to what it has, or less")
        used = newCount
    }

    /// Forgets the first `byteCount` bytes and moves the rest to the front. O(rest).
    public mutating func removeFirst(_ byteCount: Int) {
        precondition(byteCount >= 0 && byteCount <= count, "no more can be removed than is there")
        let rest = count - byteCount
        if rest > 0, byteCount > 0 { unsafe start.copyMemory(from: start + byteCount, byteCount: rest) }
        used = rest
    }

    /// Makes room for `byteCount` more bytes.
    @inlinable
    @inline(__always)
    public mutating func reserve(_ byteCount: Int) {
        precondition(byteCount >= 0, "room is never negative")
        if capacity - count < byteCount { grow(byteCount) }
    }

    @inline(never)
    @usableFromInline
    mutating func grow(_ byteCount: Int) {
        let newCapacity = max(capacity * 2, count + byteCount)
        let bigger = UnsafeMutableRawPointer.allocate(byteCount: newCapacity, alignment: 16)
        unsafe bigger.copyMemory(from: start, byteCount: count)
        unsafe start.deallocate()
        unsafe start = bigger
        room = newCapacity
    }

    /// Appends one byte.
    @inlinable
    public mutating func append(_ byte: UInt8) {
        reserve(1)
        unsafe start.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
        used &+= 1
    }

    /// Appends bytes that live elsewhere.
    @inlinable
    public mutating func append(_ bytes: RawSpan) {
        let byteCount = bytes.byteCount
        reserve(byteCount)
        unsafe bytes.withUnsafeBytes { source in
            if let base = source.baseAddress {
                unsafe (start + count).copyMemory(from: base, byteCount: byteCount)
            }
        }
        used &+= byteCount
    }

    /// Appends an array of bytes.
    public mutating func append(_ bytes: [UInt8]) { unsafe append(bytes.span.bytes) }

    /// Appends text as UTF-8.
    @inlinable
    public mutating func append(_ text: StaticString) {
        reserve(text.utf8CodeUnitCount)
        unsafe (start + count).copyMemory(from: text.utf8Start, byteCount: text.utf8CodeUnitCount)
        used &+= text.utf8CodeUnitCount
    }

    /// Appends text as UTF-8. Allocates when the text is not contiguous; not for the hot path.
    public mutating func append(text: String) {
        for byte in text.utf8 { append(byte) }
    }

    /// Appends an integer in network order.
    @inlinable
    public mutating func append<Number: FixedWidthInteger & BitwiseCopyable>(bigEndian number: Number) {
        let swapped = number.bigEndian
        append(bytesOf: swapped)
    }

    /// Appends the memory of a plain value.
    @inlinable
    public mutating func append<Value: BitwiseCopyable>(bytesOf value: Value) {
        unsafe withUnsafeBytes(of: value) { unsafe append(RawSpan(_unsafeBytes: $0)) }
    }

    /// Appends a number in decimal digits.
    public mutating func append(decimal number: Int) {
        if number < 0 {
            append(UInt8(ascii: "-"))
            append(decimal: number.magnitude)
        } else {
            append(decimal: UInt(number))
        }
    }

    /// Appends a number in decimal digits.
    public mutating func append(decimal number: UInt) {
        if number >= 10 { append(decimal: number / 10) }
        append(UInt8(ascii: "0") + UInt8(number % 10))
    }

    /// Overwrites a 32-bit integer in network order, for lengths that are known only afterwards.
    public mutating func store(bigEndian number: UInt32, at offset: Int) {
        precondition(offset >= 0 && offset + 4 <= count, "only bytes that are there can be overwritten")
        unsafe start.storeBytes(of: number.bigEndian, toByteOffset: offset, as: UInt32.self)
    }

    /// One byte.
    public subscript(_ offset: Int) -> UInt8 {
        precondition(offset >= 0 && offset < count, "an offset lies inside the buffer")
        return unsafe start.load(fromByteOffset: offset, as: UInt8.self)
    }

    /// All bytes, borrowed.
    public var bytes: RawSpan {
        @_lifetime(borrow self)
        borrowing get {
            let span = unsafe RawSpan(_unsafeStart: start, byteCount: count)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// Where the bytes begin; valid until the next call that appends or frees.
    @unsafe public var baseAddress: UnsafeMutableRawPointer { unsafe start }
}
