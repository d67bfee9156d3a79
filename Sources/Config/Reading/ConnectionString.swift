/// Cuts a connection string into pairs of key and value.
///
/// Pairs are separated by spaces, which may also stand around `=`. A value is bare, up to the next space,
/// or in single quotes with `''` for a quote. An empty value is an error.
struct ConnectionString {
    /// Why a text is not a connection string; reads on after the entry's name.
    struct Malformed: Error, Equatable {
        let reason: String
    }

    /// One `key=value`.
    struct Pair: Equatable {
        let key: String
        let value: String
    }

    /// The pairs of `text`, in order.
    static func pairs(of text: String) throws(Malformed) -> [Pair] {
        var pairs: [Pair] = []
        var rest = Substring(text).utf8
        let space = UInt8(ascii: " ")
        let equals = UInt8(ascii: "=")
        while true {
            rest = rest.drop { $0 == space }
            guard !rest.isEmpty else { return pairs }
            let key = String(Substring(rest.prefix { $0 != space && $0 != equals }))
            rest = rest.dropFirst(key.utf8.count).drop { $0 == space }
            guard rest.first == equals else {
                throw Malformed(reason: ConnectionString.explain(key, after: pairs.last?.key))
            }
            guard !key.isEmpty else { throw Malformed(reason: "has a = without a key before it") }
            rest = rest.dropFirst().drop { $0 == space }
            let value: String
            if rest.first == UInt8(ascii: "'") {
                value = try quoted(&rest, key: key)
            } else {
                value = String(Substring(rest.prefix { $0 != space }))
                rest = rest.dropFirst(value.utf8.count)
            }
            guard !value.isEmpty else {
                throw Malformed(reason: "has no value for \(key); leave the key out instead")
            }
            pairs.append(Pair(key: key, value: value))
        }
    }

    /// `value` as it can stand in a connection string.
    static func quote(_ value: String) -> String {
        var text = "'"
        for scalar in value.unicodeScalars {
            if scalar == "'" { text.unicodeScalars.append("'") }
            text.unicodeScalars.append(scalar)
        }
        return text + "'"
    }

    private static func quoted(_ rest: inout Substring.UTF8View, key: String) throws(Malformed) -> String {
        let quote = UInt8(ascii: "'")
        var bytes: [UInt8] = []
        rest = rest.dropFirst()
        while let end = rest.firstIndex(of: quote) {
            bytes += rest[..<end]
            rest = rest[end...].dropFirst()
            guard rest.first == quote else { return String(decoding: bytes, as: UTF8.self) }
            bytes.append(quote)
            rest = rest.dropFirst()
        }
        throw Malformed(reason: "has no closing quote for \(key)")
    }

    /// The word itself is not repeated: it may be the rest of a password.
    private static func explain(_ word: String, after key: String?) -> String {
        if word.hasPrefix(";") || word.hasPrefix("#") {
            return "has a comment after it, which needs a line of its own"
        }
        guard let key else { return "does not begin with key=value" }
        return "has something after the value of \(key) that is no key=value; "
            + "a value with spaces needs single quotes"
    }
}
