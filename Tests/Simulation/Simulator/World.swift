import Base
import Config
import SharedState

#if DEBUG || INVARIANTS
    @testable import PoolCore
#else
    import PoolCore
#endif

/// Workers with everything around them made from a seed: clients, PostgreSQL, network and clock.
final class World {
    let setup: Setup
    var random: Random
    var now: UInt64 = 1_000_000_000
    var events = EventQueue()
    /// By worker index; nil while there is no process.
    var workers: [Worker?] = [] { didSet { living = workers.compactMap { $0 } } }
    /// The workers that live.
    private(set) var living: [Worker] = []
    /// What workers have sent each other and nobody has read, by receiver.
    var inboxes: [[(bytes: [UInt8], sockets: [Socket])]] = []
    /// All connections by the slot of their handles; one that was lent has several.
    var sockets: [Socket] = []
    var postgres: Postgres!
    var clients: [Client] = []
    /// How many of them have left.
    private(set) var goneCount = 0
    /// Those that have not come yet.
    private var latecomers: [Client] = []
    let statistics = Statistics()
    let trace: Trace
    /// The passwords that PostgreSQL knows, by user, where users are looked up.
    var passwords: [String: String] = [:]
    /// Passwords have been changed.
    var hasChangedPasswords = false
    /// What has gone wrong first.
    private(set) var failure: String?
    /// SQLSTATEs that a client may be sent away with, because of what has been done to the world.
    var excuses: Set<String> = []
    /// Connections of clients that the fault plan has broken while they were linked, and clients that were
    /// told so.
    var brokenServers = 0
    var toldOfBrokenServers = 0
    /// The number of the last order.
    var ordered: UInt64 = 0
    var requesters: [CancelRequester] = []
    /// The workers have been told to end.
    var isShuttingDown = false
    /// Clients of a database have been sent away by an order.
    var hasKilled = false
    /// The messages of the client and the answers to them, in hexadecimal.
    var record: [String] = []
    /// The configuration in force.
    var configuration: Configuration
    let userList: [UInt8]
    let segment: Segment
    /// Workers that have been killed and of which the others have not all been told.
    var burials = 0
    /// Servers of each pool when they were counted last.
    var serverCounts: [LedgerPool: Int] = [:]
    private let memory: UnsafeMutableRawPointer

    init(_ setup: Setup, trace: Trace) {
        self.setup = setup
        self.trace = trace
        random = Random(seed: setup.seed &* 0x9E37_79B9 &+ 17)
        let layout = SegmentLayout(workers: setup.workers, poolCapacity: 64, ringBytes: 4096)
        memory = .allocate(byteCount: layout.byteCount, alignment: 4096)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: layout.byteCount)
        segment = Segment.initialize(
            memory: memory, byteCount: layout.byteCount, layout: layout, generation: 1,
            startRealtimeMicroseconds: 0,
            secrets: SegmentSecrets(
                instance: Hash128(low: 1, high: 2), mockAuthentication: Array(repeating: 7, count: 32)))
        (configuration, userList) = setup.configuration()
        inboxes = Array(repeating: [], count: setup.workers)
        workers = Array(repeating: nil, count: setup.workers)
        for index in 0..<setup.workers { start(index, incarnation: 1) }
        postgres = Postgres(self)
        for user in 0..<setup.users { passwords["u\(user)"] = "p\(user)" }
    }

    deinit { memory.deallocate() }

    /// Starts a worker.
    func start(_ index: Int, incarnation: UInt64) {
        segment.worker(index).begin(pid: 1, realtimeMicroseconds: 0)
        if setup.movesClients { segment.worker(index).state = .ready }
        workers[index] = Worker(self, index: index, incarnation: incarnation)
    }

    /// Notes what has gone wrong; the first fault counts.
    func fail(_ text: String) {
        guard failure == nil else { return }
        failure = text
        trace.note(now, text)
    }

    /// Forgets what refers to each other: what is planned to the world, sockets and workers to one another.
    func end() {
        events = EventQueue()
        for socket in sockets {
            socket.blocks = nil
            socket.worker.dirty = []
            socket.worker.resumed = []
        }
    }

    /// Has a client come when there is an occasion, or else after a while.
    func comeLate(_ client: Client) {
        latecomers.append(client)
        schedule(after: 500_000_000) { self.startLatecomer() }
    }

    /// The next client that has not come yet does.
    func startLatecomer(at worker: Worker? = nil) {
        if let client = latecomers.popLast() { client.start(at: worker) }
    }

    /// A client has left: in a crowd the next one takes its place.
    func hasGone(_ client: Client) {
        goneCount += 1
        guard client.predecessors + 1 < setup.visits, !isShuttingDown else { return }
        let next = Client(self, number: clients.count, predecessors: client.predecessors + 1)
        clients.append(next)
        schedule(after: UInt64(random.below(20)) * 500_000) { next.start() }
    }

    // MARK: Workers

    func others(than worker: Worker) -> [Worker] { living.filter { $0 !== worker } }

    /// A client connects; `nil` when nobody is there to accept it.
    func accept(_ far: any FarEnd) -> Socket? {
        let living = living
        guard !living.isEmpty else { return nil }
        return (living.count == 1 ? living[0] : random.pick(living)).accept(far)
    }

    func write(_ socket: Socket, _ bytes: [UInt8]) { socket.worker.write(socket, bytes) }
    func end(_ socket: Socket, _ ending: Ending) { socket.worker.end(socket, ending) }
    func depart(_ socket: Socket) { socket.worker.depart(socket) }

    /// SQLSTATEs that a client may be sent away with.
    var reasons: Set<String> { excuses.union(setup.excuses) }

    // MARK: Time

    /// Has something happen after a time in nanoseconds.
    func schedule(after delay: UInt64, _ action: @escaping () -> Void) { events.add(now + delay, action) }

    /// How long the network or somebody's processor takes for a step, in nanoseconds. Coarse, so that things
    /// happen at the same time often.
    func latency() -> UInt64 {
        switch random.below(100) {
        case 0..<60: UInt64(random.below(4)) * 50_000
        case 60..<95: UInt64(random.below(20)) * 100_000
        default: UInt64(random.below(10)) * 5_000_000
        }
    }

    /// When something is due next.
    private var nextTime: UInt64 { living.reduce(events.nextTime) { min($0, $1.nextUpkeep) } }

    /// One turn of the workers: all that is due at the next point in time.
    func turn() {
        now = max(now, nextTime)
        for worker in living {
            worker.readClock()
        }
        while events.nextTime <= now, failure == nil { events.removeFirst()() }
        checkWakeUps()
        for worker in living {
            worker.deliverResumed()
            if now >= worker.nextUpkeep, failure == nil {
                worker.tell(.upkeep)
                worker.deliverResumed()
            }
            worker.startSends()
        }
    }

    /// Lets time pass until something holds, or for as long as given; false when it did not come to hold.
    func run(nanoseconds: UInt64, until isDone: () -> Bool) -> Bool {
        let end = now + nanoseconds
        var turns = 0
        while failure == nil, !isDone() {
            if nextTime > end { return false }
            turn()
            turns += 1
            if turns > 300_000 * setup.stretch { fail("the world never comes to rest") }
        }
        return failure == nil
    }
}

/// Counts of what a world did.
final class Statistics {
    var events = 0
    var requests = 0
    var errors = 0
    var cancelled = 0
    var lost = 0
    var sessions = 0
    var logins = 0
    var moved = 0
    var movedSessions = 0
}

extension Random {
    /// True in so many of a hundred cases.
    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }

    /// One of them.
    mutating func pick<Element>(_ elements: [Element]) -> Element { elements[below(elements.count)] }

    /// A number of the range.
    mutating func number(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + below(range.upperBound - range.lowerBound + 1)
    }
}
