public import Base

/// Writing PostgreSQL messages, type and length included.
extension ByteBuffer {
    /// Appends one message whose body `body` writes.
    /// - Parameter type: the message's letter, or `nil` for a startup packet, which has none.
    public mutating func appendMessage(_ type: Unicode.Scalar?, body: (inout ByteBuffer) -> Void) {
        if let type { append(UInt8(ascii: type)) }
        let lengthOffset = count
        append(bigEndian: UInt32(0))
        body(&self)
        store(bigEndian: UInt32(count - lengthOffset), at: lengthOffset)
    }

    /// Appends text and the zero byte that ends it.
    public mutating func append(zeroTerminated text: String) {
        append(text: text)
        append(UInt8(0))
    }

    /// A copy of the bytes, for keeping.
    public var array: [UInt8] { (0..<count).map { self[$0] } }
}
