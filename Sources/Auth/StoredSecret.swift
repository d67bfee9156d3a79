import Base
public import Crypto

/// What is stored of a user's password.
public enum StoredSecret: Equatable, Sendable, Redacted {
    /// Nothing: no password ever fits.
    case none
    /// The password; never empty.
    case plain([UInt8])
    /// PostgreSQL's older form: `md5` and 32 hexadecimal digits of the digest of password and user name.
    case md5([UInt8])
    /// PostgreSQL's newer form.
    case scram(ScramVerifier)

    /// Recognises the form of a secret as `auth_file` or `pg_authid` has it. What is neither md5 nor
    /// SCRAM is a plain password; an empty one is none.
    public init(_ text: [UInt8]) {
        if text.isEmpty {
            self = .none
        } else if StoredSecret.isMD5(text) {
            self = .md5(text)
        } else if let verifier = ScramVerifier(text.rawSpan) {
            self = .scram(verifier)
        } else {
            self = .plain(text)
        }
    }

    /// The text that `init(_:)` reads, to hand it to another process of ours.
    public var text: [UInt8] {
        switch self {
        case .none: []
        case .plain(let text), .md5(let text): text
        case .scram(let verifier): verifier.text
        }
    }

    /// Whether a password that a client sent in clear is the right one.
    ///
    /// With a SCRAM secret this takes as long as its iterations, about 100 ns each.
    public func matches(password: RawSpan, user: [UInt8]) -> Bool {
        guard password.byteCount > 0 else { return false }
        switch self {
        case .none: return false
        case .plain(let stored): return password.equalsInConstantTime(stored.rawSpan)
        case .md5(let stored):
            return PasswordDigest.stored(password: password, user: user).rawSpan
                .equalsInConstantTime(stored.rawSpan)
        case .scram(let verifier): return verifier.matches(password: password)
        }
    }

    /// Whether a client's answer to an md5 request is the right one; the salt in network order.
    public func matches(md5Response response: RawSpan, user: [UInt8], salt: UInt32) -> Bool {
        guard let expected = md5Response(user: user, salt: salt) else { return false }
        return response.equalsInConstantTime(expected.rawSpan)
    }

    /// The answer to an md5 request; `nil` when this secret cannot give one. The salt in network order.
    public func md5Response(user: [UInt8], salt: UInt32) -> [UInt8]? {
        switch self {
        case .none, .scram: nil
        case .plain(let password):
            password.isEmpty
                ? nil
                : PasswordDigest.response(
                    PasswordDigest.stored(password: password.rawSpan, user: user), salt: salt)
        case .md5(let stored): PasswordDigest.response(stored, salt: salt)
        }
    }

    private static func isMD5(_ text: [UInt8]) -> Bool {
        text.count == 35 && text.starts(with: PasswordDigest.prefix)
            && text.dropFirst(3).allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }
}

/// PostgreSQL's md5 password scheme.
enum PasswordDigest {
    static var prefix: [UInt8] { Array("md5".utf8) }

    /// What the server stores.
    static func stored(password: RawSpan, user: [UInt8]) -> [UInt8] {
        prefix + MD5.hexadecimal(password, user.rawSpan)
    }

    /// What the client answers, from what the server stores.
    static func response(_ stored: [UInt8], salt: UInt32) -> [UInt8] {
        let saltBytes = (0..<4).map { UInt8(truncatingIfNeeded: salt >> UInt32(24 - 8 * $0)) }
        return prefix + MD5.hexadecimal(stored.rawSpan.extracting(3..<stored.count), saltBytes.rawSpan)
    }
}
