/// One column of an answer.
struct Column: Equatable {
    let name: String
    /// Whether its values are numbers.
    let isNumber: Bool

    init(_ name: String, isNumber: Bool = false) {
        self.name = name
        self.isNumber = isNumber
    }

    /// A column of the type with this object id in PostgreSQL.
    init(_ name: String, type: UInt32) {
        let int8: UInt32 = 20
        let (int2, int4, numeric): (UInt32, UInt32, UInt32) = (21, 23, 1700)
        self.init(name, isNumber: [int8, int2, int4, numeric].contains(type))
    }
}

/// What the instance has answered to a command.
struct Answer: Equatable {
    /// The command tag.
    var tag = ""
    var columns: [Column] = []
    /// One value per column, `nil` for NULL.
    var rows: [[String?]] = []
    /// Notices, in order.
    var notices: [String] = []

    /// The values of a column by its name, row by row; nothing when there is none.
    func column(_ name: String) -> [String?] {
        guard let index = columns.firstIndex(where: { $0.name == name }) else { return [] }
        return rows.map { $0[index] }
    }

    /// The rows by the names of their columns, without NULLs.
    var records: [[String: String]] {
        rows.map { row in
            var record: [String: String] = [:]
            for (column, value) in zip(columns, row) { record[column.name] = value }
            return record
        }
    }

    /// Only the rows whose column has this value; all when `value` is `nil`.
    func filtered(_ name: String, _ value: String?) -> Answer {
        guard let value, let index = columns.firstIndex(where: { $0.name == name }) else { return self }
        var answer = self
        answer.rows = rows.filter { $0[index] == value }
        return answer
    }
}
