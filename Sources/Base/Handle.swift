/// Names a record in a `Slab`: a slot, and the generation that was in it when the handle was made.
///
/// A handle outlives its record without harm: once the record is removed the generation differs and the slab
/// answers that the record is gone. Generations are 24 bits wide, odd while the slot is in use.
@frozen
public struct Handle<Record>: BitwiseCopyable, Hashable {
    /// Index of the record in its slab.
    public let slot: UInt32
    /// Generation of the slot, 24 bits, odd for a live record.
    public let generation: UInt32

    /// A handle from its parts, as a completion tag carries them.
    @inlinable
    public init(slot: UInt32, generation: UInt32) {
        self.slot = slot
        self.generation = generation
    }

    /// The handle of no record; never resolves.
    @inlinable
    public static var none: Handle { Handle(slot: .max, generation: 0) }

    /// Whether this is `none`.
    @inlinable
    public var isNone: Bool { slot == .max }

    /// Both parts in one number: generation above, slot below.
    @inlinable
    public var raw: UInt64 { UInt64(generation) << 32 | UInt64(slot) }

    /// The handle whose `raw` is given.
    @inlinable
    public init(raw: UInt64) {
        self.init(slot: UInt32(truncatingIfNeeded: raw), generation: UInt32(truncatingIfNeeded: raw >> 32))
    }
}
