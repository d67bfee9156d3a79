internal import CURing
import System

/// An io_uring and the ring of small buffers that belongs to it. Empty when the loop uses epoll.
@safe
struct Ring: ~Copyable {
    let ring: UnsafeMutablePointer<io_uring>
    /// Where the kernel takes small buffers from; `nil` for an empty one.
    private(set) var bufferRing: UnsafeMutableRawPointer?
    private var bufferRingByteCount = 0
    private var isOpen = false
    /// What messages and addresses of queued operations are kept in until the kernel has read them: it has
    /// when the queue was flushed, so as many as the queue has entries are enough.
    private let scratch: UnsafeMutableRawPointer
    private let scratchCount: Int
    private var scratchNext = 0
    private static let scratchSize = max(Int(URING_MESSAGE_SIZE.rawValue), Int(URING_ADDRESS_SIZE.rawValue))

    /// The group of the small buffers.
    static let smallGroup: UInt16 = 0

    /// One that is not made yet.
    init(limits: EventLoop.Limits) {
        unsafe ring = .allocate(capacity: 1)
        unsafe ring.initialize(to: io_uring())
        scratchCount = limits.submissionCount
        unsafe scratch = .allocate(byteCount: scratchCount * Ring.scratchSize, alignment: 16)
    }

    /// Makes the ring and hands it all small buffers. After a failure neither can be used any more.
    mutating func start(limits: EventLoop.Limits, buffers: inout BufferPool) throws(EventLoopError) {
        try open(limits: limits)
        try registerBuffers(&buffers)
        try tryOut(&buffers)
    }

    deinit {
        if isOpen { unsafe io_uring_queue_exit(ring) }
        if let bufferRing = unsafe bufferRing { unsafe loop_unmap(bufferRing, bufferRingByteCount) }
        unsafe ring.deallocate()
        unsafe scratch.deallocate()
    }

    /// A free entry, or `nil` when the queue is full.
    @inline(__always)
    mutating func take() -> UnsafeMutablePointer<io_uring_sqe>? { unsafe uring_take(ring) }

    /// Memory for what the next entry points to.
    @inline(__always)
    mutating func takeScratch() -> UnsafeMutableRawPointer {
        let memory = unsafe scratch + scratchNext &* Ring.scratchSize
        scratchNext = scratchNext &+ 1 == scratchCount ? 0 : scratchNext &+ 1
        return unsafe memory
    }

    private mutating func open(limits: EventLoop.Limits) throws(EventLoopError) {
        let base = UInt32(URING_SETUP_BASE.rawValue)
        let submissions = UInt32(limits.submissionCount)
        let completions = UInt32(limits.completionCount)
        let result = unsafe uring_setup(ring, submissions, completions, base)
        guard result == 0 else { throw .noRing(reason: Ring.explain(result)) }
        isOpen = true
        let needed = UInt32(URING_NEEDED_FEATURES.rawValue)
        guard unsafe ring.pointee.features & needed == needed else {
            throw .noRing(reason: "the kernel is too old")
        }
        // A registered descriptor saves a look-up per call; without one everything works.
        _ = unsafe io_uring_register_ring_fd(ring)
    }

    private mutating func registerBuffers(_ buffers: inout BufferPool) throws(EventLoopError) {
        let page = 4096
        bufferRingByteCount =
            (buffers.smallCount * MemoryLayout<io_uring_buf>.stride + page - 1) / page * page
        guard let memory = unsafe loop_map(bufferRingByteCount) else { throw .noMemory("a ring of buffers") }
        unsafe bufferRing = memory
        let result = unsafe uring_buffer_ring(ring, memory, UInt32(buffers.smallCount), Ring.smallGroup)
        guard result == 0 else { throw .noRing(reason: "no buffers: \(Errno(-result))") }
        unsafe buffers.provideAll(to: memory)
    }

    /// Sends a message to itself: a sandbox may let a ring be made and then refuse what it is for.
    private mutating func tryOut(_ buffers: inout BufferPool) throws(EventLoopError) {
        let pair: (first: Int32, second: Int32)
        do { pair = try Socket.pair(.stream) } catch { throw .noRing(reason: "no trial: \(error)") }
        var secondIsOpen = true
        defer {
            Descriptors.close(pair.first)
            if secondIsOpen { Descriptors.close(pair.second) }
        }
        guard let entry = unsafe take() else { preconditionFailure("a new queue has room") }
        unsafe uring_prepare_receive(entry, pair.first, Ring.smallGroup, true, OwnTag.trial)
        var byte: UInt8 = 1
        guard unsafe loop_send(pair.second, &byte, 1) == 1 else { throw .noRing(reason: "no trial") }
        try finishTrial(&buffers, expecting: 1)
        Descriptors.close(pair.second)
        secondIsOpen = false
        try finishTrial(&buffers, expecting: 0)
    }

    private func finishTrial(_ buffers: inout BufferPool, expecting result: Int32) throws(EventLoopError) {
        let entered = unsafe uring_enter(ring, 1, 1_000_000_000)
        guard unsafe uring_ready(ring) > 0 else {
            throw .noRing(reason: entered < 0 ? Ring.explain(entered) : "no trial message arrived")
        }
        let completion = unsafe uring_completion(ring, 0).pointee
        unsafe uring_advance(ring, 1)
        if completion.flags & UInt32(URING_CQE_BUFFER.rawValue) != 0 {
            let index = Int(completion.flags >> 16)
            buffers.received(index)
            buffers.giveBack(BufferID(raw: UInt16(index)))
        }
        let hasMore = completion.flags & UInt32(URING_CQE_MORE.rawValue) != 0
        guard completion.res == result, hasMore == (result > 0) else {
            throw .noRing(reason: "the trial message failed (\(completion.res))")
        }
    }

    private static func explain(_ result: Int32) -> String {
        switch -result {
        case Failure.notPermitted:
            "not permitted (a container's seccomp profile, or kernel.io_uring_disabled)"
        case Failure.notImplemented: "this kernel has none, or a container's seccomp profile hides it"
        case Failure.invalid: "the kernel is older than Linux 6.1"
        case let number: "\(Errno(number))"
        }
    }
}

/// Error numbers that the loop tells apart.
enum Failure {
    static let notPermitted: Int32 = 1
    static let interrupted: Int32 = 4
    static let badDescriptor: Int32 = 9
    static let again: Int32 = 11
    static let noMemory: Int32 = 12
    static let busy: Int32 = 16
    static let invalid: Int32 = 22
    static let noSpace: Int32 = 28
    static let notImplemented: Int32 = 38
    static let badRequest: Int32 = 53
    static let timedOut: Int32 = 62
    static let noBuffers: Int32 = 105
    static let inProgress: Int32 = 115
    static let cancelled: Int32 = 125
}
