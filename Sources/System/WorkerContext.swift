/// One listening socket as a worker gets it. Bound, listening, non-blocking, close-on-exec.
public struct WorkerListener: Equatable, Sendable {
    /// Who else accepts from the same queue, which decides how a worker may wait on it.
    public enum Sharing: Equatable, Sendable {
        /// One of a SO_REUSEPORT group: this queue is this worker's alone.
        case own
        /// All workers hold the same queue: wait with a non-exclusive readiness event, accept without
        /// blocking, a few per turn; finding nothing is normal.
        case shared
    }

    /// What kind of address it listens on.
    public enum Family: Equatable, Sendable {
        case tcp
        case unix
    }

    /// The descriptor; the worker's copy, which it may close.
    public let descriptor: Int32
    public let family: Family
    public let sharing: Sharing
    /// The address in the words of the log: "127.0.0.1:6432", "[::1]:6432", "unix:/tmp/.s.PGSQL.6432".
    public let description: String
    /// The port clients name: of the address, or the suffix of a Unix socket's name.
    public let port: UInt16

    /// A listener from its parts.
    public init(descriptor: Int32, family: Family, sharing: Sharing, description: String, port: UInt16) {
        self.descriptor = descriptor
        self.family = family
        self.sharing = sharing
        self.description = description
        self.port = port
    }
}

/// Everything a worker process starts with. All descriptors in it are the worker's own; every other one is
/// closed.
///
/// When the entry is called the child has blocked all signals and ignored those that mean something to the
/// supervisor, has its name and `PR_SET_PDEATHSIG`, and must leave by `Process.exitNow`.
@safe
public struct WorkerContext: ~Copyable {
    /// The exit status of a worker that cannot work on this machine with this configuration and has logged
    /// why. Before the instance is up that ends the start; afterwards it is a death like any other.
    public static let unableStatus: Int32 = 78

    /// From 0; the same for every replacement of this worker.
    public let index: Int
    /// 1 for the first process of this index, and one more for each replacement.
    public let incarnation: UInt64
    /// The supervisor, to be compared with `Process.parentID`.
    public let supervisorProcessID: Int32
    /// The signal that says that the supervisor is gone (`PR_SET_PDEATHSIG`), blocked: read it from a
    /// signalfd.
    public let supervisorLostSignal: Int32
    /// What to accept from.
    public let listeners: [WorkerListener]
    /// SOCK_SEQPACKET pair to the supervisor, non-blocking: orders, acknowledgements, descriptors.
    public let control: Int32
    /// The receiving end of this worker's inbox: SOCK_DGRAM, non-blocking.
    public let inbox: Int32
    /// The sending ends of all inboxes by worker index, non-blocking; -1 at this worker's own.
    public let inboxSenders: [Int32]
    /// SOCK_SEQPACKET pair to the name resolver, non-blocking: see `ResolverRequest` and `ResolverAnswer`.
    public let resolver: Int32
    /// An eventfd: write any number to it after a log record or event was put in the ring.
    public let supervisorWake: Int32
    /// Where the segment is mapped, readable and writable.
    @unsafe public let segment: UnsafeMutableRawPointer
    /// Size of the segment in bytes.
    public let segmentByteCount: Int
    /// The configuration the instance started with: its values hold for settings that only a restart
    /// changes.
    public let startImage: [UInt8]
    /// The newest configuration, as the configuration image encodes it; the same as `startImage` until a
    /// reload.
    public let configurationImage: [UInt8]
    /// The epoch of that configuration: orders with a higher one are new.
    public let epoch: UInt64
    /// How often `-v` was given; more than the configuration's `verbose` counts, and the reverse.
    public let verbosity: Int
    /// Whether the instance is paused (SIGUSR1, PAUSE) when this worker starts.
    public let startsPaused: Bool
    /// Whether to take clients at once; if not, an order says when.
    public let isOpen: Bool

    /// A context from its parts.
    public init(
        index: Int, incarnation: UInt64, supervisorProcessID: Int32,
        supervisorLostSignal: Int32, listeners: [WorkerListener], control: Int32, inbox: Int32,
        inboxSenders: [Int32], resolver: Int32, supervisorWake: Int32, segment: UnsafeMutableRawPointer,
        segmentByteCount: Int, startImage: [UInt8], configurationImage: [UInt8], epoch: UInt64,
        verbosity: Int, startsPaused: Bool, isOpen: Bool = true
    ) {
        self.index = index
        self.incarnation = incarnation
        self.supervisorProcessID = supervisorProcessID
        self.supervisorLostSignal = supervisorLostSignal
        self.listeners = listeners
        self.control = control
        self.inbox = inbox
        self.inboxSenders = inboxSenders
        self.resolver = resolver
        self.supervisorWake = supervisorWake
        unsafe self.segment = segment
        self.segmentByteCount = segmentByteCount
        self.startImage = startImage
        self.configurationImage = configurationImage
        self.epoch = epoch
        self.verbosity = verbosity
        self.startsPaused = startsPaused
        self.isOpen = isOpen
    }
}

/// What a worker process runs: the executable hands this to the supervisor.
public typealias WorkerEntry = (consuming WorkerContext) -> Never
