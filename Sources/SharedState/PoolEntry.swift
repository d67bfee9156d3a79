import CShared

/// One entry of a worker's pool table, and who may do what to it in which state.
///
/// The worker moves it from `free` to `used` to `released`, and from there back; the supervisor from
/// `released` to `collecting` to `free`. Names are written before `used` is published and stay until the
/// entry is used again.
@safe
struct PoolEntry {
    /// Where an entry is in its life.
    enum State: UInt64 {
        /// Nobody's.
        case free
        /// A pool counts into it.
        case used
        /// Its pool is gone; the supervisor has not yet added its counts to its own.
        case released
        /// The supervisor is adding them.
        case collecting
    }

    /// A state word: the state, and a generation that changes with every new name.
    struct Word: Equatable {
        let raw: UInt64
        var state: State? { State(rawValue: raw & 0xff) }
        var generation: UInt64 { raw >> 8 }

        init(raw: UInt64) { self.raw = raw }
        init(_ generation: UInt64, _ state: State) { raw = generation << 8 | state.rawValue }
    }

    private let pointer: UnsafeMutablePointer<cshared_pool>

    @unsafe
    init(_ pointer: UnsafeMutablePointer<cshared_pool>) {
        unsafe self.pointer = pointer
    }

    /// The state word; what was written before it was stored is visible.
    var word: Word { Word(raw: unsafe cshared_load_acquire(cshared_pool_state(pointer))) }

    /// Moves from `expected` to `state` unless somebody else moved first. Tells whether it did.
    func move(from expected: Word, to state: State) -> Bool {
        let next = Word(expected.generation, state)
        return unsafe cshared_compare_exchange(cshared_pool_state(pointer), expected.raw, next.raw) != 0
    }

    /// The counters and gauges.
    var counters: PoolCounters { unsafe PoolCounters(values: cshared_pool_values(pointer)) }

    /// The names, whatever the state. Lengths are bounded by the room, so that no content traps.
    var name: PoolName {
        let databaseLength = unsafe min(
            cshared_load(cshared_pool_database_length(pointer)), UInt64(CSHARED_DATABASE_NAME_BYTES))
        let userLength = unsafe min(
            cshared_load(cshared_pool_user_length(pointer)), UInt64(CSHARED_USER_NAME_BYTES))
        return unsafe PoolName(
            database: Array(
                UnsafeBufferPointer(start: cshared_pool_database(pointer), count: Int(databaseLength))),
            user: Array(UnsafeBufferPointer(start: cshared_pool_user(pointer), count: Int(userLength))))
    }

    /// The name of the pool that counts into this entry, and stayed the same while it was read.
    var usedName: PoolName? {
        let before = word
        guard before.state == .used else { return nil }
        let name = name
        cshared_fence_acquire()
        // Given back meanwhile, its counts still are here; under a new generation another pool shows next
        // time.
        return word.generation == before.generation ? name : nil
    }

    /// Gives a free entry to a pool: names first, then the state that makes them visible.
    func publish(_ name: PoolName) {
        precondition(word.state == .free, "only a free entry is given a new name")
        unsafe cshared_store(cshared_pool_database_length(pointer), UInt64(name.database.count))
        unsafe cshared_store(cshared_pool_user_length(pointer), UInt64(name.user.count))
        let database = unsafe cshared_pool_database(pointer)!
        for (index, byte) in name.database.enumerated() { unsafe database[index] = byte }
        let user = unsafe cshared_pool_user(pointer)!
        for (index, byte) in name.user.enumerated() { unsafe user[index] = byte }
        let next = Word(word.generation &+ 1, .used)
        unsafe cshared_store_release(cshared_pool_state(pointer), next.raw)
    }

    /// Sets every counter, histogram and gauge to 0 and frees the entry.
    ///
    /// - Precondition: the caller owns it: it moved it to `collecting`, or its worker is dead.
    func free() {
        if counters.mayHaveHistograms {
            let count = Int(CSHARED_POOL_HISTOGRAMS * CSHARED_HISTOGRAM_BUCKETS)
            unsafe cshared_pool_histograms(pointer)!.update(repeating: 0, count: count)
        }
        let values = unsafe cshared_pool_values(pointer)!
        for index in 0..<Int(CSHARED_POOL_COUNTERS + CSHARED_POOL_GAUGES) {
            unsafe cshared_store(values + index, 0)
        }
        unsafe cshared_store_release(cshared_pool_state(pointer), Word(word.generation, .free).raw)
    }
}

/// What a pool is known by in every worker, cut to the room an entry has.
public struct PoolName: Hashable, Comparable, Sendable {
    /// The database's name.
    public let database: [UInt8]
    /// The user's name.
    public let user: [UInt8]

    /// A name from its parts.
    public init(database: [UInt8], user: [UInt8]) {
        self.database = Array(database.prefix(Int(CSHARED_DATABASE_NAME_BYTES)))
        self.user = Array(user.prefix(Int(CSHARED_USER_NAME_BYTES)))
    }

    init(_ snapshot: PoolSnapshot) {
        self.init(database: snapshot.database, user: snapshot.user)
    }

    /// By database, then user.
    public static func < (left: PoolName, right: PoolName) -> Bool {
        if left.database != right.database { return left.database.lexicographicallyPrecedes(right.database) }
        return left.user.lexicographicallyPrecedes(right.user)
    }
}
