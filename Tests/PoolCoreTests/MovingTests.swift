import Base
import SharedState
import Testing

@testable import PoolCore

/// Clients that move between workers; messages are carried by the test.
@Suite struct MovingTests {
    /// Workers that all serve, as far as they know of each other.
    private func workers(_ count: Int, _ settings: String) -> [Rig] {
        let shared = SharedMemory(workers: count)
        for index in 0..<count { shared.segment.worker(index).state = .ready }
        return (0..<count).map { Rig(settings, sharing: shared, worker: $0) }
    }

    /// Carries every message where it is meant to go; answers what it brought, with the worker it is in.
    @discardableResult
    private func carry(_ rigs: [Rig]) throws -> [(worker: Int, connection: ConnectionID)] {
        var brought: [(worker: Int, connection: ConnectionID)] = []
        var isQuiet = false
        while !isQuiet {
            isQuiet = true
            for rig in rigs {
                for post in rig.takePosted() {
                    isQuiet = false
                    if let connection = try rigs[post.worker].take(post) {
                        brought.append((post.worker, connection))
                    }
                }
            }
        }
        return brought
    }

    /// A client that has gone from one worker to the home of its small pool: one of the two has to.
    private func movedClient(
        _ settings: String = "default_pool_size = 1"
    ) throws -> (rigs: [Rig], home: Int, client: ConnectionID) {
        let rigs = workers(2, settings)
        for rig in rigs {
            _ = rig.client()
            if !rig.connecting.isEmpty { _ = rig.server() }
            let moved = try carry(rigs).first { rigs[$0.worker].state(of: $0.connection) != nil }
            rig.advance(milliseconds: 500)
            if let moved { return (rigs, moved.worker, moved.connection) }
        }
        throw MovingFailure()
    }

    private struct MovingFailure: Error {}

    @Test func aClientOfASmallPoolGoesToItsHome() throws {
        let (rigs, home, client) = try movedClient()
        #expect(rigs[1 - home].core.clients.count == 0)
        #expect(rigs[home].state(of: client) == .idle)
        rigs[home].receive(client, Send.query("select 1"))
        try carry(rigs)
        #expect(rigs[home].state(of: client) == .linked)
        #expect(rigs[0].core.ledger.faults().isEmpty)
        #expect(rigs[0].core.ledger.clientCount == rigs.reduce(0) { $0 + $1.core.clients.count })
    }

    /// After RECONNECT nobody knows what clients are welcomed with until a server has said so: not who is
    /// sent a client either.
    @Test func aClientThatComesIsNoReasonToWelcomeOthersWithNothing() throws {
        let rigs = workers(2, "default_pool_size = 20")
        _ = rigs[0].session()
        for rig in rigs { rig.tell(.order(Order(epoch: 1, kind: .reconnect))) }
        let late = rigs[1].client()
        rigs[0].tell(.order(Order(epoch: 2, kind: .drain)))
        #expect(try carry(rigs).contains { $0.worker == 1 })
        #expect(rigs[1].state(of: late) == .waitingForWelcome)
        _ = rigs[1].server()
        let messages = rigs[1].messages(late)
        #expect(messages.last?.type == "Z")
        #expect(messages.contains { $0.type == "S" && $0.body.starts(with: Array("server_version".utf8)) })
    }

    /// All clients find the same homes, whichever worker accepts them; a large pool has no homes.
    @Test(arguments: [(1, 1), (4, 1), (8, 2), (100, 4)])
    func allWorkersKnowTheSameHomes(size: Int, homes: Int) throws {
        let rigs = workers(4, "default_pool_size = \(size)")
        for _ in 0..<3 {
            for rig in rigs {
                _ = rig.client()
                if !rig.connecting.isEmpty { _ = rig.server() }
                try carry(rigs)
                rig.advance(milliseconds: 400)
            }
        }
        let hosts = rigs.filter { $0.core.clients.count > 0 }.count
        #expect(hosts == homes)
        #expect(rigs.reduce(0) { $0 + $1.core.clients.count } == 12)
        #expect(rigs[0].core.ledger.faults().isEmpty)
    }

    /// Names, texts, parameters and the unnamed statement are there after the move.
    @Test func whatAClientHasPreparedGoesWithIt() throws {
        let rigs = workers(2, "default_pool_size = 20\nmax_prepared_statements = 10")
        let (client, server) = rigs[0].session()
        rigs[0].receive(client, Send.parse("a", "select 1") + Send.sync)
        rigs[0].receive(server, Send.parseComplete + Send.ready())
        rigs[0].receive(client, Send.parse("", "select 2") + Send.sync)
        rigs[0].receive(server, Send.parseComplete + Send.ready())
        rigs[0].tell(.order(Order(epoch: 1, kind: .drain)))
        let brought = try carry(rigs)
        let moved = try #require(brought.map(\.connection).first { rigs[1].state(of: $0) != nil })
        rigs[1].receive(moved, Send.bind("a") + Send.execute + Send.sync)
        let lent = try #require(brought.map(\.connection).first { rigs[1].record(of: $0) != nil })
        #expect(rigs[1].raw(lent).contains(UInt8(ascii: "B")))
        rigs[1].receive(lent, Send.bindComplete + Send.complete("SELECT 1") + Send.ready())
        #expect(rigs[1].types(moved).hasSuffix("2CZ"))
        rigs[1].receive(moved, Send.bind("") + Send.execute + Send.sync)
        // The unnamed statement is prepared again: the server has seen others since.
        let types = rigs[1].messages(lent).map(\.type)
        #expect(types.first == "P")
        #expect(rigs[0].core.ledger.faults().isEmpty)
        rigs[0].advance(milliseconds: 1000)
        let isVacant = rigs[0].core.isVacant
        #expect(isVacant)
    }

    /// What a client has sent in part, or behind its back, is not lost.
    @Test func inputThatNobodyHasReadGoesWithTheClient() throws {
        let rigs = workers(2, "default_pool_size = 20")
        let (client, _) = rigs[0].session()
        let query = Send.query("select 1")
        rigs[0].receive(client, Array(query.prefix(3)))
        rigs[0].tell(.order(Order(epoch: 1, kind: .drain)))
        let brought = try carry(rigs)
        let moved = try #require(brought.map(\.connection).first { rigs[1].state(of: $0) != nil })
        let lent = try #require(brought.map(\.connection).first { rigs[1].record(of: $0) != nil })
        rigs[1].receive(moved, Array(query.dropFirst(3)))
        #expect(rigs[1].raw(lent) == query)
    }

    /// A client in a transaction goes when that is over, and its server with it.
    @Test func aTransactionEndsWhereItBegan() throws {
        let rigs = workers(2, "default_pool_size = 20")
        let (client, server) = rigs[0].session()
        rigs[0].run(client, server, "begin", "T")
        rigs[0].tell(.order(Order(epoch: 1, kind: .drain)))
        try carry(rigs)
        #expect(rigs[0].state(of: client) == .linked)
        rigs[0].run(client, server, "commit")
        let brought = try carry(rigs)
        #expect(brought.count { rigs[1].state(of: $0.connection) == .idle } == 1)
        rigs[0].advance(milliseconds: 1000)
        try carry(rigs)
        rigs[0].advance(milliseconds: 1000)
        let isVacant = rigs[0].core.isVacant
        #expect(isVacant)
        #expect(rigs[1].core.ledger.serverCount(rigs[1].entry) == 1)
    }

    @Test func aClientStaysWhenThereIsNoRoomInTheInbox() throws {
        let rigs = workers(2, "default_pool_size = 20")
        let (client, server) = rigs[0].session()
        rigs[0].hasRoom = false
        rigs[0].tell(.order(Order(epoch: 1, kind: .drain)))
        #expect(rigs[0].state(of: client) == .idle)
        rigs[0].run(client, server, "select 1")
        #expect(rigs[0].state(of: client) == .idle)
        rigs[0].hasRoom = true
        rigs[0].advance(milliseconds: 1000)
        let brought = try carry(rigs)
        #expect(brought.count { rigs[1].state(of: $0.connection) == .idle } == 1)
    }

    /// The receiver dies before it has read the message: the client has noticed nothing.
    @Test func aClientStaysWhenItsReceiverDies() throws {
        let rigs = workers(2, "default_pool_size = 20")
        let (client, server) = rigs[0].session()
        rigs[0].tell(.order(Order(epoch: 1, kind: .drain)))
        #expect(rigs[0].state(of: client) == .moving)
        rigs[0].receive(client, Send.query("select 1"))
        _ = rigs[0].takePosted()
        rigs[0].core.segment.worker(1).state = .dead
        #expect(rigs[0].core.ledger.reclaim(worker: 1))
        rigs[0].tell(.workerEnded(1))
        #expect(rigs[0].state(of: client) == .linked)
        #expect(rigs[0].raw(server) == Send.query("select 1"))
        #expect(rigs[0].core.ledger.faults().isEmpty)
    }

    /// The receiver runs, and could not read what it was sent: it does not know of whom to refuse the move.
    @Test func aClientWhoseRecordIsLostStays() throws {
        let rigs = workers(2, "default_pool_size = 20")
        let (client, server) = rigs[0].session()
        rigs[0].tell(.order(Order(epoch: 1, kind: .drain)))
        rigs[0].receive(client, Send.query("select 1"))
        let posts = rigs[0].takePosted().filter { $0.peer != nil }
        rigs[0].core.segment.worker(1).beat(rigs[0].core.now / 1000)
        rigs[0].advance(milliseconds: 500)
        #expect(rigs[0].state(of: client) == .moving)
        rigs[0].advance(milliseconds: 4000)
        rigs[0].core.segment.worker(1).beat(rigs[0].core.now / 1000)
        #expect(rigs[0].raw(server).starts(with: Send.query("select 1")))
        #expect(!posts.isEmpty)
        #expect(rigs[0].core.ledger.faults().isEmpty)
    }

    /// The worker that a client has left says that it does not know the key, also before it has noticed that
    /// the other one has taken the client.
    @Test func aKeyIsNotKnownWhereItsClientHasBeen() throws {
        let rigs = workers(2, "default_pool_size = 20")
        let (client, _) = rigs[0].session()
        let handle = try #require(rigs[0].clientHandle(of: client))
        let processID = rigs[0].core.clients[handle].processID
        var key = withUnsafeBytes(of: processID.bigEndian) { Array($0) }
        for index in 0..<4 { key.append(rigs[0].core.clients[handle].secret[index]) }
        rigs[0].tell(.order(Order(epoch: 1, kind: .drain)))
        try carry(rigs)
        #expect(rigs[0].state(of: client) == .moving)
        rigs[0].tell(.cancelRequested(key: key, CancelTicket(worker: 1, number: 9)))
        #expect(rigs[0].answers.map(\.1) == [false])
        rigs[1].tell(.cancelRequested(key: key, CancelTicket(worker: 0, number: 9)))
        #expect(rigs[1].answers.map(\.1) == [true])
    }

    /// The key finds its client where it is now.
    @Test func aCancelKeyGoesWithTheClient() throws {
        let (rigs, home, client) = try movedClient()
        rigs[home].receive(client, Send.query("select 1"))
        try carry(rigs)
        let handle = try #require(rigs[home].clientHandle(of: client))
        let processID = rigs[home].core.clients[handle].processID
        var key = withUnsafeBytes(of: processID.bigEndian) { Array($0) }
        for index in 0..<4 { key.append(rigs[home].core.clients[handle].secret[index]) }
        rigs[home].tell(.cancelRequested(key: key, CancelTicket(worker: 1 - home, number: 9)))
        #expect(rigs[home].connecting.count == 1)
    }
}
