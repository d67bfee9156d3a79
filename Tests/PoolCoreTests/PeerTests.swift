import Base
import Config
import SharedState
import Testing

@testable import PoolCore

/// Keys that tell whose they are, and cancel requests that are passed on to other poolers.
@Suite struct PeerTests {
    private static let peers = """
        peer_id = 3
        [peers]
        3 = host=10.0.0.3
        4 = host=10.0.0.4
        513 = host=/run/other port=7000 pool_size=2
        """

    /// A key of a peer's: eight bytes, with the last two bits as given.
    private func key(of peer: Int, hops: UInt8 = 3) -> [UInt8] {
        [0x7A, UInt8(peer & 0xFF), UInt8(peer >> 8), 0xB1, 0xC2, 0xD3, 0xE4, 0xF4 | hops]
    }

    private func request(_ rig: Rig, _ key: [UInt8]) -> ConnectionID {
        let requester = rig.accept()
        rig.receive(requester, Send.cancel(key))
        return requester
    }

    private func keyOf(_ client: ConnectionID, _ rig: Rig) throws -> [UInt8] {
        try #require(rig.messages(client).first { $0.type == "K" }).body
    }

    /// Where the core wants its oldest new connection to go.
    private func destination(_ rig: Rig) throws -> String {
        switch rig.core.endpoint(of: try #require(rig.connecting.first)) {
        case .unix(let path): path
        case .network(let host, let port): "\(host):\(port)"
        }
    }

    // MARK: Keys

    @Test func aKeyTellsThePeerAndTheHopsAndAllElseIsRandom() throws {
        let rig = Rig("peer_id = 8961")
        let first = rig.client()
        _ = rig.server()
        var ones = try keyOf(first, rig)
        var zeros = ones.map { ~$0 }
        for _ in 0..<60 {
            let key = try keyOf(rig.client(), rig)
            #expect(key.count == 8)
            #expect(key[1] == 0x01 && key[2] == 0x23)
            #expect(key[7] & 3 == 3)
            for (index, byte) in key.enumerated() {
                ones[index] |= byte
                zeros[index] |= ~byte
            }
        }
        #expect(ones == [0x7F, 0x01, 0x23, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF])
        #expect(zeros == [0xFF, 0xFE, 0xDC, 0xFF, 0xFF, 0xFF, 0xFF, 0xFC])
    }

    /// PgBouncer takes no other keys.
    @Test(arguments: [0, 3])
    func keysAreShortAmongPeers(id: Int) throws {
        let rig = Rig("peer_id = \(id)")
        let first = rig.client()
        _ = rig.server()
        _ = rig.types(first)
        let client = rig.accept()
        let parameters = Send.text("user", "alice", "database", "db") + [0]
        rig.receive(client, Send.packet(0x3_0002, parameters))
        #expect(try keyOf(client, rig).count == (id == 0 ? 36 : 8))
        rig.expectEmptiness()
    }

    /// A peer counts its hop in the key's last bits.
    @Test(arguments: [3, 2, 1, 0] as [UInt8])
    func anOwnKeyIsKnownHoweverOftenItWasPassedOn(hops: UInt8) throws {
        let rig = Rig(Self.peers)
        let client = rig.client()
        let server = rig.server()
        var key = try keyOf(client, rig)
        rig.receive(client, Send.query("select pg_sleep(9)"))
        key[7] = key[7] & ~3 | hops
        let requester = request(rig, key)
        let messenger = rig.connectServer()
        #expect(rig.raw(messenger) == Send.cancel([0, 0, 0, 77, 1, 2, 3, 4]))
        rig.hangUp(messenger)
        #expect(!rig.isOpen(requester))
        key[7] ^= 4
        _ = request(rig, key)
        #expect(rig.broadcasts == [key])
        rig.receive(server, Send.complete("SELECT 1") + Send.ready())
        rig.expectEmptiness()
    }

    // MARK: Passing on

    @Test func aPeersRequestIsPassedOnWithOneHopLess() throws {
        let rig = Rig(Self.peers)
        let requester = request(rig, key(of: 4))
        #expect(rig.broadcasts.isEmpty)
        #expect(try destination(rig) == "10.0.0.4:6432")
        let messenger = rig.connectServer()
        #expect(
            rig.raw(messenger)
                == [0, 0, 0, 16, 4, 210, 22, 46, 0x7A, 4, 0, 0xB1, 0xC2, 0xD3, 0xE4, 0xF6])
        #expect(rig.isOpen(requester))
        rig.hangUp(messenger)
        #expect(!rig.isOpen(requester))
        #expect(rig.raw(requester).isEmpty)
        rig.expectEmptiness()
    }

    @Test func aPeersHostMayBeADirectory() throws {
        let rig = Rig(Self.peers)
        _ = request(rig, key(of: 513, hops: 1))
        #expect(try destination(rig) == "/run/other/.s.PGSQL.7000")
        let messenger = rig.connectServer()
        #expect(rig.raw(messenger) == Send.cancel(key(of: 513, hops: 0)))
        rig.expectEmptiness()
    }

    @Test func withoutHopsLeftARequestIsDropped() {
        let rig = Rig(Self.peers)
        let requester = request(rig, key(of: 4, hops: 0))
        #expect(!rig.isOpen(requester))
        #expect(rig.raw(requester).isEmpty)
        #expect(rig.connecting.isEmpty && rig.broadcasts.isEmpty)
        #expect(rig.log.contains { $0.contains("passed on too often") })
        rig.expectEmptiness()
    }

    @Test func anUnknownPeersRequestIsDropped() {
        let rig = Rig(Self.peers)
        let requester = request(rig, key(of: 5))
        #expect(!rig.isOpen(requester))
        #expect(rig.raw(requester).isEmpty)
        #expect(rig.connecting.isEmpty && rig.broadcasts.isEmpty)
        #expect(rig.log.contains { $0.contains("cancel request for peer 5, which is not in [peers]") })
        rig.expectEmptiness()
    }

    @Test func withoutAnOwnNumberKeysTellNothing() {
        let rig = Rig("[peers]\n4 = host=10.0.0.4")
        _ = request(rig, key(of: 4))
        #expect(rig.connecting.isEmpty)
        #expect(rig.broadcasts == [key(of: 4)])
    }

    @Test func aPeerThatIsDownCostsOnlyTheRequest() {
        let rig = Rig(Self.peers)
        for _ in 0..<3 {
            let requester = request(rig, key(of: 4))
            rig.tell(.connectFailed(rig.connecting.removeFirst(), .connect("refused")))
            #expect(!rig.isOpen(requester))
            #expect(rig.raw(requester).isEmpty)
        }
        let lines = rig.log.filter { $0.contains("cancel request is lost: connect failed: refused") }
        #expect(lines.count == 3)
        #expect(lines[0].contains("peer 4"))
        rig.expectEmptiness()
    }

    /// Before and after the connection is made.
    @Test(arguments: [true, false], ["cancel_wait_timeout = 2", "server_connect_timeout = 2"])
    func aPeerThatDoesNotAnswerIsGivenUp(isConnected: Bool, setting: String) {
        let rig = Rig("\(setting)\n\(Self.peers)")
        let requester = request(rig, key(of: 4))
        let messenger = isConnected ? rig.connectServer() : ConnectionID.none
        rig.advance(milliseconds: 1500)
        #expect(rig.isOpen(requester))
        rig.advance(milliseconds: 1500)
        let isOver = !isConnected || setting.hasPrefix("cancel")
        #expect(rig.isOpen(requester) != isOver)
        if isConnected { #expect(rig.isOpen(messenger) != isOver) }
        if !isConnected { #expect(rig.connecting.isEmpty) }
        rig.expectEmptiness()
    }

    /// As with drivers that send the request and close.
    @Test func aRequestUnderWayOutlivesItsRequester() {
        let rig = Rig(Self.peers)
        let requester = request(rig, key(of: 4))
        rig.hangUp(requester)
        let messenger = rig.connectServer()
        #expect(rig.raw(messenger) == Send.cancel(key(of: 4, hops: 2)))
        rig.hangUp(messenger)
        rig.expectEmptiness()
    }

    // MARK: Limits

    @Test func poolSizeLimitsTheConnectionsToAPeer() {
        let rig = Rig(Self.peers)
        let requesters = (0..<5).map { _ in request(rig, key(of: 513)) }
        #expect(rig.connecting.count == 2)
        let first = rig.connectServer()
        let second = rig.connectServer()
        #expect(rig.state(of: requesters[2]) == .waitingForPeer)
        // One that waits and leaves takes its request along.
        rig.hangUp(requesters[2])
        rig.hangUp(second)
        #expect(!rig.isOpen(requesters[1]))
        #expect(rig.isOpen(requesters[0]) && rig.isOpen(requesters[3]))
        #expect(rig.connecting.count == 1)
        rig.hangUp(first)
        #expect(rig.connecting.count == 2)
        // The other peer has connections of its own.
        _ = request(rig, key(of: 4))
        #expect(rig.connecting.count == 3)
        rig.expectEmptiness()
    }

    @Test func aRequestThatWaitsTooLongIsDropped() {
        let rig = Rig("cancel_wait_timeout = 2\n\(Self.peers)")
        let early = (0..<2).map { _ in request(rig, key(of: 513)) }
        let messengers = (0..<2).map { _ in rig.connectServer() }
        rig.advance(milliseconds: 1000)
        let late = request(rig, key(of: 513))
        rig.advance(milliseconds: 1500)
        #expect(early.allSatisfy { !rig.isOpen($0) } && messengers.allSatisfy { !rig.isOpen($0) })
        #expect(rig.isOpen(late))
        #expect(rig.connecting.count == 1, "its turn has come")
        rig.expectEmptiness()

        // Too many for those to be served whose turn comes when the first are given up.
        let full = Rig("cancel_wait_timeout = 2\n\(Self.peers)")
        let many = (0..<5).map { _ in request(full, key(of: 513)) }
        full.advance(milliseconds: 2400)
        #expect(many.map { full.isOpen($0) } == [false, false, true, true, false])
        #expect(full.log.contains { $0.contains("cancel_wait_timeout") })
        full.expectEmptiness()
    }

    @Test func poolSizeHoldsOverAllWorkers() throws {
        let shared = SharedMemory(workers: 2)
        let settings = "peer_id = 3\n[peers]\n4 = host=10.0.0.4 pool_size=1"
        let rigs = (0..<2).map { Rig(settings, sharing: shared, worker: $0) }
        _ = request(rigs[0], key(of: 4))
        let messenger = rigs[0].connectServer()
        let second = request(rigs[1], key(of: 4))
        #expect(rigs[1].connecting.isEmpty)
        rigs[0].hangUp(messenger)
        for post in rigs[0].takePosted() { try rigs[post.worker].take(post) }
        #expect(rigs[1].connecting.count == 1)
        rigs[1].hangUp(rigs[1].connectServer())
        #expect(!rigs[1].isOpen(second))
        for rig in rigs { rig.expectEmptiness() }
    }

    /// Settings of databases and users, and orders about them, are not about peers.
    @Test func limitsAndOrdersForDatabasesDoNotHoldForPeers() {
        let rig = Rig(
            "min_pool_size = 2\nmax_user_connections = 1\nmax_db_connections = 1\nreserve_pool_size = 3\n"
                + "reserve_pool_timeout = 1\n" + Self.peers)
        rig.tell(.order(Order(epoch: 1, kind: .pause)))
        let requesters = (0..<3).map { _ in request(rig, key(of: 513)) }
        #expect(rig.connecting.count == 2)
        rig.tell(.order(Order(epoch: 2, kind: .reconnect)))
        rig.advance(milliseconds: 3000)
        #expect(rig.connecting.count == 2)
        #expect(requesters.allSatisfy { rig.isOpen($0) })
        rig.tell(.order(Order(epoch: 3, kind: .resume)))
        for _ in 0..<2 { rig.hangUp(rig.connectServer()) }
        rig.hangUp(rig.connectServer())
        #expect(requesters.allSatisfy { !rig.isOpen($0) })
        rig.advance(milliseconds: 3000)
        #expect(rig.connecting.isEmpty)
        rig.expectEmptiness()
    }

    // MARK: Reload

    @Test func aReloadChangesPeers() throws {
        let rig = Rig(Self.peers)
        _ = request(rig, key(of: 513))
        _ = request(rig, key(of: 513))
        let messenger = rig.connectServer()
        let waiting = request(rig, key(of: 513))
        let (new, list) = Rig.configuration("peer_id = 3\n[peers]\n4 = host=10.9.9.9 port=1\n5 = host=five")
        rig.tell(.configuration(new, userList: list, epoch: 1))
        #expect(!rig.isOpen(waiting), "its peer is gone")
        #expect(rig.isOpen(messenger))
        rig.hangUp(messenger)
        rig.hangUp(rig.connectServer())
        #expect(!rig.isOpen(request(rig, key(of: 513))))
        for (id, place) in [(4, "10.9.9.9:1"), (5, "five:6432")] {
            _ = request(rig, key(of: id))
            #expect(try destination(rig) == place)
            rig.hangUp(rig.connectServer())
        }
        let (old, _) = Rig.configuration(Self.peers)
        rig.tell(.configuration(old, userList: list, epoch: 2))
        _ = request(rig, key(of: 513))
        #expect(try destination(rig) == "/run/other/.s.PGSQL.7000")
        rig.expectEmptiness()
    }

    /// PgBouncer shows connections to peers without database and user.
    @Test func peersAreShownApartFromDatabases() throws {
        let rig = Rig(Self.peers)
        for _ in 0..<3 { _ = request(rig, key(of: 513)) }
        _ = rig.connectServer()
        rig.advance(milliseconds: 400)
        #expect(
            try rig.rows(.peers).map { $0.joined(separator: " ") } == [
                "3 10.0.0.3 6432 20", "4 10.0.0.4 6432 20", "513 /run/other 7000 2",
            ])
        #expect(try rig.rows(.peerPools) == [["513", "2", "1", "1", "1"]])
        #expect(try rig.rows(.pools).isEmpty)
        #expect(try rig.rows(.databases).map { $0[0] } == ["db"])
        #expect(try rig.rows(.users).map { $0[0] }.sorted() == ["alice", "bob"])
        #expect(
            try rig.rows(.servers).map { $0[1...4].joined(separator: " ") }.sorted() == [
                "(nouser) (nodb) none active_cancel", "(nouser) (nodb) none new",
            ])
        #expect(
            try rig.rows(.clients).map { $0[4] } == [
                "active_cancel_req", "active_cancel_req", "waiting_cancel_req",
            ])
        #expect(rig.shared.segment.worker(0).overflowedPoolCount == 0)
        rig.expectEmptiness()
    }
}

extension Rig {
    /// The rows of a table, with NULL as an empty text.
    func rows(_ kind: RowsKind) throws -> [[String]] {
        var writer = RowWriter()
        core.appendRows(kind, to: &writer)
        var reader = RowReader(writer.bytes)
        var rows: [[String]] = []
        while let row = try reader.next() {
            rows.append(row.map { $0.map { String(decoding: $0, as: UTF8.self) } ?? "" })
        }
        return rows
    }
}
