public import Base
import Config
import SharedState

/// The servers and clients of one (database, user) pair in this worker.
public struct Pool: Linked {
    public var links = ListLinks<Pool>()
    /// Index of its database.
    let database: Int32
    /// Index of the user its servers log in as.
    let user: Int32
    /// Its limits and deadlines, resolved from the configuration.
    var settings: ResolvedPoolSettings
    /// Its counters in the shared segment.
    var counters: PoolCounters
    /// Its place in the ledger.
    let entry: LedgerPool
    /// Its servers are another pooler's, and carry cancel requests.
    let isPeer: Bool

    /// Free servers; the first is used next.
    var idle = IntrusiveList<Server>()
    /// Clients that wait, oldest first; requests for a peer, if this is one.
    var waiters = IntrusiveList<Client>()
    /// Clients that wait for the pool's first server to be welcomed, oldest first.
    var welcomeWaiters = IntrusiveList<Client>()
    /// Replication clients among the waiters that have no server of their own on the way yet.
    var replicationWaiters = 0
    /// Replication clients among the waiters: ordinary servers are of no use to them.
    var waitingReplication = 0
    /// Servers in each state, by the state's raw value.
    var serverCounts = InlineArray<9, Int32>(repeating: 0)
    /// Clients in each state, by the state's raw value.
    var clientCounts = InlineArray<12, Int32>(repeating: 0)

    /// The parameters of the first server's login, for welcomes: those that are tracked.
    var welcomeParameters: ParameterSetID = .empty
    /// And the others, as ParameterStatus messages in the byte pool; 0 until known.
    var welcomeMessages: UInt32 = 0

    /// The last attempt to log in to PostgreSQL failed.
    var hasFailed = false
    /// Why, in the byte pool: the error's text.
    var failure: UInt32 = 0
    /// Since when, on the loop clock; 0 when it has not.
    var failedSince: UInt64 = 0
    /// No attempt before this time.
    var retryAt: UInt64 = 0
    /// The pause after the next failure.
    var retryPause: UInt64 = 0
    /// Its database has gone from the configuration and come back: another record has its place in the
    /// ledger.
    var isReplaced = false
    /// The other workers have been told that somebody waits here.
    var saysWaiting = false
    /// Servers on their way to each of the other workers.
    var lentTo = InlineArray<64, UInt8>(repeating: 0)
    /// How long clients that had to wait have lately waited, a moving mean.
    var typicalWait: UInt64 = 0
    /// Nothing is lent before this time.
    var lendsFrom: UInt64 = 0
    /// When others are asked again whether they have a free server; 0 when they may be at any time.
    var asksFrom: UInt64 = 0
    /// When a server was last closed for its age.
    var lastLifetimeClose: UInt64 = 0
    /// When it last had a client or a server.
    var lastUse: UInt64 = 0

    /// Servers in `state`.
    func count(_ state: Server.State) -> Int { Int(serverCounts[Int(state.rawValue)]) }

    /// Clients in `state`.
    func count(_ state: Client.State) -> Int { Int(clientCounts[Int(state.rawValue)]) }

    /// Every server socket, in whatever state.
    var serverCount: Int {
        var sum = 0
        for index in 0..<Server.State.count { sum += Int(serverCounts[index]) }
        return sum
    }

    /// Servers whose login went through.
    var readyCount: Int {
        count(Server.State.idle) + count(Server.State.tested) + count(Server.State.linked)
            + count(Server.State.beingCancelled) + count(Server.State.lookingUp)
    }

    /// Clients that are welcome, or looked up right now.
    var activeClientCount: Int {
        count(Client.State.idle) + count(Client.State.moving) + count(Client.State.linked)
            + count(Client.State.lookingUp)
    }

    /// Clients that wait for a server.
    var waitingClientCount: Int {
        count(Client.State.waiting) + count(Client.State.waitingForWelcome)
            + count(Client.State.waitingForLookup)
    }

    /// Servers that work for a client.
    var activeServerCount: Int { count(Server.State.linked) + count(Server.State.lookingUp) }

    /// Servers being opened.
    var loginCount: Int { count(Server.State.connecting) + count(Server.State.startup) }
}
