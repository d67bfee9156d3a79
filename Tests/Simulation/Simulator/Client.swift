import Base

#if DEBUG || INVARIANTS
    @testable import PoolCore
#else
    import PoolCore
#endif

/// A simulated client: runs a script, and holds every answer against that of a session of its own.
final class Client: FarEnd {
    enum State { case new, login, running, leaving, gone }

    /// A message it has sent whose answers have not all come.
    struct Pending {
        var message: Message
        /// The session before the message, if the message may be answered in another way.
        var before: Session?
        /// Number of its first answer.
        var firstAnswer: Int
    }

    unowned let world: World
    let number: Int
    /// How many have been in its place before.
    let predecessors: Int
    let user: Int
    let database: Int
    var random: Random
    private(set) var state = State.new {
        didSet { if state == .gone, oldValue != .gone { world.hasGone(self) } }
    }
    private(set) var socket: Socket!
    private var splitter = Splitter()
    let startup: [String: String]
    private var welcomeParameters: [String: String] = [:]
    private var key: [UInt8] = []

    // The oracle.
    /// The private session that a client of PostgreSQL itself would have.
    private(set) var ideal: Session
    /// What it has answered and we have not been, oldest first.
    private var expected: [Message] = []
    private var firstExpected = 0
    /// How many answers have come and were right.
    private(set) var matchedCount = 0
    private var pending: [Pending] = []
    private(set) var cancelRequests = 0
    /// The client has been told a reason for which it is being sent away.
    private var isDismissed = false
    /// Its worker has died.
    private var isLost = false
    /// PostgreSQL itself has said that it ends the session; the pooler may add to that.
    private var isAnnounced = false
    /// When it asked for something that it waits for still.
    private var askedAt: UInt64 = 0
    /// What it sent last is of a group whose Sync is missing: the query goes on, even if all is answered.
    private var isInGroup = false
    private let cancels: Bool
    /// It is nobody that PostgreSQL knows, or gives a wrong password.
    private let isStranger: Bool
    private let userName: String

    var script: Script!
    private var isWaitingForTime = false
    var isStalled = false

    init(_ world: World, number: Int, predecessors: Int = 0) {
        self.world = world
        self.number = number
        self.predecessors = predecessors
        random = Random(seed: world.random.next())
        user = random.below(world.setup.users)
        database = random.below(world.setup.databases)
        var startup: [String: String] = [:]
        if !world.setup.isRecorded, random.chance(40) { startup["application_name"] = "app\(number)" }
        if !world.setup.isRecorded, random.chance(20) {
            startup["TimeZone"] = random.pick(["UTC", "Europe/Paris"])
        }
        if !world.setup.isRecorded, random.chance(10) {
            startup["client_encoding"] = random.pick(["UTF8", "LATIN1"])
        }
        self.startup = startup
        cancels = random.chance(world.setup.cancelPercent)
        let isUnknown = world.setup.looksUp ? random.chance(10) : false
        let isWrong = world.setup.asksForPasswords ? random.chance(10) : false
        isStranger = isUnknown || isWrong
        userName = isUnknown ? "x\(number)" : "u\(user)"
        ideal = Session(
            settings: Session.Settings(
                user: "u\(user)", database: "r\(database)", reportsAtOnce: world.setup.reportsAtOnce),
            parameters: Setup.serverDefaults.merging(startup) { $1 }, defaults: Setup.serverDefaults)
        script = Script(self)
    }

    var isGone: Bool { state == .gone }
    var name: String { "client \(number)" }

    func roomCame() {}

    // MARK: Life

    /// Connects and logs in, at one of the workers or at this one.
    func start(at worker: Worker? = nil) {
        guard let accepted = worker?.accept(self) ?? world.accept(self) else {
            // The connection waits in the queue of a listener.
            return world.schedule(after: 1_000_000) { self.start() }
        }
        state = .login
        socket = accepted
        world.statistics.sessions += 1
        let wishes = startup.sorted { $0.key < $1.key }
        world.trace.note(world.now, "\(name) connects to d\(database) as \(userName), \(wishes)")
        var parameters = [(name: "user", value: userName), (name: "database", value: "d\(database)")]
        for name in startup.keys.sorted() { parameters.append((name, startup[name]!)) }
        world.write(socket, Frontend.startup(parameters))
    }

    /// Its worker has died.
    func lose(_ worker: Worker) {
        if state != .new, state != .gone, socket.worker === worker { isLost = true }
    }

    /// Leaves without a word.
    func vanish(_ ending: Ending) {
        guard state != .gone, state != .new else { return }
        world.trace.note(world.now, "\(name) vanishes: \(ending)")
        state = .gone
        world.end(socket, ending)
    }

    func ended(_ ending: Ending) {
        guard state != .gone else { return }
        world.trace.note(world.now, "\(name) is disconnected: \(ending)")
        if state != .leaving, !isDismissed, !isLost { unexplainedEnd(ending) }
        state = .gone
        world.end(socket, .closed)
    }

    private func unexplainedEnd(_ ending: Ending) {
        // Nothing is said to whom another worker may serve already.
        if world.hasKilled, world.setup.movesClients { return }
        // In the middle of a message nothing can be said.
        if !splitter.rest.isEmpty, !world.reasons.isEmpty { return }
        world.fail("\(name) is disconnected without a reason")
    }

    // MARK: Sending

    /// Sends a message, and learns from the private session what has to be answered.
    func send(_ message: Message) {
        guard state == .running else { return }
        world.trace.note(world.now, "\(name) -> \(message.words(fromClient: true))")
        world.statistics.requests += 1
        let bytes = message.bytes
        if isAnswered, outstanding == 0, !isInGroup { askedAt = world.now }
        isInGroup = "PBDECH".utf8.contains(message.type)
        predict(message)
        world.write(socket, bytes)
        if message.type == UInt8(ascii: "X") {
            state = .leaving
            world.end(socket, .closed)
        }
    }

    private func predict(_ message: Message) {
        var entry = Pending(message: message, before: nil, firstAnswer: matchedCount + expectedCount)
        let before = ideal
        ideal.sleptMilliseconds = 0
        ideal.receive(message)
        let usesStatement = "BDP".utf8.contains(message.type)
        let mayWait = cancels && before.block == .none
        if ideal.sleptMilliseconds > 0 || before.block == .failed && usesStatement || mayWait {
            entry.before = before
        }
        pending.append(entry)
        let answers = ideal.takeWritten()
        if world.setup.isRecorded {
            world.record.append("> " + Client.hexadecimal(message))
            for answer in answers { world.record.append("< " + Client.hexadecimal(answer)) }
        }
        if world.setup.mode == .statement {
            expected += answers.map { isBlock($0) ? Client.noBlocks : $0 }
        } else {
            expected += answers
        }
    }

    private static func hexadecimal(_ message: Message) -> String {
        message.bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// Says that a transaction block has been begun.
    private func isBlock(_ answer: Message) -> Bool {
        answer.type == UInt8(ascii: "Z") && answer.body != [UInt8(ascii: "I")]
    }

    /// What is answered instead of that in statement mode, before the end.
    private static let noBlocks = Session.report(
        "E", "FATAL",
        Refusal(state: "0A000", text: "transaction blocks not allowed in statement pooling mode"))

    private var expectedCount: Int { expected.count - firstExpected }

    /// Everything that PostgreSQL would have sent by now has arrived.
    var isAnswered: Bool { matchedCount >= ideal.sentCount }
    /// So many ReadyForQuery are still to come.
    var outstanding: Int {
        var count = 0
        for index in firstExpected..<expected.count where expected[index].type == UInt8(ascii: "Z") {
            count += 1
        }
        return count
    }

    // MARK: Receiving

    func received(_ bytes: [UInt8]) {
        guard state != .gone else { return }
        splitter.add(bytes)
        while state != .gone, world.failure == nil, let message = splitter.next() {
            world.trace.note(world.now, "\(name) <- \(message.words(fromClient: false))")
            if isAnnounced { continue }
            if isDismissed { return world.fail("\(name) is answered after the reason for its dismissal") }
            state == .login ? login(message) : answer(message)
        }
        script.advance()
    }

    private func login(_ message: Message) {
        switch message.type {
        case UInt8(ascii: "R"):
            if message.body == [0, 0, 0, 3], world.setup.asksForPasswords { return givePassword() }
            if message.body != [0, 0, 0, 0] { world.fail("\(name) is asked for a password") }
        case UInt8(ascii: "S"):
            var fields = FieldReader(message.body)
            let name = fields.text()
            welcomeParameters[name] = fields.text()
        case UInt8(ascii: "K"): key = message.body
        case UInt8(ascii: "Z"):
            if isStranger { world.fail("\(name) is let in, whom nobody knows") }
            if welcomeParameters != ideal.parameters {
                world.fail("\(name) is welcomed with \(welcomeParameters), not \(ideal.parameters)")
            }
            state = .running
            world.statistics.logins += 1
        case UInt8(ascii: "E"): dismiss(message)
        default: world.fail("\(name) gets \(message.words(fromClient: false)) while it logs in")
        }
    }

    private func givePassword() {
        let right = world.passwords[userName] ?? "none"
        world.write(socket, Message("p", Array((isStranger ? "wrong" : right).utf8) + [0]).bytes)
    }

    /// Whether somebody who cannot prove who he is has been told so.
    private func isRightlyRefused(_ message: Message) -> Bool {
        let state = message.field("C")
        return isStranger && (state == "28P01" || state == "28000")
    }

    private func answer(_ message: Message) {
        // The pooler may say that the client has to wait.
        if message.type == UInt8(ascii: "N"), message.field("M").hasPrefix("No server connection available") {
            return
        }
        if firstExpected < expected.count, expected[firstExpected] == message { return matched() }
        if message.type == UInt8(ascii: "E"), isRightOtherwise(message) { return matched() }
        if message.type == UInt8(ascii: "E"), message.field("S") == "FATAL" { return dismiss(message) }
        let wanted =
            firstExpected < expected.count
            ? expected[firstExpected].words(fromClient: false) : "nothing"
        world.fail("\(name) gets \(message.words(fromClient: false)) in place of \(wanted)")
    }

    private func matched() {
        if expected[firstExpected] == Client.noBlocks { isDismissed = true }
        // A session of one's own would be over too.
        if expected[firstExpected].type == UInt8(ascii: "E"), expected[firstExpected].field("S") == "FATAL" {
            (isDismissed, isAnnounced) = (true, true)
        }
        firstExpected += 1
        matchedCount += 1
        if firstExpected > 200 {
            expected.removeFirst(firstExpected)
            firstExpected = 0
        }
        let next = pending.firstIndex { $0.firstAnswer > matchedCount } ?? pending.count
        if next > 1 { pending.removeFirst(next - 1) }
    }

    /// A pooler or server may only send a client away for a reason that the world has given it.
    private func dismiss(_ message: Message) {
        let state = message.field("C")
        world.statistics.lost += 1
        isDismissed = true
        if isRightlyRefused(message) { return }
        isAnnounced = state == "57P01"
        checkDeadline(message.field("M"))
        if message.field("M").hasPrefix("server conn crashed") { world.toldOfBrokenServers += 1 }
        if message.field("S") != "FATAL" || !world.reasons.contains(state)
            || world.toldOfBrokenServers > world.brokenServers
        {
            world.fail("\(name) is sent away: \(state) \(message.field("M"))")
        }
    }

    /// A client that is sent away because its query takes longer than a second has waited for so long.
    private func checkDeadline(_ reason: String) {
        guard reason.hasPrefix("query timeout") || reason.hasPrefix("query_timeout"),
            world.now < askedAt + Client.second
        else { return }
        world.fail("\(name) is sent away before its time: \(reason)")
    }

    /// A second, less what a worker's clock may be behind.
    private static let second: UInt64 = 999_000_000

    /// Whether an error that a private session would not have given is right all the same: because the client
    /// has asked for a query to be cancelled; or because in a failed transaction nothing can be prepared, so
    /// the server says that it has failed before it looks at what is asked of the statement.
    private func isRightOtherwise(_ error: Message) -> Bool {
        switch error.field("C") {
        case "57014" where cancelRequests > 0:
            // What has not been answered at all may have been cancelled while it waited for a server.
            guard
                rewind({ session, isUnanswered in
                    if isUnanswered, session.block == .none {
                        session.isTurnedAway = true
                    } else {
                        session.isCancelled = true
                    }
                })
            else { return false }
            world.statistics.cancelled += 1
        case "25P02" where world.setup.isVirtual:
            guard rewind({ session, _ in session.isUnusable = session.block == .failed }) else {
                return false
            }
        default:
            return false
        }
        return firstExpected < expected.count && expected[firstExpected] == error
    }

    /// Works out anew what has to be answered, when the message whose answer is due is carried out under
    /// another condition.
    private func rewind(_ change: (_ session: inout Session, _ isUnanswered: Bool) -> Void) -> Bool {
        guard let index = pending.lastIndex(where: { $0.firstAnswer <= matchedCount }),
            let before = pending[index].before
        else { return false }
        let again = Array(pending[index...])
        let firstAnswer = again[0].firstAnswer
        let matched = matchedCount
        pending.removeSubrange(index...)
        expected = []
        firstExpected = 0
        matchedCount = firstAnswer
        ideal = before
        ideal.output = []
        change(&ideal, matched == firstAnswer)
        for entry in again {
            predict(entry.message)
            ideal.isCancelled = false
            ideal.isTurnedAway = false
            ideal.isUnusable = false
        }
        firstExpected = matched - firstAnswer
        matchedCount = matched
        return true
    }

    /// Asks for what runs to be cancelled, over another connection.
    func cancel() {
        guard cancels, state == .running else { return }
        cancelRequests += 1
        world.trace.note(world.now, "\(name) asks for its query to be cancelled")
        world.requesters.append(CancelRequester(world, key))
    }

    /// Reads nothing for a time in nanoseconds.
    func stall(_ nanoseconds: UInt64) {
        isStalled = true
        world.schedule(after: nanoseconds) {
            self.isStalled = false
            self.world.depart(self.socket)
        }
    }

    /// Sends the beginning of a message, and leaves.
    func vanish(_ ending: Ending, inside message: Message) {
        guard state == .running else { return }
        let bytes = message.bytes
        world.write(socket, Array(bytes.prefix(random.number(1...(bytes.count - 1)))))
        vanish(ending)
    }

    // MARK: Time

    /// Goes on with the script after a time in nanoseconds.
    func pause(_ nanoseconds: UInt64) {
        isWaitingForTime = true
        world.schedule(after: nanoseconds) {
            self.isWaitingForTime = false
            self.script.advance()
        }
    }

    var isPausing: Bool { isWaitingForTime }
}
