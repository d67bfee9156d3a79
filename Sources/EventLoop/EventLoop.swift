internal import Base
internal import CURing
import System

/// Waits for many descriptors at once and does their input and output, through io_uring or through epoll.
///
/// A worker has one, made and used by one thread after its fork. Operations are queued by their methods and
/// done in a batch by the next `wait`; what they have to tell comes back as completions, which carry the
/// tag that the operation was given. Both back ends keep the same contract:
///
/// - The final completion of an operation is the one with `hasMore` false. Every operation has exactly one,
///   also a cancelled or failed one; only then may its tag be used again, its memory be freed, its
///   descriptor be closed.
/// - Memory handed to `send` belongs to the loop until the final completion.
/// - A received buffer belongs to the caller, from its completion until `giveBack`.
/// - Nothing here allocates, locks or counts references once the queues have grown to what is needed.
@safe
public struct EventLoop: ~Copyable {
    private let anchor = Anchor()
    /// Which of the kernel's interfaces a loop uses.
    public enum Backend: UInt8, Equatable, Sendable {
        case ioUring
        case epoll
    }

    /// What the operator wants (`io_backend`).
    public enum Preference: UInt8, Equatable, Sendable {
        /// io_uring where the kernel allows it, else epoll.
        case automatic
        case ioUring
        case epoll
    }

    /// Sizes, all fixed for the life of a loop.
    public struct Limits: Equatable, Sendable {
        /// Small receive buffers; a power of two up to 32,768.
        public var smallBufferCount = 256
        /// Bytes in each of them.
        public var smallBufferByteCount = 4096
        /// Large receive buffers, up to 32,766. Few, so that they stay in the processor's cache.
        public var largeBufferCount = 16
        /// Bytes in each of them.
        public var largeBufferByteCount = 262_144
        /// Operations that are submitted in one call; a power of two. More are submitted in several.
        public var submissionCount = 256
        /// Completions that a ring holds; a power of two, more than `submissionCount`. The kernel keeps more
        /// than that elsewhere, at a cost.
        public var completionCount = 2048

        /// The defaults.
        public init() {}
    }

    /// What happened, for statistics and tests; counts since the loop was made.
    public struct Counters: Equatable, Sendable, BitwiseCopyable {
        /// Times that the submission queue was full before the turn ended: a sizing mistake if often.
        public var fullQueueCount: UInt64 = 0
        /// Times that the kernel could not take operations for want of memory.
        public var kernelBusyCount: UInt64 = 0
        /// Waits that looked for completions before sleeping, with success.
        public var spinHitCount: UInt64 = 0
        /// The same without success.
        public var spinMissCount: UInt64 = 0
    }

    /// What this loop uses.
    public let backend: Backend
    /// What was chosen and why, for the log.
    public let choice: String
    /// The clock (`Clock.monotonicNanoseconds`) when the last wait ended.
    public internal(set) var nowNanoseconds: UInt64
    /// What happened so far.
    public internal(set) var counters = Counters()

    // Inlined into callers, so plain: the compiler cannot inline owners of memory.
    @usableFromInline var deliveredStart: UnsafeMutablePointer<Completion>
    @usableFromInline var deliveredCount = 0
    @usableFromInline let smallStart: UnsafeMutableRawPointer
    @usableFromInline let largeStart: UnsafeMutableRawPointer
    @usableFromInline let smallSize: Int
    @usableFromInline let largeSize: Int

    private var delivered: CompletionQueue
    var gathered: CompletionQueue
    var buffers: BufferPool
    var ring: Ring
    var poller: Poller
    var spinner = Spinner()
    /// The caller's tags of bulk receives in a ring, by large buffer; 0 for none.
    var bulkTags: UnsafeMutablePointer<UInt64>
    var bulkArmedCount = 0
    /// The poller has shared listeners for a ring.
    var hasSharedListeners = false
    /// The ring is waiting for the poller.
    var watchesPoller = false
    /// The last wait handed over what was ready without asking the kernel.
    var skippedKernel = false

    /// A loop of the preferred kind.
    public init(_ preference: Preference, limits: Limits = Limits()) throws(EventLoopError) {
        precondition(limits.smallBufferCount.nonzeroBitCount == 1 && limits.smallBufferCount <= 32768)
        precondition(limits.largeBufferCount > 0 && limits.largeBufferCount <= 32766)
        precondition(
            limits.submissionCount.nonzeroBitCount == 1 && limits.completionCount.nonzeroBitCount == 1)
        precondition(limits.submissionCount < limits.completionCount)
        var buffers = try BufferPool(limits: limits)
        var poller = Poller()
        try poller.open()
        var ring = Ring(limits: limits)
        let backend: Backend
        let choice: String
        switch preference {
        case .ioUring:
            try ring.start(limits: limits, buffers: &buffers)
            (backend, choice) = (.ioUring, "io_uring, as configured")
        case .epoll:
            (backend, choice) = (.epoll, "epoll, as configured")
        case .automatic:
            var failure: EventLoopError?
            do throws(EventLoopError) { try ring.start(limits: limits, buffers: &buffers) } catch {
                failure = error
            }
            if let failure {
                // A failed trial may have left buffers with the kernel.
                ring = Ring(limits: limits)
                buffers = try BufferPool(limits: limits)
                (backend, choice) = (.epoll, "epoll, because \(failure)")
            } else {
                (backend, choice) = (.ioUring, "io_uring")
            }
        }
        self.backend = backend
        self.choice = choice
        self.ring = ring
        unsafe smallStart = buffers.smallStart
        unsafe largeStart = buffers.largeStart
        smallSize = buffers.smallSize
        largeSize = buffers.largeSize
        self.buffers = buffers
        self.poller = poller
        delivered = CompletionQueue(capacity: limits.completionCount)
        unsafe deliveredStart = delivered.start
        gathered = CompletionQueue(capacity: limits.completionCount)
        unsafe bulkTags = .allocate(capacity: limits.largeBufferCount)
        unsafe bulkTags.initialize(repeating: 0, count: limits.largeBufferCount)
        nowNanoseconds = loop_clock()
    }

    deinit { unsafe bulkTags.deallocate() }

    // MARK: Completions

    /// How many completions the last wait brought.
    @inlinable
    public var completionCount: Int { deliveredCount }

    /// One of them, in the order in which they happened; copied out, so operations may be queued meanwhile.
    @inlinable
    public subscript(_ index: Int) -> Completion {
        precondition(index >= 0 && index < deliveredCount, "only what the last wait brought can be read")
        return unsafe deliveredStart[index]
    }

    /// Makes what was gathered readable, and forgets what was before.
    mutating func deliver() {
        delivered.count = 0
        swap(&delivered, &gathered)
        unsafe deliveredStart = delivered.start
        deliveredCount = delivered.count
    }

    // MARK: Buffers

    /// Where a buffer begins; meaningful until it is given back.
    @unsafe
    @inlinable
    public func start(of buffer: BufferID) -> UnsafeMutableRawPointer {
        precondition(!buffer.isNone, "a buffer that is none is nowhere")
        return unsafe buffer.isLarge
            ? largeStart + buffer.index &* largeSize : smallStart + buffer.index &* smallSize
    }

    /// The bytes that a receive brought.
    ///
    /// - Precondition: the completion has a buffer that was not given back.
    @unsafe
    @inlinable
    public func bytes(of completion: Completion) -> UnsafeRawBufferPointer {
        precondition(!completion.buffer.isNone, "only a completion with a buffer has bytes")
        return unsafe UnsafeRawBufferPointer(
            start: start(of: completion.buffer), count: Int(max(completion.result, 0)))
    }

    /// How much fits into a buffer.
    @inlinable
    public func byteCapacity(of buffer: BufferID) -> Int {
        buffer.isLarge ? largeSize : smallSize
    }

    /// A large buffer for a bulk receive, or `.none` when all are in use. The caller's until given back.
    public mutating func reserveLargeBuffer() -> BufferID { buffers.takeLarge() }

    /// Returns a buffer, small or large.
    ///
    /// - Precondition: the caller has it, and no receive into it is in flight.
    public mutating func giveBack(_ buffer: BufferID) { buffers.giveBack(buffer) }

    /// How many small buffers there are.
    public var smallBufferCount: Int { buffers.smallCount }
    /// How many small buffers the caller does not have.
    public var freeSmallBufferCount: Int { buffers.smallCount &- buffers.smallHeld }
    /// How many large buffers there are.
    public var largeBufferCount: Int { buffers.largeCount }
    /// How many large buffers the caller does not have.
    public var freeLargeBufferCount: Int { buffers.largeCount &- buffers.largeHeld }
}
