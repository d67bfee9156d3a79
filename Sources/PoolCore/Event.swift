public import Auth
public import Base
public import Config
public import SharedState
import Wire

/// Where a client comes from, as the listener and the socket tell.
public struct ClientOrigin: Sendable {
    /// Address without port: numeric, or `unix`.
    public var address: String
    /// Remote port; the listening port for Unix sockets.
    public var port: Int
    /// Address it connected to.
    public var localAddress: String
    /// Port it connected to.
    public var localPort: Int
    /// Whether it came over a Unix socket.
    public var isUnix: Bool
    /// Process id and user id of a Unix peer, or -1.
    public var peerProcessID: Int32
    public var peerUserID: Int64
    /// Whether the Unix peer runs under the pooler's own user id.
    public var isOwnUser: Bool
    /// What the system calls the user of a Unix peer; empty when nobody wanted to know, or it has no name.
    public var peerUserName: [UInt8] = []

    /// An origin with all its parts.
    public init(
        address: String, port: Int, localAddress: String, localPort: Int, isUnix: Bool = false,
        peerProcessID: Int32 = -1, peerUserID: Int64 = -1, isOwnUser: Bool = false
    ) {
        self.address = address
        self.port = port
        self.localAddress = localAddress
        self.localPort = localPort
        self.isUnix = isUnix
        self.peerProcessID = peerProcessID
        self.peerUserID = peerUserID
        self.isOwnUser = isOwnUser
    }
}

/// Why an attempt to reach PostgreSQL failed.
@frozen
public enum ConnectFailure: Sendable {
    /// The name could not be resolved; the resolver's text.
    case name(String)
    /// The connection could not be made; the system's text.
    case connect(String)
}

/// What happened. The time is `PoolCore.now`, which the worker sets before each event.
public enum Event {
    /// A listener accepted a connection. Answered by `serve`, or by `send` and `close`.
    case accepted(ConnectionID, ClientOrigin)
    /// A connection to PostgreSQL is open; the worker receives on it already. The address is the remote one.
    case connected(Handle<Server>, ConnectionID, remote: String, port: Int, local: String, localPort: Int)
    /// A connection to PostgreSQL could not be opened.
    case connectFailed(Handle<Server>, ConnectFailure)
    /// The connection of a client or server is encrypted from now on.
    indirect case encrypted(Peer, Encryption)
    /// The peer closed its end, or the connection broke. The core answers with `close`.
    case closed(Peer, String)
    /// It has been found out whether a client's password is right; if it is not, perhaps why, for the log.
    case verified(Handle<Client>, isRight: Bool, reason: String)
    /// The supervisor took over the console session of a client; the connection is our end of the pair.
    case consoleOpened(Handle<Client>, ConnectionID)
    /// The supervisor cannot take the console session.
    case consoleRefused(Handle<Client>)
    /// A cancel key has been sent to so many other workers, each of which answers.
    case cancelBroadcast(Handle<Client>, workers: Int)
    /// Another worker asks for this cancel key. Answered by `answerCancel`.
    case cancelRequested(key: [UInt8], CancelTicket)
    /// A client of another worker is dropping the database of this name in PostgreSQL.
    case databaseDropped([UInt8])
    /// Another worker has done what it can for the cancel request of this client.
    case cancelAnswered(Handle<Client>, isFound: Bool)
    /// Nothing is received any more on this client's or server's connection, and everything queued has been
    /// sent.
    case detached(Peer)
    /// The message that carries a client or server has found no room.
    case passFailed(Peer)
    /// Another worker lends a server; the connection is its descriptor here, on which nothing is received
    /// yet. Answered by `adopt`, or by `close` when it cannot be used.
    indirect case lent(LentServer, ConnectionID)
    /// Another worker sends a client; the connection is its descriptor here, on which nothing is received
    /// yet. Answered by `adopt`, or by `close` when it cannot be used. What the record has as input is the
    /// worker's to show.
    indirect case moved(MovedClient, ConnectionID)
    /// Another worker sends a client with its server; the connections are their descriptors here, on which
    /// nothing is received yet. Both are answered as above.
    indirect case movedSession(MovedSession, ConnectionID, server: ConnectionID)
    /// Another worker says something else.
    indirect case told(InboxMessage)
    /// Another worker has ended, and the supervisor has given back what it owned.
    case workerEnded(Int)
    /// The supervisor passes on an order.
    case order(Order)
    /// The supervisor passes on a new configuration, already validated, with its user list and rules.
    indirect case configuration(
        Configuration, userList: [UInt8], rules: AccessRules = AccessRules(), epoch: UInt64)
    /// Time has passed: deadlines, retries, upkeep. Due when `PoolCore.nextUpkeep` is reached.
    case upkeep
}

/// What `received` made of the bytes it was shown.
@frozen
public struct Consumption: BitwiseCopyable {
    /// Leading bytes that are done with: forwarded, used or discarded.
    public var consumed: Int
    /// With bytes left over: how many of them (all together) must be there before they are shown again.
    /// 0 means that more bytes would not help: hold them, stop receiving, and wait for `resume`.
    public var needed: Int

    /// An answer with both parts.
    @inlinable
    public init(consumed: Int, needed: Int) {
        self.consumed = consumed
        self.needed = needed
    }
}
