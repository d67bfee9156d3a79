/// How a connection is encrypted, as its TLS session tells when the handshake is done.
public struct Encryption: Sendable {
    /// Version of the protocol, as OpenSSL names it: `TLSv1.3`.
    public var version: String
    /// Cipher suite, as OpenSSL names it.
    public var cipher: String
    /// The names in the peer's certificate, common name first, when it has shown one and the chain was
    /// verified; else empty.
    public var verifiedNames: [[UInt8]]
    /// Channel binding data `tls-server-end-point` (RFC 5929): the hash of the server's certificate. Empty
    /// where its signature algorithm names no hash.
    public var endPoint: [UInt8]

    /// A description with all its parts.
    public init(version: String, cipher: String, verifiedNames: [[UInt8]] = [], endPoint: [UInt8] = []) {
        self.version = version
        self.cipher = cipher
        self.verifiedNames = verifiedNames
        self.endPoint = endPoint
    }

    /// As `SHOW CLIENTS` and `SHOW SERVERS` have it.
    var description: String { "\(version)/\(cipher)" }
}
