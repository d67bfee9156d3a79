/// Base64 with the usual alphabet and padding (RFC 4648, section 4).
public enum Base64 {
    /// Bytes as base64, without line breaks.
    public static func encode(_ bytes: RawSpan) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity((bytes.byteCount + 2) / 3 * 4)
        var offset = 0
        while offset < bytes.byteCount {
            let left = bytes.byteCount - offset
            var group = UInt32(byte(bytes, offset)) << 16
            if left > 1 { group |= UInt32(byte(bytes, offset + 1)) << 8 }
            if left > 2 { group |= UInt32(byte(bytes, offset + 2)) }
            output.append(digit(group >> 18))
            output.append(digit(group >> 12))
            output.append(left > 1 ? digit(group >> 6) : padding)
            output.append(left > 2 ? digit(group) : padding)
            offset += 3
        }
        return output
    }

    /// The bytes that base64 stands for, or `nil` when it is none: a foreign character, white space,
    /// missing or superfluous padding, or bits set behind the last byte.
    public static func decode(_ text: RawSpan) -> [UInt8]? {
        let count = text.byteCount
        guard count % 4 == 0 else { return nil }
        guard count > 0 else { return [] }
        var paddingCount = 0
        if byte(text, count - 1) == padding { paddingCount = byte(text, count - 2) == padding ? 2 : 1 }
        var output: [UInt8] = []
        output.reserveCapacity(count / 4 * 3)
        var group: UInt32 = 0
        for offset in 0..<count - paddingCount {
            guard let value = value(byte(text, offset)) else { return nil }
            group = group << 6 | value
            if offset % 4 == 3 {
                output.append(UInt8(truncatingIfNeeded: group >> 16))
                output.append(UInt8(truncatingIfNeeded: group >> 8))
                output.append(UInt8(truncatingIfNeeded: group))
                group = 0
            }
        }
        switch paddingCount {
        case 1:
            guard group & 3 == 0 else { return nil }
            output.append(UInt8(truncatingIfNeeded: group >> 10))
            output.append(UInt8(truncatingIfNeeded: group >> 2))
        case 2:
            guard group & 15 == 0 else { return nil }
            output.append(UInt8(truncatingIfNeeded: group >> 4))
        default: break
        }
        return output
    }

    private static var padding: UInt8 { UInt8(ascii: "=") }

    private static func byte(_ span: RawSpan, _ offset: Int) -> UInt8 {
        unsafe span.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
    }

    private static func digit(_ bits: UInt32) -> UInt8 {
        let value = UInt8(bits & 63)
        switch value {
        case 0..<26: return UInt8(ascii: "A") + value
        case 26..<52: return UInt8(ascii: "a") + value - 26
        case 52..<62: return UInt8(ascii: "0") + value - 52
        case 62: return UInt8(ascii: "+")
        default: return UInt8(ascii: "/")
        }
    }

    private static func value(_ digit: UInt8) -> UInt32? {
        switch digit {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(digit - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(digit - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(digit - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
