internal import CURing
import System

/// Names a receive buffer of a loop.
@frozen
public struct BufferID: BitwiseCopyable, Equatable, Hashable {
    /// Small buffers count from 0, large ones from 0x8000.
    public let raw: UInt16

    @inlinable
    init(raw: UInt16) { self.raw = raw }

    /// No buffer.
    @inlinable
    public static var none: BufferID { BufferID(raw: .max) }

    /// Whether this names no buffer.
    @inlinable
    public var isNone: Bool { raw == .max }

    /// Whether this names a large buffer.
    @inlinable
    public var isLarge: Bool { raw & 0x8000 != 0 }

    @inlinable
    static func large(_ index: Int) -> BufferID { BufferID(raw: UInt16(truncatingIfNeeded: index) | 0x8000) }

    /// Position among the buffers of its kind.
    @inlinable
    var index: Int { Int(raw & 0x7FFF) }
}

/// The memory that is received into: many small buffers and a few large ones.
///
/// A buffer has one owner at a time: the pool, the kernel, or the caller. Pages become resident when they
/// are first used. Free buffers are taken in reverse, so that those still in the cache are used first; only
/// a ring takes its small buffers in the order in which they were given back.
@safe
struct BufferPool: ~Copyable {
    let smallStart: UnsafeMutableRawPointer
    let largeStart: UnsafeMutableRawPointer
    let smallSize: Int
    let largeSize: Int
    let smallCount: Int
    let largeCount: Int
    /// How many small buffers the caller has.
    var smallHeld = 0
    /// How many large buffers the caller has or has armed.
    var largeHeld = 0

    /// Whether the caller has the buffer; small ones first, then large ones.
    private let held: UnsafeMutablePointer<Bool>
    private let smallFree: UnsafeMutablePointer<UInt16>
    private var smallFreeCount: Int
    private let largeFree: UnsafeMutablePointer<UInt16>
    private var largeFreeCount: Int
    /// Where the kernel finds free small buffers when a ring receives into them, else `nil`.
    private var kernelRing: UnsafeMutableRawPointer?

    init(limits: EventLoop.Limits) throws(EventLoopError) {
        smallSize = limits.smallBufferByteCount
        smallCount = limits.smallBufferCount
        largeSize = limits.largeBufferByteCount
        largeCount = limits.largeBufferCount
        guard let small = unsafe loop_map(smallSize * smallCount) else { throw .noMemory("receive buffers") }
        guard let large = unsafe loop_map(largeSize * largeCount) else {
            unsafe loop_unmap(small, smallSize * smallCount)
            throw .noMemory("receive buffers")
        }
        // Passwords and the rows of queries pass through them.
        unsafe SharedMemory.keepOutOfDumps(small, byteCount: smallSize * smallCount)
        unsafe SharedMemory.keepOutOfDumps(large, byteCount: largeSize * largeCount)
        unsafe smallStart = small
        unsafe largeStart = large
        unsafe held = .allocate(capacity: smallCount + largeCount)
        unsafe held.initialize(repeating: false, count: smallCount + largeCount)
        unsafe smallFree = .allocate(capacity: smallCount)
        unsafe largeFree = .allocate(capacity: largeCount)
        smallFreeCount = smallCount
        largeFreeCount = largeCount
        for index in 0..<smallCount { unsafe smallFree[index] = UInt16(smallCount - 1 - index) }
        for index in 0..<largeCount { unsafe largeFree[index] = UInt16(largeCount - 1 - index) }
    }

    deinit {
        unsafe loop_unmap(smallStart, smallSize * smallCount)
        unsafe loop_unmap(largeStart, largeSize * largeCount)
        unsafe held.deallocate()
        unsafe smallFree.deallocate()
        unsafe largeFree.deallocate()
    }

    /// Hands all small buffers to the kernel, for good.
    ///
    /// - Precondition: the caller has none yet; `ring` is registered for `smallCount` buffers.
    mutating func provideAll(to ring: UnsafeMutableRawPointer) {
        precondition(smallFreeCount == smallCount, "buffers are provided before the first is used")
        unsafe kernelRing = ring
        smallFreeCount = 0
        for index in 0..<smallCount { unsafe provide(index, to: ring) }
    }

    /// Notes that the kernel gave the caller a small buffer.
    @inline(__always)
    mutating func received(_ index: Int) {
        precondition(index < smallCount, "the kernel names a buffer it was given")
        unsafe precondition(!held[index], "a buffer has one owner")
        unsafe held[index] = true
        smallHeld &+= 1
    }

    /// A small buffer for the caller, or `.none`. Not for pools whose small buffers a ring has.
    @inline(__always)
    mutating func takeSmall() -> BufferID {
        guard smallFreeCount > 0 else { return .none }
        smallFreeCount &-= 1
        let id = unsafe BufferID(raw: smallFree[smallFreeCount])
        received(id.index)
        return id
    }

    /// A large buffer for the caller, or `.none`.
    mutating func takeLarge() -> BufferID {
        guard largeFreeCount > 0 else { return .none }
        largeFreeCount &-= 1
        let index = unsafe Int(largeFree[largeFreeCount])
        unsafe precondition(!held[smallCount &+ index], "a buffer has one owner")
        unsafe held[smallCount &+ index] = true
        largeHeld &+= 1
        return .large(index)
    }

    /// Takes a buffer back.
    ///
    /// - Precondition: the caller has it.
    mutating func giveBack(_ id: BufferID) {
        let index = id.index
        if id.isLarge {
            precondition(index < largeCount, "a buffer of this loop is given back")
            unsafe precondition(held[smallCount &+ index], "a buffer is given back once")
            unsafe held[smallCount &+ index] = false
            unsafe largeFree[largeFreeCount] = UInt16(truncatingIfNeeded: index)
            largeFreeCount &+= 1
            largeHeld &-= 1
            return
        }
        precondition(index < smallCount, "a buffer of this loop is given back")
        unsafe precondition(held[index], "a buffer is given back once")
        unsafe held[index] = false
        smallHeld &-= 1
        if let ring = unsafe kernelRing {
            unsafe provide(index, to: ring)
        } else {
            unsafe smallFree[smallFreeCount] = UInt16(truncatingIfNeeded: index)
            smallFreeCount &+= 1
        }
    }

    /// Where a buffer begins.
    @inline(__always)
    func start(of id: BufferID) -> UnsafeMutableRawPointer {
        unsafe id.isLarge ? largeStart + id.index &* largeSize : smallStart + id.index &* smallSize
    }

    @inline(__always)
    private func provide(_ index: Int, to ring: UnsafeMutableRawPointer) {
        unsafe uring_provide(
            ring, smallStart + index &* smallSize, UInt32(truncatingIfNeeded: smallSize),
            UInt16(truncatingIfNeeded: index), Int32(truncatingIfNeeded: smallCount &- 1))
    }
}
