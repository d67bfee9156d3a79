import FuzzSupport

/// A connection of the pooler's to the fake PostgreSQL.
final class Backend: Peer {
    private var session: FakePostgres
    private var mutator: ReplyMutator?
    private var closesAt: Double?
    private let change: (String) -> ReplyMutator?
    private var isIntroduced = false
    private let gone: (Backend) -> Void

    /// - Parameters:
    ///   - change: the changes for a connection to this database, asked for once it is known.
    ///   - gone: told when it has closed.
    init(
        _ descriptor: Int32, _ loop: Loop, login: FakePostgres.Login, processID: Int,
        change: @escaping (String) -> ReplyMutator?, gone: @escaping (Backend) -> Void = { _ in }
    ) {
        session = FakePostgres(login: login, processID: processID)
        self.change = change
        self.gone = gone
        super.init(descriptor, loop)
    }

    /// The database it serves.
    var database: String { session.database }

    override func received(_ bytes: [UInt8]) {
        guard closesAt == nil else { return }
        let replies = session.receive(bytes)
        if !isIntroduced, !session.database.isEmpty {
            isIntroduced = true
            mutator = change(session.database)
        }
        if let outcome = mutator?.change(replies) {
            send(outcome.pieces.map(\.bytes))
            if outcome.closes { closesAt = 0 }
            if mutator?.once(in: 40) == true { send([mutator!.unasked().bytes]) }
            // What has had its changes makes room for another.
            if mutator?.isOver == true, closesAt == nil { closesAt = now() + 0.05 }
        } else if !replies.isEmpty {
            send([replies.bytes])
        }
        if session.isClosed { closesAt = 0 }
        if isSent, closesAt == 0 { end() }
    }

    override func sent() { if closesAt == 0 { end() } }

    override func tick(_ time: Double) { if let closesAt, time > closesAt { end() } }

    override func ended() { end() }

    /// Closes at once.
    func end() {
        guard isOpen else { return }
        close(withReset: mutator?.once(in: 4) == true)
        gone(self)
    }
}
