import CShared

/// The supervisor's view of all workers' counters.
///
/// Keeps the counts of pools and workers that are gone, so that totals never go backwards.
public struct SegmentReader {
    /// Name under which pools are shown that found their worker's table full.
    public static let overflowDatabase = Array("(overflow)".utf8)
    /// Most databases whose ended pools are kept apart; further ones are kept under `overflowDatabase`.
    static let keptDatabaseLimit = 4096
    /// Most ended pools whose histograms are kept apart.
    static let keptPoolLimit = 1024

    private let segment: Segment
    /// Counts of ended pools and dead workers, by database.
    private var kept: [[UInt8]: PoolTotals] = [:]
    /// Their histograms, by pool.
    public private(set) var keptLatencies: [PoolName: PoolLatencies] = [:]
    /// Everything that is kept.
    private var keptSums = StatisticsSums()
    /// What the workers' activity was when it was looked at last.
    private var activity: [UInt64] = []

    /// A view of `segment`. There must be only one, the supervisor's.
    ///
    /// - Parameters:
    ///   - kept: what another view of it, whose place this one takes, has kept of what is gone.
    ///   - keptLatencies: the same of its histograms.
    public init(
        _ segment: Segment, kept: [DatabaseTotals] = [], keptLatencies: [PoolName: PoolLatencies] = [:]
    ) {
        self.segment = segment
        self.keptLatencies = keptLatencies
        for database in kept {
            self.kept[database.database, default: PoolTotals()].add(database.totals)
            keptSums.totals.add(database.totals)
        }
        for latencies in keptLatencies.values { keptSums.latencies.add(latencies) }
    }

    /// Counts of what is gone, for a view that takes this one's place.
    public var keptTotals: [DatabaseTotals] {
        kept.map { DatabaseTotals(database: $0.key, totals: $0.value) }
    }

    /// All pools in use, summed over workers, ordered by database and then user.
    ///
    /// Also takes over the counts of pools that workers gave back, and frees their entries.
    public mutating func pools() -> [PoolSnapshot] {
        var places: [PoolName: Int] = [:]
        var result: [PoolSnapshot] = []
        for index in 0..<segment.workerCount {
            let worker = segment.worker(index)
            for slot in 0..<worker.highWater {
                collectReleased(worker, slot)
                guard let name = worker.entry(slot).usedName else { continue }
                let place: Int
                if let known = places[name] {
                    place = known
                } else {
                    place = result.count
                    places[name] = place
                    result.append(PoolSnapshot(database: name.database, user: name.user))
                }
                result[place].add(worker.entry(slot).counters)
            }
        }
        result.sort { PoolName($0) < PoolName($1) }
        return result
    }

    /// Totals by database, ordered by name, pools and workers that are gone included.
    public mutating func databases() -> [DatabaseTotals] {
        var sums: [[UInt8]: PoolTotals] = [:]
        for pool in pools() { sums[pool.database, default: PoolTotals()].add(pool.totals) }
        for (database, totals) in kept { sums[database, default: PoolTotals()].add(totals) }
        for index in 0..<segment.workerCount {
            let worker = segment.worker(index)
            guard worker.overflowedPoolCount > 0 else { continue }
            sums[SegmentReader.overflowDatabase, default: PoolTotals()].add(worker.overflowEntry.counters)
        }
        var result: [DatabaseTotals] = []
        for (database, totals) in sums { result.append(DatabaseTotals(database: database, totals: totals)) }
        result.sort { $0.database.lexicographicallyPrecedes($1.database) }
        return result
    }

    /// Histograms by pool, over all workers, pools and workers that are gone included.
    public func latencies() -> [PoolName: PoolLatencies] {
        var result = keptLatencies
        for index in 0..<segment.workerCount {
            let worker = segment.worker(index)
            for slot in 0..<worker.highWater {
                let entry = worker.entry(slot)
                guard entry.word.state != .free, entry.counters.mayHaveHistograms else { continue }
                result[entry.name, default: PoolLatencies()].add(entry.counters)
            }
            if worker.overflowedPoolCount > 0 {
                result[SegmentReader.overflowPool, default: PoolLatencies()]
                    .add(worker.overflowEntry.counters)
            }
        }
        return result
    }

    /// Everything that has been counted over all pools and workers, also those that are gone.
    public func sums() -> StatisticsSums {
        var result = keptSums
        for index in 0..<segment.workerCount {
            let worker = segment.worker(index)
            for slot in 0..<worker.highWater where worker.entry(slot).word.state != .free {
                result.add(worker.entry(slot).counters)
            }
            if worker.overflowedPoolCount > 0 { result.add(worker.overflowEntry.counters) }
        }
        return result
    }

    /// Whether any worker has done anything since the last call; if not, no count has changed. O(workers).
    public mutating func hasChanged() -> Bool {
        var now: [UInt64] = []
        for index in 0..<segment.workerCount {
            let worker = segment.worker(index)
            now.append(worker.incarnation)
            now.append(worker.activity)
        }
        defer { activity = now }
        return now != activity
    }

    /// Takes over a dead worker's counts and empties its block for the next process with its index.
    ///
    /// - Precondition: the process has been waited for, and its log ring drained.
    public mutating func retire(worker index: Int) {
        let worker = segment.worker(index)
        for slot in 0..<worker.highWater {
            let entry = worker.entry(slot)
            if entry.word.state != .free { keep(entry.name, entry.counters) }
            entry.free()
        }
        if worker.overflowedPoolCount > 0 {
            keep(SegmentReader.overflowPool, worker.overflowEntry.counters)
            worker.overflowEntry.free()
        }
        let incarnation = worker.incarnation
        unsafe worker.block.initialize(to: cshared_worker())
        unsafe cshared_store(cshared_worker_incarnation(worker.block), incarnation)
    }

    private static var overflowPool: PoolName { PoolName(database: overflowDatabase, user: []) }

    private mutating func keep(_ pool: PoolName, _ counters: PoolCounters) {
        let fits = kept[pool.database] != nil || kept.count < SegmentReader.keptDatabaseLimit
        let database = fits ? pool.database : SegmentReader.overflowDatabase
        kept[database, default: PoolTotals()].add(counters)
        keptSums.add(counters)
        guard counters.mayHaveHistograms else { return }
        let hasRoom = keptLatencies[pool] != nil || keptLatencies.count < SegmentReader.keptPoolLimit
        keptLatencies[hasRoom ? pool : SegmentReader.overflowPool, default: PoolLatencies()].add(counters)
    }

    /// Adds a pool that was given back to what is kept and frees its entry.
    private mutating func collectReleased(_ worker: WorkerBlock, _ slot: Int) {
        let entry = worker.entry(slot)
        let word = entry.word
        // The worker may take the entry back at this moment: whoever changes the state first has it.
        guard word.state == .released, entry.move(from: word, to: .collecting) else { return }
        keep(entry.name, entry.counters)
        entry.free()
    }
}
