/// A run of bytes that is part of a send. Laid out as the kernel's `iovec`.
@safe
@frozen
public struct SendRange: BitwiseCopyable {
    /// Where the bytes begin.
    @unsafe public var start: UnsafeRawPointer
    /// How many there are; 0 is allowed.
    public var byteCount: Int

    /// A range from its parts.
    @unsafe
    @inlinable
    public init(start: UnsafeRawPointer, byteCount: Int) {
        unsafe self.start = start
        self.byteCount = byteCount
    }
}
