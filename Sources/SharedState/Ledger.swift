import CShared

#if CANARY
    import Base
#endif

/// A (database, user) pair in the ledger.
public struct LedgerPool: BitwiseCopyable, Hashable, Sendable {
    let index: Int32

    /// A number that is the same in every worker.
    public var number: Int { Int(index) }

    /// No pool.
    public static var none: LedgerPool { LedgerPool(index: -1) }
    /// Whether this names no pool.
    public var isNone: Bool { index < 0 }
}

/// A database or a user in the ledger.
public struct LedgerName: BitwiseCopyable, Equatable, Sendable {
    let index: Int32

    /// No name.
    public static var none: LedgerName { LedgerName(index: -1) }
    /// Whether this names nothing.
    public var isNone: Bool { index < 0 }
}

/// How many server connections there may be, over all workers; 0 is no limit.
public struct ServerLimits: BitwiseCopyable, Equatable, Sendable {
    /// Of the pool.
    public var pool: Int
    /// Of the database, over its pools.
    public var database: Int
    /// Of the user the servers log in as, over all databases.
    public var user: Int

    /// Limits with all their parts.
    public init(pool: Int, database: Int, user: Int) {
        self.pool = pool
        self.database = database
        self.user = user
    }
}

/// Which limit is in the way.
public enum LedgerLimit: BitwiseCopyable, Equatable, Sendable {
    case pool, database, user, instance
}

/// What the workers of an instance own, over all of them: the one place where limits are checked.
///
/// Rows are the truth: each is written by its worker alone, and one store decides. Totals are sums of rows,
/// checked and changed together under one lock that survives the death of its holder; after such a death, and
/// after that of any worker, they are made anew from the rows. Using a free server again takes no lock.
///
/// A handle to memory that somebody else mapped, with the worker's index whose rows it writes.
@safe
public struct Ledger {
    let layout: SegmentLayout
    let memory: UnsafeMutableRawPointer
    /// Whose rows this writes.
    public let worker: Int
    #if DEBUG || INVARIANTS
        /// What a test has done in place of the memory operations.
        var steps: (any LedgerSteps)?
    #endif

    @unsafe
    init(layout: SegmentLayout, memory: UnsafeMutableRawPointer, worker: Int) {
        self.layout = layout
        unsafe self.memory = memory
        self.worker = worker
    }

    // MARK: Places

    var head: UnsafeMutablePointer<cshared_ledger> {
        unsafe memory.assumingMemoryBound(to: cshared_ledger.self)
    }

    func pool(_ index: Int32) -> UnsafeMutablePointer<cshared_ledger_pool> {
        precondition(index >= 0 && index < layout.poolCapacity, "a pool lies inside the ledger")
        return unsafe (memory + layout.ledgerPoolsOffset + Int(index) * layout.ledgerPoolStride)
            .assumingMemoryBound(to: cshared_ledger_pool.self)
    }

    func row(_ index: Int32, _ worker: Int) -> UnsafeMutablePointer<cshared_pool_row> {
        precondition(worker >= 0 && worker < layout.workerCount, "each worker has a row")
        return unsafe UnsafeMutableRawPointer(pool(index) + 1)
            .assumingMemoryBound(to: cshared_pool_row.self) + worker
    }

    func name(_ index: Int32) -> UnsafeMutablePointer<cshared_ledger_name> {
        precondition(index >= 0 && index < layout.nameCapacity, "a name lies inside the ledger")
        return unsafe (memory + layout.namesOffset + Int(index) * layout.nameStride)
            .assumingMemoryBound(to: cshared_ledger_name.self)
    }

    func nameRow(_ index: Int32, _ worker: Int) -> UnsafeMutablePointer<cshared_name_row> {
        precondition(worker >= 0 && worker < layout.workerCount, "each worker has a row")
        return unsafe UnsafeMutableRawPointer(name(index) + 1)
            .assumingMemoryBound(to: cshared_name_row.self) + worker
    }

    func transfer(_ worker: Int, _ slot: Int) -> UnsafeMutablePointer<cshared_transfer> {
        precondition(worker >= 0 && worker < layout.workerCount, "each worker has transfers")
        precondition(slot >= 0 && slot < Ledger.transferLimit, "a transfer lies inside the ledger")
        return unsafe (memory + layout.transfersOffset).assumingMemoryBound(to: cshared_transfer.self)
            + (worker * Ledger.transferLimit + slot)
    }

    var poolLimit: Int32 { Int32(unsafe load(cshared_ledger_pool_high_water(head))) }
    var nameLimit: Int32 { Int32(unsafe load(cshared_ledger_name_high_water(head))) }

    /// The database and the user of a pool.
    public func names(of pool: LedgerPool) -> (database: LedgerName, user: LedgerName) {
        let entry = unsafe self.pool(pool.index)
        return unsafe (
            LedgerName(index: Int32(load(cshared_ledger_pool_database(entry)))),
            LedgerName(index: Int32(load(cshared_ledger_pool_user(entry))))
        )
    }

    /// Workers whose index has ever been in use: those above have nothing.
    public var workerCount: Int {
        Int(min(unsafe load(cshared_ledger_worker_count(head)), UInt64(layout.workerCount)))
    }

    // MARK: The lock

    /// Makes the lock; once, by who made the memory.
    func makeLock() { unsafe cshared_lock_make(head) }

    /// Runs `body` with the lock. Whoever had it before may have died in the middle: the totals are made anew
    /// then.
    @inline(__always)
    func locked<Result>(_ body: () -> Result) -> Result {
        if takeLock() == 1 {
            unsafe add(cshared_ledger_recoveries(head), 1)
            recount()
        }
        let result = body()
        giveLock()
        return result
    }

    /// The process that has the lock at this moment, if one has: while it is stopped, everybody waits.
    public var lockHolder: Int32? {
        let holder = unsafe cshared_lock_holder(head)
        return holder == 0 ? nil : holder
    }

    /// How often the holder of the lock had died.
    public var recoveryCount: UInt64 { unsafe load(cshared_ledger_recoveries(head)) }

    // MARK: Servers

    /// Counts one more server connection of this worker, if the limits allow it.
    ///
    /// - Returns: which limit is in the way; `nil` when the connection may be opened.
    public func open(_ pool: LedgerPool, _ limits: ServerLimits) -> LedgerLimit? {
        let names = names(of: pool)
        #if CANARY
            var limits = limits
            if Canary.isPlanted(.limitOffByOne), limits.pool > 0 { limits.pool += 1 }
        #endif
        return locked {
            let servers = unsafe cshared_ledger_pool_servers(self.pool(pool.index))
            let ofDatabase = unsafe cshared_ledger_name_servers(name(names.database.index))
            let ofUser = unsafe cshared_ledger_name_servers(name(names.user.index))
            if limits.pool > 0, unsafe load(servers) >= limits.pool { return .pool }
            if limits.database > 0, unsafe load(ofDatabase) >= limits.database { return .database }
            if limits.user > 0, unsafe load(ofUser) >= limits.user { return .user }
            unsafe add(servers, 1)
            unsafe add(ofDatabase, 1)
            unsafe add(ofUser, 1)
            unsafe add(cshared_pool_row_owned(row(pool.index, worker)), 1)
            return nil
        }
    }

    /// Counts one server connection of this worker less.
    ///
    /// - Parameter minimum: how many the pool keeps; nothing is changed when it has no more than those.
    /// - Returns: whether it was counted off.
    @discardableResult
    public func close(_ pool: LedgerPool, keeping minimum: Int = 0) -> Bool {
        let names = names(of: pool)
        return locked {
            let servers = unsafe cshared_ledger_pool_servers(self.pool(pool.index))
            guard unsafe load(servers) > minimum else { return false }
            unsafe subtractOne(cshared_pool_row_owned(row(pool.index, worker)))
            unsafe subtractOne(servers)
            unsafe subtractOne(cshared_ledger_name_servers(name(names.database.index)))
            unsafe subtractOne(cshared_ledger_name_servers(name(names.user.index)))
            return true
        }
    }

    func subtractOne(_ place: UnsafeMutablePointer<UInt64>?) {
        let value = unsafe load(place)
        precondition(value > 0, "the ledger counts nothing off that it has not counted")
        unsafe store(place, value - 1)
    }

    /// Server connections of a pool, over all workers.
    public func serverCount(_ pool: LedgerPool) -> Int {
        Int(unsafe load(cshared_ledger_pool_servers(self.pool(pool.index))))
    }

    /// Server connections of a pool in this worker.
    public func ownServerCount(_ pool: LedgerPool) -> Int {
        Int(unsafe load(cshared_pool_row_owned(row(pool.index, worker))))
    }

    // MARK: Clients

    /// Counts one more client of this worker, if the instance's limit allows it; 0 is no limit.
    public func admit(limit: Int) -> Bool {
        locked {
            let clients = unsafe cshared_ledger_clients(head)
            if limit > 0, unsafe load(clients) >= limit { return false }
            unsafe add(clients, 1)
            unsafe add(cshared_ledger_row_clients(head) + worker, 1)
            return true
        }
    }

    /// Counts one client of this worker less.
    public func dismiss() {
        locked {
            unsafe subtractOne(cshared_ledger_clients(head))
            unsafe subtractOne(cshared_ledger_row_clients(head) + worker)
        }
    }

    /// Counts one more client of a database and a user, if their limits allow it; 0 is no limit.
    ///
    /// - Returns: which limit is in the way; `nil` when the client is counted.
    public func admit(
        database: LedgerName, limit databaseLimit: Int, user: LedgerName, limit userLimit: Int
    ) -> LedgerLimit? {
        locked {
            let ofDatabase = unsafe cshared_ledger_name_clients(name(database.index))
            let ofUser = unsafe cshared_ledger_name_clients(name(user.index))
            if databaseLimit > 0, unsafe load(ofDatabase) >= databaseLimit { return .database }
            if userLimit > 0, unsafe load(ofUser) >= userLimit { return .user }
            unsafe add(ofDatabase, 1)
            unsafe add(cshared_name_row_clients(nameRow(database.index, worker)), 1)
            unsafe add(ofUser, 1)
            unsafe add(cshared_name_row_clients(nameRow(user.index, worker)), 1)
            return nil
        }
    }

    /// Counts one client of a database and a user less.
    public func dismiss(database: LedgerName, user: LedgerName) {
        locked {
            unsafe subtractOne(cshared_ledger_name_clients(name(database.index)))
            unsafe subtractOne(cshared_name_row_clients(nameRow(database.index, worker)))
            unsafe subtractOne(cshared_ledger_name_clients(name(user.index)))
            unsafe subtractOne(cshared_name_row_clients(nameRow(user.index, worker)))
        }
    }

    /// Clients of a database or user, over all workers.
    public func clientCount(_ name: LedgerName) -> Int {
        Int(unsafe load(cshared_ledger_name_clients(self.name(name.index))))
    }

    /// Clients of the instance in one worker.
    public func clientCount(ofWorker index: Int) -> Int {
        precondition(index >= 0 && index < layout.workerCount, "each worker has a row")
        return Int(unsafe load(cshared_ledger_row_clients(head) + index))
    }

    /// Clients of the instance, over all workers.
    public var clientCount: Int { Int(unsafe load(cshared_ledger_clients(head))) }
}

@available(*, unavailable)
extension Ledger: Sendable {}
