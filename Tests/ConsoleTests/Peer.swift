import Base
import Console
import SharedState
import Wire

/// What a console session sent, as a client reads it.
enum Reply: Equatable {
    case authenticationOk
    case parameter(String, String)
    case key(Int32, [UInt8])
    case ready
    case complete(String)
    case columns([ConsoleColumn])
    case row([String?])
    case error(severity: String, state: String, message: String)
    case notice(String)
    case other(UInt8)

    /// The SQLSTATE of an error.
    var state: String? {
        guard case .error(_, let state, _) = self else { return nil }
        return state
    }

    /// The text of an error.
    var message: String? {
        guard case .error(_, _, let message) = self else { return nil }
        return message
    }
}

/// The client's end of a console session in a test.
struct Peer: ~Copyable {
    var session: ConsoleSession
    static let key = ConsoleCancelKey(processId: 77, secret: [1, 2, 3, 4])

    init(role: ConsoleRole = .admin, parameters: [Parameter] = [], notify: String = "", welcomed: Bool = true)
    {
        session = ConsoleSession(
            role: role, parameters: parameters, cancelKey: Peer.key, notifyMessage: notify,
            formatTime: { "time \($0)" })
        if welcomed { _ = replies() }
    }

    init(controlSocket: Void) {
        session = ConsoleSession(controlSocketWith: Peer.key, formatTime: { "time \($0)" })
    }

    mutating func send(_ bytes: [UInt8]) -> ConsoleRequest? {
        session.receive(bytes.span.bytes)
        return session.advance()
    }

    mutating func query(_ text: String) -> ConsoleRequest? { send(Peer.message("Q", bytes(text) + [0])) }

    mutating func answer(_ answer: ConsoleAnswer) -> ConsoleRequest? {
        session.answer(answer)
        return session.advance()
    }

    static func message(_ type: Character, _ body: [UInt8]) -> [UInt8] {
        var buffer = ByteBuffer()
        let message = buffer.beginMessage(type.asciiValue!)
        buffer.append(body)
        buffer.endMessage(at: message)
        return buffer.bytes.array
    }

    static func startup(_ parameters: [(String, String)], minor: UInt32 = 0) -> [UInt8] {
        var body: [UInt8] = []
        for (name, value) in parameters { body += bytes(name) + [0] + bytes(value) + [0] }
        body.append(0)
        var buffer = ByteBuffer()
        buffer.append(bigEndian: UInt32(8 + body.count))
        buffer.append(bigEndian: UInt32(0x3_0000) + minor)
        buffer.append(body)
        return buffer.bytes.array
    }

    /// Takes everything the session sent.
    mutating func replies() -> [Reply] {
        let sent = session.output.bytes.array
        session.output.removeAll()
        var result: [Reply] = []
        var offset = 0
        while offset + 5 <= sent.count {
            let length = sent[(offset + 1)..<(offset + 5)].reduce(0) { $0 << 8 | Int($1) }
            result.append(Peer.parse(sent[offset], Array(sent[(offset + 5)..<(offset + 1 + length)])))
            offset += 1 + length
        }
        return result
    }

    private static func parse(_ type: UInt8, _ body: [UInt8]) -> Reply {
        var reader = MessageReader(body.span.bytes)
        switch Character(UnicodeScalar(type)) {
        case "R": return .authenticationOk
        case "S": return .parameter(try! reader.readCString().text, try! reader.readCString().text)
        case "K": return .key(try! reader.readInt32(), reader.readRest().array)
        case "Z": return .ready
        case "C": return .complete(try! reader.readCString().text)
        case "E", "N":
            var fields: [UInt8: String] = [:]
            while let field = try? reader.readUInt8(), field != 0 {
                fields[field] = try! reader.readCString().text
            }
            let message = fields[UInt8(ascii: "M")] ?? ""
            guard type == UInt8(ascii: "E") else { return .notice(message) }
            return .error(
                severity: fields[UInt8(ascii: "S")] ?? "", state: fields[UInt8(ascii: "C")] ?? "",
                message: message)
        case "T":
            var columns: [ConsoleColumn] = []
            for _ in 0..<(try! reader.readInt16()) {
                let name = try! reader.readCString().text
                try! reader.skip(6)
                let id = try! reader.readInt32()
                try! reader.skip(8)
                let types: [ColumnType] = [.text, .int4, .int8, .numeric, .bytea]
                columns.append(ConsoleColumn(name, types.first { $0.objectID == id }!))
            }
            return .columns(columns)
        case "D":
            var row: [String?] = []
            for _ in 0..<(try! reader.readInt16()) {
                let length = try! reader.readInt32()
                row.append(length < 0 ? nil : try! reader.readBytes(Int(length)).text)
            }
            return .row(row)
        case _: return .other(type)
        }
    }
}
