/// The console's two sentence forms, byte by byte.
struct ConsoleLexer {
    private static let commandLimit = 15
    private static let argumentLimit = 63
    private static let valueLimit = 255
    /// Most words behind the first.
    private static let wordLimit = 3

    private let bytes: [UInt8]
    private var offset = 0

    private init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// The parts of `WORD [WORD …] [;]`, the command in lower case, or `nil` when the query has another
    /// form.
    static func words(
        _ query: [UInt8]
    ) throws(ConsoleError) -> (command: String, argument: [UInt8]?, rest: [[UInt8]])? {
        var lexer = ConsoleLexer(query)
        lexer.skipSpace()
        guard let command = lexer.word() else { return nil }
        var arguments: [[UInt8]] = []
        while lexer.skipSpace(), arguments.count < wordLimit, let word = lexer.word() {
            arguments.append(word)
        }
        guard lexer.isAtEnd() else { return nil }
        guard command.count <= commandLimit, arguments.allSatisfy({ $0.count <= argumentLimit }) else {
            throw .badArguments
        }
        return (lowercased(command), arguments.first, Array(arguments.dropFirst()))
    }

    /// The parts of `SET WORD (= | TO) VALUE [;]`, or `nil` when the query has another form.
    static func assignment(_ query: [UInt8]) throws(ConsoleError) -> (key: [UInt8], value: [UInt8])? {
        var lexer = ConsoleLexer(query)
        lexer.skipSpace()
        guard let set = lexer.word(), lowercased(set) == "set", lexer.skipSpace() else { return nil }
        guard let key = lexer.word() else { return nil }
        lexer.skipSpace()
        guard lexer.equalsOrTo() else { return nil }
        lexer.skipSpace()
        guard let value = lexer.word() ?? lexer.quoted(UInt8(ascii: "'")) else { return nil }
        guard lexer.isAtEnd() else { return nil }
        guard key.count <= argumentLimit, value.count <= valueLimit else { throw .badArguments }
        return (key, value)
    }

    /// The path in `RESTART ['PATH'] [FORCE] [;]`, empty when there is none, and whether it is forced; `nil`
    /// when the query has another form.
    static func restart(_ query: [UInt8]) -> (path: [UInt8], isForced: Bool)? {
        var lexer = ConsoleLexer(query)
        lexer.skipSpace()
        guard let command = lexer.word(), lowercased(command) == "restart" else { return nil }
        lexer.skipSpace()
        let path = lexer.quoted(UInt8(ascii: "'")) ?? []
        lexer.skipSpace()
        let option = lexer.word()
        guard lexer.isAtEnd(), option == nil || option.map(lowercased) == "force" else { return nil }
        return (path, option != nil)
    }

    /// Whether a text has nothing but blanks and a semicolon.
    static func isEmpty(_ query: [UInt8]) -> Bool {
        var lexer = ConsoleLexer(query)
        return lexer.isAtEnd()
    }

    /// Whether a text has a place for a value, `$1` and so on.
    static func hasParameter(_ query: [UInt8]) -> Bool {
        zip(query, query.dropFirst()).contains { $0 == UInt8(ascii: "$") && (0x30...0x39).contains($1) }
    }

    /// Bytes as text in lower case; only ASCII letters change.
    static func lowercased(_ bytes: [UInt8]) -> String {
        String(decoding: bytes.map { isUpper($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
    }

    /// Skips blanks and tells whether there was one.
    @discardableResult
    private mutating func skipSpace() -> Bool {
        let start = offset
        while let byte = peek, byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d { offset += 1 }
        return offset > start
    }

    /// `"…"` with `""` for a quote, or letters, digits and underscores.
    private mutating func word() -> [UInt8]? {
        if peek == UInt8(ascii: "\"") { return quoted(UInt8(ascii: "\"")) }
        let start = offset
        while let byte = peek, ConsoleLexer.isWordByte(byte) { offset += 1 }
        return offset > start ? Array(bytes[start..<offset]) : nil
    }

    /// Text between quotes, a doubled quote standing for one; nothing is consumed when it does not end.
    private mutating func quoted(_ quote: UInt8) -> [UInt8]? {
        guard peek == quote else { return nil }
        var index = offset + 1
        var text: [UInt8] = []
        while index < bytes.count {
            if bytes[index] != quote {
                text.append(bytes[index])
            } else if index + 1 < bytes.count, bytes[index + 1] == quote {
                text.append(quote)
                index += 1
            } else {
                offset = index + 1
                return text
            }
            index += 1
        }
        return nil
    }

    private mutating func equalsOrTo() -> Bool {
        if peek == UInt8(ascii: "=") {
            offset += 1
            return true
        }
        guard bytes.count - offset >= 2, ConsoleLexer.lowercased(Array(bytes[offset..<(offset + 2)])) == "to"
        else { return false }
        offset += 2
        return true
    }

    /// Whether only blanks and at most one semicolon are left.
    private mutating func isAtEnd() -> Bool {
        skipSpace()
        if peek == UInt8(ascii: ";") {
            offset += 1
            skipSpace()
        }
        return offset == bytes.count
    }

    private var peek: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private static func isUpper(_ byte: UInt8) -> Bool { (0x41...0x5a).contains(byte) }

    private static func isWordByte(_ byte: UInt8) -> Bool {
        isUpper(byte) || (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x5f
    }
}
