import Base
import CShared
import Glibc
import Testing

@testable import SharedState

@Suite struct LedgerTests {
    private static let secret = Hash128(low: 5, high: 6)

    private func join(_ ledger: Ledger, _ database: String, _ user: String) throws -> LedgerPool {
        try #require(
            ledger.join(
                database: Ledger.key(database: bytes(database), LedgerTests.secret),
                user: Ledger.key(user: bytes(user), LedgerTests.secret)))
    }

    private let noLimits = ServerLimits(pool: 0, database: 0, user: 0)

    @Test func workersCountTogether() throws {
        let owner = TestSegment(workers: 3)
        let ledgers = (0..<3).map { owner.segment.ledger(of: $0) }
        let pools = try ledgers.map { try join($0, "db", "alice") }
        #expect(pools[0] == pools[2])
        let limits = ServerLimits(pool: 2, database: 0, user: 0)
        #expect(ledgers[0].open(pools[0], limits) == nil)
        #expect(ledgers[1].open(pools[1], limits) == nil)
        #expect(ledgers[2].open(pools[2], limits) == .pool)
        ledgers[0].close(pools[0])
        #expect(ledgers[2].open(pools[2], limits) == nil)
        #expect(ledgers[2].serverCount(pools[2]) == 2)
        #expect(ledgers[0].faults().isEmpty)
    }

    @Test func aDatabaseAndAUserLimitSeveralPools() throws {
        let owner = TestSegment(workers: 2)
        let (one, two) = (owner.segment.ledger(of: 0), owner.segment.ledger(of: 1))
        let first = try join(one, "db", "alice")
        let second = try join(two, "db", "bob")
        let third = try join(two, "other", "alice")
        let limits = ServerLimits(pool: 0, database: 1, user: 1)
        #expect(one.open(first, limits) == nil)
        #expect(two.open(second, limits) == .database)
        #expect(two.open(third, limits) == .user)
        #expect(!one.close(first, keeping: 1))
        #expect(one.close(first))
        #expect(two.open(second, limits) == nil)
        #expect(two.open(third, limits) == nil)
        #expect(one.faults().isEmpty)
    }

    @Test func clientsAreCountedOverAllWorkers() throws {
        let owner = TestSegment(workers: 2)
        let (one, two) = (owner.segment.ledger(of: 0), owner.segment.ledger(of: 1))
        #expect(one.admit(limit: 1))
        #expect(!two.admit(limit: 1))
        one.dismiss()
        #expect(two.admit(limit: 1))
        let key = Ledger.key(database: bytes("same"), LedgerTests.secret)
        let other = Ledger.key(user: bytes("same"), LedgerTests.secret)
        #expect(key != other)
        let database = try #require(one.join(key))
        let user = try #require(one.join(other))
        #expect(database != user)
        #expect(two.join(key) == database)
        #expect(two.join(other) == user)
        #expect(one.admit(database: database, limit: 1, user: user, limit: 2) == nil)
        #expect(two.admit(database: database, limit: 1, user: user, limit: 2) == .database)
        #expect(two.admit(database: database, limit: 0, user: user, limit: 1) == .user)
        one.dismiss(database: database, user: user)
        #expect(two.admit(database: database, limit: 1, user: user, limit: 1) == nil)
        #expect(two.clientCount(database) == 1)
    }

    @Test func aFullLedgerSaysSoAndForgottenPoolsMakeRoom() throws {
        let owner = TestSegment(workers: 2, poolCapacity: 2)
        let (one, two) = (owner.segment.ledger(of: 0), owner.segment.ledger(of: 1))
        let first = try join(one, "a", "x")
        _ = try join(one, "b", "y")
        let shared = try join(two, "a", "x")
        let key = { Ledger.key(database: bytes($0), LedgerTests.secret) }
        #expect(one.join(database: key("c"), user: key("x")) == nil)
        one.leave(first)
        #expect(one.join(database: key("c"), user: key("x")) == nil)
        two.leave(shared)
        let third = try #require(one.join(database: key("c"), user: key("x")))
        #expect(third == first)
        #expect(one.open(third, noLimits) == nil)
        #expect(one.serverCount(third) == 1)
        #expect(one.faults().isEmpty)
    }

    @Test func keysOfAUserAreThereForAllUntilNobodyKnowsHim() throws {
        let owner = TestSegment(workers: 2)
        let (one, two) = (owner.segment.ledger(of: 0), owner.segment.ledger(of: 1))
        let key = Ledger.key(user: bytes("alice"), LedgerTests.secret)
        let user = try #require(one.join(key))
        #expect(one.keys(of: user) == nil)
        let keys = (0..<64).map { UInt8($0) }
        one.keep(keys, of: user)
        #expect(two.join(key) == user)
        #expect(two.keys(of: user) == keys)
        one.leave(user)
        #expect(two.keys(of: user) == keys)
        two.leave(user)
        #expect(one.join(key) == user)
        #expect(one.keys(of: user) == nil)
    }

    /// The last one who knew the user had a pool of his, or died.
    @Test func keysOfAUserGoWithThePoolAndWithAWorker() throws {
        let owner = TestSegment(workers: 2)
        let (one, two) = (owner.segment.ledger(of: 0), owner.segment.ledger(of: 1))
        let key = Ledger.key(user: bytes("alice"), LedgerTests.secret)
        let database = Ledger.key(database: bytes("db"), LedgerTests.secret)
        let keys = (0..<64).map { UInt8($0) }
        let pool = try #require(one.join(database: database, user: key))
        one.keep(keys, of: one.names(of: pool).user)
        one.leave(pool)
        let user = try #require(two.join(key))
        #expect(two.keys(of: user) == nil)
        two.keep(keys, of: user)
        #expect(one.reclaim(worker: 1))
        #expect(one.join(key) == user)
        #expect(one.keys(of: user) == nil)
    }

    @Test func aTakenClientChangesItsOwner() throws {
        let owner = TestSegment(workers: 2)
        let (one, two) = (owner.segment.ledger(of: 0), owner.segment.ledger(of: 1))
        let name = { Ledger.key(database: bytes($0), LedgerTests.secret) }
        let (database, user) = (try #require(one.join(name("d"))), try #require(one.join(name("u"))))
        #expect(two.join(name("d")) == database)
        #expect(two.join(name("u")) == user)
        #expect(one.admit(limit: 1))
        #expect(one.admit(database: database, limit: 1, user: user, limit: 1) == nil)
        let client = LedgerClient(isAdmitted: true, database: database, user: user)
        let ticket = try #require(one.offer(client))
        #expect(!two.take(ticket, from: 0, LedgerClient(isAdmitted: true, database: user, user: user)))
        #expect(two.take(ticket, from: 0, client))
        // It counts once, and the limits hold, before and after its sender has looked.
        #expect(!two.admit(limit: 1))
        #expect(one.faults().isEmpty)
        #expect(one.end(ticket) == .taken)
        #expect(one.faults().isEmpty)
        #expect(one.clientCount(ofWorker: 0) == 0)
        #expect(one.clientCount(ofWorker: 1) == 1)
        two.dismiss(database: database, user: user)
        two.dismiss()
        #expect(one.clientCount == 0)
        #expect(one.clientCount(database) == 0)
        #expect(one.faults().isEmpty)
    }

    // MARK: Transfers

    @Test func aTakenServerChangesItsOwner() throws {
        let owner = TestSegment(workers: 2)
        let (one, two) = (owner.segment.ledger(of: 0), owner.segment.ledger(of: 1))
        let (mine, theirs) = (try join(one, "db", "alice"), try join(two, "db", "alice"))
        #expect(one.open(mine, noLimits) == nil)
        let ticket = try #require(one.offer(mine))
        #expect(one.outcome(ticket) == .offered)
        #expect(two.take(ticket, from: 0, theirs))
        #expect(!two.take(ticket, from: 0, theirs))
        #expect(one.serverCount(mine) == 1)
        #expect(one.faults().isEmpty)
        #expect(one.end(ticket) == .taken)
        #expect(one.ownServerCount(mine) == 0)
        #expect(two.ownServerCount(theirs) == 1)
        #expect(two.serverCount(theirs) == 1)
        #expect(one.faults().isEmpty)
    }

    @Test func whatIsRefusedOrWithdrawnStays() throws {
        let owner = TestSegment(workers: 2)
        let (one, two) = (owner.segment.ledger(of: 0), owner.segment.ledger(of: 1))
        let (mine, theirs) = (try join(one, "db", "alice"), try join(two, "db", "alice"))
        #expect(one.open(mine, noLimits) == nil)
        let first = try #require(one.offer(mine))
        two.refuse(first, from: 0)
        #expect(one.end(first) == .refused)
        let second = try #require(one.offer(mine))
        #expect(second.slot == first.slot)
        #expect(!two.take(first, from: 0, theirs))
        #expect(one.end(second) == .offered)
        #expect(!two.take(second, from: 0, theirs))
        #expect(one.ownServerCount(mine) == 1)
        #expect(one.faults().isEmpty)
        var tickets: [TransferTicket] = []
        while let ticket = one.offer(mine) { tickets.append(ticket) }
        #expect(tickets.count == Ledger.transferLimit)
        tickets.forEach { #expect(one.end($0) == .offered) }
    }

    /// Whoever dies, and whenever: what is left is counted once.
    @Test(arguments: [0, 1], [false, true])
    func aDeathInTheMiddleOfATransferLosesNothing(dead: Int, isTaken: Bool) throws {
        let owner = TestSegment(workers: 2)
        let (one, two) = (owner.segment.ledger(of: 0), owner.segment.ledger(of: 1))
        let (mine, theirs) = (try join(one, "db", "alice"), try join(two, "db", "alice"))
        #expect(one.open(mine, noLimits) == nil)
        let ticket = try #require(one.offer(mine))
        if isTaken { #expect(two.take(ticket, from: 0, theirs)) }
        #expect(one.reclaim(worker: dead))
        #expect(one.faults().isEmpty)
        if dead == 0 {
            #expect(two.serverCount(theirs) == (isTaken ? 1 : 0))
            #expect(!two.take(ticket, from: 0, theirs))
            let again = try join(one, "db", "alice")
            let next = try #require(one.offer(again))
            #expect(next != ticket)
        } else {
            #expect(one.serverCount(mine) == (isTaken ? 0 : 1))
            #expect(one.end(ticket) == (isTaken ? .taken : .offered))
            #expect(one.ownServerCount(mine) == (isTaken ? 0 : 1))
        }
        #expect(one.faults().isEmpty)
    }

    @Test func wantsAndSparesAreSeenByTheOthersUntilTheirOwnerDies() throws {
        let owner = TestSegment(workers: 3)
        let ledgers = (0..<3).map { owner.segment.ledger(of: $0) }
        let pools = try ledgers.map { try join($0, "db", "alice") }
        ledgers[1].publish(pools[1], waiting: 2, since: 77)
        ledgers[2].publish(pools[2], idle: 3, oldest: 5)
        #expect(ledgers[0].othersWaiting(pools[0]) == 0b010)
        #expect(ledgers[1].othersWaiting(pools[1]) == 0)
        #expect(ledgers[0].waiting(pools[0], in: 1) == (2, 77))
        #expect(ledgers[1].idle(pools[1], in: 2) == 3)
        let other = try join(ledgers[0], "db", "bob")
        #expect(ledgers[0].oldestIdle(sharing: .database, with: other)?.worker == 2)
        #expect(ledgers[0].oldestIdle(sharing: .user, with: other) == nil)
        #expect(ledgers[0].reclaim(worker: 1))
        #expect(ledgers[0].reclaim(worker: 2))
        #expect(ledgers[0].othersWaiting(pools[0]) == 0)
        #expect(ledgers[0].oldestIdle(sharing: .database, with: other) == nil)
    }

    // MARK: The lock

    /// Somebody dies with the lock when only a part of what belongs together has been written.
    @Test func theTotalsSurviveTheDeathOfTheLocksHolder() throws {
        let owner = TestSegment(workers: 2)
        let (one, two) = (owner.segment.ledger(of: 0), owner.segment.ledger(of: 1))
        let (mine, _) = (try join(one, "db", "alice"), try join(two, "db", "alice"))
        #expect(two.open(mine, noLimits) == nil)
        let head = UnsafeMutableRawPointer(one.head)
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { memory in
                _ = cshared_lock_take(memory!.assumingMemoryBound(to: cshared_ledger.self))
                return nil
            }, head)
        pthread_join(thread, nil)
        cshared_add(cshared_ledger_pool_servers(one.pool(mine.index)), 9)
        #expect(one.open(mine, ServerLimits(pool: 2, database: 0, user: 0)) == nil)
        #expect(one.recoveryCount == 1)
        #expect(one.serverCount(mine) == 2)
        #expect(one.faults().isEmpty)
    }

    /// Many steps of three workers, some of which die, compared with a plain model.
    @Test(arguments: 0..<40 as Range<UInt64>)
    func manySteps(seed: UInt64) throws {
        var random = Random(seed: seed)
        let owner = TestSegment(workers: 3)
        let ledgers = (0..<3).map { owner.segment.ledger(of: $0) }
        var pools = try ledgers.map { try join($0, "db", "alice") }
        var model = [0, 0, 0]
        var flights: [(from: Int, ticket: TransferTicket, isTaken: Bool)] = []
        for _ in 0..<400 {
            let worker = random.below(3)
            let flying = { (index: Int) in flights.filter { $0.from == index && !$0.isTaken }.count }
            switch random.below(12) {
            case 0...3:
                let limit = ServerLimits(pool: 5, database: 0, user: 0)
                let refusal = ledgers[worker].open(pools[worker], limit)
                #expect((refusal == nil) == (model.reduce(0, +) < 5))
                if refusal == nil { model[worker] += 1 }
            case 4...5:
                guard model[worker] > flying(worker) else { continue }
                ledgers[worker].close(pools[worker])
                model[worker] -= 1
            case 6...7:
                guard model[worker] > flying(worker) else { continue }
                let ticket = try #require(ledgers[worker].offer(pools[worker]))
                flights.append((worker, ticket, false))
            case 8...9:
                guard let index = flights.indices.first(where: { !flights[$0].isTaken }) else { continue }
                let from = flights[index].from
                let receiver = (from + 1 + random.below(2)) % 3
                #expect(ledgers[receiver].take(flights[index].ticket, from: from, pools[receiver]))
                flights[index].isTaken = true
                model[from] -= 1
                model[receiver] += 1
            case 10:
                guard !flights.isEmpty else { continue }
                let flight = flights.remove(at: random.below(flights.count))
                #expect(ledgers[flight.from].end(flight.ticket) == (flight.isTaken ? .taken : .offered))
            default:
                guard random.below(4) == 0 else { continue }
                #expect(ledgers[0].reclaim(worker: worker))
                model[worker] = 0
                flights.removeAll { $0.from == worker }
                pools[worker] = try join(ledgers[worker], "db", "alice")
            }
            #expect(ledgers[0].serverCount(pools[0]) == model.reduce(0, +))
            #expect(ledgers[0].faults().isEmpty)
        }
    }
}
