/// What the first packet of a connection turned out to be. It has no type byte: a length, a code, a body.
///
/// Ranges are offsets into the packet that was parsed.
public enum StartupPacket: Equatable, Sendable {
    /// The client asks for TLS.
    case sslRequest
    /// The client asks for GSSAPI encryption.
    case gssEncryptionRequest
    /// The client asks to cancel what the owner of this key is running; the key has 4 to 256 bytes.
    case cancelRequest(processID: Int32, key: Range<Int>)
    /// A cancel request whose key is too short or too long; answered by closing in silence.
    case invalidCancelRequest
    /// A login with protocol 3.`minor`; `parameters` is for `StartupParameters`.
    case startup(minor: Int, parameters: Range<Int>)
    /// A login with protocol 2.
    case protocol2
    /// Anything else.
    case invalidHeader

    /// The longest packet that is accepted. Lengths of first packets have 16 bits in PgBouncer.
    public static var byteCountLimit: Int { 65_535 }

    static var cancelRequestCode: UInt32 { 80_877_102 }
    static var sslRequestCode: UInt32 { 80_877_103 }
    static var gssEncryptionRequestCode: UInt32 { 80_877_104 }

    /// How long the packet is that begins with `bytes`, or `nil` while that cannot be told.
    ///
    /// Throws `invalidLength` as soon as the bytes cannot begin a first packet, even before the length is
    /// complete, so that nobody waits for the rest of something that will never be a login.
    public static func byteCount(of bytes: RawSpan) throws(WireError) -> Int? {
        var reader = MessageReader(bytes)
        if let first = try? reader.readUInt8(), first != 0 { throw .invalidLength }
        if let second = try? reader.readUInt8(), second != 0 { throw .invalidLength }
        guard bytes.byteCount >= 4 else { return nil }
        let length = Int(try reader.readInt16()) & 0xFFFF
        guard length >= 8 else { throw .invalidLength }
        return length
    }

    /// Tells what a whole packet is.
    ///
    /// - Parameter packet: as many bytes as `byteCount(of:)` said.
    public static func parse(_ packet: RawSpan) -> StartupPacket {
        var reader = MessageReader(packet)
        guard let length = try? reader.readInt32(), Int(length) == packet.byteCount,
            packet.byteCount <= byteCountLimit, let signedCode = try? reader.readInt32()
        else { return .invalidHeader }
        let code = UInt32(bitPattern: signedCode)
        switch code {
        case sslRequestCode: return reader.isAtEnd ? .sslRequest : .invalidHeader
        case gssEncryptionRequestCode: return reader.isAtEnd ? .gssEncryptionRequest : .invalidHeader
        case cancelRequestCode:
            guard let processID = try? reader.readInt32(), (4...256).contains(reader.remaining) else {
                return .invalidCancelRequest
            }
            return .cancelRequest(processID: processID, key: reader.offset..<packet.byteCount)
        case 0x3_0000...0x3_FFFF:
            return .startup(minor: Int(code & 0xFFFF), parameters: reader.offset..<packet.byteCount)
        case 0x2_0000...0x2_FFFF: return .protocol2
        default: return .invalidHeader
        }
    }
}
