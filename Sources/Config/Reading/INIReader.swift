/// Cuts a configuration file into its items, front to back.
///
/// The grammar is PgBouncer's: leading blanks mean nothing; `#` or `;` as the first character of a line
/// begins a comment; a key is bare (letters, digits, `_ . - *`) or in single quotes; a value is the rest of
/// the line without the blanks at its end.
struct INIReader {
    /// One thing that a file says.
    enum Item: Equatable {
        /// `[name]`; what follows on the line is read as if it began a line.
        case section(String)
        /// `key = value`.
        case pair(key: String, value: String)
        /// `%include path`.
        case include(String)
        /// A line that is none of these, and why.
        case malformed(String)
    }

    private let bytes: [UInt8]
    private var offset = 0
    /// The line of the item that was read last, from 1.
    private(set) var line = 1

    /// A reader at the front of `bytes`. A byte order mark is passed over.
    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { offset = 3 }
    }

    /// The next item, or `nil` at the end.
    mutating func next() -> Item? {
        while offset < bytes.count {
            let byte = bytes[offset]
            if byte == UInt8(ascii: "\n") {
                line += 1
                offset += 1
            } else if INIReader.isBlank(byte) {
                offset += 1
            } else if byte == UInt8(ascii: "#") || byte == UInt8(ascii: ";") {
                offset = lineEnd()
            } else if byte == UInt8(ascii: "[") {
                return section()
            } else {
                return pairOrInclude()
            }
        }
        return nil
    }

    private mutating func section() -> Item {
        let end = lineEnd()
        guard let close = bytes[offset..<end].firstIndex(of: UInt8(ascii: "]")) else {
            offset = end
            return .malformed("a section's name needs a closing bracket")
        }
        let name = bytes[(offset + 1)..<close]
        offset = close + 1
        guard let text = INIReader.text(name) else { return .malformed(INIReader.notText) }
        return .section(text)
    }

    private mutating func pairOrInclude() -> Item {
        let end = lineEnd()
        let line = bytes[offset..<end]
        offset = end
        let include = Array("%include".utf8)
        if line.starts(with: include) {
            let rest = line.dropFirst(include.count)
            guard let first = rest.first, INIReader.isBlank(first) else {
                return .malformed("%include needs a blank and a path")
            }
            guard let path = INIReader.text(INIReader.trim(rest)) else {
                return .malformed(INIReader.notText)
            }
            return path.isEmpty ? .malformed("%include needs a path") : .include(path)
        }
        return INIReader.pair(line)
    }

    private static func pair(_ line: ArraySlice<UInt8>) -> Item {
        let quote = UInt8(ascii: "'")
        var key: ArraySlice<UInt8>
        var rest: ArraySlice<UInt8>
        if line.first == quote {
            let inside = line.dropFirst()
            guard let close = inside.firstIndex(of: quote) else {
                return .malformed("a quoted key needs a closing quote")
            }
            key = inside[..<close]
            rest = inside[(close + 1)...]
        } else {
            key = line.prefix(while: isKeyByte)
            rest = line[key.endIndex...]
        }
        rest = rest.drop(while: isBlank)
        guard rest.first == UInt8(ascii: "=") else {
            if line.first == quote || (key.isEmpty && line.first == UInt8(ascii: "=")) || rest.isEmpty {
                return .malformed("expected key = value")
            }
            return .malformed(
                "expected key = value; a key with other characters than letters, digits, _ . - * "
                    + "needs single quotes")
        }
        guard !key.isEmpty else { return .malformed("expected a key before =") }
        guard let keyText = text(key), let value = text(trim(rest.dropFirst())) else {
            return .malformed(notText)
        }
        return .pair(key: keyText, value: value)
    }

    private static let notText = "the line is not valid UTF-8 text"

    private func lineEnd() -> Int {
        bytes[offset...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
    }

    /// Blanks as C's `isspace` has them, without the line end.
    private static func isBlank(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || (byte >= 0x0B && byte <= 0x0D)
    }

    private static func isKeyByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"),
            UInt8(ascii: "*"):
            true
        default: false
        }
    }

    private static func trim(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var bytes = bytes.drop(while: isBlank)
        while let last = bytes.last, isBlank(last) { bytes.removeLast() }
        return bytes
    }

    private static func text(_ bytes: ArraySlice<UInt8>) -> String? {
        bytes.contains(0) ? nil : String(validating: bytes, as: UTF8.self)
    }
}
