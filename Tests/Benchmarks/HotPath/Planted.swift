// Functions with known habits, compiled by `Scripts/check-hot-path --self-test` to see that it finds each.

import Glibc

/// A class, so that there is something to count references of.
final class Node {
    var next: Node?
    var values: [Int]

    init(next: Node?, values: [Int]) {
        self.next = next
        self.values = values
    }
}

/// A plain record.
struct Record: BitwiseCopyable {
    var state: UInt8
    var count: Int
}

/// Stores and additions only.
@inline(never)
func plantedClean(_ records: UnsafeMutablePointer<Record>, _ count: Int) -> Int {
    var sum = 0
    for index in 0..<count {
        records[index].count &+= 1
        sum &+= records[index].count
    }
    return sum
}

/// Makes an object.
@inline(never)
func plantedAllocation(_ next: Node?) -> Node { Node(next: next, values: []) }

/// Gives a new owner to an object.
@inline(never)
func plantedRetain(_ place: UnsafeMutablePointer<Node?>, _ node: Node) { place.pointee = node }

/// Writes into an array that a class holds.
@inline(never)
func plantedUniqueness(_ node: Node, _ index: Int) { node.values[index] &+= 1 }

/// Calls the allocator of C.
@inline(never)
func plantedMalloc(_ count: Int) -> UnsafeMutableRawPointer? { malloc(count) }

/// Makes an existential error.
@inline(never)
func plantedError(_ count: Int) throws {
    if count > 3 { throw Failure(count: count) }
}

/// An error with a payload, which takes memory when thrown untyped.
struct Failure: Error { let count: Int }

/// A global that is made when it is first used.
let planted = [Int](repeating: 3, count: Int(getpid() % 7) + 1)

/// Uses it.
@inline(never)
func plantedOnce(_ index: Int) -> Int { planted.count &+ index }

/// A generic function that stays one.
@inline(never)
@_semantics("optimize.sil.specialize.generic.never")
func plantedGeneric<Value: BitwiseCopyable>(_ place: UnsafeMutablePointer<Value>) -> Value { place[1] }

/// Calls it.
@inline(never)
func plantedGenericUse(_ records: UnsafeMutablePointer<Record>) -> Int { plantedGeneric(records).count }

/// Large, not copyable, and without an atomic that would give it a place of its own.
struct Large: ~Copyable {
    var values: InlineArray<128, Int>

    /// Reads all of it.
    @inline(never)
    @_optimize(none)
    func sum() -> Int {
        var sum = 0
        for index in values.indices { sum &+= values[index] }
        return sum
    }
}

/// Calls what only reads.
@inline(never)
func plantedCopy(_ large: inout Large, _ value: Int) -> Int {
    large.values[value & 127] = value
    return large.sum()
}

@main
struct Planted {
    static func main() {
        let count = Int(getpid() % 3) + 2
        let records = UnsafeMutablePointer<Record>.allocate(capacity: count)
        records.initialize(repeating: Record(state: 0, count: 1), count: count)
        let place = UnsafeMutablePointer<Node?>.allocate(capacity: 1)
        place.initialize(to: nil)
        let node = plantedAllocation(Node(next: nil, values: [1, 2, 3, 4, 5, 6]))
        plantedRetain(place, node)
        plantedUniqueness(node, count)
        try? plantedError(count)
        free(plantedMalloc(count))
        records[0].count &+= plantedGenericUse(records)
        var large = Large(values: InlineArray(repeating: count))
        let copied = plantedCopy(&large, count)
        let sum = plantedClean(records, count) + copied + plantedOnce(count) + node.values[0]
        exit(Int32(truncatingIfNeeded: sum))
    }
}
