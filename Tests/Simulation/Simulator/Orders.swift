import Base
import SharedState

#if DEBUG || INVARIANTS
    @testable import PoolCore
#else
    import PoolCore
#endif

/// What operators order meanwhile; no client must notice more than a delay.
extension World {
    /// Plans orders for the time in which the clients are at work.
    func planOrders() {
        guard random.chance(setup.orderPercent) else { return }
        for _ in 0..<random.number(1...(3 * setup.stretch)) {
            let time = UInt64(random.below(2000 * setup.stretch)) * 1_000_000
            switch random.below(setup.hasFaults ? 5 : 4) {
            case 0...1: schedule(after: time) { self.pause() }
            case 4: schedule(after: time) { self.shutDown() }
            case 2: schedule(after: time) { self.order(.reconnect, self.someDatabase()) }
            default: schedule(after: time) { self.reload() }
            }
        }
    }

    /// Plans what is ordered in worlds that last besides.
    func planMoreOrders() {
        guard setup.visits > 1, random.chance(50) else { return }
        for _ in 0..<random.number(1...setup.stretch) {
            let time = UInt64(random.below(2000 * setup.stretch)) * 1_000_000
            if setup.hasFaults, random.chance(40) {
                schedule(after: time) { self.killDatabase() }
            } else {
                schedule(after: time) { self.reconnectAndWait() }
            }
        }
    }

    private func reconnectAndWait() {
        let database = someDatabase()
        order(.reconnect, database)
        order(.waitClose, database)
    }

    /// Sends everybody away, and lets nobody be served for a while.
    private func killDatabase() {
        let database = someDatabase()
        excuses.insert("57P01")
        hasKilled = true
        order(.kill, database)
        schedule(after: UInt64(random.below(500)) * 1_000_000) { self.order(.resume, database) }
    }

    private func someDatabase() -> [UInt8]? {
        random.chance(50) ? nil : Array("d\(random.below(setup.databases))".utf8)
    }

    private func order(_ kind: OrderKind, _ database: [UInt8]?) {
        ordered += 1
        trace.note(now, "order: \(kind) \(database.map { String(decoding: $0, as: UTF8.self) } ?? "all")")
        let order = Order(epoch: ordered, kind: kind, database: database)
        for worker in living { bring(.order(order), to: worker) }
    }

    /// Several workers hear of it one after the other.
    private func bring(_ event: Event, to worker: Worker) {
        guard setup.workers > 1 else { return worker.tell(event) }
        worker.control.append(event)
        schedule(after: latency()) { worker.tell(worker.control.removeFirst()) }
    }

    private func pause() {
        let database = someDatabase()
        order(.pause, database)
        schedule(after: UInt64(random.below(500)) * 1_000_000) { self.order(.resume, database) }
    }

    /// The worker is to end, when clients or servers have.
    private func shutDown() {
        guard !isShuttingDown else { return }
        isShuttingDown = true
        excuses.formUnion(["57P01", "57P03"])
        let waitsForClients = random.chance(50)
        order(waitsForClients ? .shutdownWaitForClients : .shutdownWaitForServers, nil)
        guard setup.visits > 1, waitsForClients else { return }
        schedule(after: UInt64(random.below(1000)) * 1_000_000) { self.order(.dismissClients, nil) }
    }

    /// A new configuration, with another size of pools and another number of prepared statements.
    private func reload() {
        var changed = setup
        changed.poolSize = random.number(1...3)
        if setup.maxPrepared > 0 { changed.maxPrepared = random.pick([1, 2, 20]) }
        configuration = changed.configuration().0
        ordered += 1
        trace.note(
            now, "reload: pool size \(changed.poolSize), max_prepared_statements \(changed.maxPrepared)")
        let (configuration, epoch) = (configuration, ordered)
        for worker in living {
            bring(.configuration(configuration, userList: userList, epoch: epoch), to: worker)
        }
    }
}
