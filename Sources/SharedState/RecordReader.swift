import Base

extension ByteBuffer {
    mutating func append(text: [UInt8]) {
        append(bigEndian: UInt32(text.count))
        append(text)
    }

    mutating func append(flag: Bool) { append(UInt8(flag ? 1 : 0)) }

    mutating func append(list: [Parameter]) {
        append(bigEndian: UInt16(list.count))
        for parameter in list {
            append(text: parameter.name)
            append(text: parameter.value)
        }
    }
}

/// Reads a record's numbers and texts in order.
struct RecordReader {
    private let bytes: [UInt8]
    private var offset = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func number<Number: FixedWidthInteger>() throws(ControlError) -> Number {
        let size = Number.bitWidth / 8
        guard bytes.count - offset >= size else { throw .truncated }
        var number: Number = 0
        for index in 0..<size {
            number =
                Number(truncatingIfNeeded: UInt64(truncatingIfNeeded: number) << 8)
                | Number(truncatingIfNeeded: bytes[offset + index])
        }
        offset += size
        return number
    }

    mutating func text() throws(ControlError) -> [UInt8] {
        let count: UInt32 = try number()
        guard bytes.count - offset >= Int(count) else { throw .truncated }
        defer { offset += Int(count) }
        return Array(bytes[offset..<(offset + Int(count))])
    }

    mutating func flag() throws(ControlError) -> Bool {
        let byte: UInt8 = try number()
        return byte != 0
    }

    /// Everything that is left.
    mutating func rest() -> [UInt8] {
        defer { offset = bytes.count }
        return Array(bytes[offset...])
    }

    mutating func parameters() throws(ControlError) -> [Parameter] {
        let count: UInt16 = try number()
        var result: [Parameter] = []
        for _ in 0..<count { result.append(Parameter(name: try text(), value: try text())) }
        return result
    }
}
