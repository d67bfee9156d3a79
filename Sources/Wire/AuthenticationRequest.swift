/// What PostgreSQL wants of us when we log in: the body of a message of type `authentication`.
///
/// Ranges are offsets into the body.
public enum AuthenticationRequest: Equatable, Sendable {
    /// We are in.
    case ok
    /// The password in clear.
    case cleartext
    /// The password as md5, with a salt of four bytes in network order.
    case md5(salt: UInt32)
    /// A SASL exchange with one of these mechanisms: texts, each with a zero byte, and a further zero byte.
    case sasl(mechanisms: Range<Int>)
    /// The next step of the exchange.
    case saslContinue(data: Range<Int>)
    /// The last step of the exchange.
    case saslFinal(data: Range<Int>)
    /// Something that we cannot do: Kerberos, GSSAPI, SSPI, or newer.
    case unsupported(code: Int32)

    /// Reads the body of the message.
    public static func read(_ body: RawSpan) throws(WireError) -> AuthenticationRequest {
        var reader = MessageReader(body)
        let code = try reader.readInt32()
        let rest = reader.offset..<body.byteCount
        switch code {
        case 0:
            try reader.expectEnd()
            return .ok
        case 3:
            try reader.expectEnd()
            return .cleartext
        case 5:
            let salt = UInt32(bitPattern: try reader.readInt32())
            try reader.expectEnd()
            return .md5(salt: salt)
        case 10: return .sasl(mechanisms: rest)
        case 11: return .saslContinue(data: rest)
        case 12: return .saslFinal(data: rest)
        default: return .unsupported(code: code)
        }
    }

    /// Whether a mechanism is among those offered; `mechanisms` are the bytes that `.sasl` names.
    public static func offers(_ mechanism: StaticString, in mechanisms: RawSpan) -> Bool {
        var reader = MessageReader(mechanisms)
        while let name = try? reader.readCString(), name.byteCount > 0 {
            if name.equals(mechanism) { return true }
        }
        return false
    }
}
