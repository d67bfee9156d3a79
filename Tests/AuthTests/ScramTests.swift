import Auth
import Base
import Testing
import Wire

/// The example exchange of RFC 7677, section 3.
private enum Example {
    static let clientFirst = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    static let serverFirst =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    static let clientFinal =
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        + "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    static let serverFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    static let salt: [UInt8] = [
        0x5B, 0x6D, 0x99, 0x68, 0x9D, 0x12, 0x35, 0x8E, 0xEC, 0xA0, 0x4B, 0x14, 0x12, 0x36, 0xFA, 0x81,
    ]
}

@Suite struct ScramExampleTests {
    @Test func theServerSaysWhatTheStandardSays() {
        let verifier = ScramVerifier(deriving: bytes("pencil"), salt: Example.salt, iterations: 4096)
        var server = ScramServer(
            verifier: verifier, printedNonce: bytes("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"), isMock: false)
        #expect(
            server.take(initialResponse(bytes(Example.clientFirst))) == .continue(bytes(Example.serverFirst)))
        guard case .success(let final, _) = server.take(bytes(Example.clientFinal)) else {
            Issue.record("the proof of the example is right")
            return
        }
        #expect(final == bytes(Example.serverFinal))
    }

    @Test func theClientSaysWhatTheStandardSays() throws {
        var client = ScramClient(
            credential: .password(bytes("pencil")), user: bytes("user"),
            printedNonce: bytes("rOprNGfwEbeRWgbNEkqO"))
        #expect(client.clientFirst == bytes(Example.clientFirst))
        try client.take(bytes(Example.serverFirst))
        while !client.step(iterations: 1000) {}
        #expect(client.clientFinal == bytes(Example.clientFinal))
        #expect(client.accepts(bytes(Example.serverFinal)))
    }
}

@Suite struct ScramExchangeTests {
    private let client = ScramClient(credential: .password(bytes("secret")), nonce: nonce(1))

    @Test func ourClientAndOurServerConvinceEachOther() {
        let verifier = verifier("secret")
        let server = ScramServer(verifier: verifier, nonce: nonce(2), isMock: false)
        let result = exchange(client, server, serverKeys: verifier)
        #expect(result.isClientProven && result.isServerProven)
    }

    @Test func aWrongPasswordFails() {
        let verifier = verifier("Secret")
        let server = ScramServer(verifier: verifier, nonce: nonce(2), isMock: false)
        #expect(!exchange(client, server, serverKeys: verifier).isClientProven)
    }

    /// Even the password that fits the mock's own verifier must not help.
    @Test func aMockFailsAtTheEndAndNotBefore() {
        let right = verifier("secret")
        var mock = ScramServer(verifier: right, nonce: nonce(2), isMock: true)
        #expect(!exchange(client, mock, serverKeys: right).isClientProven)
        guard case .continue = mock.take(initialResponse(client.clientFirst)) else {
            Issue.record("a mock answers like a real one")
            return
        }
    }

    @Test func keysOfALoginOpenAServerWithTheSameVerifier() throws {
        let stored = verifier("secret")
        let server = ScramServer(verifier: stored, nonce: nonce(2), isMock: false)
        let keys = try #require(exchange(client, server, serverKeys: stored).keys)
        let pass = ScramClient(credential: .keys(keys, of: stored), nonce: nonce(3))
        let behind = ScramServer(verifier: stored, nonce: nonce(4), isMock: false)
        let result = exchange(pass, behind, serverKeys: stored)
        #expect(result.isClientProven && result.isServerProven && result.derived == nil)
    }

    @Test func keysAreNotUsedForAnotherSecret() throws {
        let stored = verifier("secret")
        let server = ScramServer(verifier: stored, nonce: nonce(2), isMock: false)
        let keys = try #require(exchange(client, server, serverKeys: stored).keys)
        let other = verifier("secret", salt: "fedcba9876543210")
        var pass = ScramClient(credential: .keys(keys, of: stored), nonce: nonce(3))
        var behind = ScramServer(verifier: other, nonce: nonce(4), isMock: false)
        guard case .continue(let challenge) = behind.take(initialResponse(pass.clientFirst)) else { return }
        #expect(throws: ScramError.differentSecret) { try pass.take(challenge) }
        var foreign = ScramClient(credential: .keys(keys, of: verifier("x")), nonce: nonce(3))
        #expect(throws: ScramError.foreignKeys) { try foreign.take(challenge) }
    }

    @Test func derivedKeysSaveTheNextDerivation() throws {
        let verifier = verifier("secret")
        let server = ScramServer(verifier: verifier, nonce: nonce(2), isMock: false)
        let derived = try #require(exchange(client, server, serverKeys: verifier).derived)
        var next = ScramClient(credential: .password(bytes("secret")), nonce: nonce(5))
        var again = ScramServer(verifier: verifier, nonce: nonce(6), isMock: false)
        guard case .continue(let challenge) = again.take(initialResponse(next.clientFirst)) else { return }
        try next.take(challenge, known: derived)
        #expect(next.isReady && !next.isDeriving)
        guard case .success(let final, _) = again.take(next.clientFinal) else {
            Issue.record("known keys are as good as new ones")
            return
        }
        #expect(next.accepts(final))
    }

    @Test func aClientWithoutAnInitialResponseIsAskedForOne() {
        var server = ScramServer(verifier: verifier("secret"), nonce: nonce(2), isMock: false)
        let body = bytes("SCRAM-SHA-256\0") + [255, 255, 255, 255]
        #expect(server.take(body) == .continue([]))
        guard case .continue(let challenge) = server.take(client.clientFirst) else {
            Issue.record("the first message may come late")
            return
        }
        #expect(challenge.starts(with: bytes("r=")))
    }
}

@Suite struct ScramTamperingTests {
    private let verifier = AuthTests.verifier("secret", iterations: 3)

    /// Goal: no bit of any message can change without the exchange failing on one side or the other.
    @Test(arguments: 0..<4)
    func everyFlippedBitIsNoticed(number: Int) {
        let client = ScramClient(credential: .password(bytes("secret")), nonce: nonce(1))
        let server = ScramServer(verifier: verifier, nonce: nonce(2), isMock: false)
        var byteCount = 0
        _ = exchange(client, server, serverKeys: verifier) { if $0 == number { byteCount = $1.count } }
        #expect(byteCount > 0)
        for index in 0..<byteCount {
            for bit in 0..<8 {
                let result = exchange(client, server, serverKeys: verifier) { current, message in
                    if current == number { message[index] ^= 1 << UInt8(bit) }
                }
                #expect(!(result.isClientProven && result.isServerProven), "byte \(index), bit \(bit)")
            }
        }
    }

    @Test(arguments: 0..<4)
    func everyTruncationIsNoticed(number: Int) {
        let client = ScramClient(credential: .password(bytes("secret")), nonce: nonce(1))
        let server = ScramServer(verifier: verifier, nonce: nonce(2), isMock: false)
        var byteCount = 0
        _ = exchange(client, server, serverKeys: verifier) { if $0 == number { byteCount = $1.count } }
        for end in 0..<byteCount {
            let result = exchange(client, server, serverKeys: verifier) { current, message in
                if current == number { message.removeLast(message.count - end) }
            }
            #expect(!(result.isClientProven && result.isServerProven), "cut to \(end)")
        }
    }

    @Test(arguments: [
        "p=tls-unique,,n=,r=abc", "n,a=root,n=,r=abc", "n,,m=ext,n=,r=abc", "n,,n=", "n,,r=abc", "n,,n=,r=",
        "n,,n=,r=a b", "n,,n=,r=a\u{7F}", "n,,n=,r=abc,x=\0", "x,,n=,r=abc", "n,n=,r=abc", "", "n", "n,",
        "n,,",
    ])
    func aFirstMessageThatIsNotAllowedFails(message: String) {
        var server = ScramServer(verifier: verifier, nonce: nonce(2), isMock: false)
        #expect(server.take(initialResponse(bytes(message))) == .failure)
        #expect(server.take(bytes(message)) == .failure)
    }

    @Test func extensionsAfterTheNonceAreIgnored() {
        var server = ScramServer(verifier: verifier, nonce: nonce(2), isMock: false)
        guard case .continue = server.take(initialResponse(bytes("y,,n=,r=abc,x=1"))) else {
            Issue.record("an optional extension is allowed")
            return
        }
    }

    @Test func anotherMechanismIsRefused() {
        var server = ScramServer(verifier: verifier, nonce: nonce(2), isMock: false)
        let body = initialResponse(bytes("n,,n=,r=abc"), mechanism: "SCRAM-SHA-256-PLUS")
        #expect(server.take(body) == .invalidMechanism)
    }

    @Test(arguments: [
        ("r=abc,s=QQ==,i=1", ScramError.foreignNonce),
        ("r=NONCE,s=QQ==,i=1", .foreignNonce),
        ("r=NONCEx,s=QQ==,i=0", .malformed),
        ("r=NONCEx,s=QQ==,i=-1", .malformed),
        ("r=NONCEx,s=QQ==,i=1x", .malformed),
        ("r=NONCEx,s=QQ==,i=9999999999", .malformed),
        ("r=NONCEx,s=QQ==,i=10000001", .tooManyIterations(10_000_001)),
        ("r=NONCEx,s=,i=1", .malformed),
        ("r=NONCEx,s=Q,i=1", .malformed),
        ("r=NONCEx,s=QQ==", .malformed),
        ("r=NONCEx,s=QQ==,i=1,x=1", .malformed),
        ("m=x,r=NONCEx,s=QQ==,i=1", .malformed),
        ("", .malformed),
    ])
    func aChallengeThatIsNotAllowedFails(challenge: String, error: ScramError) {
        var client = ScramClient(credential: .password(bytes("secret")), nonce: nonce(1))
        let own = String(decoding: client.clientFirst.dropFirst(8), as: UTF8.self)
        let text = challenge.replacing("NONCE", with: own)
        #expect(throws: error) { try client.take(bytes(text)) }
        #expect(throws: ScramError.malformed, "a failed exchange stays failed") {
            try client.take(bytes("r=\(own)x,s=QQ==,i=1"))
        }
        let isDone = client.step(iterations: 100)
        #expect(!isDone && client.clientFinal.isEmpty && !client.accepts(bytes("v=")))
    }

    @Test(arguments: 0..<300 as Range<UInt64>)
    func randomMessagesNeverTrap(seed: UInt64) {
        var random = Random(seed: seed)
        let alphabet = bytes("nyprsicvm=,,,===abQ0129+/\0\u{7F}")
        func noise() -> [UInt8] { (0..<random.below(40)).map { _ in alphabet[random.below(alphabet.count)] } }
        var server = ScramServer(verifier: verifier, nonce: nonce(2), isMock: false)
        _ = server.take(noise())
        _ = server.take(initialResponse(noise()))
        server = ScramServer(verifier: verifier, nonce: nonce(2), isMock: false)
        _ = server.take(initialResponse(bytes("n,,n=,r=") + noise()))
        #expect(server.take(noise()) == .failure)
        var client = ScramClient(credential: .password(bytes("secret")), nonce: nonce(1))
        try? client.take(noise())
        client = ScramClient(credential: .password(bytes("secret")), nonce: nonce(1))
        try? client.take(bytes("r=") + client.clientFirst.dropFirst(8) + noise())
        _ = client.step(iterations: 10)
        #expect(!client.accepts(noise()))
        _ = ScramVerifier(noise().rawSpan)
        _ = ScramVerifier((bytes("SCRAM-SHA-256$") + noise()).rawSpan)
    }
}
