/// A table of logins: a row for each way on one side, a column for each on the other, and in each cell what
/// has to come of it, in a word.
///
///     client stored | trust md5  scram
///     scram  md5    | no    no   no
///
/// What stands in front of the bar says what a row is about.
struct LoginTable: Sendable {
    /// One login.
    struct Cell: Sendable, CustomStringConvertible {
        let row: [String]
        let column: String
        /// What has to come of it.
        let outcome: String
        var description: String { (row + [column]).joined(separator: " ") }
    }

    var cells: [Cell]

    init(_ text: String) {
        let lines = text.split(separator: "\n").map { line in
            line.split(separator: "|").map { $0.split(separator: " ").map(String.init) }
        }
        let columns = lines[0][1]
        cells = lines.dropFirst().flatMap { line in
            precondition(line.count == 2 && line[1].count == columns.count, "a cell is missing: \(line)")
            return zip(columns, line[1]).map { Cell(row: line[0], column: $0, outcome: $1) }
        }
    }

    /// Tries the logins, some at a time, and returns those of which something else came.
    /// - Parameters:
    ///   - expected: what a cell's word means.
    ///   - attempt: logs in and returns what shows that it works.
    func failures(
        _ expected: (Cell) -> LoginOutcome, _ attempt: @escaping @Sendable (Cell) throws -> String
    ) throws -> [String] {
        let found = Shared([String?](repeating: nil, count: cells.count))
        let next = Shared(0)
        try Thread.concurrently(4) { _ in
            while true {
                let index = next.with { next in
                    next += 1
                    return next - 1
                }
                guard index < cells.count else { return }
                let outcome = try LoginOutcome.text { try attempt(cells[index]) }
                found.with { $0[index] = outcome }
            }
        }
        return zip(cells, found.current).compactMap { cell, found in
            let expected = expected(cell)
            return expected.fits(found ?? "") ? nil : "\(cell): expected \(expected), found \(found ?? "-")"
        }
    }
}

/// What has to come of a login.
enum LoginOutcome: Sendable {
    /// It works, and what was asked through it is this.
    case works(String)
    /// It is refused: with an SQLSTATE, or an empty one when the client's own library refuses, and a text.
    case refused(String, String)

    func fits(_ found: String) -> Bool {
        switch self {
        case .works(let value): found == value
        case .refused(let state, let text): found.hasPrefix("\(state) ") && found.contains(text)
        }
    }

    /// What came of a login: what it has shown, or the SQLSTATE and the message of its refusal.
    static func text(_ body: () throws -> String) throws -> String {
        do { return try body() } catch let error as PostgresError { return error.description }
    }
}
