/// What a query text asks of `NullPostgres`, found by looking at its first words.
public enum Statement: BitwiseCopyable, Sendable {
    /// Nothing but blanks and semicolons.
    case empty
    /// BEGIN or START TRANSACTION.
    case begin
    /// COMMIT or END.
    case commit
    /// ROLLBACK or ABORT.
    case rollback
    case set
    case reset
    case discard
    /// `select big`: 1 MiB of rows.
    case big
    /// One row with the number in the text.
    case row(ShortText)
    /// One row with the parameter that will be bound.
    case parameterRow

    /// Looks at a text.
    public init(_ text: UnsafeRawBufferPointer) {
        var words = Words(text)
        guard let first = words.next() else {
            self = .empty
            return
        }
        if first.isWord("select") {
            self = Statement.selection(words.next())
        } else if first.isWord("begin") || first.isWord("start") {
            self = .begin
        } else if first.isWord("commit") || first.isWord("end") {
            self = .commit
        } else if first.isWord("rollback") || first.isWord("abort") {
            self = .rollback
        } else if first.isWord("set") {
            self = .set
        } else if first.isWord("reset") {
            self = .reset
        } else if first.isWord("discard") {
            self = .discard
        } else {
            self = .row(.one)
        }
    }

    /// The command tag, for statements without rows.
    var tag: String {
        switch self {
        case .begin: "BEGIN"
        case .commit: "COMMIT"
        case .rollback: "ROLLBACK"
        case .set: "SET"
        case .reset: "RESET"
        case .discard: "DISCARD ALL"
        case .empty, .big, .row, .parameterRow: ""
        }
    }

    private static func selection(_ word: UnsafeRawBufferPointer?) -> Statement {
        guard let word else { return .row(.one) }
        if word.isWord("big") { return .big }
        if word[0] == UInt8(ascii: "$") { return .parameterRow }
        let isNumber = word.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
        return .row(isNumber ? ShortText(word) : .one)
    }
}

/// The words of a text, between blanks and semicolons.
private struct Words {
    private let text: UnsafeRawBufferPointer
    private var offset = 0

    init(_ text: UnsafeRawBufferPointer) { self.text = text }

    mutating func next() -> UnsafeRawBufferPointer? {
        while offset < text.count, Words.separates(text[offset]) { offset += 1 }
        guard offset < text.count else { return nil }
        let start = offset
        while offset < text.count, !Words.separates(text[offset]) { offset += 1 }
        return UnsafeRawBufferPointer(rebasing: text[start..<offset])
    }

    private static func separates(_ byte: UInt8) -> Bool { byte <= 0x20 || byte == UInt8(ascii: ";") }
}

extension UnsafeRawBufferPointer {
    /// Whether these bytes are a word, in any case.
    fileprivate func isWord(_ word: StaticString) -> Bool {
        guard count == word.utf8CodeUnitCount else { return false }
        for index in 0..<count where self[index] | 0x20 != word.utf8Start[index] { return false }
        return true
    }
}
