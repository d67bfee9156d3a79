#if DEBUG || INVARIANTS
    @testable import PoolCore
#else
    import PoolCore
#endif

/// Makes worlds from seeds and says what was wrong in them.
public enum Simulation {
    /// What came of a world.
    public struct Outcome: Sendable {
        /// What went wrong, or nil.
        public var failure: String?
        /// The world in a line.
        public var setup = ""
        /// The last events, if they were asked for.
        public var trace = ""
        /// Clients that connected, those that were moved to another worker, calls of the core, messages of
        /// clients, clients that were sent away, statements cancelled.
        public var sessions = 0
        /// Those of them that were let in.
        public var logins = 0
        public var moved = 0
        /// Those that went with their server.
        public var movedSessions = 0
        public var events = 0
        public var requests = 0
        public var lost = 0
        public var cancelled = 0

        /// Nothing yet.
        public init() {}
    }

    /// What a client alone in its world says, and what PostgreSQL must answer, message by message in
    /// hexadecimal: to be compared with a real one.
    public static func conversation(seed: UInt64) -> [String] {
        var setup = Setup(seed: seed, scope: .extended)
        setup.isRecorded = true
        setup.mode = .session
        setup.clients = 1
        setup.users = 1
        setup.databases = 1
        setup.cancelPercent = 0
        setup.vanishPercent = 0
        setup.lines = []
        setup.reportsAtOnce = false
        let world = World(setup, trace: Trace(limit: 0))
        world.live()
        world.end()
        return world.record
    }

    /// Lives through the world of a seed. The same seed gives the same world.
    ///
    /// - Parameters:
    ///   - scope: what happens in it.
    ///   - sabotage: how PostgreSQL lies in it.
    ///   - traceLimit: how many of the last events are told.
    public static func run(
        seed: UInt64, scope: Scope = .extended, sabotage: Sabotage? = nil, traceLimit: Int = 0
    ) -> Outcome {
        let setup = Setup(seed: seed, scope: scope, sabotage: sabotage)
        let world = World(setup, trace: Trace(limit: traceLimit))
        world.live()
        var outcome = Outcome()
        outcome.failure = world.failure
        outcome.setup = setup.words
        outcome.trace = world.trace.text
        outcome.sessions = world.statistics.sessions
        outcome.logins = world.statistics.logins
        outcome.moved = world.statistics.moved
        outcome.movedSessions = world.statistics.movedSessions
        outcome.events = world.statistics.events
        outcome.requests = world.statistics.requests
        outcome.lost = world.statistics.lost
        outcome.cancelled = world.statistics.cancelled
        world.end()
        return outcome
    }
}

extension World {
    /// From the first client to the last check.
    func live() {
        for number in 0..<setup.clients {
            let client = Client(self, number: number)
            clients.append(client)
            if setup.hasLatecomers, number % 2 == 1 {
                comeLate(client)
            } else {
                schedule(after: UInt64(random.below(20)) * 100_000) { client.start() }
            }
        }
        planOrders()
        planMoreOrders()
        planFaults()
        let patience = 100 * setup.stretch
        let isOver = run(nanoseconds: UInt64(patience) * 1_000_000_000) { goneCount == clients.count }
        guard failure == nil else { return }
        guard isOver else {
            let waiting = clients.filter { !$0.isGone }.map(\.name).joined(separator: ", ")
            return fail("not answered after \(patience) seconds: \(waiting)")
        }
        // Longer than any timeout that is left at its default.
        _ = run(nanoseconds: setup.hasFaults ? 20_000_000_000 : 5_000_000_000) { false }
        // An order may have been given a moment ago.
        _ = run(nanoseconds: 1_000_000_000) { living.allSatisfy { $0.control.isEmpty } }
        for worker in living where worker.incarnation == 1 && worker.acknowledged.count != Int(ordered) {
            fail("of \(ordered) orders are acknowledged: \(worker.acknowledged.sorted())")
        }
        if let requester = requesters.first(where: { !$0.isGone }) {
            fail("a cancel request is not done: \(requester)")
        }
        if isShuttingDown, living.contains(where: { !$0.isDrained }) {
            fail("a worker has nothing left to do, and does not say so")
        }
        checkRest()
    }

    /// Everybody has left: what was theirs must be gone, and the servers must be free and clean.
    private func checkRest() {
        guard failure == nil else { return }
        for backend in postgres.backends where !backend.isGone {
            guard let session = backend.session else { continue }
            if session.block != .none || session.copyIn != nil {
                fail("server \(backend.number) is left in a transaction")
            }
        }
        #if DEBUG || INVARIANTS
            for worker in living { checkEmptiness(of: worker) }
        #endif
        #if DEBUG || INVARIANTS
            for backend in postgres.backends where setup.isVirtual && !backend.isGone {
                let worker = backend.socket.worker
                guard case .server(let server)? = backend.socket.peer, worker.core.servers.contains(server)
                else { continue }
                let believed = Int(worker.core.servers[server].statements.count)
                if believed != backend.statementCount {
                    fail("server \(backend.number) has \(backend.statementCount) statements, not \(believed)")
                }
            }
        #endif
        for backend in postgres.backends { backend.vanish(.closed) }
        _ = run(nanoseconds: 3_000_000_000) { false }
        #if DEBUG || INVARIANTS
            for worker in living {
                let servers = worker.core.servers.count
                if servers != 0 { fail("\(servers) servers are gone and are kept") }
                let chunks = worker.core.replies.count
                if chunks != 0 { fail("\(chunks) chunks of replies are left") }
                let counts = worker.core.statements.counts
                if counts != (0, 0, 0) { fail("statements are left: \(counts)") }
            }
        #endif
    }

    #if DEBUG || INVARIANTS
        private func checkEmptiness(of worker: Worker) {
            for slot in 0..<worker.core.clients.slotLimit {
                guard let client = worker.core.clients.handle(at: slot) else { continue }
                fail("a client has left and is kept: \(worker.core.clients[client].state)")
            }
            for slot in 0..<worker.core.servers.slotLimit {
                guard let server = worker.core.servers.handle(at: slot) else { continue }
                if worker.core.servers[server].state != .idle {
                    fail("a server is \(worker.core.servers[server].state), and nobody is there")
                }
            }
        }
    #endif
}
