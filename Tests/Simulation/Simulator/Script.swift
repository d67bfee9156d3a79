import Base

/// What a client does, one burst of messages after the other.
final class Script {
    /// What a client waits for before it goes on.
    enum Step {
        case send(Message)
        /// Until everything is answered that PostgreSQL would have answered by now.
        case waitForAll
        /// Until no more than so many groups are unanswered.
        case waitForGroups(Int)
        case pause(UInt64)
        case leave
    }

    unowned let client: Client
    private var steps: [Step] = []
    private var next = 0
    private var burstsLeft: Int
    private var serial = 0

    init(_ client: Client) {
        self.client = client
        burstsLeft = client.world.setup.bursts
    }

    /// Does what can be done now.
    func advance() {
        while client.state == .running, !client.isPausing, client.world.failure == nil {
            if next == steps.count {
                steps = []
                next = 0
                plan()
                continue
            }
            switch steps[next] {
            case .send(let message): client.send(message)
            case .waitForAll: guard client.isAnswered else { return }
            case .waitForGroups(let count): guard client.outstanding <= count else { return }
            case .pause(let nanoseconds): client.pause(nanoseconds)
            case .leave: client.send(Frontend.terminate)
            }
            next += 1
        }
    }

    // MARK: Plans

    private func add(_ messages: Message...) {
        for message in messages { steps.append(.send(message)) }
    }

    /// A text that no other client and no other message has.
    private func mark() -> String {
        serial += 1
        return "c\(client.number)n\(serial)"
    }

    private func plan() {
        guard burstsLeft > 0 else { return finish() }
        burstsLeft -= 1
        if client.random.chance(30) { steps.append(.pause(UInt64(client.random.below(20)) * 500_000)) }
        add(Frontend.query("select '\(mark())' as k"))
        steps.append(.waitForAll)
    }

    private func finish() {
        steps.append(.waitForAll)
        steps.append(.leave)
    }
}
