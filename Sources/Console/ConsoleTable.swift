public import Base
public import Wire

/// A column of a table the console shows.
public struct ConsoleColumn: Equatable, Sendable {
    /// The name clients see.
    public let name: String
    /// Its type; values always go as text.
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

    /// RowDescription, DataRows, and CommandComplete with the tag `SHOW`.
    public func encode(into buffer: inout ByteBuffer) {
        let description = buffer.beginRowDescription(columnCount: columns.count)
        for column in columns { buffer.appendColumnDescription(column.name, column.type) }
        buffer.endMessage(at: description)
        for row in rows {
            let message = buffer.beginDataRow(columnCount: row.count)
            for field in row {
                if let field {
                    buffer.append(bigEndian: Int32(field.count))
                    buffer.append(field)
                } else {
                    buffer.appendColumnNull()
                }
            }
            buffer.endMessage(at: message)
        }
        buffer.appendCommandComplete("SHOW")
    }
}
