internal import CURing
public import System

extension EventLoop {
    // MARK: Accepting

    /// Accepts every connection to a listener that is this worker's alone, until cancelled or failed.
    ///
    /// `result` is the new descriptor: close-on-exec, blocking mode, the caller's. A failure is final
    /// (EMFILE and ENFILE among them): call again, after a pause if descriptors have run out. The listener
    /// is non-blocking.
    public mutating func accept(_ listener: Int32, _ tag: Tag) {
        if backend == .epoll { return poller.accept(listener, tag.raw, &gathered) }
        unsafe uring_prepare_accept(takeEntry(), listener, tag.raw)
    }

    /// Accepts from a listener that other processes accept from too; otherwise as `accept`.
    ///
    /// A ring's own accept would be woken alone and hold on to the connection even while this process is
    /// stopped; so all are woken, a few connections are taken per turn, and finding none is normal.
    public mutating func acceptShared(_ listener: Int32, _ tag: Tag) {
        poller.accept(listener, tag.raw, &gathered)
        guard backend == .ioUring else { return }
        hasSharedListeners = true
        watchPoller()
    }

    // MARK: Receiving

    /// Receives into small buffers, a completion each, until cancelled, ended or failed.
    ///
    /// `result` is the number of bytes, 0 for the end of the stream (final), or a failure (final). ENOBUFS
    /// says that the small buffers ran out; receive again when some have come back. A final completion may
    /// carry bytes.
    ///
    /// With `once` the first completion may be the final one.
    public mutating func receive(_ descriptor: Int32, _ tag: Tag, once: Bool = false) {
        if backend == .epoll { return poller.receive(descriptor, tag.raw, into: .none, &gathered) }
        unsafe uring_prepare_receive(takeEntry(), descriptor, Ring.smallGroup, !once, tag.raw)
    }

    /// Receives once into a large buffer that was reserved. The one completion hands the buffer back,
    /// whatever the result.
    public mutating func receive(_ descriptor: Int32, _ tag: Tag, into buffer: BufferID) {
        precondition(buffer.isLarge, "a single receive goes into a large buffer")
        if backend == .epoll { return poller.receive(descriptor, tag.raw, into: buffer, &gathered) }
        let index = buffer.index
        unsafe precondition(bulkTags[index] == 0, "one receive at a time into a buffer")
        unsafe bulkTags[index] = tag.raw
        bulkArmedCount &+= 1
        unsafe uring_prepare_receive_into(
            takeEntry(), descriptor, buffers.start(of: buffer), buffers.largeSize, OwnTag.bulk(index))
    }

    // MARK: Sending

    /// Sends bytes. `result` is how many the kernel took, perhaps fewer than given; after a cancel too.
    ///
    /// At most one send per descriptor is in flight. A closed peer is a failure (EPIPE), never a signal.
    @unsafe
    public mutating func send(
        _ descriptor: Int32, _ tag: Tag, _ bytes: UnsafeRawPointer, count: Int
    ) {
        precondition(count > 0, "a send has something to send")
        if backend == .epoll {
            return unsafe poller.send(descriptor, tag.raw, .bytes, bytes, count, &gathered)
        }
        unsafe uring_prepare_send(takeEntry(), descriptor, bytes, count, tag.raw)
    }

    /// Sends several ranges of bytes in order (at most 1024); otherwise as the send of one.
    ///
    /// The array of ranges, like the bytes, stays the loop's until the final completion.
    @unsafe
    public mutating func send(
        _ descriptor: Int32, _ tag: Tag, ranges: UnsafePointer<SendRange>, count: Int
    ) {
        precondition(count > 0 && count <= 1024, "a send has one range to 1024")
        if backend == .epoll {
            return unsafe poller.send(descriptor, tag.raw, .ranges, ranges, count, &gathered)
        }
        let entry = unsafe takeEntry()
        unsafe uring_prepare_send_ranges(
            entry, descriptor, ring.takeScratch(), UnsafeRawPointer(ranges), count, tag.raw)
    }

    // MARK: Connections

    /// Connects a socket. `result` is 0 or a failure; EAGAIN says that a Unix listener's queue is full.
    public mutating func connect(_ descriptor: Int32, _ tag: Tag, to address: SocketAddress) {
        unsafe address.withBytes { bytes in
            if backend == .epoll { return unsafe poller.connect(descriptor, tag.raw, bytes, &gathered) }
            let entry = unsafe takeEntry()
            let copy = unsafe ring.takeScratch()
            unsafe UnsafeMutableRawBufferPointer(start: copy, count: bytes.count).copyMemory(from: bytes)
            unsafe uring_prepare_connect(entry, descriptor, copy, UInt32(bytes.count), tag.raw)
        }
    }

    /// Tells each time that something arrives at a descriptor, or its peer ends, until cancelled.
    ///
    /// For channels that the caller reads itself: read until EAGAIN, as nothing is said twice.
    public mutating func poll(_ descriptor: Int32, _ tag: Tag) {
        if backend == .epoll { return poller.poll(descriptor, tag.raw, &gathered) }
        unsafe uring_prepare_poll(
            takeEntry(), descriptor, UInt32(URING_POLL_READABLE.rawValue), true, tag.raw)
    }

    /// Ends an operation early: its final completion, with what it still had or ECANCELED, comes soon.
    ///
    /// An operation that has ended meanwhile is left alone; this itself completes in no case.
    public mutating func cancel(_ tag: Tag, on descriptor: Int32) {
        if poller.cancel(descriptor, tag.raw, &gathered) { return }
        guard backend == .ioUring else { return }
        unsafe uring_prepare_cancel(takeEntry(), ringTag(of: tag.raw), OwnTag.cancel)
    }

    /// Sends at once, past the loop, and returns how many bytes went; negative when none can.
    ///
    /// - Precondition: no send is in flight on the descriptor.
    @unsafe
    public func sendNow(_ descriptor: Int32, _ start: UnsafeRawPointer, count: Int) -> Int {
        unsafe loop_send(descriptor, start, count)
    }

    /// Ends one or both directions at once, for every holder of the connection; one that has ended is fine.
    ///
    /// Not while a send is in flight whose bytes matter. Before closing a connection whose peer is alive,
    /// always: closing alone leaves it open for as long as the kernel has some use for it.
    public mutating func shutdown(_ descriptor: Int32, _ direction: Socket.Direction) {
        _ = loop_shutdown(descriptor, direction.number)
    }

    /// Closes a descriptor. Every descriptor that the loop has seen must be closed here.
    ///
    /// - Precondition: nothing is in flight on it.
    public mutating func close(_ descriptor: Int32) {
        poller.forget(descriptor)
        if backend == .epoll {
            _ = loop_close(descriptor)
            return
        }
        unsafe uring_prepare_close(takeEntry(), descriptor, OwnTag.close)
    }

    // MARK: Inside

    /// A free submission entry; submits those that are queued when there is none.
    @inline(__always)
    mutating func takeEntry() -> UnsafeMutablePointer<io_uring_sqe> {
        if let entry = unsafe ring.take() { return unsafe entry }
        return unsafe flushAndTake()
    }

    @inline(never)
    private mutating func flushAndTake() -> UnsafeMutablePointer<io_uring_sqe> {
        counters.fullQueueCount &+= 1
        for _ in 0..<1000 {
            check(entered: unsafe uring_enter(ring.ring, 0, -1))
            if let entry = unsafe ring.take() { return unsafe entry }
            // The kernel may refuse until completions are read that it has no room for.
            reap()
        }
        preconditionFailure("the kernel has taken no operation for a second")
    }

    /// Waits for the poller to have something, unless the ring does already.
    mutating func watchPoller() {
        guard !watchesPoller else { return }
        watchesPoller = true
        unsafe uring_prepare_poll(
            takeEntry(), poller.descriptor, UInt32(URING_POLL_READABLE.rawValue), false,
            OwnTag.sharedListeners)
    }

    private func ringTag(of tag: UInt64) -> UInt64 {
        guard bulkArmedCount > 0 else { return tag }
        for index in 0..<buffers.largeCount where unsafe bulkTags[index] == tag { return OwnTag.bulk(index) }
        return tag
    }
}
