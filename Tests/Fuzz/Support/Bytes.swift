/// Builds the messages that recordings are made of.
public enum Bytes {
    /// A message: type, length, body.
    public static func message(_ type: Unicode.Scalar, _ body: [UInt8] = []) -> [UInt8] {
        var message: [UInt8] = []
        message.reserveCapacity(body.count + 5)
        message.append(UInt8(ascii: type))
        append(int32: body.count + 4, to: &message)
        message += body
        return message
    }

    /// A first packet, which has a length and a code instead of a type.
    public static func packet(_ code: Int, _ body: [UInt8] = []) -> [UInt8] {
        int32(body.count + 8) + int32(code) + body
    }

    /// Four bytes in network order.
    public static func int32(_ number: Int) -> [UInt8] {
        [
            UInt8(truncatingIfNeeded: number >> 24), UInt8(truncatingIfNeeded: number >> 16),
            UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number),
        ]
    }

    /// Appends four bytes in network order.
    static func append(int32 number: Int, to bytes: inout [UInt8]) {
        bytes.append(UInt8(truncatingIfNeeded: number >> 24))
        bytes.append(UInt8(truncatingIfNeeded: number >> 16))
        bytes.append(UInt8(truncatingIfNeeded: number >> 8))
        bytes.append(UInt8(truncatingIfNeeded: number))
    }

    /// Overwrites four bytes with a number in network order.
    static func store(int32 number: Int, in bytes: inout [UInt8], at offset: Int) {
        for index in 0..<4 { bytes[offset + index] = UInt8(truncatingIfNeeded: number >> (24 - 8 * index)) }
    }

    /// Two bytes in network order.
    public static func int16(_ number: Int) -> [UInt8] {
        [UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number)]
    }

    /// Texts, each with the zero byte that ends it.
    public static func text(_ parts: String...) -> [UInt8] { parts.flatMap { Array($0.utf8) + [0] } }

    /// The number in the first four bytes, or fewer if there are no more, in network order.
    public static func number(_ bytes: ArraySlice<UInt8>) -> Int {
        var bits: UInt32 = 0
        for byte in bytes.prefix(4) { bits = bits << 8 | UInt32(byte) }
        return Int(Int32(bitPattern: bits))
    }

    /// The number in four bytes from `offset` on, in network order.
    static func number(_ bytes: [UInt8], at offset: Int) -> Int {
        var bits: UInt32 = 0
        for index in offset..<offset + 4 { bits = bits << 8 | UInt32(bytes[index]) }
        return Int(Int32(bitPattern: bits))
    }
}

/// What clients send.
extension Bytes {
    /// A startup packet.
    public static func startup(_ parameters: [(String, String)], version: Int = 0x30000) -> [UInt8] {
        packet(version, parameters.flatMap { text($0.0, $0.1) } + [0])
    }

    /// A request to encrypt with TLS.
    public static let encryption = packet(80_877_103)
    /// A request to encrypt with GSSAPI.
    public static let gssEncryption = packet(80_877_104)
    /// A request to cancel what the owner of this key asked for.
    public static func cancel(_ key: [UInt8]) -> [UInt8] { packet(80_877_102, key) }

    public static func query(_ query: String) -> [UInt8] { message("Q", text(query)) }
    public static func password(_ body: [UInt8]) -> [UInt8] { message("p", body) }
    public static func parse(_ name: String, _ query: String, types: [Int] = []) -> [UInt8] {
        message("P", text(name, query) + int16(types.count) + types.flatMap { int32($0) })
    }
    public static func bind(_ portal: String, _ statement: String, _ values: [String] = []) -> [UInt8] {
        var body = text(portal, statement) + int16(0) + int16(values.count)
        for value in values { body += int32(value.utf8.count) + Array(value.utf8) }
        return message("B", body + int16(0))
    }
    public static func describe(_ kind: Unicode.Scalar, _ name: String) -> [UInt8] {
        message("D", [UInt8(ascii: kind)] + text(name))
    }
    public static func close(_ kind: Unicode.Scalar, _ name: String) -> [UInt8] {
        message("C", [UInt8(ascii: kind)] + text(name))
    }
    public static func execute(_ portal: String, rows: Int = 0) -> [UInt8] {
        message("E", text(portal) + int32(rows))
    }
    public static func functionCall(_ id: Int) -> [UInt8] {
        message("F", int32(id) + int16(0) + int16(1) + int32(1) + [0x31] + int16(0))
    }
    public static func copyData(_ data: String) -> [UInt8] { message("d", Array(data.utf8)) }
    public static func copyFail(_ reason: String) -> [UInt8] { message("f", text(reason)) }
    public static let copyDone = message("c")
    public static let sync = message("S")
    public static let flush = message("H")
    public static let terminate = message("X")
}

/// What servers send.
extension Bytes {
    public static func authentication(_ code: Int, _ body: [UInt8] = []) -> [UInt8] {
        message("R", int32(code) + body)
    }
    public static func parameter(_ name: String, _ value: String) -> [UInt8] {
        message("S", text(name, value))
    }
    public static func complete(_ tag: String) -> [UInt8] { message("C", text(tag)) }
    public static func ready(_ status: UInt8) -> [UInt8] { message("Z", [status]) }
    /// One column of type text.
    public static let description = message(
        "T", int16(1) + text("value") + int32(0) + int16(0) + int32(25) + int16(-1) + int32(-1) + int16(0))
    public static func row(_ value: [UInt8]) -> [UInt8] {
        message("D", int16(1) + int32(value.count) + value)
    }
    public static func error(_ state: String, _ text: String, severity: String = "ERROR") -> [UInt8] {
        message("E", Bytes.text("S\(severity)", "V\(severity)", "C\(state)", "M\(text)") + [0])
    }
    public static func notice(_ text: String) -> [UInt8] {
        message("N", Bytes.text("SNOTICE", "VNOTICE", "C00000", "M\(text)") + [0])
    }
    public static func notification(_ channel: String) -> [UInt8] {
        message("A", int32(7) + text(channel, "payload"))
    }
    /// The answer to a query of one row, up to and with ReadyForQuery.
    public static func answer(_ value: String) -> [UInt8] {
        description + row(Array(value.utf8)) + complete("SELECT 1") + ready(UInt8(ascii: "I"))
    }
}

/// Messages one behind the other, and where each ends.
public struct MessageList {
    /// All of them.
    public private(set) var bytes: [UInt8] = []
    private var ends: [Int] = []

    public init() {}

    public var count: Int { ends.count }
    public var isEmpty: Bool { ends.isEmpty }

    /// One of them.
    public subscript(index: Int) -> ArraySlice<UInt8> {
        bytes[(index == 0 ? 0 : ends[index - 1])..<ends[index]]
    }

    mutating func append(_ message: [UInt8]) {
        bytes += message
        ends.append(bytes.count)
    }

    /// Appends a message whose body is written by a closure.
    mutating func append(_ type: Unicode.Scalar, _ write: (inout [UInt8]) -> Void) {
        let start = bytes.count
        bytes.append(UInt8(ascii: type))
        Bytes.append(int32: 0, to: &bytes)
        write(&bytes)
        Bytes.store(int32: bytes.count - start - 1, in: &bytes, at: start + 1)
        ends.append(bytes.count)
    }
}

/// Cuts a stream into its messages, as far as they are there.
public struct MessageStream {
    /// One message of the stream.
    public struct Message {
        public let type: UInt8
        public let body: ArraySlice<UInt8>
    }

    private var bytes: [UInt8] = []
    private var offset = 0

    public init() {}

    /// Adds bytes behind those that are there.
    public mutating func append(_ more: [UInt8]) {
        if offset == bytes.count {
            bytes = more
            offset = 0
        } else {
            bytes += more
        }
    }

    /// The first byte, taken out: the answer to a request to encrypt.
    public mutating func takeByte() -> UInt8? {
        guard offset < bytes.count else { return nil }
        offset += 1
        return bytes[offset - 1]
    }

    /// The next message, if all of it is there. A length that is none ends the stream.
    public mutating func next() -> Message? {
        guard bytes.count - offset >= 5 else { return nil }
        let length = Bytes.number(bytes, at: offset + 1)
        guard length >= 4, bytes.count - offset > length else { return nil }
        let start = offset
        offset += length + 1
        return Message(type: bytes[start], body: bytes[(start + 5)..<offset])
    }
}

/// What well-behaved clients ask beside changed ones, and the only right answers.
public enum Honesty {
    /// A statement with a name, prepared, run and closed.
    public static func extendedRequest(_ value: String) -> [UInt8] {
        Bytes.parse("honest", "select \(value)") + Bytes.bind("", "honest") + Bytes.execute("")
            + Bytes.close("S", "honest") + Bytes.sync
    }

    /// The answer to `extendedRequest`.
    public static func extendedAnswer(_ value: String) -> [UInt8] {
        Bytes.message("1") + Bytes.message("2") + Bytes.row(Array(value.utf8)) + Bytes.complete("SELECT 1")
            + Bytes.message("3") + Bytes.ready(UInt8(ascii: "I"))
    }
}
