import CShared

/// How much a log record matters; the words PgBouncer's log uses.
public enum LogLevel: UInt8, CaseIterable, Comparable, BitwiseCopyable, Sendable {
    case fatal, error, warning, log, debug, noise

    /// The word in the log line.
    public var word: String {
        switch self {
        case .fatal: "FATAL"
        case .error: "ERROR"
        case .warning: "WARNING"
        case .log: "LOG"
        case .debug: "DEBUG"
        case .noise: "NOISE"
        }
    }

    /// More important levels come first.
    public static func < (left: LogLevel, right: LogLevel) -> Bool { left.rawValue < right.rawValue }
}

/// What a line that speaks of one connection begins with, `C-<number>: database/user@address `: how long the
/// names in it are, so that whoever reads the line needs not guess where one ends.
@frozen
public struct LogSubject: Equatable, BitwiseCopyable, Sendable {
    /// Longer names are not told apart.
    public static let nameLimit = 4095

    /// Bytes of the database's name; 0 when the line speaks of no connection.
    public let databaseLength: UInt16
    /// Bytes of the user's name.
    public let userLength: UInt16

    /// The line speaks of no connection.
    @inlinable public static var none: LogSubject { LogSubject(databaseLength: 0, userLength: 0) }

    /// The connection of this database and user.
    @inlinable
    public init(databaseLength: Int, userLength: Int) {
        let isKnown = databaseLength <= LogSubject.nameLimit && userLength <= LogSubject.nameLimit
        self.databaseLength = isKnown ? UInt16(databaseLength) : 0
        self.userLength = isKnown ? UInt16(userLength) : 0
    }

    /// 24 bits.
    var packed: UInt32 { UInt32(databaseLength) << 12 | UInt32(userLength) }

    init(packed: UInt32) {
        self.init(databaseLength: Int(packed >> 12), userLength: Int(packed & 0xfff))
    }
}

/// One line for the log, as the supervisor takes it out of a ring.
public struct LogRecord: Equatable {
    /// How much it matters.
    public let level: LogLevel
    /// When it was written, microseconds since 1970.
    public let realtimeMicroseconds: UInt64
    /// The process that wrote it.
    public let pid: Int32
    /// What the text begins with.
    public let subject: LogSubject
    /// The text without a line end.
    public let text: [UInt8]

    /// A record from its parts.
    public init(
        level: LogLevel, realtimeMicroseconds: UInt64, pid: Int32, subject: LogSubject = .none, text: [UInt8]
    ) {
        self.subject = subject
        self.level = level
        self.realtimeMicroseconds = realtimeMicroseconds
        self.pid = pid
        self.text = text
    }
}

/// One worker's log ring: the worker appends, the supervisor takes. Neither waits for the other, and what a
/// worker wrote before it crashed is still there. A handle; copies name the same ring.
@safe
public struct LogRing {
    /// Longer texts are cut.
    public static let textLimit = 2000

    private let block: UnsafeMutablePointer<cshared_worker>
    private let bytes: UnsafeMutableRawPointer
    /// A power of two.
    private let capacity: UInt64

    private static var headerSize: Int { MemoryLayout<cshared_log_record>.size }

    @unsafe
    init(block: UnsafeMutablePointer<cshared_worker>, bytes: UnsafeMutableRawPointer, capacity: UInt64) {
        unsafe self.block = block
        unsafe self.bytes = bytes
        self.capacity = capacity
    }

    /// Records that found no room since the worker began.
    public var droppedCount: UInt64 { unsafe cshared_load(cshared_worker_ring_dropped(block)) }

    /// Appends a record; counts it as dropped when there is no room. For the worker only.
    ///
    /// - Parameters:
    ///   - realtimeMicroseconds: since 1970.
    ///   - text: the line without its end, cut to `textLimit` bytes.
    public func append(
        _ level: LogLevel, realtimeMicroseconds: UInt64, pid: Int32, subject: LogSubject = .none,
        text: RawSpan
    ) {
        let length = min(text.byteCount, LogRing.textLimit)
        let byteCount = LogRing.recordSize(textLength: length)
        let tail = unsafe cshared_load(cshared_worker_ring_tail(block))
        let head = unsafe cshared_load_acquire(cshared_worker_ring_head(block))
        guard tail &- head <= capacity, capacity - (tail &- head) >= byteCount else {
            unsafe cshared_add(cshared_worker_ring_dropped(block), 1)
            return
        }
        let header = cshared_log_record(
            text_length: UInt32(length), level: UInt32(level.rawValue) | subject.packed << 8,
            realtime_us: realtimeMicroseconds, pid: UInt64(bitPattern: Int64(pid)))
        unsafe withUnsafeBytes(of: header) { unsafe copy($0, to: tail) }
        unsafe text.extracting(0..<length).withUnsafeBytes {
            unsafe copy($0, to: tail &+ UInt64(LogRing.headerSize))
        }
        unsafe cshared_store_release(cshared_worker_ring_tail(block), tail &+ byteCount)
    }

    /// Appends a record whose text is a `String`.
    public func append(_ level: LogLevel, realtimeMicroseconds: UInt64, pid: Int32, text: String) {
        let text = Array(text.utf8)
        unsafe append(
            level, realtimeMicroseconds: realtimeMicroseconds, pid: pid, text: text.span.bytes)
    }

    /// The oldest record, taken out, or `nil` when there is none. For the supervisor only.
    ///
    /// A ring that makes no sense (its writer went wrong) is emptied, and that counts as nothing.
    public func take() -> LogRecord? {
        let head = unsafe cshared_load(cshared_worker_ring_head(block))
        let tail = unsafe cshared_load_acquire(cshared_worker_ring_tail(block))
        let waiting = tail &- head
        guard waiting > 0 else { return nil }
        guard waiting <= capacity, waiting >= UInt64(LogRing.headerSize) else { return discard(to: tail) }
        var header = cshared_log_record()
        unsafe withUnsafeMutableBytes(of: &header) { unsafe copy(from: head, to: $0) }
        let length = Int(header.text_length)
        let byteCount = LogRing.recordSize(textLength: length)
        guard
            length <= LogRing.textLimit, byteCount <= waiting,
            let level = LogLevel(rawValue: UInt8(truncatingIfNeeded: header.level))
        else { return discard(to: tail) }
        let text = unsafe [UInt8](unsafeUninitializedCapacity: length) { room, count in
            unsafe copy(
                from: head &+ UInt64(LogRing.headerSize),
                to: UnsafeMutableRawBufferPointer(start: room.baseAddress, count: length))
            count = length
        }
        unsafe cshared_store_release(cshared_worker_ring_head(block), head &+ byteCount)
        return LogRecord(
            level: level, realtimeMicroseconds: header.realtime_us,
            pid: Int32(truncatingIfNeeded: header.pid), subject: LogSubject(packed: header.level >> 8),
            text: text)
    }

    private func discard(to tail: UInt64) -> LogRecord? {
        unsafe cshared_store_release(cshared_worker_ring_head(block), tail)
        return nil
    }

    /// Header and text, padded to 8 bytes.
    private static func recordSize(textLength: Int) -> UInt64 {
        UInt64((headerSize + textLength + 7) & ~7)
    }

    /// Copies into the ring at a position, around its end if need be.
    @unsafe
    private func copy(_ source: UnsafeRawBufferPointer, to position: UInt64) {
        guard let start = source.baseAddress else { return }
        let offset = Int(position & (capacity - 1))
        let first = min(source.count, Int(capacity) - offset)
        unsafe (bytes + offset).copyMemory(from: start, byteCount: first)
        unsafe bytes.copyMemory(from: start + first, byteCount: source.count - first)
    }

    /// Copies out of the ring from a position, around its end if need be.
    @unsafe
    private func copy(from position: UInt64, to room: UnsafeMutableRawBufferPointer) {
        guard let start = room.baseAddress else { return }
        let offset = Int(position & (capacity - 1))
        let first = min(room.count, Int(capacity) - offset)
        unsafe start.copyMemory(from: bytes + offset, byteCount: first)
        unsafe (start + first).copyMemory(from: bytes, byteCount: room.count - first)
    }
}

@available(*, unavailable)
extension LogRing: Sendable {}
