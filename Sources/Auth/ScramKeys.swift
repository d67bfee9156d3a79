import Base
public import Crypto

/// The two keys that a password, a salt and a number of iterations give (RFC 5802, section 3).
///
/// Whoever has them can log in as the user wherever the same verifier is stored, without the password.
public struct ScramKeys: Equatable, Sendable, Redacted {
    /// What proves the client to the server.
    public var clientKey: Digest256
    /// What proves the server to the client.
    public var serverKey: Digest256

    /// Keys from their parts.
    public init(clientKey: Digest256, serverKey: Digest256) {
        self.clientKey = clientKey
        self.serverKey = serverKey
    }

    /// Keys from a salted password, the result of PBKDF2.
    public init(saltedPassword: Digest256) {
        clientKey = HMAC.code(key: saltedPassword.span, ScramText.clientKey.rawSpan)
        serverKey = HMAC.code(key: saltedPassword.span, ScramText.serverKey.rawSpan)
    }

    /// Keys from the 64 bytes of `bytes`, or `nil` when there are more or fewer.
    public init?(_ bytes: RawSpan) {
        guard bytes.byteCount == 64, let clientKey = Digest256(bytes.extracting(0..<32)),
            let serverKey = Digest256(bytes.extracting(32..<64))
        else { return nil }
        self.init(clientKey: clientKey, serverKey: serverKey)
    }

    /// Both keys, client's first, to hand them to another process of ours; to be zeroed after use.
    public var bytes: [UInt8] { clientKey.bytes + serverKey.bytes }

    /// What the server stores of the client's key.
    public var storedKey: Digest256 { SHA256.digest(clientKey.span) }
}

/// The keys that a plain password gave for one salt and one number of iterations, to be used again.
public struct DerivedScramKeys: Equatable, Sendable, Redacted {
    /// The salt the server named.
    public let salt: [UInt8]
    /// The iterations the server named.
    public let iterations: Int
    /// The keys.
    public let keys: ScramKeys

    init(salt: [UInt8], iterations: Int, keys: ScramKeys) {
        self.salt = salt
        self.iterations = iterations
        self.keys = keys
    }
}
