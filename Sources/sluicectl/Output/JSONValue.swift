import FoundationEssentials

/// What `--json` prints.
enum JSONValue: Equatable, Encodable {
    case null
    case flag(Bool)
    case number(Int64)
    case fraction(Double)
    case text(String)
    case list([JSONValue])
    case object([String: JSONValue])

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .flag(let flag): try container.encode(flag)
        case .number(let number): try container.encode(number)
        case .fraction(let number): try container.encode(number)
        case .text(let text): try container.encode(text)
        case .list(let values): try container.encode(values)
        case .object(let members): try container.encode(members)
        }
    }

    /// Text where there is one.
    init(_ text: String?) { self = text.map { .text($0) } ?? .null }

    /// A number where there is one.
    init(_ number: Int?) { self = number.map { .number(Int64($0)) } ?? .null }

    /// A value of a column.
    init(_ value: String?, of column: Column) {
        guard let value, column.isNumber else {
            self = JSONValue(value)
            return
        }
        if let number = Int64(value) {
            self = .number(number)
        } else if let number = Double(value), number.isFinite {
            self = .fraction(number)
        } else {
            self = .text(value)
        }
    }

    /// A table: a list of objects whose members have the names of the columns.
    init(_ answer: Answer) {
        self = .list(
            answer.rows.map { row in
                var members: [String: JSONValue] = [:]
                for (column, value) in zip(answer.columns, row) {
                    members[column.name] = JSONValue(value, of: column)
                }
                return .object(members)
            })
    }

    /// The document, members in the order of their names.
    func document() throws(Failure) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        do { return String(decoding: try encoder.encode(self), as: UTF8.self) } catch {
            throw Failure(.refused, "cannot be written as JSON: \(error)")
        }
    }
}
