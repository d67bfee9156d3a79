import Base

/// Why a message between processes could not be written or read.
public enum ControlError: Error, Equatable {
    /// Longer than one record may be; larger things travel in a file descriptor.
    case tooLong
    /// A header or a field reaches beyond the record's end.
    case truncated
    /// Written by a program whose messages this one cannot read.
    case version(UInt8)
    /// A kind this program does not know; a newer neighbour may send one, so it is skipped, not a fault.
    case unknownMessage(kind: UInt8)
    /// A field the message needs is missing, or its value means nothing.
    case badField(tag: UInt16)
}

/// What a field of a message between processes holds. The numbers stay for ever: after an online restart
/// the two ends may be different versions. A reader skips tags it does not know.
enum FieldTag: UInt16 {
    case epoch = 1
    case order = 2
    case database = 3
    case request = 4
    case rowsKind = 5
    case name = 6
    case address = 7
    case text = 8
    case clientId = 9
    case user = 10
    case role = 11
    case port = 12
    case parameterName = 13
    case parameterValue = 14
    case byteCount = 15
    case payload = 16
    case isLast = 17
    case argument = 18
    case incarnation = 19
    case cancelKey = 20
    case timeToLive = 21
    case sender = 22
    case ticket = 23
    case isFound = 24
    case pool = 25
}

/// Writes one record: version, kind, and fields of tag, length and value, all numbers in network order.
struct FieldWriter {
    /// Longest record either channel carries.
    static let recordLimit = 60 * 1024
    /// Of the messages themselves; unknown tags are no reason to change it.
    static let version: UInt8 = 1

    private var fields: [UInt8]

    init(kind: UInt8) {
        fields = [FieldWriter.version, kind, 0, 0]
    }

    mutating func add(_ tag: FieldTag, _ value: [UInt8]) {
        let length = min(value.count, Int(UInt16.max))
        append(tag.rawValue)
        append(UInt16(length))
        fields.append(contentsOf: value.prefix(length))
    }

    mutating func add(_ tag: FieldTag, _ number: UInt64) {
        var bytes: [UInt8] = []
        for shift in stride(from: 56, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: number >> shift))
        }
        add(tag, bytes)
    }

    /// Appends the record to `buffer`, or leaves it as it was.
    func finish(into buffer: inout ByteBuffer) throws(ControlError) {
        guard fields.count <= FieldWriter.recordLimit else { throw .tooLong }
        buffer.append(fields)
    }

    private mutating func append(_ number: UInt16) {
        fields.append(UInt8(number >> 8))
        fields.append(UInt8(truncatingIfNeeded: number))
    }
}

/// Reads one record. Fields may come in any order, and some several times.
struct FieldReader {
    /// The message's kind.
    let kind: UInt8
    private var values: [UInt16: [[UInt8]]] = [:]

    init(_ record: RawSpan) throws(ControlError) {
        guard record.byteCount >= 4 else { throw .truncated }
        guard record.byteCount <= FieldWriter.recordLimit else { throw .tooLong }
        let bytes = unsafe record.withUnsafeBytes { unsafe [UInt8]($0) }
        guard bytes[0] == FieldWriter.version else { throw .version(bytes[0]) }
        kind = bytes[1]
        var offset = 4
        while offset < bytes.count {
            guard bytes.count - offset >= 4 else { throw .truncated }
            let tag = UInt16(bytes[offset]) << 8 | UInt16(bytes[offset + 1])
            let length = Int(bytes[offset + 2]) << 8 | Int(bytes[offset + 3])
            offset += 4
            guard bytes.count - offset >= length else { throw .truncated }
            values[tag, default: []].append(Array(bytes[offset..<(offset + length)]))
            offset += length
        }
    }

    /// Every value of a tag, in order.
    func all(_ tag: FieldTag) -> [[UInt8]] { values[tag.rawValue] ?? [] }

    /// The first value of a tag.
    func optional(_ tag: FieldTag) -> [UInt8]? { values[tag.rawValue]?.first }

    /// The first value of a tag the message cannot do without.
    func bytes(_ tag: FieldTag) throws(ControlError) -> [UInt8] {
        guard let value = optional(tag) else { throw .badField(tag: tag.rawValue) }
        return value
    }

    /// A number the message cannot do without.
    func number(_ tag: FieldTag) throws(ControlError) -> UInt64 {
        let value = try bytes(tag)
        guard value.count == 8 else { throw .badField(tag: tag.rawValue) }
        return value.reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// A number that must fit `Number`.
    func number<Number: FixedWidthInteger>(
        _ tag: FieldTag, as type: Number.Type
    ) throws(ControlError) -> Number {
        guard let number = Number(exactly: try number(tag)) else { throw .badField(tag: tag.rawValue) }
        return number
    }

    /// A value of one of our enumerations.
    func value<Value: RawRepresentable>(
        _ tag: FieldTag, as type: Value.Type
    ) throws(ControlError) -> Value where Value.RawValue == UInt8 {
        guard let value = Value(rawValue: try number(tag, as: UInt8.self)) else {
            throw .badField(tag: tag.rawValue)
        }
        return value
    }
}
