/// What is to happen, by time; what is due at the same time happens in the order in which it was scheduled.
struct EventQueue {
    private struct Entry {
        var time: UInt64
        var number: UInt64
        var action: () -> Void
    }
    private var heap: [Entry] = []
    private var count: UInt64 = 0

    var isEmpty: Bool { heap.isEmpty }
    /// When the next event is due.
    var nextTime: UInt64 { heap.first?.time ?? .max }

    mutating func add(_ time: UInt64, _ action: @escaping () -> Void) {
        count += 1
        heap.append(Entry(time: time, number: count, action: action))
        var child = heap.count - 1
        while child > 0, isBefore(child, (child - 1) / 2) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func removeFirst() -> () -> Void {
        heap.swapAt(0, heap.count - 1)
        let entry = heap.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && isBefore(child, least) {
                least = child
            }
            if least == parent { break }
            heap.swapAt(parent, least)
            parent = least
        }
        return entry.action
    }

    private func isBefore(_ one: Int, _ other: Int) -> Bool {
        (heap[one].time, heap[one].number) < (heap[other].time, heap[other].number)
    }
}
