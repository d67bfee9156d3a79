import Base
import SharedState

#if DEBUG || INVARIANTS
    @testable import PoolCore
#else
    import PoolCore
#endif

/// What passes between workers, and what becomes of it when one of them dies.
extension World {
    /// Puts a message into a worker's inbox.
    func post(to index: Int, _ bytes: [UInt8], _ sockets: [Socket]) {
        inboxes[index].append((bytes, sockets))
        schedule(after: latency()) { self.readInbox(index) }
    }

    /// A worker reads everything that others have sent it.
    private func readInbox(_ index: Int) {
        guard let worker = workers[index] else { return }
        while !inboxes[index].isEmpty, failure == nil, !worker.isDead {
            let message = inboxes[index].removeFirst()
            worker.take(message.bytes, message.sockets)
        }
    }

    /// One process closes its descriptor of a connection; the connection ends with the last one.
    func letGo(_ socket: Socket) {
        guard socket.worker.isDead, socket.state == .open else { return }
        socket.worker.beginClose(socket)
    }

    /// No pool gets a server more than it may have, counted without the ledger. One that has too many after
    /// a reload may keep them for a while.
    func checkLimits() {
        #if DEBUG || INVARIANTS
            var counts: [LedgerPool: Int] = [:]
            var limits: [LedgerPool: Int] = [:]
            for worker in living {
                worker.core.forEachCounted { entry, limit in
                    counts[entry, default: 0] += 1
                    // Not all workers hear of a reload at the same time.
                    limits[entry] = max(limits[entry] ?? 0, limit == 0 ? .max : limit)
                }
            }
            for (entry, count) in counts where count > max(limits[entry] ?? 0, serverCounts[entry] ?? 0) {
                fail("a pool has \(count) servers, and may have \(limits[entry] ?? 0)")
            }
            serverCounts = counts
        #endif
    }

    /// Upkeep would serve whoever waits while somebody else has a free server; it must never have to.
    func checkWakeUps() {
        #if DEBUG || INVARIANTS
            guard setup.workers > 1, burials == 0, inboxes.allSatisfy(\.isEmpty) else { return }
            guard living.contains(where: { now >= $0.nextUpkeep }) else { return }
            // Nor would anybody have to open a server that may be there, unless that is what upkeep is for.
            for waiting in living
            where !waiting.hasNewOrders && waiting.control.isEmpty && waiting.nextUpkeep > now {
                for (_, pool) in waiting.core.poolOfEntry
                where waiting.core.waitsInVain(pool) && waiting.core.hasRoom(pool) {
                    fail("somebody waits in worker \(waiting.index), and there may be another server")
                }
            }
            guard !sockets.contains(where: { $0.isDetaching && $0.state != .closed }) else { return }
            for waiting in living {
                for (entry, pool) in waiting.core.poolOfEntry where waiting.core.waitsInVain(pool) {
                    // Whoever was asked and found no room tries again a little later.
                    guard !living.contains(where: { $0.core.restsFromLending(entry) }) else { continue }
                    for other in others(than: waiting) {
                        guard let spare = other.core.poolOfEntry[entry], other.core.hasToSpare(spare) else {
                            continue
                        }
                        fail("somebody waits in worker \(waiting.index), and \(other.index) has a server")
                    }
                }
            }
        #endif
    }

    /// A worker is to go, and ends when nothing is left in it; another takes its place.
    func leave(_ index: Int) {
        guard let worker = workers[index], living.count > 1, !isShuttingDown,
            !living.contains(where: \.isLeaving)
        else { return }
        trace.note(now, "worker \(index) leaves")
        worker.isLeaving = true
        segment.worker(index).state = .draining
        worker.tell(.order(Order(epoch: 0, kind: .drain)))
        awaitLeaving(worker)
    }

    private func awaitLeaving(_ worker: Worker) {
        schedule(after: 10_000_000) { [self] in
            guard !worker.isDead else { return }
            guard worker.core.isVacant else { return awaitLeaving(worker) }
            if !isShuttingDown { kill(worker.index) }
        }
    }

    /// A worker is killed. The supervisor notices, gives back what it owned, and starts another.
    func kill(_ index: Int) {
        guard let worker = workers[index] else { return }
        trace.note(now, "worker \(index) is killed")
        burials += 1
        worker.isDead = true
        workers[index] = nil
        segment.worker(index).state = .dead
        for client in clients { client.lose(worker) }
        for requester in requesters { requester.lose(worker) }
        for socket in sockets where socket.worker === worker && socket.state != .closed {
            // What is on its way to another worker lives until that has read it.
            if inboxes.contains(where: { $0.contains { $0.sockets.contains { $0 === socket } } }) { continue }
            worker.beginClose(socket)
        }
        schedule(after: latency()) { self.bury(index, worker.incarnation) }
    }

    private func bury(_ index: Int, _ incarnation: UInt64) {
        for message in inboxes[index] {
            message.sockets.forEach(letGo)
        }
        inboxes[index] = []
        guard segment.ledger(of: index).reclaim(worker: index) else { return fail("the ledger is locked") }
        for other in living {
            schedule(after: latency()) { other.tell(.workerEnded(index)) }
        }
        schedule(after: 50_000_000) { self.burials -= 1 }
        schedule(after: latency()) {
            self.start(index, incarnation: incarnation + 1)
            self.trace.note(self.now, "worker \(index) is there again")
            if self.isShuttingDown { self.workers[index]?.isDrained = true }
            self.schedule(after: self.latency()) { self.readInbox(index) }
        }
    }
}
