import Base

#if DEBUG || INVARIANTS
    @testable import PoolCore
#else
    import PoolCore
#endif

/// The simulated PostgreSQL: accepts connections and starts a backend for each.
final class Postgres {
    unowned let world: World
    private(set) var backends: [Backend] = []
    /// The last row that any backend has answered, for sabotage.
    var lastRow: Message?
    /// How it refuses to be connected to, if it does.
    var refusing: Refusing?

    /// Ways not to let somebody in.
    enum Refusing: CaseIterable {
        case nobodyListens, hangs, tooMany, startingUp

        /// The SQLSTATE it gives.
        var state: String? {
            switch self {
            case .tooMany: "53300"
            case .startingUp: "57P03"
            case .nobodyListens, .hangs: nil
            }
        }
    }

    init(_ world: World) { self.world = world }

    /// The worker wants a connection.
    func connect(_ server: Handle<Server>, _ worker: Worker) {
        world.schedule(after: world.latency()) { self.accept(server, worker) }
    }

    private func accept(_ server: Handle<Server>, _ worker: Worker) {
        guard !worker.isDead, worker.attempts.contains(server) else { return }
        // Then nothing is heard of it until the core gives up.
        if refusing == .hangs { return }
        worker.attempts.remove(server)
        if refusing == .nobodyListens {
            return worker.tell(.connectFailed(server, .connect("connection refused")))
        }
        let backend = Backend(world, number: backends.count)
        backends.append(backend)
        let socket = worker.makeSocket(backend)
        backend.socket = socket
        socket.peer = .server(server)
        worker.tell(
            .connected(
                server, socket.id, remote: "10.0.0.1", port: 5432, local: "10.0.0.9", localPort: 999))
    }

    /// A cancel request has come in.
    func cancel(processID: Int, secret: Int) {
        guard let backend = backends.first(where: { $0.processID == processID && $0.secret == secret })
        else { return }
        backend.cancel()
    }
}

/// A process of the simulated PostgreSQL, with its one connection.
final class Backend: FarEnd {
    unowned let world: World
    let number: Int
    var socket: Socket!
    let processID: Int
    let secret: Int
    private var splitter = Splitter()
    private(set) var session: Session?
    private var isBusy = false
    private(set) var isGone = false
    /// The message that takes long, while it does.
    private var running: Message?
    private var hasStarted = false
    /// Whose password it waits for.
    private var awaitsPassword: String?
    /// What it answers when it is asked for a user's secret.
    private var lookup = LookupAnswer()

    init(_ world: World, number: Int) {
        self.world = world
        self.number = number
        processID = 1000 + number
        secret = world.random.below(1 << 30)
    }

    /// It reads when it has nothing else to do.
    var isStalled: Bool { !isGone && (isBusy || !hasRoom) }
    private var hasRoom: Bool { socket.incoming.count < world.setup.networkRoom }

    func received(_ bytes: [UInt8]) {
        guard !isGone else { return }
        splitter.add(bytes)
        work()
    }

    func ended(_ ending: Ending) {
        isGone = true
        world.end(socket, .closed)
    }

    func roomCame() {
        work()
        world.depart(socket)
    }

    /// Ends without a word.
    func vanish(_ ending: Ending) {
        guard !isGone else { return }
        isGone = true
        world.end(socket, ending)
    }

    /// Ends as an administrator, a crash or the network makes it.
    func terminate(isAnnounced: Bool, _ ending: Ending) {
        guard !isGone else { return }
        world.trace.note(world.now, "server \(number) ends: \(isAnnounced ? "announced" : "\(ending)")")
        world.excuses.insert("08006")
        world.brokenServers += 1
        if isAnnounced, hasStarted {
            world.excuses.insert("57P01")
            session?.terminate(
                Refusal(state: "57P01", text: "terminating connection due to administrator command"))
            answer()
        }
        vanish(ending)
    }

    // MARK: Work

    private func work() {
        while !isGone, !isBusy, world.failure == nil, hasRoom {
            if !hasStarted {
                guard let packet = splitter.packet() else { return }
                hasStarted = true
                start(packet)
                continue
            }
            guard let message = splitter.next() else { return }
            guard world.random.chance(20) else {
                perform(message)
                continue
            }
            isBusy = true
            world.schedule(after: world.latency()) {
                self.isBusy = false
                guard !self.isGone else { return self.world.depart(self.socket) }
                self.perform(message)
                self.work()
                self.world.depart(self.socket)
            }
        }
    }

    private func start(_ packet: [UInt8]) {
        if packet.integer(at: 0) == 80_877_102 {
            world.trace.note(world.now, "server \(number) is asked to cancel \(packet.integer(at: 4))")
            world.postgres.cancel(processID: packet.integer(at: 4), secret: packet.integer(at: 8))
            return vanish(.closed)
        }
        var fields = FieldReader(Array(packet.dropFirst(4)))
        var parameters: [String: String] = [:]
        while fields.offset < fields.bytes.count - 1 {
            let name = fields.text()
            parameters[name] = fields.text()
        }
        var session = Session(
            settings: Session.Settings(
                user: parameters["user"] ?? "", database: parameters["database"] ?? "",
                reportsAtOnce: world.setup.reportsAtOnce),
            parameters: Setup.serverDefaults, defaults: Setup.serverDefaults)
        if let state = world.postgres.refusing?.state {
            session.terminate(Refusal(state: state, text: "nobody gets in"))
            self.session = session
            return answer()
        }
        self.session = session
        if world.setup.looksUp {
            awaitsPassword = parameters["user"]
            return world.write(socket, Message("R", [0, 0, 0, 3]).bytes)
        }
        greet()
    }

    private func greet() {
        session?.greet(processID: processID, secret: secret)
        answer()
    }

    /// The pooler logs in as somebody.
    private func check(_ message: Message, of user: String) {
        awaitsPassword = nil
        let given = String(decoding: message.body.dropLast(), as: UTF8.self)
        let right = user == "asker" ? Setup.askersPassword : world.passwords[user] ?? "none"
        if message.type == UInt8(ascii: "p"), given == right { return greet() }
        world.trace.note(world.now, "server \(number) is given \(given) for \(user)")
        if !world.hasChangedPasswords { world.fail("server \(number) is given \(given) for \(user)") }
        session?.terminate(
            Refusal(state: "28P01", text: "password authentication failed for user \"\(user)\""))
        answer()
    }

    private func perform(_ message: Message) {
        if let user = awaitsPassword { return check(message, of: user) }
        guard var trial = session else { return }
        if trial.settings.user == "asker", "PBDES".utf8.contains(message.type) {
            world.trace.note(world.now, "server \(number) <- \(message.words(fromClient: true))")
            lookup.receive(message, world)
            return world.write(socket, lookup.takeBytes())
        }
        world.trace.note(world.now, "server \(number) <- \(message.words(fromClient: true))")
        trial.sleptMilliseconds = 0
        trial.isCancelled = false
        trial.receive(message)
        guard trial.sleptMilliseconds > 0 else {
            session = trial
            return answer()
        }
        running = message
        isBusy = true
        world.schedule(after: trial.sleptMilliseconds * 1_000_000) {
            guard self.running == message else { return }
            self.finish(isCancelled: false)
        }
    }

    private func finish(isCancelled: Bool) {
        guard let message = running else { return }
        running = nil
        isBusy = false
        defer { world.depart(socket) }
        guard !isGone else { return }
        session?.isCancelled = isCancelled
        session?.receive(message)
        session?.isCancelled = false
        answer()
        work()
    }

    /// Somebody with the right key wants the query to end.
    func cancel() {
        checkOwner()
        if running != nil { finish(isCancelled: true) }
    }

    /// Whoever this server works for has asked for a query to be cancelled.
    private func checkOwner() {
        #if DEBUG || INVARIANTS
            let worker = socket.worker
            guard !worker.isDead, case .server(let server)? = socket.peer,
                worker.core.servers.contains(server)
            else { return }
            let client = worker.core.servers[server].client
            guard worker.core.clients.contains(client) else { return }
            let connection = world.sockets[Int(worker.core.clients[client].connection.slot)]
            guard let owner = connection.far as? Client, owner.cancelRequests == 0 else { return }
            world.fail("a cancel request reaches the server of \(owner.name), who has sent none")
        #endif
    }

    private func answer() {
        guard let messages = session?.takeSent() else { return }
        checkStatements()
        var bytes: [UInt8] = []
        for message in world.setup.isSabotaged ? sabotaged(messages) : messages {
            world.trace.note(world.now, "server \(number) -> \(message.words(fromClient: false))")
            bytes += message.bytes
        }
        world.write(socket, bytes)
        if session?.isOver == true { vanish(.closed) }
    }

    /// How many named statements are prepared.
    var statementCount: Int {
        guard let session else { return 0 }
        return session.statements.count - (session.statements[""] == nil ? 0 : 1)
    }

    /// A group that fails behind another one may leave a statement too many, until the next is prepared.
    private func checkStatements() {
        if world.setup.isVirtual, statementCount > world.setup.maxPrepared + 20 {
            world.fail("server \(number) has \(statementCount) prepared statements")
        }
    }

    // MARK: Lies

    private func sabotaged(_ messages: [Message]) -> [Message] {
        var result: [Message] = []
        for message in messages {
            result.append(message)
            let isRow = message.type == UInt8(ascii: "D")
            guard let lie = world.setup.sabotage, world.random.chance(lie == .changesErrors ? 100 : 10)
            else { continue }
            switch lie {
            case .mixesUpRows:
                if isRow, let other = world.postgres.lastRow { result[result.count - 1] = other }
            case .dropsMessages:
                if message.type != UInt8(ascii: "Z") { result.removeLast() }
            case .repeatsMessages:
                result.append(message)
            case .changesErrors:
                guard message.type == UInt8(ascii: "E") else { continue }
                let refusal = Refusal(state: "XX000", text: message.field("M"))
                result[result.count - 1] = Session.report("E", message.field("S"), refusal)
            case .goesSilent:
                return []
            }
        }
        if let row = messages.last(where: { $0.type == UInt8(ascii: "D") }) { world.postgres.lastRow = row }
        return result
    }
}
