import BenchmarkSupport
import Glibc

/// Zeroed memory that processes forked later share.
func sharedMemory(byteCount: Int) -> UnsafeMutableRawPointer {
    let memory = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    guard let memory, memory != MAP_FAILED else { fail("mmap") }
    return memory
}

/// What one process of the load generator counted, in memory its parent reads.
struct Tally {
    private let numbers: UnsafeMutablePointer<UInt64>
    /// Latencies of the transactions measured.
    let latencies: LatencyHistogram

    /// An empty one.
    static func shared() -> Tally {
        let byteCount = (8 + LatencyHistogram.bucketCount) * MemoryLayout<UInt64>.stride
        let memory = sharedMemory(byteCount: byteCount).assumingMemoryBound(to: UInt64.self)
        return Tally(numbers: memory, latencies: LatencyHistogram(counts: memory + 8))
    }

    /// Transactions that ended while measuring.
    var transactionCount: UInt64 {
        get { numbers[0] }
        nonmutating set { numbers[0] = newValue }
    }

    /// Wrong answers, lost connections, clients that waited too long.
    var errorCount: UInt64 {
        get { numbers[1] }
        nonmutating set { numbers[1] = newValue }
    }

    /// How long was measured.
    var measuredNanoseconds: UInt64 {
        get { numbers[2] }
        nonmutating set { numbers[2] = newValue }
    }

    /// Processor time of the watched processes while measuring.
    var watchedNanoseconds: UInt64 {
        get { numbers[3] }
        nonmutating set { numbers[3] = newValue }
    }

    /// Processor time of the load generator while measuring.
    var ownNanoseconds: UInt64 {
        get { numbers[4] }
        nonmutating set { numbers[4] = newValue }
    }

    /// The longest that a client waited for an answer, or still waits.
    var longestNanoseconds: UInt64 {
        get { numbers[5] }
        nonmutating set { numbers[5] = newValue }
    }

    /// Adds another process's counts; only the first process watches others and tells the time.
    func add(_ other: Tally) {
        transactionCount += other.transactionCount
        errorCount += other.errorCount
        ownNanoseconds += other.ownNanoseconds
        longestNanoseconds = max(longestNanoseconds, other.longestNanoseconds)
        latencies.add(other.latencies)
    }
}

/// Where the processes wait for each other once all their clients are logged in.
struct Barrier {
    private let arrived: UnsafeMutablePointer<Int>
    private let partyCount: Int

    /// A barrier for processes forked later. Its counters are one per process, so no two write the same one.
    static func shared(partyCount: Int) -> Barrier {
        let memory = sharedMemory(byteCount: partyCount * MemoryLayout<Int>.stride)
        return Barrier(arrived: memory.assumingMemoryBound(to: Int.self), partyCount: partyCount)
    }

    /// Says that this process is ready.
    func arrive(_ process: Int) { arrived[process] = 1 }

    /// Whether all are.
    var isComplete: Bool { (0..<partyCount).allSatisfy { arrived[$0] != 0 } }
}
