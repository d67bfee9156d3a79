/// A table for people: columns side by side, numbers to the right.
struct TextTable: Equatable {
    /// Between two columns.
    static let gap = "  "

    var columns: [Column]
    var rows: [[String]] = []

    init(_ columns: [Column]) {
        self.columns = columns
    }

    /// All of an answer; what is NULL or empty is a dash.
    init(_ answer: Answer) {
        self.init(answer.columns)
        rows = answer.rows.map { $0.map { TextTable.cell($0) } }
    }

    /// A value as a cell.
    static func cell(_ value: String?) -> String {
        guard let value, !value.isEmpty else { return "-" }
        return value.harmless
    }

    /// The width of each column.
    var widths: [Int] {
        columns.indices.map { index in
            rows.reduce(columns[index].name.displayWidth) { max($0, $1[index].displayWidth) }
        }
    }

    /// The lines, the names of the columns first, without blanks at their ends.
    var lines: [String] {
        let widths = widths
        return ([columns.map(\.name)] + rows).map { cells in
            let padded = cells.indices.map {
                cells[$0].padded(to: widths[$0], right: columns[$0].isNumber)
            }
            let line = padded.joined(separator: TextTable.gap)
            return String(line.reversed().drop { $0 == " " }.reversed())
        }
    }
}
