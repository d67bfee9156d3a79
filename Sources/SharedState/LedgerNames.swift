public import Base
import CShared

/// Entries: who is in the ledger, and for how long.
extension Ledger {
    private static var databaseTweak: UInt64 { 1 }
    private static var userTweak: UInt64 { 2 }

    /// The key of a database's name.
    public static func key(database: [UInt8], _ secret: Hash128) -> Hash128 {
        unsafe Hash128.sip(database.span.bytes, key: secret, tweak: databaseTweak)
    }

    /// The key of a user's name.
    public static func key(user: [UInt8], _ secret: Hash128) -> Hash128 {
        unsafe Hash128.sip(user.span.bytes, key: secret, tweak: userTweak)
    }

    /// The entry of a database or user, with one more holder in this worker; `nil` when the ledger is full.
    /// O(names), and for new pools and new clients' users only.
    public func join(_ key: Hash128) -> LedgerName? {
        locked { joinLocked(key) }
    }

    /// One holder in this worker less.
    public func leave(_ name: LedgerName) {
        locked { giveBack(name) }
    }

    // MARK: Keys

    /// How long a user's keys are: ClientKey and ServerKey of RFC 5802.
    public static var keyByteCount: Int { Int(CSHARED_KEY_WORDS) * 8 }

    /// Lets all workers know the keys of a user, which one of them has learnt from a login of his.
    public func keep(_ keys: [UInt8], of user: LedgerName) {
        precondition(keys.count == Ledger.keyByteCount, "keys are two of 32 bytes")
        locked {
            let place = unsafe cshared_ledger_name_keys(name(user.index))!
            for word in 0..<Int(CSHARED_KEY_WORDS) {
                var value: UInt64 = 0
                for byte in 0..<8 { value |= UInt64(keys[8 * word + byte]) << UInt64(8 * byte) }
                unsafe store(place + word, value)
            }
            unsafe store(cshared_ledger_name_has_keys(name(user.index)), 1)
        }
    }

    /// The keys of a user, if any worker has learnt them.
    public func keys(of user: LedgerName) -> [UInt8]? {
        locked {
            guard unsafe load(cshared_ledger_name_has_keys(name(user.index))) != 0 else { return nil }
            let place = unsafe cshared_ledger_name_keys(name(user.index))!
            var keys: [UInt8] = []
            for word in 0..<Int(CSHARED_KEY_WORDS) {
                let value = unsafe load(place + word)
                for byte in 0..<8 { keys.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * byte))) }
            }
            return keys
        }
    }

    /// Nobody knows the user any more. With the lock.
    private func clearKeys(of user: LedgerName) {
        unsafe store(cshared_ledger_name_has_keys(name(user.index)), 0)
        let place = unsafe cshared_ledger_name_keys(name(user.index))!
        for word in 0..<Int(CSHARED_KEY_WORDS) { unsafe store(place + word, 0) }
    }

    /// The entry of a pool, with one more holder in this worker; `nil` when the ledger is full.
    public func join(database: Hash128, user: Hash128) -> LedgerPool? {
        locked {
            guard let database = joinLocked(database) else { return nil }
            guard let user = joinLocked(user) else {
                giveBack(database)
                return nil
            }
            guard let pool = poolLocked(database, user) else {
                giveBack(database)
                giveBack(user)
                return nil
            }
            unsafe add(cshared_pool_row_holds(row(pool.index, worker)), 1)
            return pool
        }
    }

    /// One holder in this worker less.
    ///
    /// - Precondition: with the last one the worker owns no server of the pool.
    public func leave(_ pool: LedgerPool) {
        let names = names(of: pool)
        locked {
            let row = unsafe row(pool.index, worker)
            unsafe subtractOne(cshared_pool_row_holds(row))
            if unsafe load(cshared_pool_row_holds(row)) == 0 {
                precondition(
                    unsafe load(cshared_pool_row_owned(row)) == 0,
                    "a pool with servers is not forgotten")
                unsafe write(row, cshared_pool_row())
            }
            giveBack(names.database)
            giveBack(names.user)
        }
    }

    // MARK: With the lock

    /// One holder in this worker less. What was learnt of a user goes with the last one.
    private func giveBack(_ name: LedgerName) {
        unsafe subtractOne(cshared_name_row_holds(nameRow(name.index, worker)))
        forgetUnheld(name)
    }

    private func forgetUnheld(_ name: LedgerName) {
        guard unsafe load(cshared_ledger_name_has_keys(self.name(name.index))) != 0, !isHeld(name) else {
            return
        }
        clearKeys(of: name)
    }

    private func joinLocked(_ key: Hash128) -> LedgerName? {
        let limit = nameLimit
        var unused: Int32?
        for index in 0..<limit {
            let entry = unsafe name(index)
            if unsafe load(cshared_ledger_name_key_low(entry)) == key.low,
                unsafe load(cshared_ledger_name_key_high(entry)) == key.high
            {
                unsafe add(cshared_name_row_holds(nameRow(index, worker)), 1)
                return LedgerName(index: index)
            }
        }
        if limit < Int32(layout.nameCapacity) {
            unused = limit
            unsafe store(cshared_ledger_name_high_water(head), UInt64(limit + 1))
        } else {
            unused = (0..<limit).first { !isHeld(LedgerName(index: $0)) }
        }
        guard let index = unused else { return nil }
        var entry = cshared_ledger_name()
        entry.key_low = key.low
        entry.key_high = key.high
        unsafe write(name(index), entry)
        unsafe add(cshared_name_row_holds(nameRow(index, worker)), 1)
        return LedgerName(index: index)
    }

    private func poolLocked(_ database: LedgerName, _ user: LedgerName) -> LedgerPool? {
        let limit = poolLimit
        for index in 0..<limit where isHeld(LedgerPool(index: index)) {
            let names = names(of: LedgerPool(index: index))
            if names.database == database, names.user == user { return LedgerPool(index: index) }
        }
        let unused: Int32?
        if limit < Int32(layout.poolCapacity) {
            unused = limit
            unsafe store(cshared_ledger_pool_high_water(head), UInt64(limit + 1))
        } else {
            unused = (0..<limit).first { !isHeld(LedgerPool(index: $0)) }
        }
        guard let index = unused else { return nil }
        var entry = cshared_ledger_pool()
        entry.database = UInt64(database.index)
        entry.user = UInt64(user.index)
        unsafe write(pool(index), entry)
        return LedgerPool(index: index)
    }

    func isHeld(_ pool: LedgerPool) -> Bool {
        for worker in 0..<workerCount
        where unsafe load(cshared_pool_row_holds(row(pool.index, worker))) != 0 {
            return true
        }
        return false
    }

    private func isHeld(_ name: LedgerName) -> Bool {
        for worker in 0..<workerCount
        where unsafe load(cshared_name_row_holds(nameRow(name.index, worker))) != 0 {
            return true
        }
        return false
    }

    // MARK: Recounting

    /// Makes all totals anew from the rows. With the lock.
    func recount() {
        let sums = sums()
        for index in 0..<nameLimit {
            unsafe store(
                cshared_ledger_name_clients(name(index)), UInt64(sums.clientsOfName[Int(index)]))
            unsafe store(
                cshared_ledger_name_servers(name(index)), UInt64(sums.serversOfName[Int(index)]))
        }
        for index in 0..<poolLimit {
            unsafe store(cshared_ledger_pool_servers(pool(index)), UInt64(sums.servers[Int(index)]))
        }
        unsafe store(cshared_ledger_clients(head), UInt64(sums.clients))
    }

    /// What the rows come to: what has been taken, and its sender has not counted off yet, stands in two of
    /// them.
    func sums() -> LedgerSums {
        var sums = LedgerSums(pools: Int(poolLimit), names: Int(nameLimit))
        for worker in 0..<workerCount {
            for index in 0..<poolLimit {
                sums.servers[Int(index)] += Int(
                    unsafe load(cshared_pool_row_owned(row(index, worker))))
            }
            for index in 0..<nameLimit {
                sums.clientsOfName[Int(index)] +=
                    Int(unsafe load(cshared_name_row_clients(nameRow(index, worker))))
            }
            sums.clients += Int(unsafe load(cshared_ledger_row_clients(head) + worker))
        }
        forEachTaken { item in
            switch item {
            case .server(let pool): sums.servers[Int(pool.index)] -= 1
            case .client(let client):
                if client.isAdmitted { sums.clients -= 1 }
                for name in [client.database, client.user] where !name.isNone {
                    sums.clientsOfName[Int(name.index)] -= 1
                }
            }
        }
        for index in 0..<poolLimit where sums.servers[Int(index)] != 0 {
            let names = names(of: LedgerPool(index: index))
            sums.serversOfName[Int(names.database.index)] += sums.servers[Int(index)]
            sums.serversOfName[Int(names.user.index)] += sums.servers[Int(index)]
        }
        return sums
    }

    /// A worker's process has ended: what it owned is given back.
    ///
    /// For the supervisor, once the process has been waited for and before it is replaced.
    /// - Returns: false when the lock could not be had: a process holds it that does not run. Try again.
    public func reclaim(worker dead: Int) -> Bool {
        let result = takeLock(within: 100_000_000)
        guard result >= 0 else { return false }
        if result == 1 { unsafe add(cshared_ledger_recoveries(head), 1) }
        for slot in 0..<Ledger.transferLimit { withdraw(dead, slot) }
        for index in 0..<poolLimit {
            unsafe write(row(index, dead), cshared_pool_row())
            unsafe clearBits(
                cshared_ledger_pool_waiting_workers(pool(index)), Ledger.bit(of: dead))
        }
        for index in 0..<nameLimit {
            unsafe write(nameRow(index, dead), cshared_name_row())
            unsafe clearBits(
                cshared_ledger_name_waiting_workers(name(index)), Ledger.bit(of: dead))
            forgetUnheld(LedgerName(index: index))
        }
        unsafe store(cshared_ledger_row_clients(head) + dead, 0)
        recount()
        giveLock()
        return true
    }

    /// What is wrong with the totals: sentences for tests; empty when they are the sums of the rows.
    public func faults() -> [String] {
        locked {
            var faults: [String] = []
            let sums = sums()
            func compare(_ what: String, _ total: Int, _ sum: Int) {
                if total != sum { faults.append("\(what): \(total) in all, and the rows make \(sum)") }
            }
            for index in 0..<poolLimit where isHeld(LedgerPool(index: index)) {
                compare(
                    "servers of pool \(index)", serverCount(LedgerPool(index: index)),
                    sums.servers[Int(index)])
            }
            for index in 0..<nameLimit {
                let servers = Int(unsafe load(cshared_ledger_name_servers(name(index))))
                compare("servers of name \(index)", servers, sums.serversOfName[Int(index)])
                let clients = clientCount(LedgerName(index: index))
                compare("clients of name \(index)", clients, sums.clientsOfName[Int(index)])
            }
            compare("clients", clientCount, sums.clients)
            return faults
        }
    }
}

/// What the rows of the ledger come to.
struct LedgerSums {
    var servers: [Int]
    var serversOfName: [Int]
    var clientsOfName: [Int]
    var clients = 0

    init(pools: Int, names: Int) {
        servers = [Int](repeating: 0, count: pools)
        serversOfName = [Int](repeating: 0, count: names)
        clientsOfName = serversOfName
    }
}
