/// Numbers inside connection strings, which PgBouncer reads more loosely than settings: decimal only, and
/// up to the first character that is no digit.
enum EntryNumber {
    /// The text to read as a number and what is left over; all of `text` for other kinds, and when it does
    /// not begin with a number.
    static func split(_ text: String, kind: SettingKind) -> (number: String, rest: String) {
        switch kind {
        case .text, .list, .choice, .boolean, .mode: return (text, "")
        case .integer, .integerOrAuto: return split(text, allowsFraction: false)
        case .seconds: return split(text, allowsFraction: true)
        }
    }

    private static func split(_ text: String, allowsFraction: Bool) -> (number: String, rest: String) {
        var rest = Substring(text)
        var sign = ""
        if rest.utf8.first == UInt8(ascii: "-") || rest.utf8.first == UInt8(ascii: "+") {
            sign = rest.removeFirst() == "-" ? "-" : ""
        }
        var digits = takeDigits(&rest)
        guard !digits.isEmpty else { return (text, "") }
        if allowsFraction, rest.utf8.first == UInt8(ascii: ".") {
            rest = Substring(rest.utf8.dropFirst())
            let fraction = takeDigits(&rest)
            digits += fraction.isEmpty ? "" : "." + fraction
        }
        // Without the zeros in front, which would make it octal.
        while digits.utf8.count > 1, digits.utf8.first == UInt8(ascii: "0"),
            digits.utf8.dropFirst().first != UInt8(ascii: ".")
        {
            digits.removeFirst()
        }
        return (sign + digits, String(rest))
    }

    private static func takeDigits(_ rest: inout Substring) -> String {
        let digits = rest.utf8.prefix { $0 >= 0x30 && $0 <= 0x39 }
        rest = Substring(rest.utf8.dropFirst(digits.count))
        return String(Substring(digits))
    }
}
