public import Base

/// The type of a column that we make ourselves.
public enum ColumnType: Equatable, Sendable {
    /// `text`.
    case text
    /// `int4`.
    case int4
    /// `int8`.
    case int8
    /// `bool`.
    case bool
    /// `numeric`.
    case numeric
    /// `bytea`.
    case bytea

    /// The type's number in PostgreSQL's catalogue.
    public var objectID: Int32 {
        switch self {
        case .text: 25
        case .int4: 23
        case .int8: 20
        case .bool: 16
        case .numeric: 1700
        case .bytea: 17
        }
    }

    /// Bytes of a value in PostgreSQL's memory, -1 when they vary.
    public var byteCount: Int16 {
        switch self {
        case .text, .numeric, .bytea: -1
        case .int4: 4
        case .int8: 8
        case .bool: 1
        }
    }
}

/// Rows that we make ourselves: begin, append the columns one by one, `endMessage`.
extension ByteBuffer {
    /// Begins a RowDescription; exactly `columnCount` times `appendColumnDescription` must follow.
    public mutating func beginRowDescription(columnCount: Int) -> Int {
        beginColumns(BackendMessage.rowDescription, columnCount)
    }

    /// One column of a RowDescription, in text format unless told otherwise, of no table.
    public mutating func appendColumnDescription(
        _ name: String, _ type: ColumnType, isBinary: Bool = false
    ) {
        appendCString(name)
        append(bigEndian: Int32(0))
        append(bigEndian: Int16(0))
        append(bigEndian: type.objectID)
        append(bigEndian: type.byteCount)
        append(bigEndian: Int32(-1))
        append(bigEndian: Int16(isBinary ? 1 : 0))
    }

    /// Begins a DataRow; exactly `columnCount` times `appendColumn…` must follow.
    public mutating func beginDataRow(columnCount: Int) -> Int {
        beginColumns(BackendMessage.dataRow, columnCount)
    }

    /// A column that is null.
    public mutating func appendColumnNull() { append(bigEndian: Int32(-1)) }

    /// A column with a text.
    public mutating func appendColumn(_ text: String) {
        let offset = count
        append(bigEndian: Int32(0))
        append(text: text)
        store(bigEndian: UInt32(count - offset - 4), at: offset)
    }

    /// A column with bytes.
    public mutating func appendColumn(bytes: RawSpan) {
        append(bigEndian: Int32(bytes.byteCount))
        append(bytes)
    }

    /// A column with a whole number.
    public mutating func appendColumn(_ number: Int) {
        let offset = count
        append(bigEndian: Int32(0))
        append(decimal: number)
        store(bigEndian: UInt32(count - offset - 4), at: offset)
    }

    private mutating func beginColumns(_ type: UInt8, _ columnCount: Int) -> Int {
        precondition(columnCount >= 0 && columnCount <= Int(Int16.max), "columns are counted in 16 bits")
        let message = beginMessage(type)
        append(bigEndian: Int16(columnCount))
        return message
    }
}
