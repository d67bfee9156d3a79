/// One message of the protocol, after the startup packet.
struct Message: Equatable {
    var type: UInt8
    var body: [UInt8]

    init(_ type: Character, _ body: [UInt8] = []) {
        self.type = type.asciiValue!
        self.body = body
    }

    init(type: UInt8, body: [UInt8]) {
        self.type = type
        self.body = body
    }

    /// As it goes over the wire.
    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(body.count + 5)
        bytes.append(type)
        bytes.appendInteger(UInt32(body.count + 4))
        bytes += body
        return bytes
    }

    /// A field of an ErrorResponse or NoticeResponse.
    func field(_ code: Character) -> String {
        for part in body.split(separator: 0) where part.first == code.asciiValue {
            return String(decoding: part.dropFirst(), as: UTF8.self)
        }
        return ""
    }
}

extension [UInt8] {
    /// Appends an integer in network order.
    mutating func appendInteger<Number: FixedWidthInteger>(_ number: Number) {
        var shift = Number.bitWidth
        while shift > 0 {
            shift -= 8
            append(UInt8(truncatingIfNeeded: number >> Number(shift)))
        }
    }

    /// Appends a text and its zero byte.
    mutating func appendText(_ text: String) {
        append(contentsOf: text.utf8)
        append(0)
    }

    /// A 32-bit integer in network order.
    func integer(at offset: Int) -> Int {
        Int(self[offset]) << 24 | Int(self[offset + 1]) << 16 | Int(self[offset + 2]) << 8
            | Int(self[offset + 3])
    }
}

/// Reads the fields of a message's body, front to back.
struct FieldReader {
    let bytes: [UInt8]
    var offset = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func byte() -> UInt8 {
        defer { offset += 1 }
        return bytes[offset]
    }

    mutating func text() -> String {
        let start = offset
        while bytes[offset] != 0 { offset += 1 }
        defer { offset += 1 }
        return String(decoding: bytes[start..<offset], as: UTF8.self)
    }

    mutating func int16() -> Int {
        defer { offset += 2 }
        return Int(bytes[offset]) << 8 | Int(bytes[offset + 1])
    }

    mutating func int32() -> Int {
        defer { offset += 4 }
        return Int(Int32(truncatingIfNeeded: bytes.integer(at: offset)))
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        defer { offset += count }
        return Array(bytes[offset..<(offset + count)])
    }
}

/// Collects bytes and gives them back as whole messages.
struct Splitter {
    private var bytes: [UInt8] = []
    private var start = 0

    /// Bytes that make no whole message yet.
    var rest: ArraySlice<UInt8> { bytes[start...] }

    mutating func add(_ more: [UInt8]) {
        if start == bytes.count {
            bytes = more
            start = 0
        } else {
            bytes += more
        }
    }

    /// The next whole message.
    mutating func next() -> Message? {
        guard bytes.count - start >= 5 else { return nil }
        let length = bytes.integer(at: start + 1)
        guard bytes.count - start > length else { return nil }
        let end = start + 1 + length
        let message = Message(type: bytes[start], body: Array(bytes[(start + 5)..<end]))
        start = end
        if start > 65_536 {
            bytes.removeFirst(start)
            start = 0
        }
        return message
    }

    /// The body of the first packet of a connection, which has no type.
    mutating func packet() -> [UInt8]? {
        guard bytes.count - start >= 4 else { return nil }
        let length = bytes.integer(at: start)
        guard bytes.count - start >= length else { return nil }
        defer { start += length }
        return Array(bytes[(start + 4)..<(start + length)])
    }
}

/// The messages that clients send.
enum Frontend {
    static func startup(_ parameters: [(name: String, value: String)]) -> [UInt8] {
        var body: [UInt8] = [0, 3, 0, 0]
        for parameter in parameters {
            body.appendText(parameter.name)
            body.appendText(parameter.value)
        }
        body.append(0)
        return packet(body)
    }

    static func cancel(_ key: [UInt8]) -> [UInt8] {
        var body: [UInt8] = []
        body.appendInteger(UInt32(80_877_102))
        return packet(body + key)
    }

    private static func packet(_ body: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendInteger(UInt32(body.count + 4))
        return bytes + body
    }

    static func query(_ text: String) -> Message { texts("Q", text) }

    static func parse(_ name: String, _ text: String) -> Message {
        var message = texts("P", name, text)
        message.body += [0, 0]
        return message
    }

    static func bind(_ portal: String, _ statement: String, _ values: [String]) -> Message {
        var message = texts("B", portal, statement)
        message.body += [0, 0]
        message.body.appendInteger(UInt16(values.count))
        for value in values {
            message.body.appendInteger(UInt32(value.utf8.count))
            message.body += Array(value.utf8)
        }
        message.body += [0, 0]
        return message
    }

    static func describe(_ kind: Character, _ name: String) -> Message {
        Message("D", [kind.asciiValue!] + Array(name.utf8) + [0])
    }

    static func close(_ kind: Character, _ name: String) -> Message {
        Message("C", [kind.asciiValue!] + Array(name.utf8) + [0])
    }

    static func execute(_ portal: String, limit: Int = 0) -> Message {
        var message = texts("E", portal)
        message.body.appendInteger(UInt32(limit))
        return message
    }

    static func copyData(_ text: String) -> Message { Message("d", Array(text.utf8)) }
    static func copyFail(_ text: String) -> Message { texts("f", text) }
    static let copyDone = Message("c")
    static let sync = Message("S")
    static let flush = Message("H")
    static let terminate = Message("X")

    private static func texts(_ type: Character, _ texts: String...) -> Message {
        var body: [UInt8] = []
        for text in texts { body.appendText(text) }
        return Message(type, body)
    }
}
