/// An open-addressed table from 64-bit hashes to 32-bit values, such as slots of a slab.
///
/// The table stores no keys: the caller's `matches` compares, so that equal hashes of different keys are told
/// apart. Lookup, insert and remove are O(1) on average; only growth allocates. The hashes must be well
/// mixed.
@safe
public struct SlotTable: ~Copyable {
    @usableFromInline
    struct Entry: BitwiseCopyable {
        @usableFromInline var hash: UInt64
        @usableFromInline var value: UInt32
        @usableFromInline var used: UInt32
    }

    @usableFromInline var entries: UnsafeMutablePointer<Entry>
    @usableFromInline var mask: Int
    /// Entries in the table.
    public private(set) var count = 0

    /// An empty table with room for about `capacity` entries before it grows.
    public init(capacity: Int = 64) {
        var size = 16
        while size < capacity * 2 { size *= 2 }
        mask = size - 1
        unsafe entries = SlotTable.make(size)
    }

    deinit { unsafe entries.deallocate() }

    /// The value stored under `hash` for which `matches` says yes, or `nil`.
    @inlinable
    public func find(_ hash: UInt64, where matches: (UInt32) -> Bool) -> UInt32? {
        var index = Int(truncatingIfNeeded: hash) & mask
        while unsafe entries[index].used != 0 {
            let entry = unsafe entries[index]
            if entry.hash == hash, matches(entry.value) { return entry.value }
            index = (index &+ 1) & mask
        }
        return nil
    }

    /// Adds a value. The caller has made sure that it is not there yet.
    public mutating func insert(_ hash: UInt64, _ value: UInt32) {
        if (count + 1) * 2 > mask + 1 { grow() }
        place(Entry(hash: hash, value: value, used: 1))
        count &+= 1
    }

    /// Removes a value that is in the table.
    ///
    /// - Precondition: it was inserted under this hash.
    public mutating func remove(_ hash: UInt64, _ value: UInt32) {
        var index = Int(truncatingIfNeeded: hash) & mask
        while true {
            precondition(unsafe entries[index].used != 0, "only what is in the table can be removed")
            if unsafe entries[index].hash == hash, unsafe entries[index].value == value { break }
            index = (index &+ 1) & mask
        }
        // Move later entries of the run back, so that no lookup stops at the hole.
        var hole = index
        var next = (hole &+ 1) & mask
        while unsafe entries[next].used != 0 {
            let home = unsafe Int(truncatingIfNeeded: entries[next].hash) & mask
            if (next &- home) & mask >= (next &- hole) & mask {
                unsafe entries[hole] = entries[next]
                hole = next
            }
            next = (next &+ 1) & mask
        }
        unsafe entries[hole].used = 0
        count &-= 1
    }

    private mutating func place(_ entry: Entry) {
        var index = Int(truncatingIfNeeded: entry.hash) & mask
        while unsafe entries[index].used != 0 { index = (index &+ 1) & mask }
        unsafe entries[index] = entry
    }

    private mutating func grow() {
        let old = unsafe entries
        let oldSize = mask + 1
        unsafe entries = SlotTable.make(oldSize * 2)
        mask = oldSize * 2 - 1
        for index in 0..<oldSize where unsafe old[index].used != 0 { place(unsafe old[index]) }
        unsafe old.deallocate()
    }

    private static func make(_ size: Int) -> UnsafeMutablePointer<Entry> {
        let entries = UnsafeMutablePointer<Entry>.allocate(capacity: size)
        unsafe entries.initialize(repeating: Entry(hash: 0, value: 0, used: 0), count: size)
        return unsafe entries
    }
}
