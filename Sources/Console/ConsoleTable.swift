public import Base
public import Wire

/// A column of a table the console shows.
public struct ConsoleColumn: Equatable, Sendable {
    /// The name clients see.
    public let name: String
    /// Its type; values are kept as text.
    public let type: ColumnType

    /// A column from its parts.
    public init(_ name: String, _ type: ColumnType) {
        self.name = name
        self.type = type
    }
}

/// What a SHOW answers with. A field that is `nil` is NULL.
public struct ConsoleTable: Equatable {
    /// Names and types, in order.
    public let columns: [ConsoleColumn]
    /// Rows, each with a field per column.
    public private(set) var rows: [[[UInt8]?]]

    /// A table from its parts.
    ///
    /// - Precondition: every row has as many fields as there are columns.
    public init(columns: [ConsoleColumn], rows: [[[UInt8]?]] = []) {
        for row in rows { precondition(row.count == columns.count, "a row has a field for each column") }
        self.columns = columns
        self.rows = rows
    }

    /// Adds a row.
    public mutating func append(_ row: [[UInt8]?]) {
        precondition(row.count == columns.count, "a row has a field for each column")
        rows.append(row)
    }

    /// Adds a row of texts.
    public mutating func append(_ row: [String]) { append(row.map { Array($0.utf8) }) }

    /// The tag of every table.
    static let tag = "SHOW"

    /// RowDescription, DataRows, and CommandComplete with the tag `SHOW`; everything as text.
    public func encode(into buffer: inout ByteBuffer) {
        encodeDescription(into: &buffer, .text)
        encodeRows(rows.indices, into: &buffer, .text)
        buffer.appendCommandComplete(ConsoleTable.tag)
    }

    /// RowDescription.
    func encodeDescription(into buffer: inout ByteBuffer, _ formats: ColumnFormats) {
        let description = buffer.beginRowDescription(columnCount: columns.count)
        for (index, column) in columns.enumerated() {
            buffer.appendColumnDescription(column.name, column.type, isBinary: formats.isBinary(index))
        }
        buffer.endMessage(at: description)
    }

    /// DataRows.
    func encodeRows(_ range: Range<Int>, into buffer: inout ByteBuffer, _ formats: ColumnFormats) {
        for row in rows[range] {
            let message = buffer.beginDataRow(columnCount: row.count)
            for (index, field) in row.enumerated() {
                guard let field else {
                    buffer.appendColumnNull()
                    continue
                }
                let bytes =
                    formats.isBinary(index) ? ColumnFormats.binary(field, columns[index].type) : field
                buffer.append(bigEndian: Int32(bytes.count))
                buffer.append(bytes)
            }
            buffer.endMessage(at: message)
        }
    }
}
