import Base
import SharedState
import Testing

@testable import PoolCore

/// Sessions that move with their server when their worker leaves; messages are carried by the test.
@Suite struct MovingSessionTests {
    private let settings = "pool_mode = session\ndefault_pool_size = 20"

    private func workers(_ settings: String? = nil) -> [Rig] {
        let shared = SharedMemory(workers: 2)
        for index in 0..<2 { shared.segment.worker(index).state = .ready }
        return (0..<2).map { Rig(settings ?? self.settings, sharing: shared, worker: $0) }
    }

    /// A client in a session with its server, in the first worker.
    private func session(_ rig: Rig) -> (client: ConnectionID, server: ConnectionID) {
        let (client, server) = rig.session()
        rig.run(client, server, "select 1")
        #expect(rig.state(of: client) == .linked)
        return (client, server)
    }

    private func leave(_ rig: Rig) { rig.tell(.order(Order(epoch: 1, kind: .drain))) }

    /// The message that carries the session.
    private func post(_ rig: Rig) throws -> Rig.Post {
        try #require(rig.takePosted().first { $0.peer?.isClient == true })
    }

    @Test func aQuietSessionGoesOnElsewhere() throws {
        let rigs = workers()
        let (client, _) = session(rigs[0])
        leave(rigs[0])
        #expect(rigs[0].state(of: client) == .moving)
        let moved = try #require(try rigs[1].take(post(rigs[0])))
        let server = try #require(rigs[1].broughtServers.first)
        #expect(rigs[1].state(of: moved) == .linked)
        rigs[1].receive(moved, Send.query("select 2"))
        #expect(rigs[1].raw(server) == Send.query("select 2"))
        rigs[1].receive(server, Send.complete("SELECT 1") + Send.ready())
        #expect(rigs[1].types(moved) == "CZ")
        rigs[0].advance(milliseconds: 500)
        let isVacant = rigs[0].core.isVacant
        #expect(isVacant)
        #expect(rigs[1].core.ledger.serverCount(rigs[1].entry) == 1)
        #expect(rigs[1].core.ledger.clientCount == 1)
        #expect(rigs[1].core.ledger.faults().isEmpty)
        // The session ends as any other.
        rigs[1].receive(moved, Send.terminate)
        #expect(rigs[1].record(of: server)?.state != .linked)
        #expect(rigs[1].core.ledger.faults().isEmpty)
    }

    @Test func aTransactionEndsBeforeItsSessionGoes() throws {
        let rigs = workers()
        let (client, server) = session(rigs[0])
        rigs[0].run(client, server, "begin", "T")
        leave(rigs[0])
        rigs[0].advance(milliseconds: 1000)
        #expect(rigs[0].state(of: client) == .linked)
        rigs[0].run(client, server, "commit")
        #expect(rigs[0].state(of: client) == .moving)
        let moved = try #require(try rigs[1].take(post(rigs[0])))
        #expect(rigs[1].state(of: moved) == .linked)
    }

    /// What the client sends meanwhile is not lost, nor done twice.
    @Test func whatIsSentOnTheWayGoesToTheServerOnce() throws {
        let rigs = workers()
        let (client, server) = session(rigs[0])
        let query = Send.query("select 'late'")
        rigs[0].receive(client, Array(query.prefix(3)))
        leave(rigs[0])
        let moved = try #require(try rigs[1].take(post(rigs[0])))
        rigs[1].receive(moved, Array(query.dropFirst(3)))
        #expect(rigs[1].raw(try #require(rigs[1].broughtServers.first)) == query)
        #expect(rigs[0].raw(server).isEmpty)
    }

    /// A client that has waited is given a server, and before its request is looked at again its worker is
    /// to leave: the request has been counted, and would be again wherever it is seen anew.
    @Test func whoHasBegunToAskStaysUntilItIsAnswered() throws {
        let rigs = workers("default_pool_size = 1\ntest_keep_clients = 1")
        let (first, server) = rigs[0].session()
        rigs[0].run(first, server, "begin", "T")
        let second = rigs[0].client()
        let reader = SegmentReader(rigs[0].shared.segment)
        let before = reader.sums()
        rigs[0].receive(second, Send.query("select 2"))
        #expect(rigs[0].state(of: second) == .waiting)
        rigs[0].wakesLater = true
        rigs[0].run(first, server, "commit")
        #expect(rigs[0].state(of: second) == .linked)
        leave(rigs[0])
        rigs[0].wakesLater = false
        rigs[0].wakeAll()
        for post in rigs[0].takePosted() { _ = try rigs[1].take(post) }
        let asked = rigs[0].raw(server) + rigs[1].broughtServers.flatMap { rigs[1].raw($0) }
        #expect(asked == Send.query("select 2"))
        let growth = reader.sums().since(before)
        #expect(growth.totals[.queries] == 2)
        #expect(growth.totals[.transactions] == 1)
    }

    @Test func aSessionStaysWhenThereIsNoRoomInTheInbox() throws {
        let rigs = workers()
        let (client, server) = session(rigs[0])
        rigs[0].hasRoom = false
        leave(rigs[0])
        #expect(rigs[0].state(of: client) == .linked)
        rigs[0].run(client, server, "select 1")
        #expect(rigs[0].core.ledger.faults().isEmpty)
        rigs[0].hasRoom = true
        rigs[0].advance(milliseconds: 1000)
        let moved = try #require(try rigs[1].take(post(rigs[0])))
        #expect(rigs[1].state(of: moved) == .linked)
    }

    @Test(arguments: [false, true])
    func aSessionStaysWhenItsReceiverDies(isLost: Bool) throws {
        let rigs = workers()
        let (client, server) = session(rigs[0])
        leave(rigs[0])
        rigs[0].receive(client, Send.query("select 2"))
        _ = try post(rigs[0])
        if isLost {
            rigs[0].core.segment.worker(1).beat(rigs[0].core.now / 1000)
            rigs[0].advance(milliseconds: 4000)
        } else {
            rigs[0].core.segment.worker(1).state = .dead
            #expect(rigs[0].core.ledger.reclaim(worker: 1))
            rigs[0].tell(.workerEnded(1))
            #expect(rigs[0].state(of: client) == .linked)
        }
        #expect(rigs[0].raw(server).starts(with: Send.query("select 2")))
        #expect(rigs[0].core.ledger.faults().isEmpty)
    }

    /// A session that is held by PAUSE is none of another worker's, which may have reported the pause done.
    @Test func anOrderOvertakesASessionOnItsWay() throws {
        let rigs = workers()
        let (client, server) = session(rigs[0])
        leave(rigs[0])
        let message = try post(rigs[0])
        rigs[1].tell(.order(Order(epoch: 7, kind: .pause)))
        #expect(rigs[1].acknowledged.contains(7))
        let connection = try #require(try rigs[1].take(message))
        #expect(!rigs[1].isOpen(connection))
        rigs[0].tell(.order(Order(epoch: 7, kind: .pause)))
        rigs[0].advance(milliseconds: 500)
        #expect(rigs[0].state(of: client) == .linked)
        #expect(!rigs[0].acknowledged.contains(7))
        rigs[0].receive(client, Send.terminate)
        #expect(rigs[0].acknowledged.contains(7))
        #expect(!rigs[0].isOpen(server))
        #expect(rigs[0].core.ledger.faults().isEmpty)
    }

    @Test(arguments: [false, true])
    func whoIsKilledOnTheWayIsGone(isTaken: Bool) throws {
        let rigs = workers()
        let (client, server) = session(rigs[0])
        leave(rigs[0])
        let message = try post(rigs[0])
        let moved = isTaken ? try rigs[1].take(message) : nil
        rigs[0].tell(.order(Order(epoch: 7, kind: .kill)))
        #expect(!rigs[0].isOpen(client))
        rigs[0].advance(milliseconds: 500)
        #expect(!rigs[0].isOpen(server))
        // No word of a worker that has it no more.
        #expect(rigs[0].raw(client).isEmpty)
        if let moved { #expect(rigs[1].state(of: moved) == .linked) }
        #expect(rigs[1].core.ledger.clientCount == (isTaken ? 1 : 0))
        #expect(rigs[0].core.ledger.faults().isEmpty)
    }

    /// A server that is to be closed after its session is so in the worker where that ends.
    @Test func aServerThatIsToBeReplacedStaysSo() throws {
        let rigs = workers()
        _ = session(rigs[0])
        for rig in rigs { rig.tell(.order(Order(epoch: 3, kind: .reconnect))) }
        leave(rigs[0])
        let moved = try #require(try rigs[1].take(post(rigs[0])))
        let server = try #require(rigs[1].broughtServers.first)
        #expect(rigs[1].record(of: server)?.needsClose == true)
        rigs[1].receive(moved, Send.terminate)
        #expect(!rigs[1].isOpen(server))
    }

    /// The server breaks before anybody has been offered it.
    @Test func aSessionWhoseServerBreaksOnTheWayEnds() throws {
        let rigs = workers()
        let (client, server) = session(rigs[0])
        leave(rigs[0])
        _ = try post(rigs[0])
        rigs[0].core.segment.worker(1).state = .dead
        #expect(rigs[0].core.ledger.reclaim(worker: 1))
        rigs[0].hangUp(server)
        #expect(!rigs[0].isOpen(client))
        #expect(rigs[0].core.ledger.faults().isEmpty)
        #expect(rigs[0].core.ledger.serverCount(rigs[0].entry) == 0)
    }
}
