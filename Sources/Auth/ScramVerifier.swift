import Base
public import Crypto

/// What a server keeps of a password in order to check SCRAM-SHA-256 proofs (RFC 5802, section 3).
///
/// With it one can act as the server, and test guesses of the password; so it is treated as a secret.
public struct ScramVerifier: Equatable, Sendable, Redacted {
    /// Rounds of PBKDF2, 1 or more.
    public let iterations: Int
    /// At least one byte.
    public let salt: [UInt8]
    /// Digest of the client's key.
    public let storedKey: Digest256
    /// The server's key.
    public let serverKey: Digest256

    /// PostgreSQL's and PgBouncer's number of iterations.
    public static var defaultIterations: Int { 4096 }

    /// How long PostgreSQL's salts are.
    public static var saltByteCount: Int { 16 }

    /// The verifier that PostgreSQL would make of a password. Takes about 100 ns per iteration.
    ///
    /// The bytes of the password are used as they are: see `ScramClient` about SASLprep.
    /// - Precondition: there is a salt, and one iteration or more.
    public init(deriving password: [UInt8], salt: [UInt8], iterations: Int) {
        precondition(!salt.isEmpty, "a verifier has a salt")
        let salted = PBKDF2.derive(
            password: password.rawSpan, salt: salt.rawSpan, iterations: iterations)
        let keys = ScramKeys(saltedPassword: salted)
        self.init(iterations: iterations, salt: salt, storedKey: keys.storedKey, serverKey: keys.serverKey)
    }

    /// A verifier that no password fits, for a user that does not exist.
    ///
    /// The same user gets the same salt at every attempt and in every process that knows `secret`, as a user
    /// that exists would. Use `iterations` as for the verifiers that are made from plain passwords.
    /// - Parameter saltByteCount: how long the salts of others are, 1 or more; 32 at most are made.
    public init(
        mockFor user: [UInt8], secret: [UInt8], iterations: Int = ScramVerifier.defaultIterations,
        saltByteCount: Int = ScramVerifier.saltByteCount
    ) {
        self.init(
            iterations: iterations,
            salt: Array(
                ScramVerifier.digest(of: user, secret, purpose: ScramText.salt).bytes.prefix(saltByteCount)),
            storedKey: ScramVerifier.digest(of: user, secret, purpose: ScramText.mockStoredKey),
            serverKey: ScramVerifier.digest(of: user, secret, purpose: ScramText.mockServerKey))
    }

    /// The salt of a user whose verifier we make ourselves, from a plain password or as a mock.
    ///
    /// It depends on the user and the instance's secret only, so all processes name the same one without
    /// asking each other, and it does not tell whether the user exists.
    public static func salt(for user: [UInt8], secret: [UInt8]) -> [UInt8] {
        Array(digest(of: user, secret, purpose: ScramText.salt).bytes.prefix(saltByteCount))
    }

    /// Reads `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`, as `pg_authid` has it; `nil` when it is
    /// none.
    public init?(_ text: RawSpan) {
        var rest = Fields(text)
        guard rest.take(ScramText.verifierPrefix), let iterationText = rest.field(endedBy: UInt8(ascii: ":")),
            let iterations = ScramVerifier.number(iterationText), iterations >= 1,
            let saltText = rest.field(endedBy: UInt8(ascii: "$")), let salt = Base64.decode(saltText),
            !salt.isEmpty, let storedText = rest.field(endedBy: UInt8(ascii: ":")),
            let stored = Base64.decode(storedText), let storedKey = Digest256(stored.rawSpan),
            let server = Base64.decode(rest.rest()), let serverKey = Digest256(server.rawSpan)
        else { return nil }
        self.init(iterations: iterations, salt: salt, storedKey: storedKey, serverKey: serverKey)
    }

    /// The text that `init(_:)` reads.
    public var text: [UInt8] {
        var text = ScramText.verifierPrefix + Array("\(iterations):".utf8)
        text += Base64.encode(salt.rawSpan) + [UInt8(ascii: "$")]
        text += Base64.encode(storedKey.span) + [UInt8(ascii: ":")]
        return text + Base64.encode(serverKey.span)
    }

    /// Whether this is the verifier of a password. As expensive as making one.
    public func matches(password: RawSpan) -> Bool {
        let salted = PBKDF2.derive(password: password, salt: salt.rawSpan, iterations: iterations)
        return ScramKeys(saltedPassword: salted).storedKey == storedKey
    }

    /// Reads a positive number of at most nine digits; `nil` when it is none.
    static func number(_ text: RawSpan) -> Int? {
        guard (1...9).contains(text.byteCount) else { return nil }
        var number = 0
        for offset in 0..<text.byteCount {
            let digit = unsafe text.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            number = number * 10 + Int(digit - UInt8(ascii: "0"))
        }
        return number
    }

    private init(iterations: Int, salt: [UInt8], storedKey: Digest256, serverKey: Digest256) {
        self.iterations = iterations
        self.salt = salt
        self.storedKey = storedKey
        self.serverKey = serverKey
    }

    private static func digest(of user: [UInt8], _ secret: [UInt8], purpose: [UInt8]) -> Digest256 {
        HMAC.code(key: secret.rawSpan, (purpose + [0] + user).rawSpan)
    }
}
