/// What a SHOW of the console has answered, as text.
public struct ResultTable: Equatable, Sendable {
    /// Names of the columns.
    public let columns: [String]
    /// The rows; `nil` is NULL.
    public let rows: [[String?]]

    /// A table from its parts.
    public init(columns: [String], rows: [[String?]]) {
        self.columns = columns
        self.rows = rows
    }

    /// The rows, by names of columns.
    var records: [Record] {
        let places = Dictionary(
            zip(columns, columns.indices), uniquingKeysWith: { first, _ in first })
        return rows.map { Record(places: places, fields: $0) }
    }

    /// The second column of the row whose first is `key`, where rows are keys and values.
    func value(of key: String) -> String? {
        rows.first { $0.first == key }.flatMap { $0.count > 1 ? $0[1] : nil }
    }
}

/// One row.
struct Record {
    fileprivate let places: [String: Int]
    fileprivate let fields: [String?]

    /// A field; `nil` when it is NULL or there is no such column.
    subscript(_ name: String) -> String? {
        guard let place = places[name], place < fields.count else { return nil }
        return fields[place]
    }

    /// A field as text; empty when there is none.
    func text(_ name: String) -> String { self[name] ?? "" }

    /// A field as a number; `nil` when it is none. Blanks in front do not count.
    func number(_ name: String) -> Double? {
        self[name].flatMap { Double(String($0.drop { $0 == " " })) }
    }
}
