/// Fixed-capacity storage for plain records, addressed by handles.
///
/// Address space for `capacity` records is reserved once; a page becomes resident when a record in it is
/// first used. Insert, remove and access are O(1) and never allocate.
@safe
public struct Slab<Record: BitwiseCopyable>: ~Copyable {
    /// The most records this slab can hold.
    public let capacity: Int
    /// Records in use.
    @inlinable
    public var count: Int { usedCount }

    @usableFromInline var usedCount = 0
    @usableFromInline let records: UnsafeMutablePointer<Record>
    @usableFromInline let generations: UnsafeMutablePointer<UInt32>
    @usableFromInline let nextFree: UnsafeMutablePointer<UInt32>
    @usableFromInline var firstFree = UInt32.max
    /// Slots at and above this one have never been used.
    @usableFromInline var highWater = 0

    @usableFromInline static var generationMask: UInt32 { 0x00FF_FFFF }

    /// An empty slab.
    ///
    /// - Precondition: `capacity` is 1 or more and fits 31 bits.
    @inlinable
    public init(capacity: Int) {
        precondition(capacity > 0 && capacity < Int(Int32.max), "a slab holds between 1 and 2^31 records")
        self.capacity = capacity
        unsafe records = UnsafeMutablePointer<Record>.allocate(capacity: capacity)
        unsafe generations = UnsafeMutablePointer<UInt32>.allocate(capacity: capacity)
        unsafe nextFree = UnsafeMutablePointer<UInt32>.allocate(capacity: capacity)
    }

    deinit {
        unsafe records.deallocate()
        unsafe generations.deallocate()
        unsafe nextFree.deallocate()
    }

    /// Stores `record` and returns its handle, or `nil` when the slab is full.
    @inlinable
    public mutating func insert(_ record: Record) -> Handle<Record>? {
        let slot: Int
        if firstFree != .max {
            slot = Int(firstFree)
            firstFree = unsafe nextFree[slot]
        } else {
            guard highWater < capacity else { return nil }
            slot = highWater
            highWater &+= 1
            unsafe generations[slot] = 0
        }
        let generation = unsafe (generations[slot] &+ 1) & Slab.generationMask
        precondition(generation & 1 == 1, "a free slot has an even generation")
        unsafe generations[slot] = generation
        unsafe (records + slot).initialize(to: record)
        usedCount &+= 1
        return Handle(slot: UInt32(slot), generation: generation)
    }

    /// Removes a record; its handles stop resolving.
    ///
    /// - Precondition: the record is in the slab.
    @inlinable
    public mutating func remove(_ handle: Handle<Record>) {
        precondition(contains(handle), "only a live record can be removed")
        let slot = Int(handle.slot)
        unsafe generations[slot] = (generations[slot] &+ 1) & Slab.generationMask
        unsafe nextFree[slot] = firstFree
        firstFree = handle.slot
        usedCount &-= 1
    }

    /// Whether the record behind `handle` is still there.
    @inlinable
    @inline(__always)
    public func contains(_ handle: Handle<Record>) -> Bool {
        let slot = Int(handle.slot)
        guard slot < highWater else { return false }
        #if CANARY
            if Canary.isPlanted(.generationIgnored) { return unsafe generations[slot] & 1 == 1 }
        #endif
        return unsafe generations[slot] == handle.generation
    }

    /// The record behind `handle`, in place.
    ///
    /// - Precondition: the record is in the slab (`contains` tells).
    @inlinable
    public subscript(_ handle: Handle<Record>) -> Record {
        @inline(__always)
        unsafeAddress {
            precondition(contains(handle), "the record behind this handle has been removed")
            return unsafe UnsafePointer(records + Int(handle.slot))
        }
        @inline(__always)
        unsafeMutableAddress {
            precondition(contains(handle), "the record behind this handle has been removed")
            return unsafe records + Int(handle.slot)
        }
    }

    /// Where the record is; it stays there until it is removed. For memory that the kernel is to read.
    ///
    /// - Precondition: the record is in the slab.
    @unsafe
    @inlinable
    public func address(of handle: Handle<Record>) -> UnsafeMutablePointer<Record> {
        precondition(contains(handle), "the record behind this handle has been removed")
        return unsafe records + Int(handle.slot)
    }

    /// The handle of the live record in `slot`, or `nil` when the slot is free. For walking over all records.
    @inlinable
    public func handle(at slot: Int) -> Handle<Record>? {
        guard slot >= 0, slot < highWater else { return nil }
        let generation = unsafe generations[slot]
        return generation & 1 == 1 ? Handle(slot: UInt32(slot), generation: generation) : nil
    }

    /// One more than the highest slot ever used: the bound of a walk with `handle(at:)`.
    @inlinable
    public var slotLimit: Int { highWater }
}
