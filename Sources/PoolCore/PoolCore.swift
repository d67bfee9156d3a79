public import Auth
public import Base
public import Config
public import SharedState
import Wire

/// The part of a worker that decides: who gets which server, what is forwarded where, what times out.
///
/// It is pure: it is told what happened (`handle`, `received`) and says what is to be done (`actions`), in
/// that order, one event at a time. Time and random bytes are handed in; nothing else is read. Every record
/// lives in a slab and is named by a handle, so a late event for something that is gone is recognised and
/// ignored.
public struct PoolCore: ~Copyable {
    private let anchor = Anchor()
    /// What is to be done, in order. The worker empties it after each event, together with `output`.
    public var actions = PlainArray<Action>(capacity: 256)
    /// Bytes the actions speak of.
    public var output = ByteBuffer(capacity: 16 * 1024)
    /// The loop's clock, in nanoseconds; set by the worker before each event, never going back.
    public var now: UInt64 = 0
    /// Wall clock in microseconds since 1970, set beside `now`; for display only.
    public var wallClock: UInt64 = 0
    /// Random bytes for keys, salts and nonces; the worker keeps it filled.
    public var entropy = Entropy()

    // Records.
    var clients: Slab<Client>
    var servers: Slab<Server>
    var pools: Slab<Pool>
    var replies: Slab<ReplyChunk>
    var bytes: BytePool
    var parameters: Parameters
    var statements: Statements
    var databases: [Database] = []
    var users: [User] = []
    var poolIndex: [UInt64: Handle<Pool>] = [:]
    var databaseIndex: [[UInt8]: Int] = [:]
    /// Peers that there are or have been, among the databases.
    var peerIndex: [UInt16: Int] = [:]
    var userIndex: [[UInt8]: Int] = [:]

    // What is going on outside the records.
    /// Login exchanges that are not finished, by client and by server.
    var clientLogins: [Handle<Client>: ClientLogin] = [:]
    var serverLogins: [Handle<Server>: ServerLogin] = [:]
    /// What servers that run `auth_query` have answered so far.
    var lookups: [Handle<Server>: Lookup] = [:]
    /// Whom they have found lately.
    var lookupCache = LookupCache()
    /// The last secret that `auth_query` found was an md5 one: who has none is asked for the same proof as
    /// the others, and cannot tell that he has none.
    var looksUpMD5 = false
    /// What `auth_query` has said of the users of pools.
    var credentials: [Handle<Pool>: Credentials] = [:]
    /// Where clients and servers are connected, for display and logs.
    var clientOrigins: [Handle<Client>: ClientOrigin] = [:]
    var serverAddresses: [Handle<Server>: ServerAddress] = [:]
    /// Clients that have not proved who they are.
    var strangers: Strangers
    /// How many of them there may be whatever the settings say.
    let loginCapacity: Int
    /// Logins that have failed lately.
    var loginFailures = LoginFailures()
    /// Users of the user list with a secret, and the first of them whose verifier may have to be made.
    var models: [Int] = []
    var nextVerifier = 0
    /// Logins of this worker that have failed, and those that were refused because of a limit.
    var loginsFailed: UInt64 = 0
    var loginsRefused: UInt64 = 0
    /// Clients whose connections are encrypted, and how.
    var clientEncryptions: [Handle<Client>: Encryption] = [:]
    /// Startup parameters of PostgreSQL that a replication client brought.
    var lifecycle = Lifecycle()
    /// Which connection the log line that is being written speaks of.
    var lineSubject = LogSubject.none

    // Configuration.
    var configuration: Configuration
    /// How clients prove who they are where `auth_type` is hba.
    var accessRules: AccessRules
    let identity: WorkerIdentity
    let segment: Segment
    let block: WorkerBlock
    /// What all workers own together.
    let ledger: Ledger
    /// Pools by their entries in the ledger.
    var poolOfEntry: [LedgerPool: Handle<Pool>] = [:]
    /// Servers that have been offered to other workers.
    var transfers: [Handle<Server>] = []
    /// Clients that are on their way to other workers.
    var moves: [Handle<Client>] = []
    /// The other workers that have been told in this event that a server was closed, as bits.
    var freedTold: UInt64 = 0
    /// The number of the last order or configuration that has been obeyed.
    var lastEpoch: UInt64 = 0
    /// What mock challenges are made from, the same in every worker.
    let mockSecret: [UInt8]
    var random: Random
    /// `[users]` by name.
    var userDefinitions: [[UInt8]: UserDefinition] = [:]
    /// The texts of `server_check_query` and `server_reset_query`.
    var checkQuery: [UInt8] = []
    var resetQuery: [UInt8] = []
    /// Settings read for every message, copied out of `configuration`.
    var hot = HotSettings()

    /// Where the bytes that are being walked over begin in those that were handed to `received`: behind the
    /// packet that ended a login, they are its rest.
    var inputStart = 0
    /// Where the bytes begin that are to be passed on with the next `forward`, while messages are walked
    /// over.
    var runStart = 0
    /// A made-up reply is next in the queue of the server being read, as soon as the current message has
    /// passed.
    var synthesisIsDue = false

    /// Which of the bytes that were handed to `received` are passwords and proofs: the caller empties this,
    /// and overwrites them when it has carried out the actions.
    public var secretBytes: Range<Int> = 0..<0

    /// Servers are being opened because one was closed; closing another must not begin that anew.
    var isOpeningAfterClose = false

    /// When `handle(.upkeep)` is due next, on the loop clock.
    @inline(__always)
    public var nextUpkeep: UInt64 { min(nextFullUpkeep, nextLending) }
    /// When everything is looked at next.
    var nextFullUpkeep: UInt64 = 0
    /// When servers are lent next that are kept a moment for the clients here.
    var nextLending: UInt64 = .max

    /// Counts of things that should never happen, for the log and the tests.
    public internal(set) var firewallHits = 0
    /// Counts the statements that only one client may use; far from the numbers of epochs, and of those of
    /// other workers.
    var privateStatements: UInt64

    /// A core without clients or servers.
    ///
    /// - Parameters:
    ///   - configuration: already validated.
    ///   - userList: the bytes of `auth_file`.
    ///   - rules: what `auth_hba_file` says.
    ///   - identity: which worker this is.
    ///   - capacities: how many records of each kind there may be.
    ///   - segment: the shared segment; this worker writes its own block of it.
    ///   - seed: for choices that need no secrecy.
    public init(
        configuration: Configuration, userList: [UInt8], rules: AccessRules = AccessRules(),
        identity: WorkerIdentity, capacities: Capacities, segment: Segment, seed: UInt64
    ) {
        let secrets = segment.secrets
        clients = Slab(capacity: capacities.clients)
        strangers = Strangers(capacity: capacities.clients)
        loginCapacity = max(1, capacities.logins)
        servers = Slab(capacity: capacities.servers)
        pools = Slab(capacity: capacities.pools)
        replies = Slab(capacity: capacities.replyChunks)
        bytes = BytePool(key: secrets.instance)
        parameters = Parameters(extra: configuration.settings.trackExtraParameters)
        statements = Statements(capacity: capacities.statements, key: secrets.instance)
        self.configuration = configuration
        accessRules = rules
        self.identity = identity
        lastEpoch = identity.epoch
        self.segment = segment
        block = segment.worker(identity.index)
        ledger = segment.ledger(of: identity.index)
        // Servers, and so the names of statements on them, go from worker to worker.
        privateStatements = 1 << 63 | UInt64(identity.index) << 56 | (identity.incarnation & 0xFFFF) << 40
        mockSecret = secrets.mockAuthentication
        random = Random(seed: seed)
        apply(configuration, userList: userList)
    }

    /// Workers of the instance, those that have gone included.
    @inline(__always)
    var workerCount: Int { ledger.workerCount }

    /// Whether there are no other workers.
    @inline(__always)
    var isAlone: Bool { ledger.workerCount == 1 }

    // MARK: Queueing actions

    /// Queues what was appended to `output` since `start` for sending.
    mutating func send(_ connection: ConnectionID, from start: Int) {
        let count = output.count - start
        guard count > 0, !connection.isNone else { return }
        actions.append(.send(connection, offset: start, count: count))
    }

    /// Queues a range of the bytes being received for sending.
    @inline(__always)
    mutating func forward(_ connection: ConnectionID, _ offset: Int, _ count: Int) {
        guard count > 0 else { return }
        actions.append(.forward(connection, offset: inputStart &+ offset, count: count))
    }

    /// Queues what was appended to `output` since `start` as a log line.
    mutating func log(_ level: LogLevel, from start: Int) {
        actions.append(.log(level, lineSubject, offset: start, count: output.count - start))
        lineSubject = .none
    }
}

/// Which worker a core belongs to.
public struct WorkerIdentity: Sendable {
    /// From 0.
    public let index: Int
    /// How many processes have had this index, this one included.
    public let incarnation: UInt64

    /// The last order or configuration that what the worker starts with contains.
    public let epoch: UInt64

    /// Seconds the displayed time is ahead of UTC, and the zone's short name.
    public let timeZoneOffsetSeconds: Int
    public let timeZoneName: String

    /// The identity of worker `index`.
    public init(
        index: Int, incarnation: UInt64 = 1, epoch: UInt64 = 0, timeZoneOffsetSeconds: Int = 0,
        timeZoneName: String = "UTC"
    ) {
        self.index = index
        self.incarnation = incarnation
        self.epoch = epoch
        self.timeZoneOffsetSeconds = timeZoneOffsetSeconds
        self.timeZoneName = timeZoneName
    }
}

/// How many records of each kind a core can hold. Address space only, until they are used.
public struct Capacities: Sendable {
    public var clients: Int
    public var servers: Int
    public var pools: Int
    public var replyChunks: Int
    public var statements: Int
    /// Clients that have not proved who they are, at most.
    public var logins: Int

    /// Capacities with explicit numbers; the defaults serve a worker whose descriptors are the real limit.
    public init(
        clients: Int = 262_144, servers: Int = 32_768, pools: Int = 16_384, replyChunks: Int = 262_144,
        statements: Int = 262_144, logins: Int = .max
    ) {
        self.clients = clients
        self.servers = servers
        self.pools = pools
        self.replyChunks = replyChunks
        self.statements = statements
        self.logins = logins
    }
}

/// Random bytes waiting to be used. The worker fills it from the system, a simulation from its seed.
@safe
public struct Entropy: ~Copyable {
    private var buffer = ByteBuffer(capacity: 32 * 1024)
    private var taken = 0

    init() {}

    /// Whether the worker should add bytes before the next event.
    public var needsRefill: Bool { buffer.count - taken < 8 * 1024 }

    /// Adds random bytes.
    public mutating func add(_ bytes: RawSpan) {
        buffer.removeFirst(taken)
        taken = 0
        buffer.append(bytes)
    }

    /// Takes one byte.
    ///
    /// - Precondition: the worker has kept it filled.
    mutating func takeByte() -> UInt8 {
        precondition(taken < buffer.count, "random bytes are refilled between events")
        let byte = buffer[taken]
        taken += 1
        return byte
    }

    /// Takes bytes.
    mutating func take(_ count: Int) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(count)
        for _ in 0..<count { result.append(takeByte()) }
        return result
    }
}

/// Whether the worker runs, pauses, or ends.
struct Lifecycle {
    /// A global PAUSE is in force.
    var isPaused = false
    /// New logins are refused; the worker ends when the last client has left.
    var waitsForClients = false
    /// No client is linked any more; the worker ends when the last server has been released.
    var waitsForServers = false
    /// The worker is to go: what is here moves to the others.
    var isLeaving = false
    /// Clients are sent away as soon as they are between two transactions.
    var isDismissing = false
    /// A KILL of everything is in force: databases that come up are paused too.
    var pausesNewDatabases = false
    /// Orders that are acknowledged when they are done: a pause, by database (nil: all).
    var pendingPauses: [(database: Int?, epoch: UInt64)] = []
    /// Likewise: who waits until no server is left that is to be closed.
    var pendingCloses: [(database: Int?, epoch: UInt64)] = []
    /// `drained` has been said.
    var isDrained = false

    var isShuttingDown: Bool { waitsForClients || waitsForServers }
    /// Whether somebody is told when servers have been released or closed.
    var awaitsServers: Bool { !pendingPauses.isEmpty || !pendingCloses.isEmpty || waitsForServers }
    /// Whether nobody new is served here.
    var isEnding: Bool { waitsForClients || waitsForServers || isLeaving || isDismissing }
}

/// Settings looked at for every message or link.
struct HotSettings {
    var maxPacketSize: UInt32 = .max
    var disablesQuery = false
    var maxPreparedStatements = 0
    var roundRobin = false
    var checkDelay: UInt64 = 0
    var checksBeforeUse = false
    var resetsAlways = false
    var resetQuery = false
}
