import CLinux
import Glibc

/// Waits for many sockets at once, edge-triggered: a socket is reported once per change, so its user reads
/// until a read comes back short and writes until a write does.
public struct Poller: ~Copyable {
    private let descriptor: Int32
    private let events: UnsafeMutableRawPointer
    private let capacity: Int32

    /// What happened to one descriptor.
    public struct Event {
        /// What the descriptor was added with.
        public let token: UInt64
        /// There may be something to read.
        public let isReadable: Bool
        /// There may be room to write.
        public let isWritable: Bool
        /// The peer has closed, or the connection failed; read what is left to learn which.
        public let hasEnded: Bool
    }

    /// A poller that reports up to `capacity` events per wait. Ends the program when the kernel refuses.
    public init(capacity: Int32 = 256) {
        descriptor = clinux_epoll_create()
        if descriptor < 0 { fail("epoll_create1") }
        self.capacity = capacity
        events = .allocate(byteCount: Int(capacity) * CLINUX_EPOLL_EVENT_SIZE, alignment: 8)
    }

    deinit {
        close(descriptor)
        events.deallocate()
    }

    /// Watches a socket until it is closed.
    public func add(_ fd: Int32, token: UInt64) {
        if clinux_epoll_add(descriptor, fd, token) != 0 { fail("epoll_ctl") }
    }

    /// Watches a descriptor that is read one piece at a time: a listener, or standard input.
    public func addLevelTriggered(_ fd: Int32, token: UInt64) {
        if clinux_epoll_add_level(descriptor, fd, token) != 0 { fail("epoll_ctl") }
    }

    /// Waits for events and returns how many there are; a negative time waits for ever.
    public func wait(milliseconds: Int32) -> Int {
        let count = clinux_epoll_wait(descriptor, events, capacity, milliseconds)
        if count < 0 {
            if errno == EINTR { return 0 }
            fail("epoll_wait")
        }
        return Int(count)
    }

    /// One event of the last wait.
    public subscript(index: Int) -> Event {
        let mask = clinux_epoll_mask(events, Int32(index))
        let ended = mask & UInt32(CLINUX_EPOLL_ENDED) != 0
        return Event(
            token: clinux_epoll_token(events, Int32(index)),
            isReadable: ended || mask & UInt32(CLINUX_EPOLL_READABLE) != 0,
            isWritable: mask & UInt32(CLINUX_EPOLL_WRITABLE) != 0,
            hasEnded: ended)
    }
}
