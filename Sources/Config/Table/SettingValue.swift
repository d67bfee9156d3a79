/// A value that has been read.
enum SettingValue: Equatable, Sendable {
    /// Nothing was said and there is no default.
    case unset
    case text(String)
    case integer(Int)
    /// The word `auto`.
    case automatic
    case boolean(Bool)
    case nanoseconds(UInt64)
    /// Index of the word in the kind's list.
    case choice(Int)
    case list([String])

    /// The value as the console prints it: numbers decimal, modes octal, times in seconds, words in lower
    /// case.
    func text(as kind: SettingKind) -> String? {
        switch self {
        case .unset: return nil
        case .text(let text): return text
        case .integer(let number):
            if case .mode = kind { return "0" + String(number, radix: 8) }
            return String(number)
        case .automatic: return "auto"
        case .boolean(let value): return value ? "1" : "0"
        case .nanoseconds(let nanoseconds): return SettingValue.secondsText(nanoseconds)
        case .choice(let index):
            if case .choice(let words) = kind { return words[index] }
            return nil
        case .list(let words): return words.joined(separator: ",")
        }
    }

    /// A time in seconds, without trailing zeros, exact to the microsecond.
    static func secondsText(_ nanoseconds: UInt64) -> String {
        let microseconds = nanoseconds / 1000
        let whole = String(microseconds / 1_000_000)
        let rest = microseconds % 1_000_000
        guard rest != 0 else { return whole }
        var digits = String(rest + 1_000_000).dropFirst()
        while digits.last == "0" { digits.removeLast() }
        return whole + "." + digits
    }
}

extension SettingKind {
    /// The longest time a setting can state: 100 years, far from overflowing a clock.
    static let maxSeconds = 3_155_760_000.0

    /// Reads the text of a setting, from which blanks and comments have been taken off.
    func value(of text: String) throws(SettingError) -> SettingValue {
        switch self {
        case .text: return .text(text)
        case .list: return .list(SettingKind.words(of: text))
        case .integer(let range): return .integer(try integer(text, in: range))
        case .integerOrAuto(let range):
            if SettingKind.lowercased(text) == "auto" { return .automatic }
            return .integer(try integer(text, in: range, orWord: " or auto"))
        case .mode: return .integer(try mode(text))
        case .boolean: return .boolean(try boolean(text))
        case .seconds: return .nanoseconds(try nanoseconds(text))
        case .choice(let words):
            let wanted = SettingKind.lowercased(text)
            guard let index = words.firstIndex(of: wanted) else {
                let hint = Spelling.suggestion(for: wanted, among: words)
                throw SettingError(
                    reason: "is \"\(text)\", not one of \(words.joined(separator: ", "))\(hint)")
            }
            return .choice(index)
        }
    }

    /// Words between commas, without blanks around them; empty ones are dropped.
    static func words(of text: String) -> [String] {
        text.utf8.split(separator: UInt8(ascii: ",")).compactMap { part in
            let word = String(Substring(part).trimmingBlanks())
            return word.isEmpty ? nil : word
        }
    }

    /// ASCII letters in lower case; all else as it is.
    static func lowercased(_ text: String) -> String {
        String(
            decoding: text.utf8.map { $0 >= 0x41 && $0 <= 0x5A ? $0 | 0x20 : $0 }, as: UTF8.self)
    }

    /// A whole number as C's `strtol` with base 0 reads it; `nil` for anything else.
    static func wholeNumber(_ text: String) -> Int? {
        var digits = Substring(text)
        var isNegative = false
        if digits.first == "-" || digits.first == "+" { isNegative = digits.removeFirst() == "-" }
        var radix = 10
        if digits.hasPrefix("0x") || digits.hasPrefix("0X") {
            radix = 16
            digits = digits.dropFirst(2)
        } else if digits.utf8.count > 1, digits.first == "0" {
            radix = 8
        }
        // A second sign would be accepted by `Int`.
        guard let first = digits.utf8.first, first != UInt8(ascii: "+"), first != UInt8(ascii: "-") else {
            return nil
        }
        guard let magnitude = Int(digits, radix: radix) else { return nil }
        return isNegative ? -magnitude : magnitude
    }

    private func integer(
        _ text: String, in range: ClosedRange<Int>, orWord: String = ""
    ) throws(SettingError) -> Int {
        guard let number = SettingKind.wholeNumber(text) else {
            throw SettingError(reason: "is \"\(text)\", which is not a whole number\(orWord)")
        }
        guard range.contains(number) else {
            throw SettingError(
                reason: "is \(number), outside \(range.lowerBound) to \(range.upperBound)\(orWord)")
        }
        return number
    }

    private func mode(_ text: String) throws(SettingError) -> Int {
        guard text.utf8.first != UInt8(ascii: "+"), let bits = Int(text, radix: 8), bits >= 0, bits <= 0o7777
        else {
            throw SettingError(reason: "is \"\(text)\", which is not an octal mode such as 0777")
        }
        return bits
    }

    private func boolean(_ text: String) throws(SettingError) -> Bool {
        switch SettingKind.lowercased(text) {
        case "yes", "on", "true": return true
        case "no", "off", "false": return false
        case let other:
            guard let number = SettingKind.wholeNumber(other) else {
                throw SettingError(
                    reason: "is \"\(text)\", which is neither a number nor yes, no, on, off, true, false")
            }
            return number != 0
        }
    }

    private func nanoseconds(_ text: String) throws(SettingError) -> UInt64 {
        let allowed = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "+"),
                UInt8(ascii: "-"), UInt8(ascii: "e"), UInt8(ascii: "E"):
                true
            default: false
            }
        }
        guard allowed, let seconds = Double(text), seconds.isFinite else {
            throw SettingError(reason: "is \"\(text)\", which is not a number of seconds")
        }
        guard seconds >= 0, seconds <= SettingKind.maxSeconds else {
            throw SettingError(reason: "is \(text) seconds, outside 0 to \(UInt64(SettingKind.maxSeconds))")
        }
        // Not `rounded()`: it needs the C mathematics library in debug builds.
        return UInt64(seconds * 1_000_000 + 0.5) * 1000
    }
}

extension Substring {
    /// The text without blanks, tabs and line ends at both ends.
    func trimmingBlanks() -> Substring {
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (byte >= 0x09 && byte <= 0x0D) }
        var bytes = utf8[...]
        while let first = bytes.first, isBlank(first) { bytes.removeFirst() }
        while let last = bytes.last, isBlank(last) { bytes.removeLast() }
        return Substring(bytes)
    }
}
