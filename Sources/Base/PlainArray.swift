/// A growable array of plain values that is not shared and not copied, and keeps its memory when emptied.
///
/// Unlike `Array` it counts no references and checks no uniqueness, so it may be used for every message. Only
/// growing allocates.
@safe
public struct PlainArray<Element: BitwiseCopyable>: ~Copyable {
    @usableFromInline var storage: UnsafeMutablePointer<Element>
    @usableFromInline var capacity: Int
    @usableFromInline var used = 0

    /// An empty array with room for `capacity` values before it grows.
    public init(capacity: Int = 64) {
        self.capacity = max(capacity, 1)
        unsafe storage = UnsafeMutablePointer<Element>.allocate(capacity: self.capacity)
    }

    /// An array of `count` equal values.
    public init(repeating value: Element, count: Int) {
        self.init(capacity: count)
        unsafe storage.initialize(repeating: value, count: count)
        used = count
    }

    deinit { unsafe storage.deallocate() }

    /// How many values there are.
    @inlinable
    public var count: Int { used }

    /// Whether there are none.
    @inlinable
    public var isEmpty: Bool { used == 0 }

    /// The value at `index`.
    @inlinable
    public subscript(_ index: Int) -> Element {
        @inline(__always)
        get {
            precondition(index >= 0 && index < used, "an index lies inside the array")
            return unsafe storage[index]
        }
        @inline(__always)
        set {
            precondition(index >= 0 && index < used, "an index lies inside the array")
            unsafe storage[index] = newValue
        }
    }

    /// Adds a value at the end.
    @inlinable
    public mutating func append(_ value: Element) {
        if used == capacity { grow() }
        unsafe (storage + used).initialize(to: value)
        used &+= 1
    }

    /// Forgets all values and keeps the memory.
    @inlinable
    public mutating func removeAll() { used = 0 }

    /// Forgets the first `count` values. O(rest).
    public mutating func removeFirst(_ count: Int) {
        precondition(count >= 0 && count <= used, "no more can be removed than is there")
        unsafe storage.update(from: storage + count, count: used - count)
        used -= count
    }

    @inline(never)
    @usableFromInline
    mutating func grow() {
        let bigger = UnsafeMutablePointer<Element>.allocate(capacity: capacity * 2)
        unsafe bigger.update(from: storage, count: used)
        unsafe storage.deallocate()
        unsafe storage = bigger
        capacity *= 2
    }
}
