internal import CURing
public import System

/// Something an operation has to tell. Plain data, copied out of the kernel's memory.
@frozen
public struct Completion: BitwiseCopyable {
    /// The tag that the operation was given.
    public let tag: Tag
    /// What it is about: bytes, a new descriptor, or ready events; a negative error number for a failure.
    public let result: Int32
    @usableFromInline let flags: UInt16
    /// The buffer with the received bytes, now the caller's; `.none` when there is none. A large buffer comes
    /// back with every completion of its receive, also when nothing was received into it.
    public let buffer: BufferID

    @inline(__always)
    init(tag: UInt64, result: Int32, flags: UInt16 = 0, buffer: BufferID = .none) {
        self.tag = Tag(raw: tag)
        self.result = result
        self.flags = flags
        self.buffer = buffer
    }

    /// Whether the operation goes on and will complete again. When `false` this is its final completion.
    @inlinable
    public var hasMore: Bool { flags & CompletionFlag.more != 0 }

    /// Whether more bytes already wait in the socket, as far as is known: a sign of bulk.
    @inlinable
    public var leavesBytes: Bool { flags & CompletionFlag.leavesBytes != 0 }

    /// Why the operation failed; `nil` when it did not.
    @inlinable
    public var failure: Errno? { result < 0 ? Errno(0 &- result) : nil }
}

/// Bits of `Completion.flags`; the kernel's own.
@usableFromInline
enum CompletionFlag {
    @usableFromInline static var buffer: UInt16 { 1 }
    @usableFromInline static var more: UInt16 { 2 }
    @usableFromInline static var leavesBytes: UInt16 { 4 }
    static var all: UInt32 { 7 }
}

/// Completions in the order in which they happened. Grows by doubling and keeps its memory.
@safe
struct CompletionQueue: ~Copyable {
    private(set) var start: UnsafeMutablePointer<Completion>
    var count = 0
    private var capacity: Int

    init(capacity: Int) {
        precondition(capacity > 0, "a queue starts with some room")
        self.capacity = capacity
        unsafe start = CompletionQueue.resized(nil, capacity)
    }

    deinit { unsafe loop_free(start) }

    @inline(__always)
    mutating func append(_ completion: Completion) {
        if count == capacity { grow() }
        unsafe start[count] = completion
        count &+= 1
    }

    @inline(never)
    private mutating func grow() {
        capacity *= 2
        unsafe start = CompletionQueue.resized(start, capacity)
    }

    private static func resized(
        _ old: UnsafeMutablePointer<Completion>?, _ capacity: Int
    ) -> UnsafeMutablePointer<Completion> {
        guard let memory = unsafe loop_grow(old, capacity * MemoryLayout<Completion>.stride) else {
            preconditionFailure("no memory for completions")
        }
        return unsafe memory.bindMemory(to: Completion.self, capacity: capacity)
    }
}
