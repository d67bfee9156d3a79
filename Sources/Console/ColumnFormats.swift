import Base
import Wire

/// In which form a client wants each column of a result: as text, or as PostgreSQL's binary form of the type.
struct ColumnFormats: Equatable {
    /// None for text, one for all columns, or one for each.
    private let codes: [Int16]

    /// Everything as text.
    static let text = ColumnFormats([])

    /// What a Bind asks for: 0 is text, anything else binary.
    init(_ codes: [Int16]) { self.codes = codes }

    /// Whether these are formats for a result of so many columns.
    func fit(columnCount: Int) -> Bool { codes.count < 2 || codes.count == columnCount }

    /// Whether a column goes in binary.
    func isBinary(_ column: Int) -> Bool {
        guard let first = codes.first else { return false }
        return (codes.count == 1 ? first : codes[column]) != 0
    }

    /// A field that is written as text, in PostgreSQL's binary form.
    static func binary(_ text: [UInt8], _ type: ColumnType) -> [UInt8] {
        switch type {
        case .text: return text
        case .int4: return bigEndian(UInt64(bitPattern: Int64(Int32(clamping: number(text)))), byteCount: 4)
        case .int8: return bigEndian(UInt64(bitPattern: Int64(number(text))), byteCount: 8)
        case .bool: return [text.first == UInt8(ascii: "t") ? 1 : 0]
        case .numeric: return numeric(text)
        case .bytea: return hexadecimal(text.dropFirst(2))
        }
    }

    private static func number(_ text: [UInt8]) -> Int { Int(String(decoding: text, as: UTF8.self)) ?? 0 }

    private static func bigEndian(_ value: UInt64, byteCount: Int) -> [UInt8] {
        (0..<byteCount).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * (byteCount - 1 - $0))) }
    }

    /// Digits to the base of 10000, the weight of the first one, a sign, and the decimals to be shown.
    private static func numeric(_ text: [UInt8]) -> [UInt8] {
        let isNegative = text.first == UInt8(ascii: "-")
        let parts = text.drop { $0 == UInt8(ascii: "-") }.split(
            separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        var whole = parts.first.map(Array.init) ?? []
        var fraction = parts.count > 1 ? Array(parts[1]) : []
        let scale = fraction.count
        while whole.count % 4 != 0 { whole.insert(UInt8(ascii: "0"), at: 0) }
        while fraction.count % 4 != 0 { fraction.append(UInt8(ascii: "0")) }
        let all = whole + fraction
        var digits = stride(from: 0, to: all.count, by: 4).map { number(Array(all[$0..<($0 + 4)])) }
        var weight = whole.count / 4 - 1
        while digits.first == 0 {
            digits.removeFirst()
            weight -= 1
        }
        while digits.last == 0 { digits.removeLast() }
        if digits.isEmpty { weight = 0 }
        let head = [digits.count, weight, isNegative && !digits.isEmpty ? 0x4000 : 0, scale]
        return (head + digits).flatMap { bigEndian(UInt64(bitPattern: Int64($0)), byteCount: 2) }
    }

    private static func hexadecimal(_ text: ArraySlice<UInt8>) -> [UInt8] {
        let digits = text.map { UInt8(truncatingIfNeeded: Character(Unicode.Scalar($0)).hexDigitValue ?? 0) }
        return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
}
