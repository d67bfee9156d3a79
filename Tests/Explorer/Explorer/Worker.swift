import Base

@testable import SharedState

/// What a worker does with the ledger, as the core does it: the same calls in the same order, and of clients
/// and servers no more than who waits and who is free.
final class Worker {
    /// A server on its way, or about to be.
    struct Flight {
        var server: Int
        var borrower: Int
        var pool: Int
        var ticket: TransferTicket?
        var slot: Int { Int(ticket?.slot ?? 0) }
    }

    struct Pool {
        var entry = LedgerPool.none
        var idle: [Int] = []
        var busy: [Int] = []
        /// Servers that log in.
        var coming: [Int] = []
        /// When each waiting client came.
        var waiters: [UInt64] = []
        var lentTo = [0, 0, 0]
        var saysWaiting = false
    }

    let index: Int
    unowned let world: World
    let ledger: Ledger
    var incarnation = 1
    var isAlive = true
    var pools = [Pool(), Pool()]
    var flights: [Flight] = []
    var served = 0
    var clients = 0
    private var waitingPools = [0, 0, 0]
    private var freedTold: UInt64 = 0
    private var outgoing: [(message: Message, to: Int)] = []

    private var process: Process { world.processes[index] }
    private var scenario: Scenario { world.scenario }
    private var others: [Int] { (0..<scenario.workerCount).filter { $0 != index } }
    /// Flights that are in the ledger.
    var transfers: [Flight] { flights.filter { $0.ticket != nil } }

    init(index: Int, world: World, ledger: Ledger) {
        self.index = index
        self.world = world
        self.ledger = ledger
    }

    func join() {
        for pool in 0..<scenario.poolCount {
            pools[pool].entry = ledger.join(database: Scenario.database, user: Scenario.user(pool)) ?? .none
        }
    }

    func run() {
        while true {
            let message = process.receive(fingerprint)
            guard message.incarnation == 0 || message.incarnation == incarnation else { continue }
            freedTold = 0
            handle(message)
            for letter in outgoing { process.send(letter.message, to: letter.to) }
            outgoing.removeAll(keepingCapacity: true)
            world.checkOwners()
        }
    }

    private func handle(_ message: Message) {
        let pool = message.pool
        switch message.kind {
        case .request: request(pool)
        case .release: if !pools[pool].busy.isEmpty { becomeFree(pools[pool].busy.removeFirst(), pool) }
        case .connected:
            guard let place = pools[pool].coming.firstIndex(of: message.number) else { return }
            becomeFree(pools[pool].coming.remove(at: place), pool)
        case .close: closeAny(pool)
        case .detached: detached(message.number)
        case .wanted, .evict, .freed: told(message)
        case .lend: lent(message)
        case .workerEnded: ended(message.from)
        case .upkeep: endTransfers(isLate: false)
        case .lateUpkeep: endTransfers(isLate: true)
        case .script: scenario.step(message.number, self)
        case .died: world.fail("a worker is told what is for the supervisor")
        }
    }

    private func post(_ message: Message) { process.inbox.append(message) }
    private func tell(_ other: Int, _ message: Message) { outgoing.append((message, other)) }

    // MARK: Clients

    private func request(_ pool: Int) {
        world.clock += 1
        if let server = pools[pool].idle.popLast() {
            publishIdle(pool)
            return use(server, pool)
        }
        pools[pool].waiters.append(world.clock)
        publishWaiting(pool)
        openServers(pool)
    }

    private func use(_ server: Int, _ pool: Int) {
        pools[pool].busy.append(server)
        served += 1
        if !scenario.keepers.contains(index) { post(Message(kind: .release, pool: pool)) }
    }

    private func serveWaiter(_ server: Int, _ pool: Int) {
        pools[pool].waiters.removeFirst()
        publishWaiting(pool)
        use(server, pool)
    }

    private func becomeFree(_ server: Int, _ pool: Int) {
        pools[pool].idle.append(server)
        if world.flaw == .looksFirst {
            let others = ledger.othersWaiting(pools[pool].entry)
            publishIdle(pool)
            return others != 0 ? serveEverybody(pool, others) : serveOwn(pool)
        }
        publishIdle(pool)
        serveWaiters(pool)
    }

    private func serveWaiters(_ pool: Int) {
        let others = ledger.othersWaiting(pools[pool].entry)
        if others != 0 { serveEverybody(pool, others) } else { serveOwn(pool) }
    }

    private func serveOwn(_ pool: Int) {
        guard !pools[pool].waiters.isEmpty else { return }
        while !pools[pool].waiters.isEmpty, let server = pools[pool].idle.popLast() {
            publishIdle(pool)
            serveWaiter(server, pool)
        }
        openServers(pool)
    }

    private func serveEverybody(_ pool: Int, _ others: UInt64) {
        endTransfers(isLate: false)
        while !pools[pool].idle.isEmpty {
            let elsewhere = longestWaiting(pool, others)
            if pools[pool].waiters.isEmpty, elsewhere == nil { break }
            // What it has seen of the others may have had it serve this one meanwhile.
            guard let server = pools[pool].idle.popLast() else { break }
            publishIdle(pool)
            if let elsewhere, pools[pool].waiters.first.map({ elsewhere.since < $0 }) ?? true {
                flights.append(Flight(server: server, borrower: elsewhere.worker, pool: pool))
                pools[pool].lentTo[elsewhere.worker] += 1
                post(Message(kind: .detached, pool: pool, number: server))
            } else {
                serveWaiter(server, pool)
            }
        }
        openServers(pool)
    }

    private func longestWaiting(_ pool: Int, _ others: UInt64) -> (worker: Int, since: UInt64)? {
        var best: (worker: Int, since: UInt64)?
        for worker in self.others where others >> UInt64(worker) & 1 != 0 {
            let waiting = ledger.waiting(pools[pool].entry, in: worker)
            guard waiting.count > pools[pool].lentTo[worker] else { continue }
            if best.map({ waiting.since < $0.since }) ?? true { best = (worker, waiting.since) }
        }
        return best
    }

    // MARK: Opening and closing

    private func openServers(_ pool: Int) {
        while pools[pool].coming.count < pools[pool].waiters.count, reserve(pool) {
            world.serverCount += 1
            pools[pool].coming.append(world.serverCount)
            post(Message(kind: .connected, pool: pool, number: world.serverCount))
            world.checkLimits()
        }
    }

    private func reserve(_ pool: Int) -> Bool {
        while let obstacle = ledger.open(pools[pool].entry, scenario.limits) {
            if askForIdle(pool) || obstacle == .pool { return false }
            if let mine = pools.indices.first(where: { !pools[$0].idle.isEmpty }) {
                close(pools[mine].idle.removeLast(), mine, wasIdle: true)
                continue
            }
            if let rest = ledger.oldestIdle(sharing: obstacle, with: pools[pool].entry) {
                let other = pools.firstIndex { $0.entry == rest.pool } ?? 0
                tell(rest.worker, Message(kind: .evict, from: index, pool: other))
            }
            return false
        }
        return true
    }

    private func closeAny(_ pool: Int) {
        if let server = pools[pool].idle.popLast() {
            close(server, pool, wasIdle: true)
        } else if let server = pools[pool].busy.popLast() {
            close(server, pool, wasIdle: false)
        }
    }

    private func close(_ server: Int, _ pool: Int, wasIdle: Bool) {
        ledger.close(pools[pool].entry)
        tellFreed(pool)
        if wasIdle { publishIdle(pool) }
        openWhereSomebodyWaits()
    }

    private func openWhereSomebodyWaits() {
        for pool in pools.indices where !pools[pool].waiters.isEmpty { openServers(pool) }
    }

    // MARK: What is said

    private func publishIdle(_ pool: Int) {
        let count = pools[pool].idle.count
        ledger.publish(pools[pool].entry, idle: count, oldest: count > 0 ? 1 : 0)
    }

    private func publishWaiting(_ pool: Int) {
        let count = pools[pool].waiters.count
        ledger.publish(pools[pool].entry, waiting: count, since: pools[pool].waiters.first ?? 0)
        guard pools[pool].saysWaiting != (count > 0) else { return }
        pools[pool].saysWaiting = count > 0
        // All pools are of one database, and each of a user of its own.
        waitingPools[0] += count > 0 ? 1 : -1
        waitingPools[1 + pool] += count > 0 ? 1 : -1
        let names = ledger.names(of: pools[pool].entry)
        ledger.publish(names.database, isWaiting: waitingPools[0] > 0)
        ledger.publish(names.user, isWaiting: waitingPools[1 + pool] > 0)
    }

    private func askForIdle(_ pool: Int) -> Bool {
        var isAsked = false
        var missing = pools[pool].waiters.count
        for other in others where missing > 0 {
            let idle = ledger.idle(pools[pool].entry, in: other)
            guard idle > 0 else { continue }
            missing -= idle
            isAsked = true
            tell(other, Message(kind: .wanted, from: index, pool: pool))
        }
        return isAsked
    }

    private func tellFreed(_ pool: Int) {
        let mask = ledger.othersLimited(pools[pool].entry) & ~freedTold
        freedTold |= mask
        for other in others where mask >> UInt64(other) & 1 != 0 { tell(other, Message(kind: .freed)) }
    }

    private func told(_ message: Message) {
        let pool = message.pool
        switch message.kind {
        case .wanted:
            if !pools[pool].idle.isEmpty {
                serveWaiters(pool)
            } else if world.flaw != .answersNothing {
                tell(message.from, Message(kind: .freed))
            }
        case .evict:
            if let server = pools[pool].idle.popLast() {
                close(server, pool, wasIdle: true)
            } else {
                tell(message.from, Message(kind: .freed))
            }
        default: openWhereSomebodyWaits()
        }
    }

    // MARK: Lending

    private func detached(_ server: Int) {
        guard let place = flights.firstIndex(where: { $0.server == server && $0.ticket == nil }) else {
            return
        }
        let flight = flights[place]
        guard let ticket = ledger.offer(pools[flight.pool].entry) else { return keep(place) }
        flights[place].ticket = ticket
        let incarnation = world.workers[flight.borrower].incarnation
        tell(
            flight.borrower,
            Message(
                kind: .lend, from: index, pool: flight.pool, number: server, ticket: ticket,
                incarnation: incarnation))
    }

    private func keep(_ place: Int) {
        let flight = flights.remove(at: place)
        pools[flight.pool].lentTo[flight.borrower] -= 1
        becomeFree(flight.server, flight.pool)
    }

    private func endTransfers(isLate: Bool) {
        for flight in transfers {
            guard let ticket = flight.ticket, isLate || ledger.outcome(ticket) != .offered else { continue }
            endTransfer(of: flight.server)
        }
    }

    private func endTransfer(of server: Int) {
        guard let place = flights.firstIndex(where: { $0.server == server }),
            let ticket = flights[place].ticket
        else { return }
        guard ledger.end(ticket) == .taken else { return keep(place) }
        let flight = flights.remove(at: place)
        pools[flight.pool].lentTo[flight.borrower] -= 1
        openWhereSomebodyWaits()
    }

    private func ended(_ worker: Int) {
        for flight in transfers where flight.borrower == worker { endTransfer(of: flight.server) }
        openWhereSomebodyWaits()
    }

    private func lent(_ message: Message) {
        let entry = pools[message.pool].entry
        if scenario.refusesLent(index) { return ledger.refuse(message.ticket, from: message.from) }
        if world.flaw == .usesUntaken {
            _ = ledger.take(message.ticket, from: message.from, entry)
        } else {
            guard ledger.take(message.ticket, from: message.from, entry) else { return }
        }
        becomeFree(message.number, message.pool)
        world.checkLimits()
    }

    // MARK: Steps of scripts

    /// Opens a server without anybody who wants it.
    func open(_ pool: Int) {
        guard ledger.open(pools[pool].entry, scenario.limits) == nil else { return }
        world.serverCount += 1
        pools[pool].busy.append(world.serverCount)
        world.checkLimits()
    }

    /// Closes one that has been opened.
    func close(_ pool: Int) {
        guard pools[pool].busy.popLast() != nil else { return }
        ledger.close(pools[pool].entry)
    }

    /// Starts to lend one that has been opened.
    func lend(_ pool: Int, to other: Int) {
        guard let server = pools[pool].busy.popLast() else { return }
        flights.append(Flight(server: server, borrower: other, pool: pool))
        pools[pool].lentTo[other] += 1
        detached(server)
    }

    /// Lets a client in, of the instance, its database and its user.
    func admit() {
        guard ledger.admit(limit: scenario.clientLimit) else { return }
        let names = ledger.names(of: pools[0].entry)
        guard
            ledger.admit(database: names.database, limit: scenario.clientLimit, user: names.user, limit: 0)
                == nil
        else { return ledger.dismiss() }
        clients += 1
        world.checkLimits()
    }

    /// One of them goes.
    func dismiss() {
        guard clients > 0 else { return }
        clients -= 1
        let names = ledger.names(of: pools[0].entry)
        ledger.dismiss(database: names.database, user: names.user)
        ledger.dismiss()
    }

    /// Forgets the pool and has it again.
    func rejoin() {
        guard own(0).isEmpty else { return }
        let entry = pools[0].entry
        pools[0].entry = .none
        ledger.leave(entry)
        pools[0].entry = ledger.join(database: Scenario.database, user: Scenario.user(0)) ?? .none
        if pools[0].entry.isNone { world.fail("there is no room for the pool") }
    }

    /// Withdraws what has been offered, if it has not been taken.
    func withdraw() { endTransfers(isLate: true) }

    // MARK: For the checks

    /// Servers that this worker counts as its own, of a pool.
    func own(_ pool: Int) -> [Int] {
        pools[pool].idle + pools[pool].busy + pools[pool].coming
    }

    /// Everything remembered between two messages.
    var fingerprint: UInt64 {
        var result = mixed(UInt64(incarnation), UInt64(served << 8 | clients))
        for pool in pools {
            result = mixed(result, UInt64(bitPattern: Int64(pool.entry.index)))
            for list in [pool.idle, pool.busy, pool.coming, pool.lentTo] {
                result = mixed(result, 1000)
                for number in list { result = mixed(result, UInt64(number)) }
            }
            for since in pool.waiters { result = mixed(result, 2000 + since) }
        }
        for flight in flights {
            result = mixed(result, UInt64(flight.server << 16 | flight.borrower << 8 | flight.pool))
            if let ticket = flight.ticket { result = mixed(result, ticket.token << 8 | UInt64(ticket.slot)) }
        }
        return result
    }
}
