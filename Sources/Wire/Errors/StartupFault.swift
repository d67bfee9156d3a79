/// Why a startup packet is refused.
public enum StartupFault: Error, Equatable, Sendable {
    /// The packet begins like none; carries the first bytes in hexadecimal, see `hexadecimal(_:)`.
    case invalidHeader(hexadecimal: String)
    /// No PROXY header where one is required; carries the first bytes in hexadecimal.
    case invalidProxyHeader(hexadecimal: String)
    /// The client speaks protocol 2, gone from PostgreSQL since version 14.
    case protocol2
    /// The list of parameters does not end where it must.
    case invalidLayout
    /// No `user`, or an empty one.
    case noUserName
    /// The user name is longer than names can be.
    case userNameTooLong
    /// `options` holds something else than settings.
    case unsupportedOptions
    /// `options` sets a parameter that is neither tracked nor ignored.
    case unsupportedOption(name: String)
    /// A parameter that is neither tracked nor ignored.
    case unsupportedParameter(name: String)
    /// A second startup packet on the same connection.
    case repeated
    /// Bytes in clear came together with the request for encryption: somebody in between may have put them
    /// there.
    case unencryptedDataAfterSSLRequest
    /// The same after a request for GSSAPI encryption.
    case unencryptedDataAfterGSSRequest

    /// The first bytes of a packet, eight at most, as the text of `invalidHeader` wants them.
    public static func hexadecimal(_ packet: RawSpan) -> String {
        var digits: [UInt8] = []
        for offset in 0..<min(packet.byteCount, 8) {
            let byte = unsafe packet.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            for half in [byte >> 4, byte & 15] {
                digits.append(half < 10 ? 0x30 + half : 0x61 + half - 10)
            }
        }
        return String(decoding: digits, as: UTF8.self)
    }

    var report: ErrorReport {
        switch self {
        case .invalidHeader(let hexadecimal):
            ErrorReport(.protocolViolation, "bad packet header: '\(hexadecimal)'")
        case .invalidProxyHeader(let hexadecimal):
            ErrorReport(
                .protocolViolation,
                "no PROXY header where proxy_protocol_from requires one: '\(hexadecimal)'")
        case .protocol2: ErrorReport(.featureNotSupported, "old V2 protocol not supported")
        case .invalidLayout:
            ErrorReport(
                .protocolViolation, "invalid startup packet layout: expected terminator as last byte")
        case .noUserName: ErrorReport(.invalidAuthorization, "no username supplied")
        case .userNameTooLong: ErrorReport(.invalidAuthorization, "username too long")
        case .unsupportedOptions:
            ErrorReport(
                .featureNotSupported,
                "unsupported options startup parameter: only '-c config=val' and '--config=val' are allowed")
        case .unsupportedOption(let name):
            ErrorReport(
                .featureNotSupported,
                "unsupported startup parameter in options: \(name) (ignore_startup_parameters can drop it)")
        case .unsupportedParameter(let name):
            ErrorReport(
                .featureNotSupported,
                "unsupported startup parameter: \(name) (ignore_startup_parameters can drop it)")
        case .repeated: ErrorReport(.protocolViolation, "client re-sent startup pkt")
        case .unencryptedDataAfterSSLRequest:
            ErrorReport(.protocolViolation, "received unencrypted data after SSL request")
        case .unencryptedDataAfterGSSRequest:
            ErrorReport(.protocolViolation, "received unencrypted data after GSSAPI encryption request")
        }
    }
}
