/// Reads protocol values, front to back, out of bytes it borrows.
///
/// The reader cannot outlive the bytes (the compiler checks it) and copies none of them. Integers are
/// big-endian, as on the wire. A read that throws consumes nothing.
@safe
public struct MessageReader: ~Copyable, ~Escapable {
    // A pointer and not the span itself: `@_noLocks` rejects loads through a stored span.
    @usableFromInline let start: UnsafeRawPointer?
    @usableFromInline let count: Int
    @usableFromInline var position = 0

    /// A reader at the first byte of `bytes`.
    @inlinable
    @_lifetime(copy bytes)
    public init(_ bytes: RawSpan) {
        unsafe start = bytes.withUnsafeBytes { $0.baseAddress }
        count = bytes.byteCount
    }

    /// Bytes read so far.
    @inlinable
    public var offset: Int { position }

    /// Bytes not read yet.
    @inlinable
    public var remaining: Int {
        @_noLocks
        get { count &- position }
    }

    /// Whether everything has been read.
    @inlinable
    public var isAtEnd: Bool { position == count }

    /// Reads one byte.
    @_noLocks
    @inlinable
    @inline(__always)
    @_lifetime(self: copy self)
    public mutating func readUInt8() throws(WireError) -> UInt8 {
        guard let start = unsafe start, remaining >= 1 else { throw .truncated }
        defer { position &+= 1 }
        return unsafe start.load(fromByteOffset: position, as: UInt8.self)
    }

    /// Reads a 16-bit integer.
    @_noLocks
    @inlinable
    @inline(__always)
    @_lifetime(self: copy self)
    public mutating func readInt16() throws(WireError) -> Int16 {
        guard let start = unsafe start, remaining >= 2 else { throw .truncated }
        defer { position &+= 2 }
        return unsafe Int16(bigEndian: start.loadUnaligned(fromByteOffset: position, as: Int16.self))
    }

    /// Reads a 32-bit integer.
    @_noLocks
    @inlinable
    @inline(__always)
    @_lifetime(self: copy self)
    public mutating func readInt32() throws(WireError) -> Int32 {
        guard let start = unsafe start, remaining >= 4 else { throw .truncated }
        defer { position &+= 4 }
        return unsafe Int32(bigEndian: start.loadUnaligned(fromByteOffset: position, as: Int32.self))
    }

    /// Reads a 64-bit integer.
    @_noLocks
    @inlinable
    @inline(__always)
    @_lifetime(self: copy self)
    public mutating func readUInt64() throws(WireError) -> UInt64 {
        guard let start = unsafe start, remaining >= 8 else { throw .truncated }
        defer { position &+= 8 }
        return unsafe UInt64(bigEndian: start.loadUnaligned(fromByteOffset: position, as: UInt64.self))
    }

    /// Reads the next `byteCount` bytes; `invalidLength` when that is negative.
    @inlinable
    @_lifetime(copy self)
    @_lifetime(self: copy self)
    public mutating func readBytes(_ byteCount: Int) throws(WireError) -> RawSpan {
        guard byteCount >= 0 else { throw .invalidLength }
        guard remaining >= byteCount else { throw .truncated }
        defer { position &+= byteCount }
        return span(from: position, byteCount: byteCount)
    }

    /// Reads all bytes that are left.
    @inlinable
    @_lifetime(copy self)
    @_lifetime(self: copy self)
    public mutating func readRest() -> RawSpan {
        defer { position = count }
        return span(from: position, byteCount: remaining)
    }

    /// Reads a text that a zero byte ends, and skips that byte. O(length).
    @inlinable
    @_lifetime(copy self)
    @_lifetime(self: copy self)
    public mutating func readCString() throws(WireError) -> RawSpan {
        let begin = position
        guard let start = unsafe start else { throw .unterminatedText }
        var end = begin
        while end < count {
            if unsafe start.load(fromByteOffset: end, as: UInt8.self) == 0 {
                position = end &+ 1
                return span(from: begin, byteCount: end &- begin)
            }
            end &+= 1
        }
        throw .unterminatedText
    }

    /// Passes over `byteCount` bytes; `invalidLength` when that is negative.
    @_noLocks
    @inlinable
    @_lifetime(self: copy self)
    public mutating func skip(_ byteCount: Int) throws(WireError) {
        guard byteCount >= 0 else { throw .invalidLength }
        guard remaining >= byteCount else { throw .truncated }
        position &+= byteCount
    }

    /// Throws `trailingBytes` unless everything has been read.
    @inlinable
    public func expectEnd() throws(WireError) {
        guard isAtEnd else { throw .trailingBytes }
    }

    /// Bytes whose bounds the caller has checked.
    @inlinable
    @_lifetime(copy self)
    func span(from begin: Int, byteCount: Int) -> RawSpan {
        guard let start = unsafe start else { return RawSpan() }
        let span = unsafe RawSpan(_unsafeStart: start + begin, byteCount: byteCount)
        return unsafe _overrideLifetime(span, copying: self)
    }
}
