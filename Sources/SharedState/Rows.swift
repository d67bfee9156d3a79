import Base

/// Writes rows one after another, each as the body of a PostgreSQL DataRow message: a 16-bit field count,
/// then per field a 32-bit length, -1 for NULL, and the field's text.
public struct RowWriter: ~Copyable {
    private var buffer: ByteBuffer
    private var missingFields = 0

    /// No rows, and room for `capacity` bytes.
    public init(capacity: Int = 4096) {
        buffer = ByteBuffer(capacity: capacity)
    }

    /// Begins a row of `fieldCount` fields.
    ///
    /// - Precondition: the row before has all its fields.
    public mutating func beginRow(fieldCount: Int) {
        precondition(missingFields == 0, "a row is complete before the next begins")
        precondition(fieldCount >= 0 && fieldCount < 1600, "a row has as many fields as PostgreSQL allows")
        buffer.append(bigEndian: Int16(fieldCount))
        missingFields = fieldCount
    }

    /// The next field: bytes.
    public mutating func append(_ bytes: RawSpan) {
        beginField(byteCount: bytes.byteCount)
        buffer.append(bytes)
    }

    /// The next field: bytes.
    public mutating func append(_ bytes: [UInt8]) { unsafe append(bytes.span.bytes) }

    /// The next field: text.
    public mutating func append(_ text: String) { append(Array(text.utf8)) }

    /// The next field: a number in decimal digits.
    public mutating func append<Number: BinaryInteger>(_ number: Number) { append(String(number)) }

    /// The next field: a yes or no, as 1 or 0.
    public mutating func append(_ flag: Bool) { append(flag ? 1 : 0) }

    /// The next field: NULL.
    public mutating func appendNull() {
        takeField()
        buffer.append(bigEndian: Int32(-1))
    }

    /// Forgets all rows and keeps the memory.
    public mutating func removeAll() {
        buffer.removeAll()
        missingFields = 0
    }

    /// Bytes of all rows.
    public var byteCount: Int { buffer.count }

    /// All rows.
    public var bytes: RawSpan {
        @_lifetime(borrow self)
        borrowing get { buffer.bytes }
    }

    private mutating func beginField(byteCount: Int) {
        takeField()
        buffer.append(bigEndian: Int32(byteCount))
    }

    private mutating func takeField() {
        precondition(missingFields > 0, "a row has no more fields than announced")
        missingFields -= 1
    }
}

/// Reads rows that `RowWriter` wrote, front to back.
public struct RowReader: ~Copyable, ~Escapable {
    private let bytes: RawSpan
    private var offset = 0

    /// A reader of borrowed bytes.
    @_lifetime(copy bytes)
    public init(_ bytes: RawSpan) {
        self.bytes = bytes
    }

    /// The next row, `nil` per NULL, or `nil` at the end.
    public mutating func next() throws(ControlError) -> [[UInt8]?]? {
        guard offset < bytes.byteCount else { return nil }
        let count = Int(Int16(truncatingIfNeeded: try number(byteCount: 2)))
        guard count >= 0 else { throw .truncated }
        var row: [[UInt8]?] = []
        for _ in 0..<count {
            let length = Int(Int32(truncatingIfNeeded: try number(byteCount: 4)))
            guard length != -1 else {
                row.append(nil)
                continue
            }
            guard length >= 0, bytes.byteCount - offset >= length else { throw .truncated }
            row.append(
                unsafe bytes.extracting(offset..<(offset + length)).withUnsafeBytes { unsafe [UInt8]($0) })
            offset += length
        }
        return row
    }

    private mutating func number(byteCount: Int) throws(ControlError) -> UInt64 {
        guard bytes.byteCount - offset >= byteCount else { throw .truncated }
        var number: UInt64 = 0
        for index in offset..<(offset + byteCount) {
            number = number << 8 | UInt64(unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self))
        }
        offset += byteCount
        return number
    }
}
