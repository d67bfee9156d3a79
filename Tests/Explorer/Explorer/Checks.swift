import CShared

@testable import SharedState

/// What must be so, in every state or once everything has come to rest.
extension World {
    private func value(_ place: UnsafeMutablePointer<UInt64>) -> Int { Int(memory[word(place)]) }

    /// Totals are what the rows come to, and within their limits. When the lock is given back.
    func checkTotals() {
        let ledger = segment.ledger(of: 0)
        var ofDatabase = 0
        for pool in 0..<Int32(layout.poolCapacity) {
            var sum = 0
            for worker in 0..<scenario.workerCount {
                sum += value(cshared_pool_row_owned(ledger.row(pool, worker)))
                for slot in 0..<World.slotLimit {
                    let transfer = ledger.transfer(worker, slot)
                    guard value(cshared_transfer_state(transfer)) & 0xFF == 2,
                        value(cshared_transfer_item(transfer)) == pool
                    else { continue }
                    sum -= 1
                }
            }
            // What nobody holds is made anew before it is used.
            guard ledger.isHeld(LedgerPool(index: pool)) else { continue }
            let total = value(cshared_ledger_pool_servers(ledger.pool(pool)))
            if total != sum { fail("pool \(pool) counts \(total) servers, its rows \(sum)") }
            let limit = scenario.limits.pool
            // Who has died while taking a server may have counted it without having marked it as taken.
            let isBuried = !workers.contains {
                !$0.isAlive && value(cshared_pool_row_owned(ledger.row(pool, $0.index))) > 0
            }
            if limit > 0, total > limit, isBuried {
                fail("pool \(pool) counts \(total) servers and may have \(limit)")
            }
            ofDatabase += sum
        }
        let names = ledger.names(of: LedgerPool(index: 0))
        let total = value(cshared_ledger_name_servers(ledger.name(names.database.index)))
        if total != ofDatabase { fail("the database counts \(total) servers, its pools \(ofDatabase)") }
        checkClients(ledger, names.database)
    }

    private func checkClients(_ ledger: Ledger, _ database: LedgerName) {
        var sum = 0
        var ofDatabase = 0
        for worker in 0..<scenario.workerCount {
            sum += value(cshared_ledger_row_clients(ledger.head) + worker)
            ofDatabase += value(cshared_name_row_clients(ledger.nameRow(database.index, worker)))
        }
        let total = value(cshared_ledger_clients(ledger.head))
        if total != sum { fail("\(total) clients are counted, the rows come to \(sum)") }
        let named = value(cshared_ledger_name_clients(ledger.name(database.index)))
        if named != ofDatabase { fail("\(named) clients of the database, the rows come to \(ofDatabase)") }
        let limit = scenario.clientLimit
        if limit > 0, max(total, named) > limit { fail("\(total) clients, and there may be \(limit)") }
    }

    /// What is another worker's, though its sender has not seen that yet.
    private func isTaken(_ flight: Worker.Flight, from sender: Int) -> Bool {
        guard flight.ticket != nil else { return false }
        return value(cshared_transfer_state(segment.ledger(of: 0).transfer(sender, flight.slot))) & 0xFF == 2
    }

    /// No more servers than there may be, whatever the ledger says. After one has come.
    func checkLimits() {
        var all = 0
        for pool in 0..<scenario.poolCount {
            var servers: Set<Int> = []
            for worker in workers where worker.isAlive {
                servers.formUnion(worker.own(pool))
                let flights = worker.flights.filter { $0.pool == pool && !isTaken($0, from: worker.index) }
                servers.formUnion(flights.map(\.server))
            }
            let limit = scenario.limits.pool
            if limit > 0, servers.count > limit { fail("\(servers.count) servers where \(limit) may be") }
            all += servers.count
        }
        let limit = scenario.limits.database
        if limit > 0, all > limit { fail("\(all) servers of a database that may have \(limit)") }
        let clients = workers.reduce(0) { $0 + ($1.isAlive ? $1.clients : 0) }
        if scenario.clientLimit > 0, clients > scenario.clientLimit {
            fail("\(clients) clients are admitted")
        }
    }

    /// Nobody uses what another one uses. Whenever a worker is done with a message.
    func checkOwners() {
        var seen: Set<Int> = []
        for pool in 0..<scenario.poolCount {
            let entries = workers.filter(\.isAlive).map { $0.pools[pool].entry }.filter { !$0.isNone }
            if Set(entries).count > 1 { fail("workers mean different entries by the same pool") }
        }
        for worker in workers where worker.isAlive {
            for pool in 0..<scenario.poolCount {
                for server in worker.own(pool) where !seen.insert(server).inserted {
                    fail("server \(server) is used by two workers")
                }
            }
        }
    }

    /// Whether a server of the pool is free, or one more may be opened.
    private func hasRoom(_ pool: Int) -> Bool {
        var count = 0
        for worker in workers where worker.isAlive {
            if !worker.pools[pool].idle.isEmpty { return true }
            count += worker.own(pool).count
        }
        return count < scenario.limits.pool
    }

    /// Nothing will happen any more: everybody has been served, and the ledger says what there is.
    func checkRest() {
        if !lock.isFree { return fail("everybody waits for the lock") }
        if !lock.holderHasDied { checkTotals() }
        checkLimits()
        checkOwners()
        let ledger = segment.ledger(of: 0)
        for worker in workers {
            for pool in 0..<scenario.poolCount {
                guard !worker.pools[pool].entry.isNone else { continue }
                let row = ledger.row(worker.pools[pool].entry.index, worker.index)
                let owned = value(cshared_pool_row_owned(row))
                let own = worker.isAlive ? worker.own(pool).count : 0
                if owned != own { fail("worker \(worker.index) is said to own \(owned), and owns \(own)") }
                guard worker.isAlive else { continue }
                let idle = value(cshared_pool_row_idle(row))
                if idle != worker.pools[pool].idle.count { fail("worker \(worker.index) tells of \(idle)") }
                if !worker.pools[pool].waiters.isEmpty, scenario.keepers.isEmpty || hasRoom(pool) {
                    fail("a client of worker \(worker.index) waits, and nobody has been told")
                }
            }
            if worker.isAlive, !worker.flights.isEmpty {
                fail("a server of worker \(worker.index) is on its way for ever")
            }
        }
    }
}
