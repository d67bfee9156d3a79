import FuzzSupport

/// A well-behaved client beside all others: asks a hundred times a second, checks every byte of the answer,
/// and that it comes in time.
final class HonestClient: Peer {
    let name: String
    /// Answers it has checked.
    private(set) var answers = 0
    /// The longest it had to wait for one, in seconds.
    private(set) var longest = 0.0
    private var login: Player
    private var isWelcome = false
    private var expected: [UInt8] = []
    private var received: [UInt8] = []
    private var askedAt: Double
    private var lostBefore: Double
    private let bound: Double
    private let ignoresParameters: Bool
    private var stream = MessageStream()
    private let failed: (String) -> Void

    /// - Parameter ignoresParameters: whether it may be told that a parameter differs from what it was
    ///   welcomed with: where another server, a lying one, had told what that was.
    init(
        _ descriptor: Int32, _ loop: Loop, name: String, user: String, database: String, bound: Double,
        ignoresParameters: Bool = false, failed: @escaping (String) -> Void
    ) {
        self.name = name
        self.bound = bound
        self.ignoresParameters = ignoresParameters
        self.failed = failed
        login = Player(
            Recording.session(user: user, database: database), password: FakePostgres.password)
        askedAt = now()
        lostBefore = loop.lost
        super.init(descriptor, loop)
        logIn()
    }

    override func received(_ bytes: [UInt8]) {
        guard isWelcome else {
            login.receive(bytes)
            return logIn()
        }
        received += ignoresParameters ? withoutParameters(bytes) : bytes
        guard expected.starts(with: received) else {
            return fail("wanted \(text(expected)), and got \(text(received))")
        }
        guard received.count == expected.count else { return }
        answers += 1
        let time = waited(now())
        longest = max(longest, time)
        expected = []
        received = []
        if time > bound { fail("an answer took \(time) s") }
    }

    override func ended() { fail("was closed") }

    override func tick(_ time: Double) {
        guard isWelcome, expected.isEmpty else {
            if waited(time) > bound { fail("has waited for \(waited(time)) s") }
            return
        }
        askedAt = time
        lostBefore = loop.lost
        let value = "honest \(name) \(answers)"
        let isExtended = answers % 3 == 2
        expected = isExtended ? Honesty.extendedAnswer(value) : Bytes.answer(value)
        send([isExtended ? Honesty.extendedRequest(value) : Bytes.query("select \(value)")])
    }

    /// How long the answer has taken, without the time in which nobody looked for it.
    private func waited(_ time: Double) -> Double { max(0, time - askedAt - (loop.lost - lostBefore)) }

    private func logIn() {
        while true {
            switch login.move() {
            case .send(let bytes): send([bytes])
            case .wait: return
            case .hangUp:
                if login.errorCount > 0 { return fail("was not let in") }
                isWelcome = true
                return
            }
        }
    }

    private func withoutParameters(_ bytes: [UInt8]) -> [UInt8] {
        stream.append(bytes)
        var kept: [UInt8] = []
        while let message = stream.next() {
            guard message.type != UInt8(ascii: "S") else { continue }
            kept += [message.type] + Bytes.int32(message.body.count + 4) + message.body
        }
        return kept
    }

    private func fail(_ text: String) {
        guard isOpen else { return }
        close()
        failed("the honest client of \(name) \(text)")
    }

    private func text(_ bytes: [UInt8]) -> String {
        String(decoding: bytes.prefix(300).map { (0x20..<0x7F).contains($0) ? $0 : 0x2E }, as: UTF8.self)
    }
}
