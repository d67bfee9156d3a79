import Auth
import Base
import Config
import EventLoop
import PoolCore
import SharedState
import System
import TLS

/// One worker process: the core, its sockets, and the loop that carries events and actions between them.
@safe
struct WorkerLoop: ~Copyable {
    private let anchor = Anchor()
    /// Bytes queued for one connection at which whoever fills it stops receiving.
    static let highWater = 256 * 1024
    /// And at which it goes on.
    static let lowWater = 64 * 1024
    /// Held input of one connection at which it stops receiving.
    static let heldLimit = 64 * 1024
    /// Receives into large buffers that are started in one turn.
    static let bulkPerTurn = 2
    /// Steps of TLS handshakes in one turn: each may take a millisecond.
    static let handshakesPerTurn = 4
    /// Messages to other workers that are kept for later.
    static let untoldLimit = 4096
    /// Longest record of a client that moves which goes in a message: the channel must not fill with a few.
    static let inlineRecordLimit = 8 * 1024
    /// How long a peer may take to read the last bytes and to close its end.
    static let lingerNanoseconds: UInt64 = 2_000_000_000

    var core: PoolCore
    var loop: EventLoop
    var connections: Slab<Connection>
    var segments: Slab<OutputSegment>
    var batches: Slab<SendBatch>
    var memory = MemoryPool()
    /// Holders of each receive buffer: small ones first, then large ones.
    var references: PlainArray<UInt16>

    var context: WorkerChannels
    var configuration: Configuration
    let ring: LogRing
    let block: WorkerBlock
    let processID: Int32

    /// Connections with something new to send.
    var dirty = PlainArray<ConnectionID>(capacity: 4096)
    /// Connections whose input the core wants again.
    var resumed = PlainArray<ConnectionID>(capacity: 4096)
    /// Connections that could not receive for want of a buffer.
    var starved = PlainArray<ConnectionID>()
    /// Bulk connections that wait for their turn to receive.
    var bulkWaiters = PlainArray<ConnectionID>()
    /// Bulk receives that may still be started in this turn.
    var bulkAllowance = WorkerLoop.bulkPerTurn
    /// Connections that are given a moment to read their last bytes.
    var lingering: [(connection: ConnectionID, deadline: UInt64)] = []
    /// Sockets that are being connected, by server.
    var attempts: [Handle<Server>: Attempt] = [:]
    var names = NameCache()
    /// Clients whose passwords are being judged, by question.
    var verifications: [UInt64: Handle<Client>] = [:]
    var nextVerification: UInt64 = 0
    /// Listeners that wait for descriptors to become free.
    var pausedListeners: [(index: Int, until: UInt64)] = []
    var acceptsClients = true
    /// This worker is to go: others accept what comes.
    var isLeaving = false
    /// Nothing is read from clients and servers until RESUME.
    var suspension: Suspension?
    /// Clients are taken.
    var isOpen = false
    /// Listeners on which an accept is in flight.
    var armedListenerCount = 0
    var hasLogged = false
    /// Something was done in this turn: counts may have changed.
    var hasWorked = false
    var isEnding = false
    var isSupervisorLost = false
    var connectionOptions: ConnectionOptions
    let ownUserID: UInt32
    /// So many connections linger at most.
    let lingerLimit: Int

    /// What TLS sessions are made from; the clients' is nil where they are offered none.
    var contexts: TLSContexts
    let channel = TLSChannel()
    /// Handshakes that have to wait for the next turn, with their input in `held`.
    var handshakes = PlainArray<ConnectionID>()
    /// Steps of handshakes that may still be made in this turn.
    var handshakeAllowance = WorkerLoop.handshakesPerTurn

    /// Events that carrying out actions brought about at once.
    var afterwards: [Event] = []
    /// Connections that are to be handed over, on which receiving has to stop.
    var detaching: [ConnectionID] = []
    /// Messages to the supervisor that found its channel full.
    var unsent: [ControlMessage] = []
    /// Messages to other workers that found their inboxes full.
    var untold: [(worker: Int, record: [UInt8])] = []

    // The bytes that the core is being shown.
    var input: UnsafeRawPointer?
    var inputBuffer = BufferID.none
    var inputConnection = ConnectionID.none

    init(
        core: consuming PoolCore, loop: consuming EventLoop, context: WorkerChannels,
        configuration: Configuration, contexts: TLSContexts, ring: LogRing, block: WorkerBlock
    ) {
        self.contexts = contexts
        references = PlainArray(repeating: 0, count: loop.smallBufferCount + loop.largeBufferCount)
        self.core = core
        self.loop = loop
        connections = Slab(capacity: 1 << 20)
        segments = Slab(capacity: 1 << 20)
        batches = Slab(capacity: 1 << 17)
        self.context = context
        self.configuration = configuration
        self.ring = ring
        self.block = block
        processID = Process.id
        connectionOptions = ConnectionOptions(configuration.settings)
        ownUserID = Accounts.effectiveUserID
        lingerLimit = (try? Limits.descriptors()).map { Int(clamping: $0.soft / 4) } ?? 1000
    }

    /// Serves until there is nothing left to do.
    mutating func run() {
        setTime()
        if context.isOpen { armListeners() }
        loop.poll(context.control, Tag(operation: Operation.control, slot: 0, generation: 0))
        loop.poll(context.inbox, Tag(operation: Operation.inbox, slot: 0, generation: 0))
        loop.poll(context.resolver, Tag(operation: Operation.resolver, slot: 0, generation: 0))
        readControl()
        while !isEnding { turn() }
    }

    /// One turn: wait, hand everything that completed to the core, carry out what it wants, upkeep.
    @inline(never)
    private mutating func turn() {
        let due = suspension == nil ? min(core.nextUpkeep, nextDeadline()) : nextDeadline()
        let now = loop.nowNanoseconds
        let timeout = due > now ? min(due - now, WorkerBlock.beatNanoseconds) : 0
        let budget = UInt64(configuration.settings.busyPollMicroseconds) * 1000
        let mayRest =
            resumed.isEmpty && bulkWaiters.isEmpty && afterwards.isEmpty && detaching.isEmpty
            && handshakes.isEmpty
        loop.wait(timeoutNanoseconds: mayRest ? timeout : 0, busyPollNanoseconds: budget)
        setTime()
        if !mayRest || loop.completionCount > 0 { hasWorked = true }
        var index = 0
        while index < loop.completionCount {
            dispatch(loop[index])
            index &+= 1
        }
        deliverResumed()
        feedHandshakes()
        if core.now >= core.nextUpkeep, suspension == nil {
            core.handle(.upkeep)
            execute()
            deliverResumed()
        }
        meetDeadlines()
        if !detaching.isEmpty { stopDetaching() }
        if !afterwards.isEmpty { flushAfterwards() }
        startSends()
        if suspension != nil { settleSuspension() }
        feedStarved()
        feedBulk()
        if isLeaving { leaveIfVacant() }
        if hasLogged { wakeSupervisor() }
        if hasWorked {
            hasWorked = false
            block.noteActivity()
        }
        block.beat(core.now / 1000)
    }

    /// Reads the clock once, for everything that happens in this turn.
    mutating func setTime() {
        core.now = loop.nowNanoseconds
        core.wallClock = Clock.realNanoseconds / 1000
    }

    @inline(never)
    mutating func refillEntropy() {
        core.entropy.add(SecureRandom.bytes(count: 24 * 1024).rawSpan)
    }

    /// Takes a completion to whoever it is for.
    private mutating func dispatch(_ completion: Completion) {
        switch completion.tag.operation {
        case Operation.receive: received(completion)
        case Operation.send: sent(completion)
        case Operation.accept: accepted(completion)
        case Operation.connect: connectCompleted(completion)
        case Operation.control:
            readControl()
            if !completion.hasMore { loop.poll(context.control, completion.tag) }
        case Operation.inbox:
            readInbox()
            if !completion.hasMore { loop.poll(context.inbox, completion.tag) }
        case Operation.resolver:
            readResolver()
            if !completion.hasMore { loop.poll(context.resolver, completion.tag) }
        default:
            preconditionFailure("a completion with a tag this process never made")
        }
    }

    /// Tells the core of one event and carries out what it wants.
    mutating func tell(_ event: Event) {
        // Checked for every event: a burst of logins uses up more in one turn than is kept.
        if core.entropy.needsRefill { refillEntropy() }
        core.handle(event)
        execute()
    }

    /// Whether the connection is still there.
    @inline(__always)
    func contains(_ connection: ConnectionID) -> Bool {
        connections.contains(Handle<Connection>(raw: connection.raw))
    }

    /// The record of a connection that is there.
    subscript(_ connection: ConnectionID) -> Connection {
        @inline(__always)
        get { connections[Handle<Connection>(raw: connection.raw)] }
        @inline(__always)
        _modify { yield &connections[Handle<Connection>(raw: connection.raw)] }
    }

    /// Writes a line of the worker's own to the log.
    mutating func log(_ level: LogLevel, _ text: String) {
        ring.append(level, realtimeMicroseconds: core.wallClock, pid: processID, text: text)
        hasLogged = true
    }

    @inline(never)
    private mutating func wakeSupervisor() {
        hasLogged = false
        Descriptors.signal(event: context.supervisorWake)
    }
}

/// The descriptors a worker talks through.
struct WorkerChannels {
    let index: Int
    let incarnation: UInt64
    /// Whether to take clients at once; if not, an order says when.
    let isOpen: Bool
    let listeners: [WorkerListener]
    let control: Int32
    let inbox: Int32
    /// By worker index; -1 where there is none.
    var inboxSenders: [Int32]
    let resolver: Int32
    let supervisorWake: Int32
}
