import Base
public import Crypto
import Wire

/// The server's side of one SCRAM-SHA-256 exchange (RFC 5802, RFC 7677): we check a client.
///
/// With channel binding where the connection has one (`SCRAM-SHA-256-PLUS`, RFC 5929's
/// `tls-server-end-point`); without an authorisation identity or mandatory extensions. The user name inside
/// the exchange is ignored, as PostgreSQL does: the startup packet has named the user.
public struct ScramServer: Sendable, Redacted {
    /// What to do after a message of the client.
    public enum Step: Equatable, Sendable {
        /// Send these bytes in an AuthenticationSASLContinue and wait for the next message.
        case `continue`([UInt8])
        /// The client is who it says: send these bytes in an AuthenticationSASLFinal. The key opens every
        /// server that stores the same verifier.
        case success([UInt8], clientKey: Digest256)
        /// The client chose a mechanism that was not offered.
        case invalidMechanism
        /// The proof is wrong, the messages cannot be read, or nobody has this name.
        case failure
    }

    private enum State: Sendable {
        case waitingForMechanism
        case waitingForClientFirst
        case waitingForClientFinal
        case finished
    }

    /// The name of the exchange that is bound to its TLS session.
    public static var boundMechanism: StaticString { "SCRAM-SHA-256-PLUS" }
    /// The name of the exchange that is not.
    public static var mechanism: StaticString { "SCRAM-SHA-256" }

    private let verifier: ScramVerifier
    /// Channel binding data of the TLS session; empty where there is none, or none that can be bound to.
    private let endPoint: [UInt8]
    /// The client has chosen the bound mechanism.
    private var isBound = false
    private let isMock: Bool
    /// Our nonce in its printed form.
    private let nonce: [UInt8]
    private var state = State.waitingForMechanism
    /// `n,,`, `y,,` or `p=tls-server-end-point,,`, as the client sent it.
    private var header: [UInt8] = []
    private var clientFirstBare: [UInt8] = []
    private var serverFirst: [UInt8] = []
    private var fullNonce: [UInt8] = []

    /// An exchange that waits for the SASLInitialResponse.
    ///
    /// - Parameters:
    ///   - verifier: what the proof is checked against.
    ///   - nonce: random bytes of the system, used for nothing else.
    ///   - isMock: the exchange fails at its end, whatever the client knows.
    ///   - endPoint: channel binding data of the TLS session; empty for none.
    /// - Precondition: the nonce has 16 bytes or more.
    public init(verifier: ScramVerifier, nonce: [UInt8], isMock: Bool, endPoint: [UInt8] = []) {
        precondition(nonce.count >= 16, "a nonce is too long to be guessed")
        self.init(
            verifier: verifier, printedNonce: Base64.encode(nonce.rawSpan), isMock: isMock,
            endPoint: endPoint)
    }

    /// An exchange with a nonce that is sent as it is: the examples of the standard have such.
    package init(
        verifier: ScramVerifier, printedNonce: [UInt8], isMock: Bool, endPoint: [UInt8] = []
    ) {
        self.verifier = verifier
        self.endPoint = endPoint
        self.isMock = isMock
        nonce = printedNonce
    }

    /// Takes the body of a message of type `password`. After `success`, `invalidMechanism` or `failure` every
    /// further message fails.
    public mutating func receive(_ body: RawSpan) -> Step {
        switch state {
        case .waitingForMechanism:
            guard let response = try? SASLInitialResponse(body) else { return end(.failure) }
            isBound = !endPoint.isEmpty && response.mechanism.equals(ScramServer.boundMechanism)
            guard isBound || response.mechanism.equals(ScramServer.mechanism) else {
                return end(.invalidMechanism)
            }
            guard response.hasData else {
                state = .waitingForClientFirst
                return .continue([])
            }
            return receiveClientFirst(response.data)
        case .waitingForClientFirst: return receiveClientFirst(body)
        case .waitingForClientFinal: return end(receiveClientFinal(body))
        case .finished: return .failure
        }
    }

    private mutating func end(_ step: Step) -> Step {
        state = .finished
        return step
    }

    private mutating func receiveClientFirst(_ message: RawSpan) -> Step {
        var fields = Fields(message)
        guard takeBinding(&fields), fields.take([UInt8(ascii: ","), UInt8(ascii: ",")]) else {
            return end(.failure)
        }
        header = message.extracting(0..<fields.offset).array
        clientFirstBare = message.extracting(fields.offset..<message.byteCount).array
        guard fields.value(of: UInt8(ascii: "n")) != nil,
            let clientNonce = fields.value(of: UInt8(ascii: "r")),
            ScramServer.isNonce(clientNonce), !clientFirstBare.contains(0)
        else { return end(.failure) }
        fullNonce = clientNonce.array + nonce
        serverFirst = Array("r=".utf8) + fullNonce + Array(",s=".utf8)
        serverFirst += Base64.encode(verifier.salt.rawSpan) + Array(",i=\(verifier.iterations)".utf8)
        state = .waitingForClientFinal
        return .continue(serverFirst)
    }

    /// Whether the client binds what it has to bind. One that would bind but believes that we cannot (`y`)
    /// has been told so by somebody in between, if we can.
    private func takeBinding(_ fields: inout Fields) -> Bool {
        if isBound { return fields.take(ScramText.endPointBinding) }
        return fields.take([UInt8(ascii: "n")]) || endPoint.isEmpty && fields.take([UInt8(ascii: "y")])
    }

    private func receiveClientFinal(_ message: RawSpan) -> Step {
        var fields = Fields(message)
        let bound = header + (isBound ? endPoint : [])
        guard let binding = fields.value(of: UInt8(ascii: "c")),
            let seenNonce = fields.value(of: UInt8(ascii: "r")),
            binding.equalsInConstantTime(Base64.encode(bound.rawSpan).rawSpan),
            seenNonce.equalsInConstantTime(fullNonce.rawSpan)
        else { return .failure }
        // Extensions may stand between nonce and proof. The proof covers what is in front of its comma.
        var signedEnd = fields.offset - 1
        while let name = fields.next, name != UInt8(ascii: "p") {
            guard fields.value(of: name) != nil else { return .failure }
            signedEnd = fields.offset - 1
        }
        guard let proofText = fields.value(of: UInt8(ascii: "p")), fields.isAtEnd,
            let proofBytes = Base64.decode(proofText), let proof = Digest256(proofBytes.rawSpan)
        else { return .failure }
        let signedFinal = message.extracting(0..<signedEnd).array
        let authentication = ScramProof(
            clientFirstBare: clientFirstBare, serverFirst: serverFirst, clientFinalWithoutProof: signedFinal)
        let clientKey = proof ^ authentication.signature(by: verifier.storedKey)
        let isRight = SHA256.digest(clientKey.span) == verifier.storedKey
        let signature = authentication.signature(by: verifier.serverKey)
        guard isRight, !isMock else { return .failure }
        return .success(Array("v=".utf8) + Base64.encode(signature.span), clientKey: clientKey)
    }

    /// Printable characters without the comma (RFC 5802, section 7), at least one.
    private static func isNonce(_ text: RawSpan) -> Bool {
        for offset in 0..<text.byteCount {
            let byte = unsafe text.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            guard (0x21...0x7E).contains(byte), byte != UInt8(ascii: ",") else { return false }
        }
        return text.byteCount > 0
    }
}

/// What both sides sign: the three messages, joined by commas.
struct ScramProof {
    private let message: [UInt8]

    init(clientFirstBare: [UInt8], serverFirst: [UInt8], clientFinalWithoutProof: [UInt8]) {
        let comma = [UInt8(ascii: ",")]
        message = clientFirstBare + comma + serverFirst + comma + clientFinalWithoutProof
    }

    func signature(by key: Digest256) -> Digest256 { HMAC.code(key: key.span, message.rawSpan) }
}
