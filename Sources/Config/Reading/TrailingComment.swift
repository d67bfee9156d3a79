/// Comments after a value, which people write and PgBouncer takes for part of the value.
enum TrailingComment {
    /// `value` up to a `;` or `#` that begins it or follows a blank, without blanks at its end.
    static func removed(from value: String) -> String {
        guard let start = start(in: value) else { return value }
        return String(Substring(value.utf8[..<start]).trimmingBlanks())
    }

    /// The mark that looks like the start of a comment, with the blank before it; `nil` when there is none.
    static func mark(in value: String) -> String? {
        guard let start = start(in: value) else { return nil }
        let mark = value.utf8[start] == UInt8(ascii: ";") ? ";" : "#"
        return start == value.utf8.startIndex ? mark : " " + mark
    }

    private static func start(in value: String) -> String.UTF8View.Index? {
        var previous = UInt8(ascii: " ")
        for index in value.utf8.indices {
            let byte = value.utf8[index]
            let isMark = byte == UInt8(ascii: ";") || byte == UInt8(ascii: "#")
            if isMark, previous == 0x20 || previous == 0x09 { return index }
            previous = byte
        }
        return nil
    }
}
