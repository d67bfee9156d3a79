extension Array where Element == UInt8 {
    /// The bytes, borrowed. Every `UInt8` is initialised and has no padding, which is what the standard
    /// library's `Span.bytes` leaves to its caller.
    @inlinable
    public var rawSpan: RawSpan {
        @_lifetime(borrow self)
        get { unsafe span.bytes }
    }
}
