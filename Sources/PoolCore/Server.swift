public import Base
import SharedState

/// A connection to PostgreSQL, from the decision to open it to its close.
public struct Server: Linked {
    /// Where the server is in its life.
    public enum State: UInt8, BitwiseCopyable {
        /// The socket is being opened.
        case connecting
        /// The socket is open and the login runs, including `connect_query`.
        case startup
        /// Clean and free; in `Pool.idle`.
        case idle
        /// A reset or check query runs, with no client.
        case tested
        /// Given to a client, which names it.
        case linked
        /// Opened only to carry a cancel request.
        case cancelling
        /// Free, but a cancel request for its last query has not been delivered yet; used again afterwards.
        case beingCancelled
        /// On its way to or from another worker; accepts no client.
        case lending
        /// It runs `auth_query`, for a client or for one that has left.
        case lookingUp

        /// How many states there are.
        static var count: Int { 9 }
    }

    public var links = ListLinks<Server>()
    /// Where the server is in its life; changed by `moveServer` only.
    public internal(set) var state: State = .connecting
    /// Its socket; `.none` until it is open.
    public internal(set) var connection: ConnectionID = .none
    /// Its number in SHOW.
    public let id: UInt64
    /// Its pool.
    public let pool: Handle<Pool>
    /// Its client while `.linked`, `.lookingUp` or `.cancelling`.
    public internal(set) var client: Handle<Client> = .none
    /// Which of the database's hosts it was opened to.
    var host: Int32 = 0
    /// Process id and secret from BackendKeyData, for cancel requests; or those that a peer is sent.
    var processID: Int32 = 0
    var secret: UInt32 = 0
    /// What the server said its tracked parameters are.
    var parameters: ParameterSetID = .empty
    /// The transaction status of its last ReadyForQuery.
    var status: UInt8 = UInt8(ascii: "I")
    /// What it owes, oldest first.
    var replies = ReplyQueue()
    /// Statements prepared on it, least recently used first.
    var statements = IntrusiveList<ServerStatement>()
    /// Statements that have been closed on it, before its CloseComplete has come.
    var closingStatements = IntrusiveList<ServerStatement>()

    /// Bytes of the current message that are still to come, and what becomes of them.
    var bodyRemaining: UInt32 = 0
    var bodyRoute: Route = .discard
    /// An extended query failed: PostgreSQL ignores everything until Sync.
    var skipsUntilSync = false
    /// Extended messages have been sent since the last Sync.
    var needsSync = false
    /// Counts the Syncs and queries sent: what was sent under the same number fails together.
    var syncGroup: UInt32 = 0
    /// The last of those numbers that has been answered by ReadyForQuery.
    var settledGroup: UInt32 = 0
    /// The last of those numbers in which something was sent that may change settings or statements.
    var unsettlingGroup: UInt32 = 0
    /// The last of those numbers in which a transaction was begun with Bind.
    var beginGroup: UInt32 = 0
    /// It is reading COPY data.
    var isCopyingIn = false
    /// To be closed as soon as its client is done with it.
    var needsClose = false
    /// Belongs to one replication client and is closed with it.
    var isReplication = false
    /// It has answered a test, and nobody has used it since.
    var isFresh = false
    /// It has been linked to a client.
    var isUsed = false
    /// The login went through.
    var isReady = false
    /// It is counted in the ledger; connections for cancel requests to PostgreSQL are not.
    var isCounted = false
    /// While `.lending` to another worker, or on its way there with its client: which, and what the ledger
    /// calls the transfer once it is offered.
    var borrower: Int16 = -1
    var ticket: TransferTicket?
    /// Another worker has taken it: only the descriptor is left to be closed.
    var isElsewhere = false
    /// In `.startup`: the login is over and `connect_query` runs.
    var runsConnectQuery = false
    /// In `.tested`: the reset query runs, not the check query.
    var runsReset = false
    /// The prelude in front of the client's request has not been answered yet.
    var preludeReplies: UInt8 = 0
    /// An error arrived inside the prelude or a reset.
    var hasFailed = false
    /// Cancel requests on their way for it.
    var cancelsInFlight: UInt16 = 0
    /// The server whose query this one cancels, while `.cancelling`.
    var cancels: Handle<Server> = .none
    /// It carries a cancel request to a peer.
    var isForwarding = false
    /// Whether it was opened only to carry a cancel request.
    var isMessenger: Bool { isForwarding || !cancels.isNone }
    /// The worker that wants it cancelled, if it is not a client of this one.
    var cancelTicket: CancelTicket?
    /// While `.cancelling`: the request has been sent.
    var isCancelSent = false

    /// Times on the loop clock, in nanoseconds.
    var connectedAt: UInt64 = 0
    /// When another worker lent it to this one; 0 for one that was opened here.
    var borrowedAt: UInt64 = 0
    /// When it was last released or last heard of.
    var lastActivity: UInt64 = 0
    /// When its client's query was sent to it.
    var requestStart: UInt64 = 0
    /// Wall clock when opened, in microseconds.
    var connectedAtWall: UInt64 = 0

    init(id: UInt64, pool: Handle<Pool>) {
        self.id = id
        self.pool = pool
    }
}
