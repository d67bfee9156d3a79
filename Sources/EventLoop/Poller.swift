internal import CURing
import System

/// Operations on top of readiness (epoll). It answers as a ring would: a completion per operation, in the
/// turn in which it could be done.
///
/// Descriptors are registered once, edge-triggered, for reading only; writing is heard of while a send is
/// stuck. So a message costs a receive and a send, and its share of one wait. In a loop with a ring this
/// watches shared listeners alone, and the ring watches it.
@safe
struct Poller: ~Copyable {
    /// The epoll descriptor; -1 when none is open.
    private(set) var descriptor: Int32 = -1
    private var watches: UnsafeMutablePointer<Watch>
    private var watchCount: Int
    private let events: UnsafeMutableRawPointer
    private let eventLimit = 256
    /// Descriptors to be read without a new edge: a receive was armed on them when they were already
    /// readable, or they had their share of a turn.
    private var listed: UnsafeMutablePointer<Int32>
    private var listedCount = 0
    private var listedCapacity = 64

    /// Receives and accepts per descriptor and turn: nobody waits for more than that of a busy neighbour.
    static let receivesPerTurn = 4
    static let acceptsPerTurn = 8

    /// One that is closed.
    init() {
        watchCount = 0
        unsafe watches = Poller.noWatches
        unsafe events = .allocate(byteCount: eventLimit * Int(LOOP_EVENT_SIZE.rawValue), alignment: 16)
        unsafe listed = .allocate(capacity: listedCapacity)
    }

    deinit {
        Descriptors.close(descriptor)
        if watchCount > 0 { unsafe loop_unmap(watches, watchCount * MemoryLayout<Watch>.stride) }
        unsafe events.deallocate()
        unsafe listed.deallocate()
    }

    private static var noWatches: UnsafeMutablePointer<Watch> {
        unsafe UnsafeMutablePointer(bitPattern: MemoryLayout<Watch>.alignment)!
    }

    /// Whether `open` was called.
    var isOpen: Bool { descriptor >= 0 }

    /// Whether some descriptor should be read without waiting.
    var hasListed: Bool { listedCount > 0 }

    /// Makes the epoll descriptor.
    mutating func open() throws(EventLoopError) {
        precondition(!isOpen, "a poller is opened once")
        let made = loop_epoll_create()
        guard made >= 0 else { throw .noEpoll(Errno(-made)) }
        descriptor = made
    }

    // MARK: Operations

    /// Starts a receive; `buffer` is `.none` for small ones.
    mutating func receive(
        _ fd: Int32, _ tag: UInt64, into buffer: BufferID, _ queue: inout CompletionQueue
    ) {
        let watch = unsafe watch(fd)
        unsafe precondition(watch.pointee.reading == .nothing, "one receive at a time on a descriptor")
        unsafe watch.pointee.reading = buffer.isNone ? .small : .bulk
        unsafe watch.pointee.bulkBuffer = buffer
        unsafe watch.pointee.readTag = tag
        if unsafe watch.pointee.isRegistered {
            if unsafe watch.pointee.isReadable { unsafe list(fd, watch) }
            return
        }
        let failure = unsafe register(fd, watch, Poller.connectionEvents)
        if failure != 0 { unsafe endReading(fd, watch, failure, &queue) }
    }

    /// Starts to report each time that `fd` becomes readable.
    mutating func poll(_ fd: Int32, _ tag: UInt64, _ queue: inout CompletionQueue) {
        let watch = unsafe watch(fd)
        unsafe precondition(
            watch.pointee.reading == .nothing, "one use of a descriptor's reading side at a time")
        unsafe watch.pointee.reading = .readiness
        unsafe watch.pointee.readTag = tag
        if unsafe watch.pointee.isRegistered {
            unsafe watch.pointee.isReadable = true
            unsafe list(fd, watch)
            return
        }
        let failure = unsafe register(fd, watch, Poller.connectionEvents)
        if failure != 0 { unsafe endReading(fd, watch, failure, &queue) }
    }

    /// Starts to accept; level-triggered, so that a listener others empty too is simply quiet.
    mutating func accept(_ fd: Int32, _ tag: UInt64, _ queue: inout CompletionQueue) {
        let watch = unsafe watch(fd)
        unsafe precondition(watch.pointee.reading == .nothing, "one accept at a time on a listener")
        unsafe watch.pointee.reading = .accept
        unsafe watch.pointee.readTag = tag
        let failure = unsafe register(fd, watch, UInt32(LOOP_READABLE.rawValue))
        if failure != 0 { unsafe endReading(fd, watch, failure, &queue) }
    }

    /// Sends what the kernel takes at once; completes now unless it takes nothing.
    mutating func send(
        _ fd: Int32, _ tag: UInt64, _ kind: Watch.Writing, _ start: UnsafeRawPointer, _ count: Int,
        _ queue: inout CompletionQueue
    ) {
        let sent = unsafe Poller.send(fd, kind, start, count)
        if sent != -Int(Failure.again) {
            queue.append(Completion(tag: tag, result: Int32(truncatingIfNeeded: sent)))
            return
        }
        let watch = unsafe watch(fd)
        unsafe precondition(watch.pointee.writing == .nothing, "one send at a time on a descriptor")
        unsafe watch.pointee.writing = kind
        unsafe watch.pointee.writeTag = tag
        unsafe watch.pointee.writeStart = start
        unsafe watch.pointee.writeCount = count
        unsafe hearWritable(fd, watch, &queue)
    }

    /// Starts to connect; completes now when the outcome is known at once.
    mutating func connect(
        _ fd: Int32, _ tag: UInt64, _ address: UnsafeRawBufferPointer, _ queue: inout CompletionQueue
    ) {
        let result = unsafe loop_connect(fd, address.baseAddress, UInt32(address.count))
        guard result == -Failure.inProgress else {
            queue.append(Completion(tag: tag, result: result))
            return
        }
        let watch = unsafe watch(fd)
        unsafe precondition(watch.pointee.writing == .nothing, "a descriptor that connects does nothing else")
        unsafe watch.pointee.writing = .connect
        unsafe watch.pointee.writeTag = tag
        unsafe hearWritable(fd, watch, &queue)
    }

    /// Ends the operation with this tag on `fd`, if there is one; its final completion comes in the next
    /// turn. Answers whether there was one.
    @discardableResult
    mutating func cancel(_ fd: Int32, _ tag: UInt64, _ queue: inout CompletionQueue) -> Bool {
        guard Int(fd) < watchCount else { return false }
        let watch = unsafe watches + Int(fd)
        if unsafe watch.pointee.reading != .nothing, unsafe watch.pointee.readTag == tag {
            unsafe endReading(fd, watch, -Failure.cancelled, &queue)
            return true
        }
        if unsafe watch.pointee.writing != .nothing, unsafe watch.pointee.writeTag == tag {
            unsafe endWriting(fd, watch, -Failure.cancelled, &queue)
            return true
        }
        return false
    }

    /// Forgets a descriptor that is about to be closed. Others may hold the same open file, and then the
    /// kernel would go on reporting it.
    mutating func forget(_ fd: Int32) {
        guard Int(fd) < watchCount else { return }
        let watch = unsafe watches + Int(fd)
        unsafe precondition(
            watch.pointee.reading == .nothing && watch.pointee.writing == .nothing,
            "a descriptor is closed when nothing is in flight on it")
        if unsafe watch.pointee.isRegistered { _ = loop_epoll_remove(descriptor, fd) }
        let isListed = unsafe watch.pointee.isListed
        unsafe watch.pointee = Watch()
        unsafe watch.pointee.isListed = isListed
    }

    // MARK: A turn

    /// Waits for readiness for at most so long (-1: for ever) and does what can be done.
    mutating func harvest(
        milliseconds: Int32, _ queue: inout CompletionQueue, _ buffers: inout BufferPool
    ) {
        let listedBefore = listedCount
        let count = unsafe loop_epoll_wait(descriptor, events, Int32(eventLimit), milliseconds)
        precondition(count >= 0 || count == -Failure.interrupted, "epoll_wait fails only by a signal")
        var index: Int32 = 0
        while index < count {
            unsafe handle(
                loop_event_descriptor(events, index), loop_event_mask(events, index), &queue, &buffers)
            index &+= 1
        }
        readListed(listedBefore, &queue, &buffers)
    }

    private mutating func handle(
        _ fd: Int32, _ mask: UInt32, _ queue: inout CompletionQueue, _ buffers: inout BufferPool
    ) {
        let watch = unsafe watches + Int(fd)
        let ended = UInt32(LOOP_PEER_CLOSED.rawValue | LOOP_HANGUP.rawValue | LOOP_ERROR.rawValue)
        if mask & ended != 0 { unsafe watch.pointee.hasEnded = true }
        if mask & (ended | UInt32(LOOP_READABLE.rawValue)) != 0 {
            unsafe watch.pointee.isReadable = true
            unsafe read(fd, watch, &queue, &buffers)
        }
        let writable = UInt32(LOOP_WRITABLE.rawValue | LOOP_HANGUP.rawValue | LOOP_ERROR.rawValue)
        if mask & writable != 0, unsafe watch.pointee.writing != .nothing {
            unsafe continueWriting(fd, watch, &queue)
        }
    }

    /// Reads the first `count` listed descriptors; those listed meanwhile wait for the next turn.
    private mutating func readListed(
        _ count: Int, _ queue: inout CompletionQueue, _ buffers: inout BufferPool
    ) {
        guard count > 0 else { return }
        var index = 0
        while index < count {
            let fd = unsafe listed[index]
            let watch = unsafe watches + Int(fd)
            unsafe watch.pointee.isListed = false
            if unsafe watch.pointee.isReadable { unsafe read(fd, watch, &queue, &buffers) }
            index &+= 1
        }
        listedCount &-= count
        unsafe listed.update(from: listed + count, count: listedCount)
    }

    private mutating func read(
        _ fd: Int32, _ watch: UnsafeMutablePointer<Watch>, _ queue: inout CompletionQueue,
        _ buffers: inout BufferPool
    ) {
        switch unsafe watch.pointee.reading {
        case .nothing: break
        case .small: unsafe receiveSmall(fd, watch, &queue, &buffers)
        case .bulk: unsafe receiveBulk(fd, watch, &queue, &buffers)
        case .accept: unsafe accept(fd, watch, &queue)
        case .readiness:
            unsafe watch.pointee.isReadable = false
            let events = unsafe LOOP_READABLE.rawValue | (watch.pointee.hasEnded ? LOOP_HANGUP.rawValue : 0)
            unsafe queue.append(
                Completion(
                    tag: watch.pointee.readTag, result: Int32(events), flags: CompletionFlag.more))
        }
    }

    private mutating func receiveSmall(
        _ fd: Int32, _ watch: UnsafeMutablePointer<Watch>, _ queue: inout CompletionQueue,
        _ buffers: inout BufferPool
    ) {
        let size = buffers.smallSize
        for _ in 0..<Poller.receivesPerTurn {
            let buffer = buffers.takeSmall()
            guard !buffer.isNone else {
                return unsafe endReading(fd, watch, -Failure.noBuffers, &queue)
            }
            let count = unsafe loop_receive(fd, buffers.start(of: buffer), size)
            guard count > 0 else {
                buffers.giveBack(buffer)
                if count == -Int(Failure.again) {
                    unsafe watch.pointee.isReadable = false
                } else {
                    unsafe endReading(fd, watch, Int32(truncatingIfNeeded: count), &queue)
                }
                return
            }
            let isFull = count == size
            let flags =
                CompletionFlag.buffer | CompletionFlag.more | (isFull ? CompletionFlag.leavesBytes : 0)
            unsafe queue.append(
                Completion(
                    tag: watch.pointee.readTag, result: Int32(truncatingIfNeeded: count), flags: flags,
                    buffer: buffer))
            // Less than there was room for is all there was; what comes later makes a new edge.
            if unsafe !isFull && !watch.pointee.hasEnded {
                unsafe watch.pointee.isReadable = false
                return
            }
        }
        unsafe list(fd, watch)
    }

    private mutating func receiveBulk(
        _ fd: Int32, _ watch: UnsafeMutablePointer<Watch>, _ queue: inout CompletionQueue,
        _ buffers: inout BufferPool
    ) {
        let buffer = unsafe watch.pointee.bulkBuffer
        let count = unsafe loop_receive(fd, buffers.start(of: buffer), buffers.largeSize)
        if count == -Int(Failure.again) {
            unsafe watch.pointee.isReadable = false
            return
        }
        let isFull = count == buffers.largeSize
        unsafe watch.pointee.isReadable = isFull || watch.pointee.hasEnded
        unsafe endReading(
            fd, watch, Int32(truncatingIfNeeded: count), flags: isFull ? CompletionFlag.leavesBytes : 0,
            &queue)
    }

    private mutating func accept(
        _ fd: Int32, _ watch: UnsafeMutablePointer<Watch>, _ queue: inout CompletionQueue
    ) {
        unsafe watch.pointee.isReadable = false
        for _ in 0..<Poller.acceptsPerTurn {
            let accepted = loop_accept(fd)
            if accepted == -Failure.again { return }
            guard accepted >= 0 else { return unsafe endReading(fd, watch, accepted, &queue) }
            unsafe queue.append(
                Completion(tag: watch.pointee.readTag, result: accepted, flags: CompletionFlag.more))
        }
    }

    private mutating func continueWriting(
        _ fd: Int32, _ watch: UnsafeMutablePointer<Watch>, _ queue: inout CompletionQueue
    ) {
        if unsafe watch.pointee.writing == .connect {
            return unsafe endWriting(fd, watch, loop_connect_result(fd), &queue)
        }
        guard let start = unsafe watch.pointee.writeStart else {
            preconditionFailure("a stuck send knows its bytes")
        }
        let sent = unsafe Poller.send(fd, watch.pointee.writing, start, watch.pointee.writeCount)
        if sent == -Int(Failure.again) { return }
        unsafe endWriting(fd, watch, Int32(truncatingIfNeeded: sent), &queue)
    }

    // MARK: Ends

    private mutating func endReading(
        _ fd: Int32, _ watch: UnsafeMutablePointer<Watch>, _ result: Int32, flags: UInt16 = 0,
        _ queue: inout CompletionQueue
    ) {
        let buffer = unsafe watch.pointee.reading == .bulk ? watch.pointee.bulkBuffer : .none
        if unsafe watch.pointee.reading == .accept {
            _ = loop_epoll_remove(descriptor, fd)
            unsafe watch.pointee.isRegistered = false
        }
        unsafe watch.pointee.reading = .nothing
        unsafe queue.append(
            Completion(
                tag: watch.pointee.readTag, result: result,
                flags: flags | (buffer.isNone ? 0 : CompletionFlag.buffer), buffer: buffer))
    }

    private mutating func endWriting(
        _ fd: Int32, _ watch: UnsafeMutablePointer<Watch>, _ result: Int32, _ queue: inout CompletionQueue
    ) {
        unsafe watch.pointee.writing = .nothing
        if unsafe watch.pointee.isRegistered {
            _ = loop_epoll_change(descriptor, fd, Poller.connectionEvents)
        }
        unsafe queue.append(Completion(tag: watch.pointee.writeTag, result: result))
    }

    // MARK: Registration

    private static var connectionEvents: UInt32 {
        UInt32(LOOP_READABLE.rawValue | LOOP_PEER_CLOSED.rawValue) | UInt32(LOOP_EDGE.rawValue)
    }

    /// 0, or the negative error number of a kernel that can watch no more.
    private mutating func register(
        _ fd: Int32, _ watch: UnsafeMutablePointer<Watch>, _ events: UInt32
    ) -> Int32 {
        let result = loop_epoll_add(descriptor, fd, events)
        precondition(
            result == 0 || result == -Failure.noMemory || result == -Failure.noSpace,
            "an open descriptor can be watched, and is watched once")
        unsafe watch.pointee.isRegistered = result == 0
        unsafe watch.pointee.isReadable = false
        return result
    }

    private mutating func hearWritable(
        _ fd: Int32, _ watch: UnsafeMutablePointer<Watch>, _ queue: inout CompletionQueue
    ) {
        let events = Poller.connectionEvents | UInt32(LOOP_WRITABLE.rawValue)
        if unsafe watch.pointee.isRegistered {
            _ = loop_epoll_change(descriptor, fd, events)
            return
        }
        let failure = unsafe register(fd, watch, events)
        if failure != 0 { unsafe endWriting(fd, watch, failure, &queue) }
    }

    private mutating func list(_ fd: Int32, _ watch: UnsafeMutablePointer<Watch>) {
        guard unsafe !watch.pointee.isListed else { return }
        unsafe watch.pointee.isListed = true
        if listedCount == listedCapacity { growListed() }
        unsafe listed[listedCount] = fd
        listedCount &+= 1
    }

    @inline(never)
    private mutating func growListed() {
        let bigger = UnsafeMutablePointer<Int32>.allocate(capacity: listedCapacity * 2)
        unsafe bigger.update(from: listed, count: listedCount)
        unsafe listed.deallocate()
        unsafe listed = bigger
        listedCapacity *= 2
    }

    /// What is known of `fd`, in place; valid until the next call of this function.
    @inline(__always)
    private mutating func watch(_ fd: Int32) -> UnsafeMutablePointer<Watch> {
        precondition(fd >= 0, "an open descriptor is watched")
        if Int(fd) >= watchCount { growWatches(past: Int(fd)) }
        return unsafe watches + Int(fd)
    }

    @inline(never)
    private mutating func growWatches(past fd: Int) {
        let bigger = max(fd + 1, watchCount * 2, 4096)
        let stride = MemoryLayout<Watch>.stride
        guard let memory = unsafe loop_map(bigger * stride) else {
            preconditionFailure("no memory for descriptors")
        }
        unsafe memory.copyMemory(from: watches, byteCount: watchCount * stride)
        if watchCount > 0 { unsafe loop_unmap(watches, watchCount * stride) }
        unsafe watches = memory.bindMemory(to: Watch.self, capacity: bigger)
        watchCount = bigger
    }

    @inline(__always)
    private static func send(
        _ fd: Int32, _ kind: Watch.Writing, _ start: UnsafeRawPointer, _ count: Int
    ) -> Int {
        switch kind {
        case .bytes: unsafe loop_send(fd, start, count)
        case .ranges: unsafe loop_send_ranges(fd, start.assumingMemoryBound(to: iovec.self), count)
        case .nothing, .connect: preconditionFailure("only a send sends")
        }
    }
}
