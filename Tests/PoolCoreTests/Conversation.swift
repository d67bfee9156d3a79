import Base
import Wire

@testable import PoolCore

/// Bytes of the messages that tests send, and the usual steps of a session.
enum Send {
    static func message(_ type: Character, _ body: [UInt8] = []) -> [UInt8] {
        var bytes = [type.asciiValue!]
        let length = UInt32(body.count + 4)
        bytes += [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> UInt32($0)) }
        return bytes + body
    }

    static func text(_ parts: String...) -> [UInt8] { parts.flatMap { Array($0.utf8) + [0] } }

    static func startup(_ parameters: [(String, String)]) -> [UInt8] {
        var body: [UInt8] = [0, 3, 0, 0]
        for (name, value) in parameters { body += text(name, value) }
        body.append(0)
        let length = UInt32(body.count + 4)
        return [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> UInt32($0)) } + body
    }

    static func query(_ text: String) -> [UInt8] { message("Q", Send.text(text)) }
    static func parse(_ name: String, _ text: String) -> [UInt8] {
        message("P", Send.text(name, text) + [0, 0])
    }
    static func bind(_ statement: String, portal: String = "") -> [UInt8] {
        message("B", Send.text(portal, statement) + [0, 0, 0, 0, 0, 0])
    }
    static func describe(_ statement: String) -> [UInt8] {
        message("D", [UInt8(ascii: "S")] + text(statement))
    }
    static func close(_ statement: String) -> [UInt8] { message("C", [UInt8(ascii: "S")] + text(statement)) }
    static let execute = message("E", [0, 0, 0, 0, 0])
    static let sync = message("S")

    static func ready(_ status: Character = "I") -> [UInt8] { message("Z", [status.asciiValue!]) }
    static func complete(_ tag: String) -> [UInt8] { message("C", text(tag)) }
    static func parameter(_ name: String, _ value: String) -> [UInt8] { message("S", text(name, value)) }
    static func error(_ state: String, _ message: String) -> [UInt8] {
        Send.message("E", text("SERROR", "VERROR", "C\(state)", "M\(message)") + [0])
    }
    /// A first packet with this code.
    static func packet(_ code: UInt32, _ body: [UInt8] = []) -> [UInt8] {
        let numbers = [UInt32(body.count + 8), code]
        return numbers.flatMap { number in
            [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> UInt32($0)) }
        } + body
    }

    static let encryption = packet(80_877_103)
    static let gssEncryption = packet(80_877_104)
    static func cancel(_ key: [UInt8]) -> [UInt8] { packet(80_877_102, key) }

    static func password(_ text: String) -> [UInt8] { message("p", Send.text(text)) }
    static let terminate = message("X")
    static let flush = message("H")
    static func copyData(_ text: String) -> [UInt8] { message("d", Array(text.utf8)) }
    static let copyDone = message("c")
    static let copyIn = message("G", [0, 0, 0])
    static let closeComplete = message("3")
    static let noData = message("n")
    /// The answer to a prelude that changes application names.
    static func prelude(_ parameters: (String, String)...) -> [UInt8] {
        complete("BEGIN") + message("T", [0, 0]) + message("D", [0, 0]) + complete("SELECT 1")
            + complete("COMMIT") + parameters.flatMap { parameter($0.0, $0.1) } + ready()
    }
    static let parseComplete = message("1")
    static let bindComplete = message("2")
}

extension Rig {
    /// A client that has sent its startup packet.
    func client(_ user: String = "alice", database: String = "db", _ more: [(String, String)] = [])
        -> ConnectionID
    {
        let connection = accept()
        receive(connection, Send.startup([("user", user), ("database", database)] + more))
        return connection
    }

    /// Opens the next server the core wants and lets it log in.
    func server(_ parameters: [(String, String)] = Rig.usual) -> ConnectionID {
        let connection = connectServer()
        _ = messages(connection, isFirst: true)
        var bytes = Send.message("R", [0, 0, 0, 0])
        for (name, value) in parameters { bytes += Send.parameter(name, value) }
        bytes += Send.message("K", [0, 0, 0, 77, 1, 2, 3, 4]) + Send.ready()
        receive(connection, bytes)
        return connection
    }

    static let usual = [
        ("server_version", "15.1"), ("DateStyle", "ISO, MDY"), ("client_encoding", "UTF8"),
        ("TimeZone", "UTC"),
        ("standard_conforming_strings", "on"), ("application_name", ""), ("IntervalStyle", "postgres"),
    ]

    /// The error a client got last, as SQLSTATE and text.
    func error(_ connection: ConnectionID) -> String {
        guard let error = messages(connection).last(where: { $0.type == "E" }) else { return "none" }
        return "\(error.field("C") ?? "") \(error.field("M") ?? "")"
    }

    /// A query in one message, and its answer.
    func run(
        _ client: ConnectionID, _ server: ConnectionID, _ text: String = "select 1", _ status: Character = "I"
    ) {
        receive(client, Send.query(text))
        receive(server, Send.complete("SELECT 1") + Send.ready(status))
        _ = raw(server)
        _ = raw(client)
    }

    /// A client that is welcome, and the server its pool was opened with.
    func session(_ user: String = "alice") -> (client: ConnectionID, server: ConnectionID) {
        let client = client(user)
        let server = server()
        _ = types(client)
        return (client, server)
    }
}
