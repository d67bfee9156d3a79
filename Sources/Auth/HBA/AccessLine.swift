/// A word of a rules file.
struct AccessToken: Equatable {
    /// The word, without its quotes.
    var text: [UInt8]
    /// It begins with a quote: then it is a name, even where it looks like a keyword.
    var isQuoted = false

    /// Whether it is this keyword.
    func isKeyword(_ word: StaticString) -> Bool { !isQuoted && isText(word) }

    /// Whether it reads so, quoted or not.
    func isText(_ word: StaticString) -> Bool {
        text.count == word.utf8CodeUnitCount && text.starts(with: "\(word)".utf8)
    }

    /// The group whose members are meant: what follows a plus sign that is not quoted, itself quoted or not.
    var group: [UInt8]? {
        !isQuoted && text.first == UInt8(ascii: "+") ? Array(text.dropFirst()) : nil
    }

    /// The word.
    var name: String { String(decoding: text, as: UTF8.self) }

    /// The word for messages: what stands behind an equals sign may be a password in the wrong place.
    var shown: String { String(decoding: text.prefix { $0 != UInt8(ascii: "=") }, as: UTF8.self) }
}

/// A line of a rules file or of a file of names, taken apart into fields, and these into words.
///
/// Fields are separated by blanks, the words of one by commas; `#` begins a comment outside quotes. A doubled
/// quote inside quotes is one quote. A line that ends with a backslash goes on in the next one.
struct AccessLine {
    /// Where it begins, from 1.
    let number: Int
    /// What it says; never empty, and neither is a field.
    let fields: [[AccessToken]]

    /// Why a line cannot be taken apart.
    struct Malformed: Error {
        let reason: String
    }

    /// The lines of a file that say something; a failure where one cannot be taken apart.
    static func lines(of bytes: [UInt8]) -> [(number: Int, fields: Result<AccessLine, Malformed>)] {
        var result: [(number: Int, fields: Result<AccessLine, Malformed>)] = []
        var number = 0
        var first = 1
        var text: [UInt8] = []
        var isContinued = false
        for part in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            number += 1
            if !isContinued { (first, text) = (number, []) }
            let part = part.last == UInt8(ascii: "\r") ? part.dropLast() : part
            text += part
            // A backslash in front of the one that was taken away says nothing.
            isContinued = part.last == UInt8(ascii: "\\")
            if isContinued {
                text.removeLast()
                continue
            }
            append(text, first, to: &result)
        }
        if isContinued { append(text, first, to: &result) }
        return result
    }

    private static func append(
        _ text: [UInt8], _ number: Int,
        to result: inout [(number: Int, fields: Result<AccessLine, Malformed>)]
    ) {
        do throws(Malformed) {
            let fields = try fields(of: text)
            if !fields.isEmpty {
                result.append((number, .success(AccessLine(number: number, fields: fields))))
            }
        } catch {
            result.append((number, .failure(error)))
        }
    }

    /// The fields of one line.
    static func fields(of text: [UInt8]) throws(Malformed) -> [[AccessToken]] {
        guard !text.contains(0) else { throw Malformed(reason: "there is a zero byte in it") }
        var fields: [[AccessToken]] = []
        var isAfterComma = false
        var index = 0
        while index < text.count, text[index] != UInt8(ascii: "#") {
            if isBlank(text[index]) {
                index += 1
            } else if text[index] == UInt8(ascii: ",") {
                guard !fields.isEmpty, !isAfterComma else {
                    throw Malformed(reason: "there is nothing in front of a comma")
                }
                isAfterComma = true
                index += 1
            } else {
                let token = try token(of: text, &index)
                if isAfterComma { fields[fields.count - 1].append(token) } else { fields.append([token]) }
                isAfterComma = false
            }
        }
        return fields
    }

    private static func token(of text: [UInt8], _ index: inout Int) throws(Malformed) -> AccessToken {
        let quote = UInt8(ascii: "\"")
        var token = AccessToken(text: [], isQuoted: text[index] == quote)
        var isInside = false
        while index < text.count {
            let byte = text[index]
            if byte == quote, isInside, index + 1 < text.count, text[index + 1] == quote {
                token.text.append(quote)
                index += 1
            } else if byte == quote {
                isInside.toggle()
            } else if !isInside,
                isBlank(byte) || byte == UInt8(ascii: ",") || byte == UInt8(ascii: "#")
            {
                break
            } else {
                token.text.append(byte)
            }
            index += 1
        }
        guard !isInside else { throw Malformed(reason: "a quote is not closed") }
        return token
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
}
