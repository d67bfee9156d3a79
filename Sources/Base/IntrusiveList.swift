/// The two links a record carries for each list it may be in.
@frozen
public struct ListLinks<Record>: BitwiseCopyable {
    /// The record before this one, or `.none`.
    public var previous: Handle<Record> = .none
    /// The record after this one, or `.none`.
    public var next: Handle<Record> = .none

    /// Links of a record that is in no list.
    @inlinable
    public init() {}
}

/// A record that can be in one list at a time through `links`.
public protocol Linked: BitwiseCopyable {
    /// Where this record keeps its neighbours.
    var links: ListLinks<Self> { get set }
}

/// A doubly linked list through the slots of a slab. All operations are O(1) and allocate nothing.
///
/// The list does not own the records. A record must be in at most one list that uses the same links.
@frozen
public struct IntrusiveList<Record: Linked>: BitwiseCopyable {
    /// The first record, or `.none`.
    @inlinable
    public var first: Handle<Record> { firstStored }
    @usableFromInline var firstStored: Handle<Record> = .none
    /// The last record, or `.none`.
    @inlinable
    public var last: Handle<Record> { lastStored }
    @usableFromInline var lastStored: Handle<Record> = .none
    /// How many records are in the list.
    @inlinable
    public var count: Int32 { countStored }
    @usableFromInline var countStored: Int32 = 0

    /// An empty list.
    @inlinable
    public init() {}

    /// Whether no record is in the list.
    @inlinable
    public var isEmpty: Bool { count == 0 }

    /// Puts a record in front.
    @inlinable
    public mutating func prepend(_ handle: Handle<Record>, in slab: inout Slab<Record>) {
        precondition(slab[handle].links.previous.isNone && slab[handle].links.next.isNone && first != handle)
        slab[handle].links.next = first
        if first.isNone { lastStored = handle } else { slab[first].links.previous = handle }
        firstStored = handle
        countStored &+= 1
    }

    /// Puts a record at the end.
    @inlinable
    public mutating func append(_ handle: Handle<Record>, in slab: inout Slab<Record>) {
        precondition(slab[handle].links.previous.isNone && slab[handle].links.next.isNone && first != handle)
        slab[handle].links.previous = last
        if last.isNone { firstStored = handle } else { slab[last].links.next = handle }
        lastStored = handle
        countStored &+= 1
    }

    /// Takes a record out.
    ///
    /// - Precondition: the record is in this list.
    @inlinable
    public mutating func remove(_ handle: Handle<Record>, in slab: inout Slab<Record>) {
        precondition(count > 0, "the list that loses a record holds one")
        let links = slab[handle].links
        if links.previous.isNone {
            precondition(first == handle, "a record without a predecessor is the first of its list")
            firstStored = links.next
        } else {
            slab[links.previous].links.next = links.next
        }
        if links.next.isNone {
            precondition(last == handle, "a record without a successor is the last of its list")
            lastStored = links.previous
        } else {
            slab[links.next].links.previous = links.previous
        }
        slab[handle].links = ListLinks()
        countStored &-= 1
    }
}
