import Base
import Config
import SharedState

#if DEBUG || INVARIANTS
    @testable import PoolCore
#else
    import PoolCore
#endif

/// A simulated worker process: a core, and what is around it in `Sources/Worker`.
final class Worker {
    unowned let world: World
    let index: Int
    let incarnation: UInt64
    var core: PoolCore
    /// How far its clock, which is read once per turn, is behind.
    let lag: UInt64
    /// The process has been killed; what is still scheduled for it means nothing.
    var isDead = false
    /// Numbers of orders it has acknowledged.
    var acknowledged: Set<UInt64> = []
    /// It was told to end, and has nothing left to do.
    var isDrained = false
    /// It has been told to go.
    var isLeaving = false
    /// It was given an order or a configuration: what that allows, upkeep does.
    var hasNewOrders = false
    /// What the supervisor has sent and it has not read.
    var control: [Event] = []
    /// What the core is told when it is done with the rest.
    var afterwards: [Event] = []
    var dirty: [Socket] = []
    var resumed: [Socket] = []
    var attempts: Set<Handle<Server>> = []

    init(_ world: World, index: Int, incarnation: UInt64) {
        self.world = world
        self.index = index
        self.incarnation = incarnation
        lag = world.setup.workers > 1 ? UInt64(world.random.below(4)) * 30_000 : 0
        core = PoolCore(
            configuration: world.configuration, userList: world.userList,
            identity: WorkerIdentity(
                index: index, incarnation: incarnation, epoch: world.ordered),
            capacities: Capacities(
                clients: 1024, servers: 256, pools: 64, replyChunks: 4096, statements: 1024),
            segment: world.segment, seed: world.setup.seed)
        readClock()
        refillEntropy()
        execute([], from: nil)
    }

    // What it shares with its world.
    var random: Random {
        get { world.random }
        _modify { yield &world.random }
    }
    var setup: Setup { world.setup }
    var now: UInt64 { world.now }
    var failure: String? { world.failure }
    var trace: Trace { world.trace }
    var postgres: Postgres { world.postgres }
    func latency() -> UInt64 { world.latency() }
    func fail(_ text: String) { world.fail(text) }

    func refillEntropy() {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(24 * 1024)
        for _ in 0..<(3 * 1024) { withUnsafeBytes(of: random.next()) { bytes.append(contentsOf: $0) } }
        core.entropy.add(bytes.rawSpan)
    }

    /// Tells the core of an event and carries out what it wants.
    func tell(_ event: Event) {
        guard !isDead else { return }
        readClock()
        if core.entropy.needsRefill { refillEntropy() }
        switch event {
        case .order, .configuration: hasNewOrders = true
        case .upkeep: hasNewOrders = false
        default: break
        }
        core.handle(event)
        execute([], from: nil)
    }

    func readClock() {
        core.now = max(core.now, now - lag)
        core.wallClock = now / 1000
    }

    /// When upkeep is due by the clock of the world.
    var nextUpkeep: UInt64 { core.nextUpkeep == .max ? .max : core.nextUpkeep + lag }

    /// Tells the core of an event in the next turn.
    func later(_ event: Event) { world.schedule(after: 0) { self.tell(event) } }

    /// A message of another worker has come.
    func take(_ bytes: [UInt8], _ sockets: [Socket]) {
        let socket = sockets.first
        guard let (meant, message) = try? InboxMessage.decode(bytes.rawSpan) else {
            return fail("a worker sends what cannot be read")
        }
        if case .move(let record) = message { return take(record, isMeant: meant == incarnation, socket) }
        if case .moveSession(let record) = message {
            return take(session: record, isMeant: meant == incarnation, sockets)
        }
        guard case .lend(let server) = message else {
            trace.note(now, "worker \(index) is told: \(message)")
            return tell(.told(message))
        }
        trace.note(now, "worker \(index) is lent a server of worker \(server.sender)")
        guard meant == incarnation, let socket else {
            core.refuse(server)
            if let socket { world.letGo(socket) }
            return
        }
        // Another descriptor of the same connection.
        let id = ConnectionID(slot: UInt32(world.sockets.count), generation: 1)
        world.sockets.append(socket)
        let backend = socket.far as? Backend
        let statementCount = backend?.statementCount
        tell(.lent(server, id))
        // What the sender has withdrawn meanwhile is not taken, and may have been used since.
        guard setup.isVirtual, socket.worker === self, let backend, !backend.isGone, let statementCount,
            statementCount != server.statements.count
        else { return }
        fail("server \(backend.number) has \(statementCount) statements, not \(server.statements.count)")
    }

    /// Another worker sends a client.
    private func take(_ record: [UInt8], isMeant: Bool, _ socket: Socket?) {
        guard let client = try? MovedClient(decoding: record), let socket else {
            return fail("a worker sends a client that cannot be read")
        }
        trace.note(now, "worker \(index) is sent a client of worker \(client.sender)")
        let isChanged = isChanged(client, socket)
        guard isMeant else {
            core.refuse(client)
            return world.letGo(socket)
        }
        let id = ConnectionID(slot: UInt32(world.sockets.count), generation: 1)
        world.sockets.append(socket)
        world.statistics.moved += 1
        tell(.moved(client, id))
        if isChanged, socket.worker === self { fail("a client's input is lost on the way") }
    }

    /// Another worker sends a client with its server.
    private func take(session record: [UInt8], isMeant: Bool, _ sockets: [Socket]) {
        guard let session = try? MovedSession(decoding: record), sockets.count == 2 else {
            return fail("a worker sends a session that cannot be read")
        }
        trace.note(now, "worker \(index) is sent a session of worker \(session.client.sender)")
        let isChanged = isChanged(session.client, sockets[0])
        guard isMeant else {
            core.refuse(session)
            return sockets.forEach(world.letGo)
        }
        let slot = UInt32(world.sockets.count)
        world.sockets += sockets
        world.statistics.movedSessions += 1
        tell(
            .movedSession(
                session, ConnectionID(slot: slot, generation: 1),
                server: ConnectionID(slot: slot + 1, generation: 1)))
        if isChanged, sockets[0].worker === self { fail("a client's input is lost on the way") }
    }

    /// Whether a client's record has other input than its sender has held; what the sender has withdrawn
    /// meanwhile, and goes on with, is not taken.
    private func isChanged(_ client: MovedClient, _ socket: Socket) -> Bool {
        !socket.worker.isDead && socket.state == .open && client.input != socket.held
    }

    func checkInvariants() {
        world.statistics.events += 1
        #if DEBUG || INVARIANTS
            // Sums over histograms take longer than all the rest, and what is wrong in them stays wrong.
            let isSixteenth = world.statistics.events.isMultiple(of: 16)
            for fault in core.checkInvariants(includesStatistics: isSixteenth) {
                fail("invariant of worker \(index): \(fault)")
            }
            world.checkLimits()
            for fault in core.ledger.faults() { fail("ledger: \(fault)") }
        #endif
        if core.firewallHits > 0, !setup.isSabotaged {
            fail("the core takes a reply of PostgreSQL's for one that must not come")
        }
    }
}
