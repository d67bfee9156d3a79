public import Base
import CLinux
import Glibc

extension TextPattern {
    /// An extended regular expression of POSIX, compiled by the C library; `\d` and `\D` are understood
    /// besides, as PostgreSQL does.
    public init(compiling text: String) throws(Malformed) {
        let expression = try RegularExpression(text)
        self.init { expression.match($0) }
    }
}

/// What the C library has made of an expression. It is only read once it is there, and the library locks what
/// it changes in it itself.
@safe
private final class RegularExpression: @unchecked Sendable {
    private var compiled = unsafe regex_t()

    init(_ text: String) throws(TextPattern.Malformed) {
        let result = unsafe regcomp(&compiled, RegularExpression.withClasses(text), REG_EXTENDED)
        guard result == 0 else {
            var message = [CChar](repeating: 0, count: 256)
            let count = unsafe regerror(result, &compiled, &message, message.count)
            // Nothing is left to be freed.
            unsafe compiled = regex_t()
            let bytes = message.prefix(max(min(count, message.count) - 1, 0)).map { UInt8(bitPattern: $0) }
            throw TextPattern.Malformed(reason: String(decoding: bytes, as: UTF8.self))
        }
    }

    deinit { unsafe regfree(&compiled) }

    func match(_ text: [UInt8]) -> TextPattern.Match? {
        guard !text.contains(0) else { return nil }
        var places = [regmatch_t](repeating: regmatch_t(rm_so: -1, rm_eo: -1), count: 2)
        let characters = text.map { CChar(bitPattern: $0) } + [0]
        guard unsafe regexec(&compiled, characters, places.count, &places, 0) == 0 else { return nil }
        let (start, end) = (Int(places[1].rm_so), Int(places[1].rm_eo))
        let hasGroup = start >= 0 && end >= start && end <= text.count
        return TextPattern.Match(group: hasGroup ? Array(text[start..<end]) : nil)
    }

    /// The text with `\d` and `\D` written as POSIX knows them; in brackets they are not understood.
    private static func withClasses(_ text: String) -> String {
        var result: [UInt8] = []
        var isEscaped = false
        var isInBrackets = false
        for byte in text.utf8 {
            if !isInBrackets, isEscaped, byte == UInt8(ascii: "d") || byte == UInt8(ascii: "D") {
                result.removeLast()
                result += Array((byte == UInt8(ascii: "d") ? "[0-9]" : "[^0-9]").utf8)
                isEscaped = false
                continue
            }
            if isInBrackets {
                isInBrackets = byte != UInt8(ascii: "]")
            } else {
                isInBrackets = !isEscaped && byte == UInt8(ascii: "[")
            }
            isEscaped = !isInBrackets && !isEscaped && byte == UInt8(ascii: "\\")
            result.append(byte)
        }
        return String(decoding: result, as: UTF8.self)
    }
}
