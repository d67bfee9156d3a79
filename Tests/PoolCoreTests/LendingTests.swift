import Base
import SharedState
import Testing

@testable import PoolCore

/// Several workers that share one ledger; messages between them are carried by the test.
@Suite struct LendingTests {
    private func workers(_ count: Int, _ settings: String) -> [Rig] {
        let shared = SharedMemory(workers: count)
        return (0..<count).map { Rig(settings, sharing: shared, worker: $0) }
    }

    /// Carries every message where it is meant to go, until there are none, nor any after six milliseconds,
    /// in which servers are lent that were kept for a moment; answers the connections that lent servers have
    /// at their receivers.
    @discardableResult
    private func carry(_ rigs: [Rig]) throws -> [ConnectionID] {
        var lent: [ConnectionID] = []
        var isQuiet = false
        var hasRested = false
        while !isQuiet {
            isQuiet = true
            for rig in rigs {
                for post in rig.takePosted() {
                    isQuiet = false
                    if let connection = try rigs[post.worker].take(post) { lent.append(connection) }
                }
            }
            if isQuiet, !hasRested {
                hasRested = true
                isQuiet = false
                rigs.forEach { $0.advance(milliseconds: 11) }
            }
        }
        return lent
    }

    @Test func aLimitHoldsOverAllWorkers() throws {
        let rigs = workers(2, "default_pool_size = 1")
        let (client, server) = rigs[0].session()
        rigs[0].run(client, server, "begin", "T")
        let other = rigs[1].client()
        #expect(rigs[1].connecting.isEmpty)
        rigs[1].advance(milliseconds: 1000)
        #expect(rigs[1].connecting.isEmpty)
        _ = rigs[1].types(other)
        #expect(rigs[0].core.ledger.serverCount(rigs[0].entry) == 1)
    }

    /// The second worker's client gets the first worker's free server, and what is known of it.
    @Test func anIdleServerIsLentToWhoWaits() throws {
        let rigs = workers(2, "default_pool_size = 1")
        let (client, server) = rigs[0].session()
        rigs[0].run(client, server, "select 1")
        let other = rigs[1].client()
        // What it is welcomed with is known: for that no server is needed.
        #expect(try carry(rigs).isEmpty)
        #expect(rigs[1].types(other).hasSuffix("Z"))
        rigs[1].receive(other, Send.query("select 2"))
        let lent = try carry(rigs)
        try #require(lent.count == 1)
        #expect(rigs[1].raw(lent[0]) == Send.query("select 2"))
        rigs[1].receive(lent[0], Send.complete("SELECT 1") + Send.ready())
        #expect(rigs[1].types(other) == "CZ")
        rigs[0].advance(milliseconds: 1000)
        #expect(rigs[0].core.servers.count == 0)
        #expect(rigs[1].record(of: lent[0])?.processID == 77)
        #expect(rigs[0].core.ledger.serverCount(rigs[0].entry) == 1)
        #expect(rigs[0].core.ledger.faults().isEmpty)
        rigs.forEach { $0.expectEmptiness() }
    }

    @Test func aServerGoesToTheOldestWaiterWhereverItIs() throws {
        let rigs = workers(2, "default_pool_size = 1")
        let (client, server) = rigs[0].session()
        let far = rigs[1].client()
        try carry(rigs)
        rigs[0].run(client, server, "begin", "T")
        rigs[1].receive(far, Send.query("select 'far'"))
        rigs.forEach { $0.advance(milliseconds: 10) }
        let near = rigs[0].client()
        rigs[0].receive(near, Send.query("select 'near'"))
        rigs[0].run(client, server, "commit")
        #expect(rigs[0].state(of: near) == .waiting)
        let lent = try carry(rigs)
        try #require(lent.count == 1)
        #expect(rigs[1].raw(lent[0]) == Send.query("select 'far'"))
        #expect(rigs[0].state(of: near) == .waiting)
        rigs[1].receive(lent[0], Send.complete("SELECT 1") + Send.ready())
        let back = try carry(rigs)
        try #require(back.count == 1)
        #expect(rigs[0].raw(back[0]) == Send.query("select 'near'"))
        #expect(rigs[0].core.ledger.faults().isEmpty)
    }

    /// Within the slack nobody is passed over for somebody who has waited hardly longer.
    @Test func whoWaitsHereIsServedBeforeWhoHasWaitedHardlyLongerElsewhere() throws {
        let rigs = workers(2, "default_pool_size = 1")
        let (client, server) = rigs[0].session()
        rigs[0].run(client, server, "begin", "T")
        let near = rigs[0].client()
        _ = rigs[0].types(near)
        _ = rigs[1].client()
        rigs[0].advance(milliseconds: 1)
        rigs[0].receive(near, Send.query("select 'near'"))
        rigs[0].run(client, server, "commit")
        #expect(rigs[0].state(of: near) == .linked)
    }

    @Test func preparedStatementsGoWithTheServer() throws {
        let rigs = workers(2, "default_pool_size = 1")
        let (client, server) = rigs[0].session()
        rigs[0].receive(client, Send.parse("a", "select 1") + Send.sync)
        rigs[0].receive(server, Send.parseComplete + Send.ready())
        let other = rigs[1].client()
        try carry(rigs)
        _ = rigs[1].types(other)
        // The same text under another name: it is there already.
        rigs[1].receive(other, Send.parse("b", "select 1") + Send.bind("b") + Send.execute + Send.sync)
        let lent = try carry(rigs)
        #expect(rigs[1].types(lent[0]) == "BES")
        rigs[1].receive(lent[0], Send.bindComplete + Send.complete("SELECT 1") + Send.ready())
        #expect(rigs[1].types(other) == "12CZ")
        rigs.forEach { $0.expectEmptiness() }
    }

    /// What is prepared for one client alone has a name that no other worker gives to something else.
    @Test func privateStatementsOfTwoWorkersHaveDifferentNames() throws {
        let rigs = workers(2, "default_pool_size = 1")
        let (client, server) = rigs[0].session()
        let batch =
            Send.parse("", "set search_path = x") + Send.bind("") + Send.execute
            + Send.parse("a", "select 1") + Send.sync
        rigs[0].receive(client, batch)
        let first = rigs[0].raw(server)
        rigs[0].receive(
            server,
            Send.parseComplete + Send.bindComplete + Send.complete("SET") + Send.parseComplete + Send.ready())
        let other = rigs[1].client()
        try carry(rigs)
        _ = rigs[1].types(other)
        rigs[1].receive(other, batch)
        let lent = try carry(rigs)
        let second = rigs[1].raw(lent[0])
        #expect(first.count == second.count)
        #expect(first != second)
    }

    /// A client can log in while the only server is busy elsewhere.
    @Test func whatClientsAreWelcomedWithIsKnownToAllWorkers() throws {
        let rigs = workers(2, "default_pool_size = 1")
        let (client, server) = rigs[0].session()
        rigs[0].run(client, server, "begin", "T")
        let other = rigs[1].client()
        #expect(try carry(rigs).isEmpty)
        #expect(rigs[1].types(other).hasSuffix("Z"))
        let third = rigs[1].client()
        #expect(rigs[1].types(third).hasSuffix("Z"))
        rigs.forEach { $0.expectEmptiness() }
    }

    /// Who waits to be welcomed hears it from the worker that learns it first.
    @Test func whatIsLearntIsToldToThoseWhoWaitForIt() throws {
        let rigs = workers(2, "default_pool_size = 1")
        let client = rigs[0].client()
        rigs[0].receive(client, Send.query("select 1"))
        let other = rigs[1].client()
        try carry(rigs)
        #expect(rigs[1].connecting.isEmpty)
        _ = rigs[0].server()
        try carry(rigs)
        #expect(rigs[0].state(of: client) == .linked)
        #expect(rigs[1].types(other).hasSuffix("Z"))
    }

    /// A server that has just come serves its new worker for a while before it goes on; but nobody waits for
    /// ever.
    @Test func aServerThatHasComeStaysForAWhile() throws {
        let rigs = workers(2, "default_pool_size = 1")
        let (client, _) = rigs[0].session()
        let far = rigs[1].client()
        try carry(rigs)
        rigs[1].receive(far, Send.query("select 'far'"))
        let lent = try #require(try carry(rigs).first)
        rigs[1].core.now = rigs[0].core.now
        rigs[0].receive(client, Send.query("select 'near'"))
        for post in rigs[0].takePosted() { try rigs[1].take(post) }
        let start = rigs[1].core.now
        while rigs[1].core.now < start + 30_000_000, rigs[1].record(of: lent)?.state == .linked {
            rigs[1].receive(lent, Send.complete("SELECT 1") + Send.ready())
            rigs[1].receive(far, Send.query("select 'far'"))
            rigs[1].advance(milliseconds: 1)
        }
        let stay = rigs[1].core.now - start
        #expect(stay >= 1_000_000 && stay <= 25_000_000)
        #expect(try carry(rigs).count == 1)
    }

    /// A server that nobody here has wanted for long goes at once, before one that has just been used.
    @Test func theServerThatHasRestedLongestIsLent() throws {
        let rigs = workers(2, "default_pool_size = 2")
        let (first, cold) = rigs[0].session()
        rigs[0].receive(first, Send.query("begin"))
        let second = rigs[0].client()
        rigs[0].receive(second, Send.query("select 1"))
        let warm = rigs[0].server()
        rigs[0].receive(cold, Send.complete("BEGIN") + Send.ready())
        rigs[0].advance(milliseconds: 51)
        rigs[0].receive(warm, Send.complete("SELECT 1") + Send.ready())
        _ = rigs[1].client()
        for post in rigs[1].takePosted() { try rigs[0].take(post) }
        #expect(rigs[0].record(of: cold)?.state == .lending)
        #expect(rigs[0].record(of: warm)?.state == .idle)
    }

    /// A worker that wanted to ask for a server a moment ago, and now keeps one for a moment, waits for two
    /// times; the end of the first must not be taken for the end of both.
    @Test func aServerThatIsKeptIsLentThoughAnotherPauseEndsFirst() throws {
        let rigs = workers(2, "default_pool_size = 1")
        let (near, _) = rigs[0].session()
        let far = [rigs[1].client(), rigs[1].client()]
        for post in rigs[1].takePosted() { try rigs[0].take(post) }
        for post in rigs[0].takePosted() { try rigs[1].take(post) }
        rigs.forEach { $0.advance(milliseconds: 11) }
        // The first has a server asked for; for the second it will be asked for in a millisecond.
        for client in far { rigs[1].receive(client, Send.query("select 1")) }
        for post in rigs[1].takePosted() { try rigs[0].take(post) }
        rigs[0].advance(milliseconds: 10)
        let post = try #require(rigs[0].takePosted().first { $0.peer != nil })
        let lent = try #require(try rigs[1].take(post))
        rigs[0].receive(near, Send.query("select 2"))
        for _ in far { rigs[1].receive(lent, Send.complete("SELECT 1") + Send.ready()) }
        // What has come stays until somebody has waited for ten milliseconds.
        #expect(rigs[1].record(of: lent)?.state == .idle)
        rigs[1].advance(milliseconds: 2)
        #expect(rigs[1].record(of: lent)?.state == .idle)
        rigs[1].advance(milliseconds: 20)
        #expect(rigs[1].takePosted().contains { $0.peer != nil })
    }

    /// Only as many workers are asked as servers are needed. One that has to test its server first may find
    /// that it is dead, after long: the next one is asked meanwhile.
    @Test func whoAsksAWorkerThatTestsItsServerAsksTheNext() throws {
        let rigs = workers(3, "default_pool_size = 2\nserver_check_delay = 0")
        let (far, own) = rigs[1].session()
        rigs[1].hangUp(own)
        let (_, first) = rigs[0].session()
        let (_, second) = rigs[2].session()
        try carry(rigs)
        #expect(rigs[0].record(of: first)?.state == .idle)
        #expect(rigs[2].record(of: second)?.state == .idle)
        rigs[1].receive(far, Send.query("select 'far'"))
        try carry(rigs)
        #expect(rigs[0].record(of: first)?.state == .tested)
        #expect(rigs[2].record(of: second)?.state == .tested)
        rigs[2].receive(second, Send.complete("SELECT 1") + Send.ready())
        let lent = try #require(try carry(rigs).first)
        #expect(rigs[1].raw(lent) == Send.query("select 'far'"))
    }

    /// Who was asked first keeps his server for a moment, and then a client of his own takes it for long: the
    /// next one is asked.
    @Test func whoeverIsPromisedAServerHearsThatItIsGone() throws {
        let rigs = workers(3, "default_pool_size = 2")
        let (near, first) = rigs[0].session()
        _ = rigs[1].session()
        let far = rigs[2].client()
        try carry(rigs)
        rigs[0].run(near, first, "select 1")
        rigs[2].receive(far, Send.query("select 'far'"))
        for post in rigs[2].takePosted() { try rigs[post.worker].take(post) }
        #expect(rigs[0].record(of: first)?.state == .idle)
        rigs[0].run(near, first, "begin", "T")
        let lent = try carry(rigs)
        try #require(lent.count == 1)
        #expect(rigs[2].raw(lent[0]) == Send.query("select 'far'"))
        #expect(rigs[0].core.ledger.faults().isEmpty)
    }

    // MARK: When something goes wrong

    @Test func aMessageWithoutRoomLeavesTheServerWhereItIs() throws {
        let rigs = workers(2, "default_pool_size = 1")
        let (client, server) = rigs[0].session()
        rigs[0].hasRoom = false
        let other = rigs[1].client()
        #expect(try carry(rigs).isEmpty)
        #expect(rigs[1].types(other).hasSuffix("Z"))
        rigs[1].receive(other, Send.query("select 2"))
        #expect(try carry(rigs).isEmpty)
        rigs[0].run(client, server, "select 1")
        #expect(rigs[0].record(of: server)?.state == .idle)
        rigs[0].hasRoom = true
        rigs[0].advance(milliseconds: 20)
        let lent = try carry(rigs)
        try #require(lent.count == 1)
        #expect(rigs[1].raw(lent[0]) == Send.query("select 2"))
        #expect(rigs[0].core.ledger.faults().isEmpty)
    }

    /// The receiver dies with the server in its inbox: the sender has it still.
    @Test func aServerOfferedToADeadWorkerStays() throws {
        let rigs = workers(2, "default_pool_size = 1")
        let (client, server) = rigs[0].session()
        _ = rigs[1].client()
        let posts = rigs[1].takePosted()
        for post in posts { try rigs[0].take(post) }
        rigs[0].advance(milliseconds: 11)
        #expect(rigs[0].takePosted().contains { $0.peer != nil })
        #expect(rigs[0].record(of: server)?.state == .lending)
        #expect(rigs[0].core.ledger.reclaim(worker: 1))
        rigs[0].tell(.workerEnded(1))
        #expect(rigs[0].record(of: server)?.state == .idle)
        rigs[0].run(client, server, "select 1")
        #expect(rigs[0].core.ledger.faults().isEmpty)
        rigs[0].expectEmptiness()
    }

    /// The receiver dies after it has taken the server: it is gone, and nobody counts it.
    @Test func aServerTakenByADeadWorkerIsGone() throws {
        let rigs = workers(2, "default_pool_size = 1")
        let (_, server) = rigs[0].session()
        let other = rigs[1].client()
        try carry(rigs)
        rigs[1].receive(other, Send.query("select 2"))
        #expect(try carry(rigs).count == 1)
        #expect(rigs[0].core.ledger.reclaim(worker: 1))
        rigs[0].tell(.workerEnded(1))
        #expect(!rigs[0].isOpen(server))
        #expect(rigs[0].core.ledger.serverCount(rigs[0].entry) == 0)
        #expect(rigs[0].core.ledger.faults().isEmpty)
        rigs[0].expectEmptiness()
    }

    /// The sender dies with the server on its way: whoever gets it cannot take it.
    @Test func aServerOfADeadSenderIsNotTaken() throws {
        let rigs = workers(2, "default_pool_size = 1")
        _ = rigs[0].session()
        let other = rigs[1].client()
        for post in rigs[1].takePosted() { try rigs[0].take(post) }
        rigs[0].advance(milliseconds: 11)
        let posts = rigs[0].takePosted().filter { $0.peer != nil }
        #expect(rigs[1].core.ledger.reclaim(worker: 0))
        let connection = try #require(try rigs[1].take(posts[0]))
        #expect(!rigs[1].isOpen(connection))
        #expect(rigs[1].record(of: connection) == nil)
        rigs[1].tell(.workerEnded(0))
        #expect(rigs[1].connecting.count == 1)
        _ = rigs[1].server()
        #expect(rigs[1].types(other).hasSuffix("Z"))
        #expect(rigs[1].core.ledger.faults().isEmpty)
        rigs[1].expectEmptiness()
    }

    /// A worker that has been stopped says that somebody waits there; nothing is lent to it, and what it has
    /// not taken comes back.
    @Test func aWorkerThatDoesNotRunIsGivenNothing() throws {
        let rigs = workers(2, "default_pool_size = 1")
        let (client, server) = rigs[0].session()
        rigs[0].run(client, server, "begin", "T")
        let other = rigs[1].client()
        try carry(rigs)
        rigs[1].receive(other, Send.query("select 2"))
        let beat = rigs[1].core.now / 1000
        rigs[0].core.segment.worker(1).beat(beat)
        rigs[0].run(client, server, "commit")
        rigs[0].advance(milliseconds: 11)
        #expect(rigs[0].record(of: server)?.state == .lending)
        let post = try #require(rigs[0].takePosted().first { $0.peer != nil })
        rigs[0].advance(milliseconds: 2500)
        #expect(rigs[0].record(of: server)?.state == .idle)
        rigs[0].run(client, server, "select 1")
        #expect(rigs[0].record(of: server)?.state == .idle)
        // It goes on, and finds what was withdrawn.
        let connection = try #require(try rigs[1].take(post))
        #expect(!rigs[1].isOpen(connection))
        rigs[0].core.segment.worker(1).beat(rigs[0].core.now / 1000)
        rigs[1].advance(milliseconds: 500)
        let lent = try #require(try carry(rigs).first)
        #expect(rigs[1].raw(lent) == Send.query("select 2"))
        #expect(rigs[0].core.ledger.faults().isEmpty)
    }

    @Test func clientsWaitingElsewhereProfitFromADeath() throws {
        let rigs = workers(2, "default_pool_size = 1")
        let (client, server) = rigs[0].session()
        rigs[0].run(client, server, "begin", "T")
        _ = rigs[1].client()
        #expect(rigs[1].connecting.isEmpty)
        #expect(rigs[1].core.ledger.reclaim(worker: 0))
        rigs[1].tell(.workerEnded(0))
        #expect(rigs[1].connecting.count == 1)
    }

    /// The first worker has offered its only server to the second, which has not looked yet.
    private func serverOnItsWay() throws -> (rigs: [Rig], post: Rig.Post) {
        let rigs = workers(2, "default_pool_size = 1")
        _ = rigs[0].session()
        _ = rigs[1].client()
        for post in rigs[1].takePosted() { try rigs[0].take(post) }
        rigs[0].advance(milliseconds: 11)
        return (rigs, try #require(rigs[0].takePosted().first { $0.peer != nil }))
    }

    /// A server that was on its way when everything was to be replaced is not used any more.
    @Test func anOrderOvertakesAServerOnItsWay() throws {
        let (rigs, post) = try serverOnItsWay()
        rigs[1].tell(.order(Order(epoch: 7, kind: .reconnect)))
        let connection = try #require(try rigs[1].take(post))
        #expect(!rigs[1].isOpen(connection))
        #expect(rigs[1].connecting.count == 1)
        rigs[0].tell(.order(Order(epoch: 7, kind: .reconnect)))
        rigs[0].advance(milliseconds: 500)
        #expect(rigs[0].core.servers.count == 0)
        #expect(rigs[0].core.ledger.faults().isEmpty)
    }

    /// A pause is over when the last server has left, not when it is next time for upkeep.
    @Test func aPauseDoesNotWaitForUpkeepWhenAServerHasLeft() throws {
        let (rigs, post) = try serverOnItsWay()
        rigs[0].tell(.order(Order(epoch: 7, kind: .pause)))
        #expect(rigs[0].acknowledged.isEmpty)
        _ = try rigs[1].take(post)
        rigs[0].advance(milliseconds: 11)
        #expect(rigs[0].acknowledged == [7])
    }

    // MARK: Limits of databases and users

    @Test func anIdleServerOfAnotherPoolElsewhereGivesWay() throws {
        let rigs = workers(2, "max_db_connections = 1")
        let (_, server) = rigs[0].session("alice")
        let other = rigs[1].client("bob")
        #expect(rigs[1].connecting.isEmpty)
        try carry(rigs)
        #expect(!rigs[0].isOpen(server))
        #expect(rigs[1].connecting.count == 1)
        _ = rigs[1].server()
        #expect(rigs[1].types(other).hasSuffix("Z"))
        #expect(rigs[0].core.ledger.faults().isEmpty)
    }

    @Test func whoWaitsForALimitIsToldWhenItIsFree() throws {
        let rigs = workers(2, "max_user_connections = 1")
        let (client, server) = rigs[0].session("alice")
        rigs[0].run(client, server, "begin", "T")
        let other = rigs[1].client("alice")
        try carry(rigs)
        rigs[1].receive(other, Send.query("select 2"))
        try carry(rigs)
        #expect(rigs[1].connecting.isEmpty)
        rigs[0].hangUp(client)
        #expect(!rigs[0].isOpen(server))
        try carry(rigs)
        #expect(rigs[1].connecting.count == 1)
    }

    @Test func clientsAreCountedOverAllWorkers() throws {
        let rigs = workers(2, "max_client_conn = 1")
        let (client, _) = rigs[0].session()
        #expect(rigs[1].error(rigs[1].client()).hasPrefix("53300"))
        rigs[0].hangUp(client)
        let other = rigs[1].client()
        try carry(rigs)
        #expect(rigs[1].isOpen(other))
    }
}

extension Rig {
    /// The entry of the only pool.
    var entry: LedgerPool { core.poolOfEntry.first!.key }
}
