import Base
import EventLoop
import PoolCore
import TLS

/// A socket of the worker: what is in flight on it, what was received and not used yet, what is to be sent.
@safe
struct Connection: BitwiseCopyable {
    /// Where the socket is in its life.
    enum State: UInt8, BitwiseCopyable {
        /// A connect is in flight.
        case connecting
        /// In use.
        case open
        /// Everything queued is sent, then the peer is waited for a moment; input is thrown away.
        case flushing
        /// Everything in flight is cancelled; the descriptor is closed when the last completion has come.
        case closing
    }

    var state: State
    let descriptor: Int32
    /// Whose bytes these are.
    var peer: Peer

    // In flight.
    var isReceiving = false
    var isSending = false
    var isConnecting = false
    /// The receive in flight goes once into a large buffer.
    var isBulkReceive = false
    /// A cancel of the receive in flight has been queued.
    var isReceiveCancelled = false

    // Input.
    /// Receives lately filled their buffers: receive into large ones.
    var isBulk = false
    /// Receives filled large buffers until lately: a single full one is the next burst.
    var expectsBulk = false
    /// Full small buffers in a row.
    var fullCount: UInt8 = 0
    /// The core does not want the held input before it says `resume`.
    var isHeld = false
    /// The receiver of what this connection sends cannot keep up.
    var isPaused = false
    /// Waits for a free buffer or for its turn; in `Worker.starved` or `Worker.bulkWaiters`.
    var isStarved = false
    /// To be handed to another worker: nothing is received any more.
    var isDetaching = false
    /// In `Worker.resumed`.
    var isResumed = false
    /// Input kept for the core: `malloc`ed, or nil.
    var held: UnsafeMutableRawPointer?
    var heldCount = 0
    var heldCapacity = 0
    /// How many bytes the core needs to see at once.
    var needed = 0

    // TLS.
    /// The TLS session, if the connection is encrypted: `held` and `needed` are about its plaintext.
    var session: TLSSession?
    /// The handshake is not done yet.
    var isShakingHands = false
    /// The peer has been told that nothing follows.
    var isGoodbyeSaid = false
    /// Leading bytes of the output that are what goes over the network; the rest is plaintext still.
    var sealedCount = 0
    /// The other end of a server that another worker uses through us: bytes go from one to the other.
    var relay: ConnectionID = .none
    /// The server that is to be used through the relay has been offered, and not been taken yet as far as is
    /// known.
    var isOffered = false

    // Output.
    var firstSegment: Handle<OutputSegment> = .none
    var lastSegment: Handle<OutputSegment> = .none
    /// Bytes queued and not sent yet.
    var queuedCount = 0
    /// The ranges of a gathered send in flight.
    var batch: Handle<SendBatch> = .none
    /// In `Worker.dirty`: something was queued in this turn.
    var isDirty = false
    /// The connection whose receiving waits until this one has sent.
    var blocks: ConnectionID = .none
    /// SHUT_WR has been said.
    var isWriteShut = false

    init(descriptor: Int32, peer: Peer, state: State) {
        self.descriptor = descriptor
        self.peer = peer
        self.state = state
    }

    /// Whether the kernel still works on something of this connection.
    var isInFlight: Bool { isReceiving || isSending || isConnecting }
}

/// A run of bytes to be sent: part of a receive buffer, or a copy.
@safe
struct OutputSegment: BitwiseCopyable {
    /// The next byte to send.
    var start: UnsafeMutableRawPointer
    /// Bytes that are left.
    var count: Int
    /// The receive buffer they are in, `.none` for a copy.
    var buffer: BufferID
    /// The copy's memory, nil for a receive buffer.
    var memory: UnsafeMutableRawPointer?
    /// Size of that memory.
    var capacity: Int
    /// Encrypted already: nothing may be put behind it in its memory.
    var isSealed = false
    /// What is sent after it.
    var next: Handle<OutputSegment> = .none
}

/// The ranges of one gathered send, which must stay where they are until it completes.
struct SendBatch: BitwiseCopyable {
    static let capacity = 16
    var ranges: InlineArray<16, SendRange>
}

/// What a completion is of. The numbers stand in tags.
enum Operation {
    static let accept: UInt8 = 1
    static let receive: UInt8 = 2
    static let send: UInt8 = 3
    static let connect: UInt8 = 4
    static let control: UInt8 = 5
    static let inbox: UInt8 = 6
    static let resolver: UInt8 = 7
}
