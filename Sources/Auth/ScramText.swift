/// The constant bytes of SCRAM.
enum ScramText {
    static var clientKey: [UInt8] { Array("Client Key".utf8) }
    static var serverKey: [UInt8] { Array("Server Key".utf8) }
    /// How the first message of a bound exchange begins (RFC 5802, section 7).
    static var endPointBinding: [UInt8] { Array("p=tls-server-end-point".utf8) }
    static var verifierPrefix: [UInt8] { Array("SCRAM-SHA-256$".utf8) }

    // What mock verifiers and salts are made for: one digest must not tell another.
    static var salt: [UInt8] { Array("scram salt".utf8) }
    static var mockStoredKey: [UInt8] { Array("scram mock stored key".utf8) }
    static var mockServerKey: [UInt8] { Array("scram mock server key".utf8) }
}
