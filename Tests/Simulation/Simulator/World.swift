import Base
import Config
import SharedState

#if DEBUG || INVARIANTS
    @testable import PoolCore
#else
    import PoolCore
#endif

/// A core with everything around it made from a seed: clients, PostgreSQL, network and clock.
final class World {
    let setup: Setup
    var random: Random
    var core: PoolCore
    var now: UInt64 = 1_000_000_000
    var events = EventQueue()
    var sockets: [Socket] = []
    var postgres: Postgres!
    var clients: [Client] = []
    let statistics = Statistics()
    let trace: Trace
    /// What has gone wrong first.
    private(set) var failure: String?
    /// SQLSTATEs that a client may be sent away with, because of what has been done to the world.
    var excuses: Set<String> = []
    /// Connections of clients that the fault plan has broken while they were linked, and clients that were
    /// told so.
    var brokenServers = 0
    var toldOfBrokenServers = 0
    /// Numbers of orders given and acknowledged.
    var ordered: UInt64 = 0
    var acknowledged: Set<UInt64> = []
    var requesters: [CancelRequester] = []
    /// The worker has been told to end, and has nothing left to do.
    var isShuttingDown = false
    var isDrained = false
    /// The messages of the client and the answers to them, in hexadecimal.
    var record: [String] = []
    /// What the core is told when it is done with the rest.
    var afterwards: [Event] = []

    private let memory: UnsafeMutableRawPointer

    // The worker's.
    var dirty: [Socket] = []
    var resumed: [Socket] = []
    var input: [UInt8] = []
    var inputSocket: Socket?
    var attempts: Set<Handle<Server>> = []

    init(_ setup: Setup, trace: Trace) {
        self.setup = setup
        self.trace = trace
        random = Random(seed: setup.seed &* 0x9E37_79B9 &+ 17)
        let layout = SegmentLayout(workers: 1, poolCapacity: 64, ringBytes: 4096)
        memory = .allocate(byteCount: layout.byteCount, alignment: 4096)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: layout.byteCount)
        let segment = Segment.initialize(
            memory: memory, byteCount: layout.byteCount, layout: layout, generation: 1,
            startRealtimeMicroseconds: 0,
            secrets: SegmentSecrets(
                instance: Hash128(low: 1, high: 2), mockAuthentication: Array(repeating: 7, count: 32)))
        let (configuration, users) = setup.configuration()
        core = PoolCore(
            configuration: configuration, userList: users, identity: WorkerIdentity(index: 0, count: 1),
            capacities: Capacities(
                clients: 1024, servers: 256, pools: 64, replyChunks: 4096, statements: 1024),
            segment: segment, seed: setup.seed)
        core.now = now
        refillEntropy()
        execute([], from: nil)
        postgres = Postgres(self)
    }

    deinit { memory.deallocate() }

    /// Notes what has gone wrong; the first fault counts.
    func fail(_ text: String) {
        guard failure == nil else { return }
        failure = text
        trace.note(now, text)
    }

    func refillEntropy() {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(24 * 1024)
        for _ in 0..<(3 * 1024) { withUnsafeBytes(of: random.next()) { bytes.append(contentsOf: $0) } }
        core.entropy.add(bytes.rawSpan)
    }

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

    /// One turn of the worker: all that is due at the next point in time.
    func turn() {
        let time = min(events.nextTime, core.nextUpkeep)
        now = max(now, time)
        core.now = now
        core.wallClock = now / 1000
        while events.nextTime <= now, failure == nil { events.removeFirst()() }
        deliverResumed()
        if now >= core.nextUpkeep, failure == nil {
            tell(.upkeep)
            deliverResumed()
        }
        startSends()
    }

    /// Lets time pass until something holds, or for as long as given; false when it did not come to hold.
    func run(nanoseconds: UInt64, until isDone: () -> Bool) -> Bool {
        let end = now + nanoseconds
        var turns = 0
        while failure == nil, !isDone() {
            if min(events.nextTime, core.nextUpkeep) > end { return false }
            turn()
            turns += 1
            if turns > 300_000 { fail("the world never comes to rest") }
        }
        return failure == nil
    }

    /// Tells the core of an event and carries out what it wants.
    func tell(_ event: Event) {
        if core.entropy.needsRefill { refillEntropy() }
        core.handle(event)
        execute([], from: nil)
    }

    func checkInvariants() {
        statistics.events += 1
        #if DEBUG || INVARIANTS
            for fault in core.checkInvariants() { fail("invariant: \(fault)") }
        #endif
        if core.firewallHits > 0, !setup.isSabotaged {
            fail("the core takes a reply of PostgreSQL's for one that must not come")
        }
    }
}

/// Counts of what a world did.
final class Statistics {
    var events = 0
    var requests = 0
    var errors = 0
    var cancelled = 0
    var lost = 0
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
