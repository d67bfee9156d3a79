/// What has happened lately, in words. Words are made only when somebody wants to read them.
final class Trace {
    private let isOn: Bool
    private let limit: Int
    private var lines: [String] = []

    /// - Parameter limit: how many of the last lines are kept; 0 keeps none and costs nothing.
    init(limit: Int) {
        isOn = limit > 0
        self.limit = limit
    }

    /// The last lines, oldest first.
    var text: String { lines.suffix(limit).joined(separator: "\n") }

    func note(_ time: UInt64, _ line: @autoclosure () -> String) {
        guard isOn else { return }
        lines.append("\(Trace.milliseconds(time)) \(line())")
        if lines.count > 2 * limit { lines.removeFirst(limit) }
    }

    func note(_ time: UInt64, _ label: @autoclosure () -> String, _ text: @autoclosure () -> [UInt8]) {
        note(time, label() + String(decoding: text(), as: UTF8.self))
    }

    private static func milliseconds(_ time: UInt64) -> String {
        let micros = (time &- 1_000_000_000) / 10_000
        let text = String(micros % 100)
        return "\(micros / 100).\(text.count < 2 ? "0" : "")\(text)"
    }
}

extension Message {
    /// The message for people.
    func words(fromClient: Bool) -> String {
        fromClient ? frontendWords : backendWords
    }

    private var printable: String {
        let shown = body.prefix(90).map { $0 < 32 || $0 > 126 ? UInt8(ascii: ".") : $0 }
        return String(decoding: shown, as: UTF8.self) + (body.count > 90 ? "…" : "")
    }

    private var frontendWords: String {
        let name =
            switch Character(Unicode.Scalar(type)) {
            case "Q": "Query"
            case "P": "Parse"
            case "B": "Bind"
            case "D": "Describe"
            case "E": "Execute"
            case "C": "Close"
            case "S": "Sync"
            case "H": "Flush"
            case "d": "CopyData"
            case "c": "CopyDone"
            case "f": "CopyFail"
            case "X": "Terminate"
            default: "type \(type)"
            }
        return body.isEmpty ? name : "\(name) \(printable)"
    }

    private var backendWords: String {
        let name =
            switch Character(Unicode.Scalar(type)) {
            case "R": "Authentication"
            case "K": "BackendKeyData"
            case "S": "ParameterStatus"
            case "Z": "ReadyForQuery"
            case "E": "ErrorResponse"
            case "N": "NoticeResponse"
            case "C": "CommandComplete"
            case "I": "EmptyQueryResponse"
            case "T": "RowDescription"
            case "D": "DataRow"
            case "t": "ParameterDescription"
            case "n": "NoData"
            case "1": "ParseComplete"
            case "2": "BindComplete"
            case "3": "CloseComplete"
            case "s": "PortalSuspended"
            case "G": "CopyInResponse"
            case "H": "CopyOutResponse"
            case "d": "CopyData"
            case "c": "CopyDone"
            default: "type \(type)"
            }
        return body.isEmpty ? name : "\(name) \(printable)"
    }
}
