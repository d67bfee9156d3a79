public import CShared

/// What is counted per pool. Never decreases. One writer: the worker.
public enum PoolCounter: UInt8, CaseIterable, BitwiseCopyable, Sendable {
    /// Clients linked to a server.
    case serverAssignments
    /// Transactions begun by clients.
    case transactions
    /// Queries begun by clients.
    case queries
    /// Bytes of client packets forwarded.
    case receivedBytes
    /// Bytes of server packets forwarded or swallowed.
    case sentBytes
    /// Microseconds spent in transactions.
    case transactionMicroseconds
    /// Microseconds spent in queries.
    case queryMicroseconds
    /// Microseconds between queueing and getting a server.
    case waitMicroseconds
    /// Named statements clients prepared.
    case clientParses
    /// Named statements prepared at servers.
    case serverParses
    /// Binds of named statements.
    case binds
    /// Clients that finished their login.
    case clientLogins
}

/// What is measured per pool at this moment. One writer: the worker.
public enum PoolGauge: UInt8, CaseIterable, BitwiseCopyable, Sendable {
    /// Clients linked, or idle between requests.
    case activeClients
    /// Clients with a request and no server.
    case waitingClients
    /// Cancel requests that have a server connection.
    case activeCancelRequests
    /// Cancel requests that wait for one.
    case waitingCancelRequests
    /// Servers linked to a client.
    case activeServers
    /// Servers carrying a cancel request.
    case activeCancelServers
    /// Servers that could be idle but a cancel for them is in flight.
    case beingCanceledServers
    /// Servers ready for a client.
    case idleServers
    /// Servers that need a check before reuse.
    case usedServers
    /// Servers running a reset or check query.
    case testedServers
    /// Servers logging in.
    case loginServers
    /// When the first waiter began to wait, microseconds of the monotonic clock; 0 when nobody waits.
    case oldestWaitStart
}

/// What a pool has a histogram of, in microseconds. One writer: the worker.
public enum PoolHistogram: UInt8, CaseIterable, BitwiseCopyable, Sendable {
    /// From a query's first message to the end of the answer, or to the client's end or the cancel that came
    /// before: every query that was counted is in here once it is over.
    case query
    /// The same of transactions.
    case transaction
    /// Between queueing and getting a server: one for each assignment.
    case wait
}

/// One pool's counters, histograms and gauges: the hot path's side of a pool entry.
///
/// A handle; copies name the same entry. Only the worker whose pool it is may write. Every operation is one
/// plain load and store.
@safe
public struct PoolCounters: BitwiseCopyable {
    @usableFromInline let values: UnsafeMutablePointer<UInt64>

    @unsafe
    init(values: UnsafeMutablePointer<UInt64>) {
        unsafe self.values = values
    }

    /// Counters in memory of their own, for tests of what counts. Never freed.
    public static func scratch() -> PoolCounters {
        let count = firstHistogram + Histogram.bucketCount * PoolHistogram.allCases.count
        let values = UnsafeMutablePointer<UInt64>.allocate(capacity: count)
        unsafe values.initialize(repeating: 0, count: count)
        return unsafe PoolCounters(values: values)
    }

    /// Where histograms begin, behind counters and gauges.
    @inlinable @inline(__always)
    static var firstHistogram: Int { Int(CSHARED_POOL_COUNTERS + CSHARED_POOL_GAUGES) }

    // Built with NO_STATISTICS, nothing is counted: for comparison, see `Scripts/bench --statistics`.

    /// Adds to a counter.
    @_noLocks @inlinable @inline(__always)
    public func add(_ counter: PoolCounter, _ amount: UInt64 = 1) {
        #if !NO_STATISTICS
            unsafe cshared_add(values + Int(counter.rawValue), amount)
        #endif
    }

    /// Counts one time in a histogram.
    ///
    /// - Precondition: what it is the time of has been counted: readers pass over pools without counts.
    @_noLocks @inlinable @inline(__always)
    public func record(_ histogram: PoolHistogram, microseconds: UInt64) {
        #if !NO_STATISTICS
            unsafe cshared_add(place(histogram, Histogram.bucket(of: microseconds)), 1)
        #endif
    }

    /// Sets a gauge.
    @_noLocks @inlinable @inline(__always)
    public func set(_ gauge: PoolGauge, _ value: UInt64) {
        unsafe cshared_store(values + Int(CSHARED_POOL_COUNTERS) + Int(gauge.rawValue), value)
    }

    /// Moves a gauge up or down. Below zero wraps, so every decrease must undo an increase.
    @_noLocks @inlinable @inline(__always)
    public func adjust(_ gauge: PoolGauge, by change: Int) {
        unsafe cshared_add(
            values + Int(CSHARED_POOL_COUNTERS) + Int(gauge.rawValue), UInt64(bitPattern: Int64(change)))
    }

    /// A counter's value.
    @_noLocks @inlinable
    public subscript(_ counter: PoolCounter) -> UInt64 {
        unsafe cshared_load(values + Int(counter.rawValue))
    }

    /// How many times lie in a bucket of a histogram.
    @_noLocks @inlinable
    public func count(_ histogram: PoolHistogram, bucket: Int) -> UInt64 {
        unsafe cshared_load(place(histogram, bucket))
    }

    @unsafe @_noLocks @inlinable @inline(__always)
    func place(_ histogram: PoolHistogram, _ bucket: Int) -> UnsafeMutablePointer<UInt64> {
        let offset = bucket &* Int(CSHARED_POOL_HISTOGRAMS) &+ Int(histogram.rawValue)
        return unsafe values + (PoolCounters.firstHistogram &+ offset)
    }

    /// Whether anything was ever counted that a histogram could have. Reading the histograms of a pool that
    /// did nothing would fill pages with zeros.
    var mayHaveHistograms: Bool {
        self[PoolCounter.queries] != 0 || self[PoolCounter.serverAssignments] != 0
    }

    /// A gauge's value.
    @_noLocks @inlinable
    public subscript(_ gauge: PoolGauge) -> UInt64 {
        unsafe cshared_load(values + Int(CSHARED_POOL_COUNTERS) + Int(gauge.rawValue))
    }
}

@available(*, unavailable)
extension PoolCounters: Sendable {}
