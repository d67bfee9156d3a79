/// Why we cannot log in to a server by SCRAM.
public enum ScramError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A message of the exchange that cannot be read, or comes when none is due.
    case malformed
    /// The server's nonce does not begin with ours: somebody mixes up exchanges.
    case foreignNonce
    /// More iterations than `ScramClient.iterationLimit`.
    case tooManyIterations(Int)
    /// The server's salt or iterations are not those of the stored verifier: it stores another secret.
    case differentSecret
    /// The keys are not those of the stored verifier.
    case foreignKeys

    /// The reason in words, without any secret.
    public var description: String {
        switch self {
        case .malformed: "malformed message in the SCRAM exchange"
        case .foreignNonce: "the server answered with the nonce of another exchange"
        case .tooManyIterations(let count):
            "the server asks for \(count) iterations; at most \(ScramClient.iterationLimit) are done"
        case .differentSecret: "the server stores another secret for this user than we do"
        case .foreignKeys: "the keys of this user belong to another secret"
        }
    }
}
