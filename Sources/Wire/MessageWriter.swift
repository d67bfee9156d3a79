public import Base

/// Messages are written straight into a buffer: begin, append the fields, end.
extension ByteBuffer {
    /// Writes the type and leaves room for the length. Returns what `endMessage` needs.
    public mutating func beginMessage(_ type: UInt8) -> Int {
        append(type)
        return beginUntypedMessage()
    }

    /// Begins a message without a type byte: the startup packet and its relatives.
    public mutating func beginUntypedMessage() -> Int {
        let offset = count
        append(bigEndian: UInt32(0))
        return offset
    }

    /// Fills in the length of the message that `begin…` returned `offset` for.
    public mutating func endMessage(at offset: Int) {
        let byteCount = count - offset
        precondition(byteCount >= 4 && byteCount <= Int(Int32.max), "a message fits its length field")
        store(bigEndian: UInt32(byteCount), at: offset)
    }

    /// Appends a message that has no fields.
    public mutating func appendEmptyMessage(_ type: UInt8) { endMessage(at: beginMessage(type)) }

    /// Appends a text and the zero byte that ends it; a zero byte inside becomes a question mark, since it
    /// would end the text early and shift all that follows.
    public mutating func appendCString(_ text: RawSpan) {
        let begin = count
        append(text)
        replaceZeroBytes(from: begin)
        append(0)
    }

    /// Appends a text and the zero byte that ends it; see the variant for spans.
    public mutating func appendCString(_ text: String) {
        let begin = count
        append(text: text)
        replaceZeroBytes(from: begin)
        append(0)
    }

    /// Appends a text and the zero byte that ends it.
    public mutating func appendCString(_ text: StaticString) {
        append(text)
        append(0)
    }

    private mutating func replaceZeroBytes(from begin: Int) {
        for offset in begin..<count where self[offset] == 0 {
            unsafe baseAddress.storeBytes(of: UInt8(ascii: "?"), toByteOffset: offset, as: UInt8.self)
        }
    }
}
