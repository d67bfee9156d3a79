public import Base

/// What an operation was for. It comes back with each of the operation's completions.
///
/// Layout, high to low: operation 8 bits, generation 24, slot 32. The generation is as wide as the slab's,
/// so nothing is cut off, and tells a completion that arrives after its record was removed from one for the
/// slot's new user. Tags of operations that are in flight at one time must differ.
@frozen
public struct Tag: BitwiseCopyable, Equatable, Hashable {
    /// All bits.
    public let raw: UInt64

    /// The tag with these bits.
    @inlinable
    public init(raw: UInt64) { self.raw = raw }

    /// A tag from its parts.
    ///
    /// - Precondition: `operation` is below `reservedOperation`; `generation` fits 24 bits.
    @inlinable
    public init(operation: UInt8, slot: UInt32, generation: UInt32) {
        precondition(operation < Tag.reservedOperation, "the loop keeps the highest operations for itself")
        precondition(generation >> 24 == 0, "a generation has 24 bits")
        raw = UInt64(operation) << 56 | UInt64(generation) << 32 | UInt64(slot)
    }

    /// A tag for a record in a slab.
    @inlinable
    public init<Record>(operation: UInt8, _ handle: Handle<Record>) {
        self.init(operation: operation, slot: handle.slot, generation: handle.generation)
    }

    /// Operations from this one on belong to the loop.
    @inlinable
    public static var reservedOperation: UInt8 { 0xF0 }

    /// The caller's number for what was asked.
    @inlinable
    public var operation: UInt8 { UInt8(truncatingIfNeeded: raw >> 56) }

    /// The slot of the record.
    @inlinable
    public var slot: UInt32 { UInt32(truncatingIfNeeded: raw) }

    /// The generation of the record.
    @inlinable
    public var generation: UInt32 { UInt32(truncatingIfNeeded: raw >> 32) & 0x00FF_FFFF }

    /// The record that the tag was made for.
    @inlinable
    public func handle<Record>(of record: Record.Type) -> Handle<Record> {
        Handle(slot: slot, generation: generation)
    }
}

/// What the loop itself has in flight.
enum OwnTag {
    /// A cancel: its target answers, this does not.
    static let cancel: UInt64 = 0xFF << 56 | 1
    /// A close that failed.
    static let close: UInt64 = 0xFF << 56 | 2
    /// The descriptor through which shared listeners are watched became readable.
    static let sharedListeners: UInt64 = 0xFF << 56 | 3
    /// The message that tries a new ring out.
    static let trial: UInt64 = 0xFF << 56 | 4

    /// A receive into the large buffer with this index; the caller's tag is kept aside.
    static func bulk(_ index: Int) -> UInt64 { 0xFE << 56 | UInt64(index) }
    /// Whether `raw` was made by `bulk`.
    @inline(__always)
    static func isBulk(_ raw: UInt64) -> Bool { raw >> 56 == 0xFE }
    /// Whether `raw` is of the loop and no `bulk`.
    @inline(__always)
    static func isOwn(_ raw: UInt64) -> Bool { raw >> 56 == 0xFF }
}
