/// What `FakePostgres` understands of SQL, told by the first words.
enum Statement: Equatable {
    case empty
    /// `select` and anything else: one row with that text.
    case value(String)
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
    case set(String, String)
    case begin, commit, rollback
    case copyIn, copyOut
    case replicate
    /// `discard all`, `deallocate all`: all prepared statements go.
    case discard(tag: String)
    case other(tag: String)
    /// A syntax error at this word.
    case unknown(String)

    struct Setting: Equatable {
        var name: String
        var value: String
    }

    init(_ text: String) {
        let text = Statement.trimmed(text)
        let words = text.split(separator: " ", maxSplits: 3).map { $0.lowercased() }
        let rest = text.split(separator: " ", maxSplits: 1).dropFirst().first.map(String.init) ?? ""
        switch words.first ?? "" {
        case "": self = .empty
        case "select": self = Statement.select(rest, words)
        case "begin": self = .begin
        case "commit", "end": self = .commit
        case "rollback", "abort": self = .rollback
        case "set" where words.count == 4: self = .set(words[1], words[3])
        case "copy":
            self = text.hasSuffix("stdin") ? .copyIn : text.hasSuffix("stdout") ? .copyOut : .unknown("copy")
        case "start_replication": self = .replicate
        case "identify_system": self = .value("system")
        case "discard": self = .discard(tag: "DISCARD ALL")
        case "deallocate":
            self = words.last == "all" ? .discard(tag: "DEALLOCATE ALL") : .other(tag: "DEALLOCATE")
        case "listen": self = .other(tag: "LISTEN")
        case let word: self = .unknown(String(word.prefix(20)))
        }
    }

    private static func select(_ rest: String, _ words: [String]) -> Statement {
        let number = words.count > 2 ? min(Int(words[2]) ?? 1, 1_000_000) : 1
        switch words.dropFirst().first ?? "" {
        case "error": return .error
        case "notice": return .notice
        case "notify": return .notify
        case "rows": return .rows(max(0, min(number, 10_000)))
        case "wide": return .wide(max(0, number))
        case let word where word.hasPrefix("pg_catalog.set_config("): return .settings(settings(in: rest))
        default: return .value(String(rest.prefix(100)))
        }
    }

    /// The pairs of quoted texts in `set_config('name','value',false),…`.
    private static func settings(in text: String) -> [Setting] {
        var texts: [String] = []
        var current: [UInt8]?
        let bytes = Array(text.utf8)
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            let isQuote = byte == UInt8(ascii: "'")
            if current == nil {
                if isQuote { current = [] }
            } else if byte == UInt8(ascii: "\\") || isQuote, index + 1 < bytes.count, bytes[index + 1] == byte
            {
                current?.append(byte)
                index += 1
            } else if isQuote {
                texts.append(String(decoding: current ?? [], as: UTF8.self))
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

    private static func trimmed(_ text: String) -> String {
        let space: Set<UInt8> = [0x20, 0x09, 0x0A, 0x0D]
        let bytes = Array(text.utf8)
        let start = bytes.firstIndex { !space.contains($0) } ?? bytes.count
        let end = (bytes.lastIndex { !space.contains($0) } ?? -1) + 1
        return start < end ? String(decoding: bytes[start..<end], as: UTF8.self) : ""
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
