import CShared

/// What is measured per worker at this moment. One writer: the worker.
public enum WorkerGauge: UInt8, CaseIterable, BitwiseCopyable, Sendable {
    /// Clients that finished their login.
    case clients
    /// Clients that are logging in.
    case loginClients
    /// Clients with a request and no server.
    case waitingClients
    /// Server connections in any state.
    case servers
    /// Server connections ready for a client.
    case idleServers
    /// Pools.
    case pools
    /// Cancel requests under way.
    case cancelRequests
}

/// Where a worker is in its life. Written by the supervisor.
public enum WorkerState: UInt64, Sendable {
    /// No process has this index.
    case vacant
    /// Forked, not yet ready.
    case starting
    /// Serving.
    case ready
    /// Takes no new clients.
    case draining
    /// Has ended; its block is not yet folded.
    case dead
}

/// One worker's part of the segment. A handle; copies name the same block.
@safe
public struct WorkerBlock {
    /// How often a worker that has nothing to do says that its loop turns.
    public static let beatNanoseconds: UInt64 = 200_000_000
    /// A worker whose loop has not turned for so long has been stopped, or hangs: it is given nothing new.
    public static let silenceNanoseconds: UInt64 = 600_000_000

    /// The worker's index, from 0.
    public let index: Int
    let layout: SegmentLayout
    let memory: UnsafeMutableRawPointer

    @unsafe
    init(index: Int, layout: SegmentLayout, memory: UnsafeMutableRawPointer) {
        self.index = index
        self.layout = layout
        unsafe self.memory = memory
    }

    var block: UnsafeMutablePointer<cshared_worker> {
        unsafe memory.assumingMemoryBound(to: cshared_worker.self)
    }

    /// The entry in `slot`; slot `poolCapacity` is the overflow entry.
    func entry(_ slot: Int) -> PoolEntry {
        precondition(slot >= 0 && slot <= layout.poolCapacity, "a slot lies inside the pool table")
        let first = unsafe (memory + layout.poolsOffset).assumingMemoryBound(to: cshared_pool.self)
        return unsafe PoolEntry(first + slot)
    }

    /// The entry that pools share which found the table full.
    var overflowEntry: PoolEntry { entry(layout.poolCapacity) }

    /// Entries that may be in use: none at or above this one was ever used.
    var highWater: Int {
        let stored = unsafe cshared_load(cshared_worker_pool_high_water(block))
        return Int(min(stored, UInt64(layout.poolCapacity)))
    }

    // MARK: Written by the worker

    /// Tells that the loop turns. Microseconds of the monotonic clock.
    public func beat(_ nowMicroseconds: UInt64) {
        unsafe cshared_store(cshared_worker_heartbeat_us(block), nowMicroseconds)
    }

    /// Tells that this turn did something: counts may have changed. What was counted before is visible to
    /// whoever sees that.
    public func noteActivity() {
        let place = unsafe cshared_worker_activity(block)!
        unsafe cshared_store_release(place, cshared_load(place) &+ 1)
    }

    /// Sets a gauge.
    public func set(_ gauge: WorkerGauge, _ value: UInt64) {
        unsafe cshared_store(cshared_worker_gauges(block) + Int(gauge.rawValue), value)
    }

    /// An entry for a pool: the one a pool of this name gave back, a free one, or when the table is full the
    /// overflow entry, which all further pools of this worker share. O(pools). Names that are too long are
    /// cut.
    ///
    /// - Precondition: called by the worker; no pool of this name holds an entry.
    public func allocatePool(database: [UInt8], user: [UInt8]) -> PoolCounters {
        let name = PoolName(database: database, user: user)
        let limit = highWater
        var free: Int?
        for slot in 0..<limit {
            let entry = entry(slot)
            let word = entry.word
            if word.state == .free, free == nil { free = slot }
            // The supervisor may be collecting a released one right now; then another is used.
            if word.state == .released, entry.name == name, entry.move(from: word, to: .used) {
                return entry.counters
            }
        }
        if free == nil, limit < layout.poolCapacity {
            free = limit
            unsafe cshared_store(cshared_worker_pool_high_water(block), UInt64(limit + 1))
        }
        guard let free else {
            unsafe cshared_add(cshared_worker_overflow_count(block), 1)
            return overflowEntry.counters
        }
        entry(free).publish(name)
        return entry(free).counters
    }

    /// Counters for a pool that nobody sees: to be given back, and not to be written.
    public var unusedCounters: PoolCounters { overflowEntry.counters }

    /// Gives an entry back. Its counts stay in the totals: the supervisor adds them to its own before the
    /// entry is used under another name.
    ///
    /// - Precondition: the counters came from `allocatePool` of this block and were not given back since.
    public func release(_ counters: PoolCounters) {
        let first = entry(0).counters
        let offset = unsafe UnsafeRawPointer(counters.values) - UnsafeRawPointer(first.values)
        let slot = offset / MemoryLayout<cshared_pool>.stride
        precondition(offset >= 0 && slot <= layout.poolCapacity, "a worker gives back its own pools")
        guard slot < layout.poolCapacity else { return }
        let entry = entry(slot)
        let word = entry.word
        precondition(word.state == .used, "a pool in use is given back")
        for gauge in PoolGauge.allCases { counters.set(gauge, 0) }
        let moved = entry.move(from: word, to: .released)
        precondition(moved, "nobody else moves an entry in use")
    }

    // MARK: Written by the supervisor

    /// Announces the process that gets this index.
    ///
    /// - Precondition: the block is fresh: never used, or emptied by `SegmentReader.retire`.
    public func begin(pid: Int32, realtimeMicroseconds: UInt64) {
        unsafe cshared_store(cshared_worker_pid(block), UInt64(bitPattern: Int64(pid)))
        unsafe cshared_store(cshared_worker_started_realtime_us(block), realtimeMicroseconds)
        unsafe cshared_add(cshared_worker_incarnation(block), 1)
        state = .starting
    }

    /// Where the worker is in its life. Only the supervisor sets it.
    public var state: WorkerState {
        get { WorkerState(rawValue: unsafe cshared_load_acquire(cshared_worker_state(block))) ?? .vacant }
        nonmutating set { unsafe cshared_store_release(cshared_worker_state(block), newValue.rawValue) }
    }

    // MARK: Read by anybody

    /// The worker's process, 0 when none ever had this index.
    public var pid: Int32 {
        Int32(truncatingIfNeeded: unsafe cshared_load(cshared_worker_pid(block)))
    }

    /// How many processes have had this index, this one included.
    public var incarnation: UInt64 { unsafe cshared_load(cshared_worker_incarnation(block)) }

    /// When the loop last turned, microseconds of the monotonic clock; 0 before its first turn.
    public var heartbeatMicroseconds: UInt64 { unsafe cshared_load(cshared_worker_heartbeat_us(block)) }

    /// In how many turns something was done. While it stays the same no count changes.
    public var activity: UInt64 { unsafe cshared_load_acquire(cshared_worker_activity(block)) }

    /// How many pools found the table full and are counted together.
    public var overflowedPoolCount: UInt64 { unsafe cshared_load(cshared_worker_overflow_count(block)) }

    /// The worker's log ring.
    public var logRing: LogRing {
        unsafe LogRing(
            block: block, bytes: memory + layout.ringOffset, capacity: UInt64(layout.ringByteCount))
    }

    /// A gauge's value.
    public subscript(_ gauge: WorkerGauge) -> UInt64 {
        unsafe cshared_load(cshared_worker_gauges(block) + Int(gauge.rawValue))
    }
}

@available(*, unavailable)
extension WorkerBlock: Sendable {}
