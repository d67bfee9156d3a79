public import Base
import SharedState

/// A client connection, from accept to close. Plain data; what is larger lives in tables beside it.
public struct Client: Linked {
    /// Where the client is in its life.
    public enum State: UInt8, BitwiseCopyable {
        /// Its first packets are awaited; in `PoolCore.strangers`.
        case startup
        /// It is being authenticated; in `PoolCore.strangers` until that has succeeded.
        case authenticating
        /// Authenticated, and waiting for the pool's first server before it can be welcomed; in
        /// `Pool.welcomeWaiters`.
        case waitingForWelcome
        /// Welcome and without a server; in no list.
        case idle
        /// It has a request and no server; in `Pool.waiters`.
        case waiting
        /// It has a server; the server names it.
        case linked
        /// Its bytes go to and from the supervisor, which serves its console session; in no list.
        case relayed
        /// It brought a cancel key and waits until the cancel request has reached PostgreSQL, or the peer
        /// that gave the key; in no list.
        case cancelling
        /// It is on its way to another worker, alone or with the server it is linked to; in
        /// `PoolCore.moves`.
        case moving
        /// It brought the cancel key of a peer, to which there are as many connections as there may be; in
        /// `Pool.waiters`.
        case waitingForPeer
        /// Its user is not known here, and it waits for a server that can look it up; in `Pool.waiters` of
        /// the pool of `auth_user`.
        case waitingForLookup
        /// `auth_query` runs for it on a server, which names it; in no list.
        case lookingUp

        /// How many states there are.
        static var count: Int { 12 }
    }

    public var links = ListLinks<Client>()
    /// Where the client is in its life; changed by `moveClient` only.
    public internal(set) var state: State = .startup
    /// Its socket.
    public let connection: ConnectionID
    /// Its number in SHOW, unique among clients and servers of all workers.
    public let id: UInt64
    /// Its pool, from the login on; while it is looked up, that of `auth_user`.
    public internal(set) var pool: Handle<Pool> = .none
    /// Its server while `.linked` or `.lookingUp`, and while it moves with that; the server that carries its
    /// cancel request while `.cancelling`.
    public internal(set) var server: Handle<Server> = .none
    /// The other end of a `.relayed` client.
    public internal(set) var relay: ConnectionID = .none
    /// Index of its database, or -1.
    var database: Int32 = -1
    /// Index of the user it logged in as, or -1.
    var user: Int32 = -1
    /// The tracked parameters as the client believes them to be.
    var parameters: ParameterSetID = .empty
    /// The statement its last unnamed Parse made, or 0.
    var unnamedStatement: UInt32 = 0
    /// Counts the changes of its unnamed statement, so that a late failure of one does not hit the next.
    var unnamedSerial: UInt32 = 0
    /// The `Server.syncGroup` in which its unnamed statement changed last.
    var unnamedGroup: UInt32 = 0
    /// The `Server.syncGroup` in which it last gave or closed a name.
    var namesGroup: UInt32 = 0
    /// The first of its named statements.
    var statements = IntrusiveList<ClientStatement>()

    /// Bytes of the current message that are still to come.
    var bodyRemaining: UInt32 = 0
    /// What becomes of them.
    var bodyRoute: Route = .discard
    /// The unnamed statement of its server is its own.
    var hasUnnamedOnServer = false
    /// While `.cancelling` by way of other workers: how many of them have not answered yet.
    var awaitedAnswers: UInt16 = 0
    /// While `.moving`: to which worker; -1 otherwise.
    var destination: Int16 = -1
    /// While `.moving`, from when its record has been sent: its slot in the ledger.
    var ticket: TransferTicket?
    /// Its input is held until the server has answered all that is in flight.
    var awaitsReplies = false
    /// Its input is held until the prelude in front of it has succeeded.
    var awaitsPrelude = false
    /// Its request was cancelled while it waited: the rest of that is thrown away.
    var isCancelled = false
    /// That was a group of the extended protocol, which only a Sync ends: PostgreSQL skips a Query in it too.
    var isGroupCancelled = false
    /// Its input is held by us, and `resume` is owed.
    var isHeld = false
    /// A console administrator or the owner of the process: exempt from client limits.
    var isExempt = false
    /// Counted in the ledger among the clients of the instance.
    var isAdmitted = false
    /// Counted in the ledger among those of its database and user.
    var isInLedger = false
    /// Counted in its database and user.
    var isCounted = false
    /// A message to tell it that it waits has been sent in this wait.
    var isNotified = false
    /// Its first bytes have to be those of a proxy, which say whose connection it is.
    var awaitsProxyHeader = false
    /// Among which strangers it is, until it has proved who it is.
    var source: Handle<Strangers.Source> = .none
    /// What kind of replication connection it asked for.
    var replication: Replication = .none
    /// Protocol 3.2 was asked for: it can hold a long cancel key.
    var hasLongKey = false
    /// The NegotiateProtocolVersion message has been sent.
    var isNegotiated = false

    /// Its user is being looked up.
    var isBeingLookedUp: Bool { state == .waitingForLookup || state == .lookingUp }

    /// The process id it was told, part of its cancel key; or what it asks a peer to cancel.
    var processID: Int32 = 0
    /// The rest of its cancel key: 4 bytes, or 32 with protocol 3.2.
    var secret = InlineArray<32, UInt8>(repeating: 0)

    /// The secret part of a key of 8 bytes, as a number.
    var shortSecret: UInt32 {
        get {
            UInt32(secret[0]) << 24 | UInt32(secret[1]) << 16 | UInt32(secret[2]) << 8 | UInt32(secret[3])
        }
        set { for index in 0..<4 { secret[index] = UInt8(truncatingIfNeeded: newValue >> (24 - 8 * index)) } }
    }

    /// Startup `options` of a replication client, kept for its server.
    var replicationOptions: UInt32 = 0

    /// Times on the loop clock, in nanoseconds; 0 where nothing has begun.
    var connectedAt: UInt64 = 0
    /// When its last bytes arrived.
    var lastActivity: UInt64 = 0
    /// When the wait for a server began.
    var waitStart: UInt64 = 0
    /// When the running query was first seen.
    var queryStart: UInt64 = 0
    /// When the running transaction was first seen.
    var transactionStart: UInt64 = 0
    /// Wall clock at accept, in microseconds.
    var connectedAtWall: UInt64 = 0

    init(connection: ConnectionID, id: UInt64) {
        self.connection = connection
        self.id = id
    }
}

/// What becomes of the rest of a message whose header has been seen.
enum Route: UInt8, BitwiseCopyable {
    case forward, discard
}

/// What a client asked for with the startup parameter `replication`.
public enum Replication: UInt8, BitwiseCopyable {
    case none, physical, logical
}
