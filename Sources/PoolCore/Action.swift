public import Base
public import SharedState

/// Marks handles that name a connection of the worker; the worker owns the record behind them.
public enum ConnectionMark {}

/// Names one socket of the worker. The worker makes it, the core stores and returns it.
public typealias ConnectionID = Handle<ConnectionMark>

/// Whose bytes a connection carries.
@frozen
public enum Peer: BitwiseCopyable, Hashable {
    /// A client's connection.
    case client(Handle<Client>)
    /// A connection to PostgreSQL.
    case server(Handle<Server>)
    /// The worker's end of the socket pair through which the supervisor serves this client's console.
    case console(Handle<Client>)

    /// Whether this is a client.
    @inlinable
    public var isClient: Bool {
        if case .client = self { true } else { false }
    }
}

/// How a connection is to be closed.
@frozen
public enum CloseStyle: UInt8, BitwiseCopyable {
    /// At once; what is queued for sending is dropped.
    case now
    /// After everything queued has been sent, or a few seconds have passed.
    case flushed
    /// At once, and only the descriptor: the connection lives on in another process.
    case elsewhere
}

/// What the core wants done. The worker carries actions out in order, right after the call that queued them.
///
/// Offsets and counts are in bytes. `forward` speaks of the bytes that were handed to `received`; `send`,
/// `log` and the others speak of the core's `output`, which the worker empties when it has carried out all
/// actions.
@frozen
public enum Action: BitwiseCopyable {
    /// Give this connection to the core's client: start receiving on it.
    case serve(ConnectionID, Handle<Client>)
    /// Send a range of the bytes being received, after what is queued on that connection already.
    case forward(ConnectionID, offset: Int, count: Int)
    /// Send a range of `output`, after what is queued on that connection already.
    case send(ConnectionID, offset: Int, count: Int)
    /// The reason to hold back this connection's input is gone: deliver what is held, and receive on.
    case resume(ConnectionID)
    /// End this connection; nothing of it is reported any more.
    case close(ConnectionID, CloseStyle)
    /// Encrypt this connection, behind what is queued on it, before anything else is sent or shown: ours is
    /// the server's side of the session for clients, the client's for servers. What has been received and
    /// not used is the beginning of the peer's handshake. Answered by `encrypted`, or by `closed`.
    case encrypt(ConnectionID)
    /// Open a connection to PostgreSQL for this server; `PoolCore.endpoint(of:)` tells where.
    case connect(Handle<Server>)
    /// Give up an attempt that has not been answered by `connected` or `connectFailed` yet.
    case abandonConnect(Handle<Server>)
    /// Pass the console session of this authenticated client on; `PoolCore.consoleLogin(of:)` tells what of
    /// it.
    case openConsole(Handle<Client>)
    /// Find out whether the password of this client is right; `PoolCore.passwordToVerify(of:)` tells what of
    /// it. Answered by `verified`.
    case verify(Handle<Client>)
    /// Tell every other worker of a cancel key that no client here has. The range of `output` is the key.
    /// Answered by `cancelBroadcast`.
    case broadcastCancel(Handle<Client>, offset: Int, count: Int)
    /// Tell every other worker that a database is being dropped. The range of `output` is its name.
    case announceDrop(offset: Int, count: Int)
    /// Answer another worker's cancel request.
    case answerCancel(CancelTicket, isFound: Bool)
    /// Stop receiving on this client's or server's connection. Answered by `detached` when nothing is in
    /// flight on it.
    case detach(ConnectionID)
    /// Receive again on a connection that was detached.
    case attach(ConnectionID)
    /// Give this connection, which another worker has sent, to the core's client or server: start receiving
    /// on it.
    case adopt(ConnectionID, Peer)
    /// Send a detached descriptor to another worker, with a range of `output`: for a server the message, for
    /// a client its record, which what has been received and not used is put behind; its server, if
    /// `PoolCore.companion(of:)` names one, goes with it. Answered by `passFailed` when there is no room.
    case pass(Peer, worker: Int, offset: Int, count: Int)
    /// Send another worker a range of `output` as a message. When there is no room it is sent later.
    case tell(worker: Int, offset: Int, count: Int)
    /// Write a log line.
    case log(LogLevel, LogSubject, offset: Int, count: Int)
    /// The order with this number has been carried out.
    case acknowledge(epoch: UInt64)
    /// There is nothing here that the order with this number is about.
    case acknowledgeMissing(epoch: UInt64)
    /// No client (or, when waiting for servers, no server) is left: the worker may end.
    case drained
}
