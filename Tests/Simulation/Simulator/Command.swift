/// What a statement does, as far as the simulated PostgreSQL understands SQL.
enum Command: Equatable {
    case begin, commit, rollback
    case set(name: String, value: String)
    case show(name: String)
    /// `SELECT pg_catalog.set_config(name, value, false), …`
    case setConfig([String], [String])
    case select(Selection)
    case insert
    case notice(String)
    case copyIn
    case copyOut(rows: Int)
    case discardAll, deallocateAll
    case deallocate(String)
    /// A query of a table that does not exist.
    case missing(String)

    /// Whether it is accepted in a failed transaction.
    var endsTransaction: Bool { self == .commit || self == .rollback }

    /// Whether it returns rows.
    var columns: [String]? {
        switch self {
        case .show(let name): [name]
        case .setConfig(let names, _): names.map { _ in "set_config" }
        case .select(let selection): selection.columns.map(\.name)
        default: nil
        }
    }

    /// What is found out when the statement is analysed, which is not done in a failed transaction.
    func analyse() throws(Refusal) {
        guard case .missing(let table) = self else { return }
        throw Refusal(state: "42P01", text: "relation \"\(table)\" does not exist", position: 15)
    }

    /// What is found out when the statement is planned: constants are worked out then.
    func makePlan() throws(Refusal) {
        guard case .select(let selection) = self,
            selection.columns.contains(where: { $0.content == .divisionByZero })
        else { return }
        throw Refusal(state: "22012", text: "division by zero")
    }

    /// How many parameters it has.
    var parameterCount: Int {
        guard case .select(let selection) = self else { return 0 }
        return selection.columns.contains { $0.usesParameter } ? 1 : 0
    }
}

/// A query that returns rows.
struct Selection: Equatable {
    struct Column: Equatable {
        enum Content: Equatable {
            case literal(String)
            case text, integer
            case user, database
            case row
            case repeated(Int)
            case divisionByZero
            case sleep(milliseconds: UInt64)
        }
        var content: Content
        var name: String
        var usesParameter: Bool { content == .text || content == .integer }
    }
    var columns: [Column]
    var rows = 1
}

/// Why a text is no statement, or one that cannot be carried out.
struct Refusal: Error {
    var state: String
    var text: String
    var position = 0
}

extension Command {
    /// Takes a text apart into its statements.
    static func parse(_ text: String) throws(Refusal) -> [Command] {
        var commands: [Command] = []
        // The only statement with semicolons inside is sent alone.
        for part in text.hasPrefix("do ") ? [text] : split(text, ";") {
            let statement = trimmed(part)
            if statement.isEmpty { continue }
            commands.append(try one(statement))
        }
        return commands
    }

    private static func one(_ text: Substring) throws(Refusal) -> Command {
        let words = text.split(separator: " ", maxSplits: 3).map { $0.lowercased() }
        switch words[0] {
        case "begin": return .begin
        case "commit", "end": return .commit
        case "rollback", "abort": return .rollback
        case "set":
            let parts = text.split(separator: " ", maxSplits: 3)
            return .set(name: String(parts[1]), value: unquoted(parts[3]))
        case "show": return .show(name: String(text.split(separator: " ")[1]))
        case "insert": return .insert
        case "do": return .notice(split(String(text), "''")[3])
        case "copy":
            if words[1] == "t" { return .copyIn }
            return .copyOut(rows: Int(text.split(separator: ",")[1].split(separator: ")")[0]) ?? 0)
        case "discard": return .discardAll
        case "deallocate":
            let name = text.split(separator: " ")[1]
            return name.lowercased() == "all" ? .deallocateAll : .deallocate(String(name))
        case "select": return try select(text)
        default:
            throw Refusal(state: "42601", text: "syntax error at or near \"\(words[0])\"", position: 1)
        }
    }

    private static func select(_ text: Substring) throws(Refusal) -> Command {
        let halves = split(String(text.dropFirst(7)), " from ")
        if halves.count > 1, halves[1].hasPrefix("missing") {
            return .missing(halves[1])
        }
        if halves[0].hasPrefix("pg_catalog.set_config(") { return setConfig(halves[0]) }
        var selection = Selection(columns: [])
        for item in split(halves[0], ", ") {
            let parts = split(item, " as ")
            let content = content(parts[0])
            let name = parts.count > 1 ? parts[1] : String(parts[0].prefix { $0 != "(" })
            selection.columns.append(Selection.Column(content: content, name: name))
        }
        if halves.count > 1, let count = halves[1].split(separator: ",").last?.prefix(while: { $0 != ")" }) {
            selection.rows = Int(count) ?? 1
        }
        return .select(selection)
    }

    private static func content(_ text: String) -> Selection.Column.Content {
        switch text {
        case "current_user": return .user
        case "current_database()": return .database
        case "i": return .row
        case "$1::text": return .text
        case "$1::int": return .integer
        case "1/0": return .divisionByZero
        default: break
        }
        if text.hasPrefix("repeat('x',") { return .repeated(Int(text.dropFirst(11).dropLast()) ?? 0) }
        if text.hasPrefix("pg_sleep(") {
            return .sleep(milliseconds: UInt64((Double(text.dropFirst(9).dropLast()) ?? 0) * 1000))
        }
        return .literal(unquoted(Substring(text)))
    }

    private static func setConfig(_ text: String) -> Command {
        var names: [String] = []
        var values: [String] = []
        for call in split(text, "pg_catalog.set_config(") where !call.isEmpty {
            let parts = split(call, "'")
            names.append(parts[1])
            values.append(parts[3])
        }
        return .setConfig(names, values)
    }

    private static func unquoted(_ text: Substring) -> String {
        text.hasPrefix("'") && text.hasSuffix("'") && text.utf8.count >= 2
            ? String(text.dropFirst().dropLast()) : String(text)
    }

    private static func trimmed(_ text: String) -> Substring {
        var text = text[...]
        while text.first == " " { text = text.dropFirst() }
        while text.last == " " { text = text.dropLast() }
        return text
    }

    /// Like `components(separatedBy:)`, which is Foundation's.
    private static func split(_ text: String, _ separator: String) -> [String] {
        let bytes = Array(text.utf8)
        let mark = Array(separator.utf8)
        var parts: [String] = []
        var start = 0
        var offset = 0
        while offset + mark.count <= bytes.count {
            if bytes[offset] == mark[0], bytes[offset..<(offset + mark.count)].elementsEqual(mark) {
                parts.append(String(decoding: bytes[start..<offset], as: UTF8.self))
                offset += mark.count
                start = offset
            } else {
                offset += 1
            }
        }
        parts.append(String(decoding: bytes[start...], as: UTF8.self))
        return parts
    }
}
