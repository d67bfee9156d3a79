import CLinux
import Glibc

/// Bytes on their way to a descriptor that may be slow: written as far as it takes them at once, kept up to
/// a limit, then dropped whole lines at a time. Never waits, and leaves the descriptor's flags alone,
/// because standard error is shared with whoever started us.
public struct OutputQueue {
    /// Where the bytes go; owned by whoever made the queue.
    public let descriptor: Int32
    /// Bytes kept at most.
    public let limit: Int
    /// Lines that found no room since the last time this was asked.
    public private(set) var droppedCount = 0

    private var waiting: [UInt8] = []
    private var offset = 0
    private var isBroken = false

    /// An empty queue.
    public init(descriptor: Int32, limit: Int = 1 << 20) {
        self.descriptor = descriptor
        self.limit = limit
    }

    /// Whether bytes wait for the descriptor.
    public var isWaiting: Bool { offset < waiting.count }

    /// Takes a line, which ends with a newline, and writes what can be written.
    public mutating func append(_ line: [UInt8]) {
        if isBroken { return }
        if waiting.count - offset + line.count > limit {
            flush()
            guard waiting.count - offset + line.count <= limit else {
                droppedCount += 1
                return
            }
        }
        waiting += line
    }

    /// How many lines were dropped since the last call; 0 as long as others wait, since a line about it
    /// would be lost too.
    public mutating func takeDroppedCountWhenFree() -> Int {
        guard !isWaiting else { return 0 }
        defer { droppedCount = 0 }
        return droppedCount
    }

    /// Writes what the descriptor takes at once.
    public mutating func flush() {
        while isWaiting {
            let sent = write()
            if sent <= 0 { break }
            offset += sent
        }
        if !isWaiting {
            waiting.removeAll(keepingCapacity: waiting.capacity <= 65536)
            offset = 0
        } else if offset > 65536 {
            waiting.removeFirst(offset)
            offset = 0
        }
    }

    /// Writes everything, waiting for the descriptor up to `milliseconds` in all.
    public mutating func drain(milliseconds: Int) {
        let end = Clock.monotonicNanoseconds + UInt64(milliseconds) * 1_000_000
        flush()
        while isWaiting, !isBroken {
            let now = Clock.monotonicNanoseconds
            guard now < end else { return }
            _ = Poll.wait(
                [Poll.Interest(descriptor, .write)], milliseconds: Int32((end - now) / 1_000_000 + 1))
            flush()
        }
    }

    /// A pipe that is ready takes a page without waiting, so no more is offered at once to what is no
    /// socket.
    private mutating func write() -> Int {
        let sent = unsafe waiting.withUnsafeBytes { bytes in
            guard let start = bytes.baseAddress else { return 0 }
            let count = bytes.count - offset
            let sent = unsafe clinux_send_now(descriptor, start + offset, count)
            guard sent < 0, Errno.last.code == ENOTSOCK else { return sent }
            let ready = Poll.wait([Poll.Interest(descriptor, .write)], milliseconds: 0)
            guard ready[0].canWrite else { return 0 }
            return unsafe Glibc.write(descriptor, start + offset, min(count, 4096))
        }
        if sent < 0, ![EAGAIN, EINTR, ENOSPC].contains(Errno.last.code) {
            // Nobody will ever read this: what waits is as good as dropped.
            isBroken = true
            waiting = []
            offset = 0
        }
        return sent
    }
}
