/// What `FakePostgres` understands of SQL, told by the first words.
enum Statement: Equatable {
    case empty
    /// `select` and anything else: one row with that text.
    case value(ArraySlice<UInt8>)
    /// `select rows N`: that many rows.
    case rows(Int)
    /// `select wide N`: one row of that many bytes.
    case wide(Int)
    /// `select error` fails.
    case error
    /// `select notice`: a notice and a row.
    case notice
    /// `select notify`: a notification and a row.
    case notify
    /// A select of calls of `set_config`.
    case settings([Setting])
    case set(Setting)
    case begin, commit, rollback
    case copyIn, copyOut
    case replicate
    /// `discard all`, `deallocate all`: all prepared statements go.
    case discard(tag: String)
    case other(tag: String)
    /// A syntax error at this word.
    case unknown(ArraySlice<UInt8>)

    struct Setting: Equatable {
        var name: [UInt8]
        var value: [UInt8]
    }

    init(_ text: ArraySlice<UInt8>) {
        let text = Statement.trimmed(text)
        var rest = text
        let word = Statement.word(&rest)
        let afterWord = rest.dropFirst()
        if word.isEmpty {
            self = .empty
        } else if word.spells("select") {
            self = Statement.select(afterWord)
        } else if word.spells("begin") {
            self = .begin
        } else if word.spells("commit") || word.spells("end") {
            self = .commit
        } else if word.spells("rollback") || word.spells("abort") {
            self = .rollback
        } else {
            self = Statement.utility(word, afterWord, text)
        }
    }

    private static func utility(
        _ word: ArraySlice<UInt8>, _ afterWord: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>
    ) -> Statement {
        var rest = afterWord
        let second = Statement.word(&rest)
        if word.spells("set") {
            _ = Statement.word(&rest)
            let value = Statement.trimmed(rest)
            if !value.isEmpty { return .set(Setting(name: Array(second), value: Array(value))) }
        } else if word.spells("copy") {
            if text.suffix(5).spells("stdin") { return .copyIn }
            if text.suffix(6).spells("stdout") { return .copyOut }
        } else if word.spells("start_replication") {
            return .replicate
        } else if word.spells("identify_system") {
            return .value(word)
        } else if word.spells("discard") {
            return .discard(tag: "DISCARD ALL")
        } else if word.spells("deallocate") {
            return second.spells("all") ? .discard(tag: "DEALLOCATE ALL") : .other(tag: "DEALLOCATE")
        } else if word.spells("listen") {
            return .other(tag: "LISTEN")
        }
        return .unknown(word.prefix(20))
    }

    private static func select(_ text: ArraySlice<UInt8>) -> Statement {
        var rest = text
        let word = Statement.word(&rest)
        if word.spells("error") { return .error }
        if word.spells("notice") { return .notice }
        if word.spells("notify") { return .notify }
        if word.spells("rows") { return .rows(min(number(&rest), 10_000)) }
        if word.spells("wide") { return .wide(number(&rest)) }
        let call: StaticString = "pg_catalog.set_config("
        if word.prefix(call.utf8CodeUnitCount).spells(call) { return .settings(settings(in: text)) }
        return .value(text.prefix(100))
    }

    /// The next word as a number up to a million; 1 if it is none.
    private static func number(_ rest: inout ArraySlice<UInt8>) -> Int {
        let word = word(&rest)
        var number = 0
        for byte in word {
            guard (0x30...0x39).contains(byte) else { return 1 }
            number = min(number * 10 + Int(byte - 0x30), 1_000_000)
        }
        return word.isEmpty ? 1 : number
    }

    /// The pairs of quoted texts in `set_config('name','value',false),…`.
    private static func settings(in text: ArraySlice<UInt8>) -> [Setting] {
        var texts: [[UInt8]] = []
        var current: [UInt8]?
        var index = text.startIndex
        while index < text.endIndex {
            let byte = text[index]
            let isQuote = byte == UInt8(ascii: "'")
            if current == nil {
                if isQuote { current = [] }
            } else if byte == UInt8(ascii: "\\") || isQuote, index + 1 < text.endIndex,
                text[index + 1] == byte
            {
                current?.append(byte)
                index += 1
            } else if isQuote {
                texts.append(current ?? [])
                current = nil
            } else {
                current?.append(byte)
            }
            index += 1
        }
        return stride(from: 0, to: texts.count - 1, by: 2).map {
            Setting(name: texts[$0], value: texts[$0 + 1])
        }
    }

    /// Takes a word and the spaces in front of it.
    private static func word(_ rest: inout ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        while rest.first == 0x20 { rest.removeFirst() }
        let end = rest.firstIndex(of: 0x20) ?? rest.endIndex
        defer { rest = rest[end...] }
        return rest[..<end]
    }

    private static func trimmed(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        func isSpace(_ byte: UInt8?) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D }
        var text = text
        while isSpace(text.first) { text.removeFirst() }
        while isSpace(text.last) { text.removeLast() }
        return text
    }

    /// Whether it may run in a failed transaction.
    var endsTransaction: Bool { self == .commit || self == .rollback }

    /// Whether rows come before its end.
    var returnsRows: Bool {
        switch self {
        case .value, .rows, .wide, .notice, .notify, .settings, .error: true
        default: false
        }
    }
}

extension ArraySlice<UInt8> {
    /// Whether this is that word, in capitals or not.
    func spells(_ word: StaticString) -> Bool {
        guard count == word.utf8CodeUnitCount else { return false }
        return word.withUTF8Buffer { letters in
            for (index, letter) in letters.enumerated() {
                let byte = self[startIndex + index]
                let isCapital = (0x41...0x5A).contains(byte)
                if (isCapital ? byte | 0x20 : byte) != letter { return false }
            }
            return true
        }
    }
}
