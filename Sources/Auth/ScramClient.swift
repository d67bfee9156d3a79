import Base
public import Crypto
import Wire

/// The client's side of one SCRAM-SHA-256 exchange (RFC 5802, RFC 7677): we log in to PostgreSQL.
///
/// Order of calls: `clientFirst` goes out, `receiveServerFirst` takes the answer, `step` until it says
/// that it is done, `clientFinal` goes out, `isServerProven` checks the last answer.
///
/// A password is used as its bytes are. For ASCII that is what SASLprep (RFC 4013) gives. Other text
/// would have to be brought into Unicode's form KC, which the standard library does not offer;
/// precomposed letters stay the same under it, compatibility characters and decomposed letters do not,
/// and such a password is refused by a server that has prepared it.
public struct ScramClient: Sendable, Redacted {
    /// What we know of the user.
    public enum Credential: Sendable, Redacted {
        /// The password itself.
        case password([UInt8])
        /// Keys that a client's login gave away, and the verifier it was checked against: they open a server
        /// that stores the same one.
        case keys(ScramKeys, of: ScramVerifier)
    }

    private enum State: Sendable {
        case waitingForServerFirst
        case deriving(PBKDF2, salt: [UInt8], iterations: Int)
        case ready
        case failed
    }

    /// The most iterations that a server can make us do; about one second of work.
    public static var iterationLimit: Int { 10_000_000 }

    private let credential: Credential
    /// What the first message begins with: whether the exchange is bound to the TLS session.
    private let header: [UInt8]
    /// Channel binding data, where it is.
    private let bound: [UInt8]
    /// The mechanism that the SASLInitialResponse names.
    public var mechanism: StaticString {
        bound.isEmpty ? ScramServer.mechanism : ScramServer.boundMechanism
    }
    private let clientFirstBare: [UInt8]
    private let nonce: [UInt8]
    private var state = State.waitingForServerFirst
    private var serverFirst: [UInt8] = []
    private var fullNonce: [UInt8] = []
    private var serverSignature = Digest256()

    /// The data of the SASLResponse that proves us; empty until `step` has said that it is done.
    public private(set) var clientFinal: [UInt8] = []
    /// The keys that were derived from a password, for the next login to the same server; `nil` until
    /// they are there, and with pass-through keys.
    public private(set) var derived: DerivedScramKeys?

    /// Whether the server offers SCRAM-SHA-256; `mechanisms` as `AuthenticationRequest.sasl` names them.
    public static func isOffered(in mechanisms: RawSpan) -> Bool {
        AuthenticationRequest.offers(ScramServer.mechanism, in: mechanisms)
    }

    /// Whether it offers the bound form as well.
    public static func isBindingOffered(in mechanisms: RawSpan) -> Bool {
        AuthenticationRequest.offers(ScramServer.boundMechanism, in: mechanisms)
    }

    /// An exchange at its beginning.
    ///
    /// - Parameters:
    ///   - nonce: random bytes of the system, used for nothing else.
    ///   - endPoint: channel binding data of the TLS session; empty for none.
    ///   - isBindingOffered: the server offers the bound mechanism.
    /// - Precondition: the nonce has 16 bytes or more.
    public init(
        credential: Credential, nonce: [UInt8], endPoint: [UInt8] = [], isBindingOffered: Bool = false
    ) {
        precondition(nonce.count >= 16, "a nonce is too long to be guessed")
        // The user name stays empty, as libpq leaves it: the startup packet has named the user.
        self.init(
            credential: credential, user: [], printedNonce: Base64.encode(nonce.rawSpan), endPoint: endPoint,
            isBindingOffered: isBindingOffered)
    }

    /// An exchange with a user name and with a nonce that is sent as it is: the examples of the standard
    /// have such.
    package init(
        credential: Credential, user: [UInt8], printedNonce: [UInt8], endPoint: [UInt8] = [],
        isBindingOffered: Bool = false
    ) {
        self.credential = credential
        bound = isBindingOffered ? endPoint : []
        // A server that can bind and finds that we believe it cannot knows that somebody in between has
        // changed its offer.
        let flag = endPoint.isEmpty ? [UInt8(ascii: "n")] : [UInt8(ascii: "y")]
        header = (bound.isEmpty ? flag : ScramText.endPointBinding) + Array(",,".utf8)
        nonce = printedNonce
        clientFirstBare = Array("n=".utf8) + user + Array(",r=".utf8) + printedNonce
    }

    /// The data of the SASLInitialResponse.
    public var clientFirst: [UInt8] { header + clientFirstBare }

    /// Whether `step` has work to do.
    public var isDeriving: Bool {
        switch state {
        case .deriving: true
        case .waitingForServerFirst, .ready, .failed: false
        }
    }

    /// Whether `clientFinal` is there.
    public var isReady: Bool {
        switch state {
        case .ready: true
        case .waitingForServerFirst, .deriving, .failed: false
        }
    }

    /// Takes the data of an AuthenticationSASLContinue. With `known` keys for the same salt and
    /// iterations, or with pass-through keys, nothing has to be derived.
    ///
    /// - Parameter known: what `derived` gave for the same password.
    public mutating func receiveServerFirst(_ data: RawSpan, known: DerivedScramKeys?) throws(ScramError) {
        guard case .waitingForServerFirst = state else { throw .malformed }
        state = .failed
        var fields = Fields(data)
        guard let nonceText = fields.value(of: UInt8(ascii: "r")),
            let saltText = fields.value(of: UInt8(ascii: "s")),
            let iterationText = fields.value(of: UInt8(ascii: "i")), fields.isAtEnd,
            let salt = Base64.decode(saltText), !salt.isEmpty,
            let iterations = ScramVerifier.number(iterationText), iterations >= 1
        else { throw .malformed }
        guard nonceText.byteCount > nonce.count,
            nonceText.extracting(0..<nonce.count).equalsInConstantTime(nonce.rawSpan)
        else { throw .foreignNonce }
        guard iterations <= ScramClient.iterationLimit else { throw .tooManyIterations(iterations) }
        serverFirst = data.array
        fullNonce = nonceText.array
        switch credential {
        case .password(let password):
            if let known, known.salt == salt, known.iterations == iterations {
                finish(known.keys)
            } else {
                let work = PBKDF2(
                    password: password.rawSpan, salt: salt.rawSpan, iterations: iterations)
                state = .deriving(work, salt: salt, iterations: iterations)
            }
        case .keys(let keys, of: let verifier):
            guard keys.storedKey == verifier.storedKey else { throw .foreignKeys }
            guard salt == verifier.salt, iterations == verifier.iterations else { throw .differentSecret }
            finish(keys)
        }
    }

    /// Derives on, up to `iterations` at about 100 ns each. Returns whether `clientFinal` is there.
    public mutating func step(iterations: Int) -> Bool {
        guard case .deriving(var work, let salt, let count) = state else { return isReady }
        guard work.step(iterations: iterations) else {
            state = .deriving(work, salt: salt, iterations: count)
            return false
        }
        let keys = ScramKeys(saltedPassword: work.key)
        work.zero()
        derived = DerivedScramKeys(salt: salt, iterations: count, keys: keys)
        finish(keys)
        return true
    }

    /// Whether the data of an AuthenticationSASLFinal show that the server knows the secret.
    public func isServerProven(by data: RawSpan) -> Bool {
        guard isReady else { return false }
        var fields = Fields(data)
        guard let text = fields.value(of: UInt8(ascii: "v")), fields.isAtEnd,
            let bytes = Base64.decode(text), let signature = Digest256(bytes.rawSpan)
        else { return false }
        return signature == serverSignature
    }

    private mutating func finish(_ keys: ScramKeys) {
        let binding = Base64.encode((header + bound).rawSpan)
        let withoutProof = Array("c=".utf8) + binding + Array(",r=".utf8) + fullNonce
        let authentication = ScramProof(
            clientFirstBare: clientFirstBare, serverFirst: serverFirst, clientFinalWithoutProof: withoutProof)
        let proof = keys.clientKey ^ authentication.signature(by: keys.storedKey)
        serverSignature = authentication.signature(by: keys.serverKey)
        clientFinal = withoutProof + Array(",p=".utf8) + Base64.encode(proof.span)
        state = .ready
    }
}
