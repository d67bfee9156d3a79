import Base

/// What a client does, one burst of messages after the other.
final class Script {
    /// What a client does next, or waits for.
    enum Step {
        case send(Message)
        /// Until everything is answered that PostgreSQL would have answered by now.
        case waitForAll
        /// Until no more than so many groups are unanswered.
        case waitForGroups(Int)
        /// Nanoseconds.
        case pause(UInt64)
        case cancel
        case leave
        case vanish(Ending)
        case vanishInside(Ending, Message)
        /// Nanoseconds without reading.
        case stall(UInt64)
    }

    unowned let client: Client
    private var steps: [Step] = []
    private var next = 0
    private var burstsLeft: Int
    private var serial = 0
    /// The client's session as it will be when it has sent what is planned.
    private var plan: Session
    private var random: Random

    init(_ client: Client) {
        self.client = client
        burstsLeft = client.world.setup.bursts
        plan = client.ideal
        random = Random(seed: client.random.next())
    }

    /// Does what can be done now.
    func advance() {
        while client.state == .running, !client.isPausing, client.world.failure == nil {
            if next == steps.count {
                steps = []
                next = 0
                makePlan()
                continue
            }
            switch steps[next] {
            case .send(let message): client.send(message)
            case .waitForAll: guard client.isAnswered else { return }
            case .waitForGroups(let count): guard client.outstanding <= count else { return }
            case .pause(let nanoseconds): client.pause(nanoseconds)
            case .cancel: client.cancel()
            case .leave: client.send(Frontend.terminate)
            case .vanish(let ending): client.vanish(ending)
            case .vanishInside(let ending, let message): client.vanish(ending, inside: message)
            case .stall(let nanoseconds): client.stall(nanoseconds)
            }
            next += 1
        }
    }

    // MARK: Plans

    private var isHarsh: Bool { client.world.setup.scope == .harsh }

    private func add(_ messages: Message...) {
        for message in messages {
            steps.append(.send(message))
            plan.receive(message)
        }
        plan.output = []
    }

    private func think() {
        steps.append(.pause(UInt64(random.below(20)) * 500_000))
    }

    /// A text that no other client and no other message has.
    private func mark() -> String {
        serial += 1
        // Now and then more than a buffer holds.
        let tail = random.chance(2) ? String(repeating: "y", count: random.pick([200, 3000, 9000])) : ""
        return "c\(client.number)n\(serial)" + tail
    }

    /// The same for where PostgreSQL takes no long names.
    private func shortMark() -> String { String(mark().prefix(20)) }

    private func makePlan() {
        plan = client.ideal
        guard burstsLeft > 0 else { return finish() }
        burstsLeft -= 1
        if random.chance(30) { think() }
        if random.chance(3) { steps.append(.stall(UInt64(random.below(300)) * 1_000_000)) }
        if client.world.setup.hasFaults, random.chance(2) { steps.append(.pause(1_500_000_000)) }
        if plan.block == .open || plan.block == .failed, random.chance(35) { return endTransaction() }
        switch client.world.setup.scope == .simple ? random.below(25) : random.below(100) {
        case 0..<25: queries()
        case 25..<75: pipeline()
        case 75..<85: talk()
        case 85..<92: copyIn()
        case 94..<97: sleep()
        case 92..<94:
            steps.append(.waitForAll)
            query(random.pick(["discard all", "deallocate all"]))
            steps.append(.waitForAll)
        default: query(random.pick(["begin", "begin", "commit", "rollback"]))
        }
        let waits = !client.world.setup.pipelines || random.chance(70)
        steps.append(waits ? .waitForAll : .waitForGroups(2))
    }

    private func finish() {
        let setup = client.world.setup
        if random.chance(setup.vanishPercent) {
            setup.scope == .simple ? queries() : pipeline()
            if random.chance(50) { think() }
            let ending: Ending = random.chance(50) ? .reset : .closed
            if random.chance(50) { return steps.append(.vanish(ending)) }
            return steps.append(.vanishInside(ending, Frontend.parse("a", "select '\(mark())' as k")))
        }
        if plan.block == .open || plan.block == .failed, random.chance(80) { endTransaction() }
        if !random.chance(10) { steps.append(.waitForAll) }
        steps.append(.leave)
    }

    private func endTransaction() {
        let text = random.pick(["commit", "rollback", "end"])
        if random.chance(60) || client.world.setup.scope == .simple {
            query(text)
        } else {
            add(Frontend.parse("", text), Frontend.bind("", "", []), Frontend.execute(""), Frontend.sync)
        }
        if random.chance(70) { steps.append(.waitForAll) }
    }

    // MARK: Simple queries

    private func query(_ text: String) { add(Frontend.query(text)) }

    private func queries() {
        for _ in 0..<random.pick([1, 1, 1, 2, 3]) {
            if random.chance(20) {
                query(
                    (0..<random.number(2...3)).map { _ in statement() }.filter {
                        !$0.isEmpty
                            && !$0.hasPrefix("do ")
                    }.joined(separator: "; "))
            } else {
                query(statement())
            }
            if random.chance(50) { steps.append(.waitForAll) }
        }
    }

    /// Something long, which may be cancelled.
    private func sleep() {
        let text = "select '\(mark())' as k, pg_sleep(0.\(random.number(1...9))) as s"
        if random.chance(50) {
            query(text)
        } else {
            add(Frontend.parse("", text), Frontend.bind("", "", []), Frontend.execute(""), Frontend.sync)
        }
        if random.chance(20) { query("select '\(mark())' as k") }
        if random.chance(90) { steps.append(.pause(UInt64(random.below(200)) * 1_000_000)) }
        steps.append(.cancel)
    }

    /// A statement without parameters.
    private func statement() -> String {
        switch random.below(100) {
        case 0..<30: "select '\(mark())' as k"
        case 30..<40: "select i, '\(mark())' as k from generate_series(1,\(random.number(0...5))) i"
        case 40..<45: "select current_user, current_database()"
        case 45..<53: "set \(parameter())"
        case 53..<58: "show \(random.pick(["application_name", "TimeZone", "DateStyle", "IntervalStyle"]))"
        case 58..<63: "insert into t values ('\(mark())')"
        case 63..<68: "selec \(mark())"
        case 68..<73: "select x from missing_\(shortMark())"
        case 73..<78: "select '\(mark())' as k, 1/0 as z"
        case 78..<80: ""
        case 80..<84: "do 'begin raise notice ''%'', ''\(mark())''; end'"
        case 84..<87: "copy (select generate_series(1,\(random.number(1...4)))) to stdout"
        case 87..<92: "select repeat('x',\(random.pick([10, 300, 3000, 20_000]))) as \(shortMark())"
        case 92..<94: "select 'the same' as k"
        case 94..<96: isHarsh ? random.pick(["discard all", "deallocate all"]) : "select 'nothing' as k"
        case 96..<98: random.pick(["begin", "commit", "rollback"])
        default: "select pg_sleep(0.\(random.number(1...9))) as s"
        }
    }

    private func parameter() -> String {
        // What nobody tracks stays with a server, so only who has it alone can set it.
        if client.world.setup.mode == .session, random.chance(20) { return "IntervalStyle to 'iso_8601'" }
        return switch random.below(12) {
        case 0...5: "application_name to '\(random.pick(["x", "y", mark()]))'"
        case 6...7: "TimeZone to '\(random.pick(["UTC", "Europe/Paris"]))'"
        case 8...9: "DateStyle to '\(random.pick(["ISO, MDY", "SQL, DMY"]))'"
        case 10: "client_encoding to '\(random.pick(["UTF8", "LATIN1"]))'"
        default: "TimeZone to 'bogus'"
        }
    }

    // MARK: The extended protocol

    private func pipeline() {
        for _ in 0..<random.pick([1, 1, 2, 3, 5]) {
            for _ in 0..<random.number(1...4) { operation() }
            add(Frontend.sync)
            if random.chance(15) { steps.append(.waitForGroups(1)) }
            if !client.world.setup.pipelines { steps.append(.waitForAll) }
        }
    }

    /// A group with a Flush in its middle, whose answer is waited for.
    private func talk() {
        for _ in 0..<random.number(1...3) {
            operation()
            if random.chance(70) {
                add(Frontend.flush)
                if random.chance(80) { steps.append(.waitForAll) }
                if random.chance(20) { think() }
            }
        }
        if random.chance(5) { query("select '\(mark())' as k") }
        add(Frontend.sync)
    }

    private func name() -> String { random.pick(["", "", "a", "a", "b", "c", "d"]) }

    /// A text to prepare. Several are what other clients prepare too.
    private func preparable() -> String {
        switch random.below(100) {
        case 0..<45: "select $1::text as k\(random.below(3))"
        case 45..<55: "select $1::int as n\(random.below(2))"
        case 55..<65: "select i, $1::text as k from generate_series(1,5) i"
        default: statement()
        }
    }

    private func operation() {
        switch random.below(100) {
        case 0..<40:
            let name = name()
            if !name.isEmpty, plan.statements[name] != nil, random.chance(80) {
                // A driver closes a name before it uses it again, or uses what it has prepared.
                guard random.chance(30) else { return use(name) }
                add(Frontend.close("S", name))
            }
            add(Frontend.parse(name, preparable()))
            if random.chance(20) { add(Frontend.describe("S", name)) }
            if random.chance(80) { use(name) }
        case 40..<75: use(name())
        case 75..<82: add(Frontend.describe("S", name()))
        case 82..<92: add(Frontend.close("S", name()))
        case 92..<95: add(Frontend.parse(name(), preparable()))
        case 95..<97: add(random.chance(50) ? Frontend.describe("P", "p") : Frontend.execute("p"))
        default: add(Frontend.close("P", random.pick(["", "p"])))
        }
    }

    private func use(_ name: String) {
        let command = plan.statements[name]?.command
        if case .copyIn? = command { return }
        let portal = random.pick(["", "", "", "p"])
        var values: [String] = []
        if case .select(let selection)? = command {
            for column in selection.columns where column.usesParameter {
                let isInteger = column.content == .integer && !random.chance(15)
                values = [isInteger ? "\(1000 * client.number + random.below(1000))" : mark()]
            }
        }
        if random.chance(2) { values.append("1") }
        add(Frontend.bind(portal, name, values))
        if random.chance(30) { add(Frontend.describe("P", portal)) }
        if random.chance(85) { add(Frontend.execute(portal, limit: random.pick([0, 0, 0, 1, 2]))) }
        if random.chance(10) { add(Frontend.execute(portal)) }
    }

    // MARK: COPY

    private func copyIn() {
        let text = "copy t from stdin"
        if random.chance(50) {
            query(text)
            if random.chance(70) { steps.append(.waitForAll) }
        } else {
            add(Frontend.parse("", text), Frontend.bind("", "", []), Frontend.execute(""))
            switch random.below(3) {
            case 0:
                // As libpq does it. What it waits for tells whether this Sync counts.
                add(Frontend.sync)
                steps.append(.waitForAll)
            case 1:
                add(Frontend.flush)
                steps.append(.waitForAll)
            default:
                if !isHarsh { steps.append(.waitForAll) }
            }
        }
        guard plan.copyIn != nil else { return add(Frontend.sync) }
        let isExtended = plan.copyIn?.isExtended ?? false
        for _ in 0..<random.number(0...4) {
            let line = random.chance(10) ? "too\tmany\n" : mark() + "\n"
            add(Frontend.copyData(line))
            if random.chance(10) { think() }
        }
        add(random.chance(20) ? Frontend.copyFail("because \(mark())") : Frontend.copyDone)
        if isExtended { add(Frontend.sync) }
    }
}
