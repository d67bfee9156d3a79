import Auth
import Base
import Wire

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// A nonce of bytes that tests can tell from others.
func nonce(_ byte: UInt8) -> [UInt8] { [UInt8](repeating: byte, count: 18) }

/// The body of a SASLInitialResponse.
func initialResponse(_ data: [UInt8], mechanism: StaticString = "SCRAM-SHA-256") -> [UInt8] {
    var buffer = ByteBuffer()
    buffer.appendSASLInitialResponse(mechanism: mechanism, data.rawSpan)
    return Array(buffer.bytes.array.dropFirst(5))
}

func verifier(
    _ password: String, salt: String = "0123456789abcdef", iterations: Int = 10
) -> ScramVerifier {
    ScramVerifier(deriving: bytes(password), salt: bytes(salt), iterations: iterations)
}

extension ScramServer {
    mutating func take(_ body: [UInt8]) -> Step { receive(body.rawSpan) }
}

extension ScramClient {
    mutating func take(_ data: [UInt8], known: DerivedScramKeys? = nil) throws(ScramError) {
        try receiveServerFirst(data.rawSpan, known: known)
    }

    func accepts(_ data: [UInt8]) -> Bool { isServerProven(by: data.rawSpan) }
}

/// How an exchange between our client and our server ended.
struct Exchange {
    /// The server accepted the client.
    var isClientProven = false
    /// The client accepted the server.
    var isServerProven = false
    /// The key the server learnt.
    var keys: ScramKeys?
    /// The keys the client derived.
    var derived: DerivedScramKeys?
}

/// Runs a whole exchange; `change` may tamper with the four messages, numbered from 0, on their way.
func exchange(
    _ client: ScramClient, _ server: ScramServer, serverKeys: ScramVerifier,
    change: (Int, inout [UInt8]) -> Void = { _, _ in }
) -> Exchange {
    var client = client
    var server = server
    var result = Exchange()
    var message = client.clientFirst
    change(0, &message)
    guard case .continue(var challenge) = server.take(initialResponse(message)) else { return result }
    change(1, &challenge)
    guard (try? client.take(challenge)) != nil else { return result }
    while !client.step(iterations: 7) {}
    result.derived = client.derived
    var proof = client.clientFinal
    change(2, &proof)
    guard case .success(var final, let clientKey) = server.take(proof) else { return result }
    result.isClientProven = true
    result.keys = ScramKeys(clientKey: clientKey, serverKey: serverKeys.serverKey)
    change(3, &final)
    result.isServerProven = client.accepts(final)
    return result
}
