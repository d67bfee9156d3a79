import Base
import SharedState
import Wire

/// What workers say of each other's wants: who waits, who has something to spare, what is known of a pool.
///
/// Counts stand in the ledger, where everybody sees them; messages say that it is worth looking.
extension PoolCore {
    /// Tells the other workers how many free servers there are here.
    @inline(__always)
    func publishIdle(_ pool: Handle<Pool>) {
        guard !isAlone, !pools[pool].isReplaced else { return }
        let oldest = oldestIdle(pool)
        ledger.publish(
            pools[pool].entry, idle: Int(pools[pool].idle.count),
            oldest: oldest.isNone ? 0 : servers[oldest].lastActivity)
    }

    /// The free server that rests longest, or none.
    @inline(__always)
    private func oldestIdle(_ pool: Handle<Pool>) -> Handle<Server> {
        hot.roundRobin ? pools[pool].idle.first : pools[pool].idle.last
    }

    /// Tells the other workers how many clients wait here, and since when.
    @inline(never)
    mutating func publishWaiting(_ pool: Handle<Pool>) {
        guard !pools[pool].isReplaced else { return }
        // Who waits to be welcomed needs a server only once; one that is being opened will do.
        let welcome = pools[pool].loginCount > 0 ? Handle<Client>.none : pools[pool].welcomeWaiters.first
        let first = firstWaiter(pool)
        var since = first.isNone ? UInt64.max : clients[first].waitStart
        if !welcome.isNone { since = min(since, clients[welcome].waitStart) }
        let count =
            Int(pools[pool].waiters.count) - pools[pool].waitingReplication + (welcome.isNone ? 0 : 1)
        if !isAlone { ledger.publish(pools[pool].entry, waiting: count, since: count > 0 ? since : 0) }
        guard pools[pool].saysWaiting != (count > 0) else { return }
        pools[pool].saysWaiting = count > 0
        let (database, user) = (Int(pools[pool].database), Int(pools[pool].user))
        databases[database].waitingPools += count > 0 ? 1 : -1
        users[user].waitingPools += count > 0 ? 1 : -1
        guard !isAlone else { return }
        let names = ledger.names(of: pools[pool].entry)
        ledger.publish(names.database, isWaiting: databases[database].waitingPools > 0)
        ledger.publish(names.user, isWaiting: users[user].waitingPools > 0)
    }

    /// The client that has waited longest for an ordinary server, or none.
    func firstWaiter(_ pool: Handle<Pool>) -> Handle<Client> {
        guard Int(pools[pool].waiters.count) > pools[pool].waitingReplication else { return .none }
        var candidate = pools[pool].waiters.first
        while !candidate.isNone, clients[candidate].replication != .none {
            candidate = clients[candidate].links.next
        }
        return candidate
    }

    // MARK: Asking and telling

    /// Sends a message to another worker.
    mutating func tell(_ worker: Int, _ message: InboxMessage) {
        let start = output.count
        guard (try? message.encode(incarnation: 0, into: &output)) != nil else { return }
        actions.append(.tell(worker: worker, offset: start, count: output.count - start))
    }

    /// Sends a message to each worker of which the bit is set.
    mutating func tell(each workers: UInt64, _ message: InboxMessage) {
        var mask = workers
        while mask != 0 {
            let other = mask.trailingZeroBitCount
            mask &= mask &- 1
            if other < workerCount { tell(other, message) }
        }
    }

    /// How long a pool does not ask again for a free server after it has: whoever has been asked knows who
    /// waits, and where there are many waiters every one of them would ask.
    private static var askingPause: UInt64 { 1_000_000 }

    /// A limit is full, and somebody waits: whoever has a free server of the pool is asked to lend.
    ///
    /// - Returns: whether anybody has one, or had one a moment ago.
    mutating func askForIdle(_ pool: Handle<Pool>) -> Bool {
        guard !isAlone else { return false }
        guard now >= pools[pool].asksFrom else {
            nextLending = min(nextLending, pools[pool].asksFrom)
            return true
        }
        var isAsked = false
        var missing = Int(pools[pool].waiters.count) - pools[pool].waitingReplication
        if pools[pool].readyCount == 0, !pools[pool].welcomeWaiters.isEmpty { missing += 1 }
        for other in 0..<workerCount where other != identity.index && missing > 0 {
            guard !isSilent(other) else { continue }
            let idle = ledger.idle(pools[pool].entry, in: other)
            guard idle > 0 else { continue }
            missing -= idle
            isAsked = true
            tell(other, .wanted(pools[pool].entry, by: UInt16(identity.index)))
        }
        if isAsked { pools[pool].asksFrom = now + PoolCore.askingPause }
        return isAsked
    }

    /// A server has been closed: whoever waits for one of the limits it counted in tries again.
    mutating func tellFreed(_ entry: LedgerPool) {
        guard !isAlone else { return }
        let mask = ledger.othersLimited(entry) & ~freedTold
        freedTold |= mask
        tell(each: mask, .freed)
    }

    /// What another worker says.
    mutating func told(_ message: InboxMessage) {
        switch message {
        case .wanted(let entry, let other):
            guard Int(other) < workerCount else { return }
            if let pool = poolOfEntry[entry], !pools[pool].idle.isEmpty {
                serveWaiters(pool)
                if !pools[pool].idle.isEmpty || pools[pool].lentTo[Int(other)] > 0 { return }
            }
            // Meanwhile somebody here has it, or it is being tested, which may take long. There may be others
            // to ask.
            tell(Int(other), .freed)
        case .evict(let entry, let other):
            let oldest = poolOfEntry[entry].map { oldestIdle($0) } ?? .none
            if !oldest.isNone {
                closeServer(oldest, reason: "evicted")
            } else if Int(other) < workerCount {
                tell(Int(other), .freed)
            }
        case .freed:
            openWhereSomebodyWaits()
        case .welcomeWanted(let entry, let other):
            guard let pool = poolOfEntry[entry], pools[pool].welcomeMessages != 0 else { return }
            if Int(other) < workerCount { tell(Int(other), .welcome(description(of: pool))) }
        case .welcome(let description):
            learnWelcome(description)
        case .cancel, .cancelAnswer, .drop, .lend, .accepted, .move, .moveAttached, .moveSession,
            .moveSessionAttached:
            break
        }
    }

    /// Has every pool try again in which somebody waits.
    mutating func openWhereSomebodyWaits() {
        for slot in 0..<pools.slotLimit {
            guard let pool = pools.handle(at: slot) else { continue }
            if !pools[pool].waiters.isEmpty || !pools[pool].welcomeWaiters.isEmpty { openServers(pool) }
        }
    }

    // MARK: Welcomes

    /// The first client of a pool here logs in: another worker may know what to welcome it with.
    mutating func askForWelcome(_ pool: Handle<Pool>) {
        guard !isAlone else { return }
        for other in 0..<workerCount where other != identity.index {
            guard ledger.holds(pools[pool].entry, in: other) else { continue }
            tell(other, .welcomeWanted(pools[pool].entry, by: UInt16(identity.index)))
        }
    }

    /// What clients are welcomed with has been learnt: those who wait for it elsewhere need not wait for a
    /// server.
    mutating func tellWelcome(_ pool: Handle<Pool>) {
        guard !isAlone else { return }
        let mask = ledger.othersWaiting(pools[pool].entry)
        if mask != 0 { tell(each: mask, .welcome(description(of: pool))) }
    }

    /// What other workers may want to know of a pool.
    func description(of pool: Handle<Pool>) -> PoolDescription {
        var description = PoolDescription(
            epoch: lastEpoch, database: databases[Int(pools[pool].database)].name,
            user: users[Int(pools[pool].user)].name)
        description.welcomeParameters = list(pools[pool].welcomeParameters)
        description.welcomeMessages = [UInt8](copying: bytes[pools[pool].welcomeMessages])
        describeCredentials(of: pool, &description)
        return description
    }

    /// Takes over what another worker knows of a pool, unless an order has made it old.
    private mutating func learnWelcome(_ description: PoolDescription) {
        guard let database = databaseIndex[description.database], let user = userIndex[description.user],
            let pool = poolIndex[poolKey(database, user)], description.epoch >= lastEpoch
        else { return }
        learnWelcome(description, pool)
        if pools[pool].welcomeMessages != 0 { welcomeWaiters(pool) }
    }

    mutating func learnWelcome(_ description: PoolDescription, _ pool: Handle<Pool>) {
        learnCredentials(description, for: pool)
        guard pools[pool].welcomeMessages == 0, !description.welcomeMessages.isEmpty else { return }
        pools[pool].welcomeMessages = bytes.intern(description.welcomeMessages)
        parameters.release(pools[pool].welcomeParameters, &bytes)
        pools[pool].welcomeParameters = set(description.welcomeParameters)
    }
}
