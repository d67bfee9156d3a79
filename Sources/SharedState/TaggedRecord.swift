/// A list of values with numbers for names, of any length and nested where a value is such a list itself:
/// what one version of the program writes for another, which skips what it does not know.
///
/// Each value is a 16-bit tag, a 32-bit length and its bytes, all numbers in network order.
public struct TaggedRecord: Equatable, Sendable {
    private var values: [(tag: UInt16, bytes: [UInt8])] = []

    /// An empty one.
    public init() {}

    /// Adds bytes.
    public mutating func add(_ tag: UInt16, _ bytes: [UInt8]) { values.append((tag, bytes)) }

    /// Adds text.
    public mutating func add(_ tag: UInt16, _ text: String) { add(tag, Array(text.utf8)) }

    /// Adds a number.
    public mutating func add(_ tag: UInt16, _ number: UInt64) {
        add(tag, stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: number >> $0) })
    }

    /// Adds a row of numbers.
    public mutating func add(_ tag: UInt16, _ numbers: [UInt64]) {
        add(
            tag,
            numbers.flatMap { number in
                stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: number >> $0) }
            })
    }

    /// Adds a number that may be negative.
    public mutating func add(_ tag: UInt16, _ number: Int32) {
        add(tag, UInt64(bitPattern: Int64(number)))
    }

    /// Adds a yes or no.
    public mutating func add(_ tag: UInt16, _ flag: Bool) { add(tag, UInt64(flag ? 1 : 0)) }

    /// Adds another list.
    public mutating func add(_ tag: UInt16, _ record: TaggedRecord) { add(tag, record.encoded) }

    /// All of it.
    public var encoded: [UInt8] {
        var bytes: [UInt8] = []
        for value in values {
            bytes.append(UInt8(truncatingIfNeeded: value.tag >> 8))
            bytes.append(UInt8(truncatingIfNeeded: value.tag))
            for shift in stride(from: 24, through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: value.bytes.count >> shift))
            }
            bytes += value.bytes
        }
        return bytes
    }

    /// What `encoded` gave.
    public init(decoding bytes: [UInt8]) throws(ControlError) {
        var offset = 0
        while offset < bytes.count {
            guard bytes.count - offset >= 6 else { throw .truncated }
            let header = bytes[offset..<(offset + 6)].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let length = Int(header & 0xFFFF_FFFF)
            offset += 6
            guard bytes.count - offset >= length else { throw .truncated }
            values.append((UInt16(header >> 32), Array(bytes[offset..<(offset + length)])))
            offset += length
        }
    }

    /// Every value of a tag, in order.
    public func all(_ tag: UInt16) -> [[UInt8]] { values.filter { $0.tag == tag }.map(\.bytes) }

    /// Every list of a tag, in order.
    public func records(_ tag: UInt16) throws(ControlError) -> [TaggedRecord] {
        var result: [TaggedRecord] = []
        for bytes in all(tag) { result.append(try TaggedRecord(decoding: bytes)) }
        return result
    }

    /// The first value of a tag; empty when there is none.
    public func bytes(_ tag: UInt16) -> [UInt8] { values.first { $0.tag == tag }?.bytes ?? [] }

    /// The first value of a tag, as text.
    public func text(_ tag: UInt16) -> String { String(decoding: bytes(tag), as: UTF8.self) }

    /// A number that has to be there.
    public func number(_ tag: UInt16) throws(ControlError) -> UInt64 {
        let value = bytes(tag)
        guard value.count == 8 else { throw .badField(tag: tag) }
        return value.reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// A row of numbers; empty when there is none.
    public func numbers(_ tag: UInt16) throws(ControlError) -> [UInt64] {
        let value = bytes(tag)
        guard value.count.isMultiple(of: 8) else { throw .badField(tag: tag) }
        return stride(from: 0, to: value.count, by: 8).map { start in
            value[start..<(start + 8)].reduce(0) { $0 << 8 | UInt64($1) }
        }
    }

    /// A number that has to be there and to fit.
    public func number<Number: FixedWidthInteger>(
        _ tag: UInt16, as type: Number.Type
    ) throws(ControlError) -> Number {
        let number = try number(tag)
        let value = Number.isSigned ? Number(exactly: Int64(bitPattern: number)) : Number(exactly: number)
        guard let value else { throw .badField(tag: tag) }
        return value
    }

    /// A yes or no that has to be there.
    public func flag(_ tag: UInt16) throws(ControlError) -> Bool { try number(tag) != 0 }

    public static func == (one: TaggedRecord, other: TaggedRecord) -> Bool { one.encoded == other.encoded }
}
