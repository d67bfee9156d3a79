import Config
import SharedState
import System

/// How lines are made of records.
struct LogLayout {
    /// `log_format`.
    var format = LogFormat.text

    private var stampSecond: UInt64 = 0
    private var stampStart = ""
    private var stampZone = ""

    /// A layout in PgBouncer's format.
    init() {}

    /// The line of a record, with a line end.
    mutating func line(_ record: LogRecord) -> [UInt8] {
        let second = record.realtimeMicroseconds / 1_000_000
        if second != stampSecond || stampStart.isEmpty { setStamp(record.realtimeMicroseconds) }
        let milliseconds = String(1000 + record.realtimeMicroseconds / 1000 % 1000).dropFirst()
        switch format {
        case .text:
            let head = "\(stampStart).\(milliseconds) \(stampZone) [\(record.pid)] \(record.level.word) "
            return Array(head.utf8) + LogLayout.cleaned(record.text) + [UInt8(ascii: "\n")]
        case .json:
            return json(record, time: "\(stampStart).\(milliseconds)\(stampZone)")
        }
    }

    private mutating func setStamp(_ realtimeMicroseconds: UInt64) {
        let time = LocalTime(realNanoseconds: realtimeMicroseconds * 1000)
        stampSecond = realtimeMicroseconds / 1_000_000
        switch format {
        case .text: (stampStart, stampZone) = (time.dateAndTime, time.zone)
        case .json: (stampStart, stampZone) = (time.isoDateAndTime, time.isoOffset)
        }
    }

    /// Line ends followed by a tab, other control characters replaced: what a client sends cannot look like
    /// a line of ours.
    static func cleaned(_ text: [UInt8]) -> [UInt8] {
        guard text.contains(where: { $0 < 0x20 || $0 == 0x7f }) else { return text }
        var result: [UInt8] = []
        for byte in text {
            if byte == UInt8(ascii: "\n") {
                result += [byte, UInt8(ascii: "\t")]
            } else {
                result.append(
                    byte >= 0x20 && byte != 0x7f || byte == UInt8(ascii: "\t") ? byte : UInt8(ascii: "?"))
            }
        }
        return result
    }

    // MARK: JSON

    private func json(_ record: LogRecord, time: String) -> [UInt8] {
        var fields = [
            "\"time\":\"\(time)\"", "\"level\":\"\(record.level.word)\"", "\"pid\":\(record.pid)",
        ]
        let line = LogLineParts(record)
        fields.append("\"message\":" + LogLayout.quoted(line?.message ?? record.text[...]))
        if let line {
            fields.append("\"connection\":" + LogLayout.quoted(line.connection))
            fields.append("\"database\":" + LogLayout.quoted(line.database))
            fields.append("\"user\":" + LogLayout.quoted(line.user))
            fields.append("\"address\":" + LogLayout.quoted(line.address))
            if let end = line.end {
                fields.append("\"reason\":" + LogLayout.quoted(end.reason))
                fields.append("\"age\":\(end.ageSeconds)")
            }
        }
        return Array("{\(fields.joined(separator: ","))}\n".utf8)
    }

    /// A JSON string. What is not UTF-8 is replaced.
    private static func quoted(_ text: ArraySlice<UInt8>) -> String {
        let hexadecimal = Array("0123456789abcdef".utf8)
        var result = [UInt8(ascii: "\"")]
        for byte in String(decoding: text, as: UTF8.self).utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): result += [UInt8(ascii: "\\"), byte]
            case UInt8(ascii: "\n"): result += Array("\\n".utf8)
            case UInt8(ascii: "\t"): result += Array("\\t".utf8)
            case 0..<0x20, 0x7f:
                result += Array("\\u00".utf8)
                result += [hexadecimal[Int(byte >> 4)], hexadecimal[Int(byte & 15)]]
            default: result.append(byte)
            }
        }
        result.append(UInt8(ascii: "\""))
        return String(decoding: result, as: UTF8.self)
    }
}
