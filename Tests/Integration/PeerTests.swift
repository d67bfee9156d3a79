import Glibc
import Testing

/// Cancel requests among poolers that stand side by side, in PgBouncer's format.
@Suite(.enabled(if: Options.isOurs)) struct PeerTests {
    private func configuration(_ id: Int, _ peers: [String: String] = [:]) -> Configuration {
        Configuration(settings: ["peer_id": "\(id)"], peers: peers)
    }

    /// Two poolers that know each other: one by a port, the other by the folder of its Unix socket.
    private func withTwo(
        _ setup: Setup, sharing isShared: Bool = false, _ body: (Pooler, Pooler) throws -> Void
    ) async throws {
        try await onThread {
            var settings = configuration(1)
            if isShared { settings.settings["so_reuseport"] = "1" }
            try Pooler(setup, settings).run { first throws in
                settings.settings["peer_id"] = "2"
                settings.peers = ["1": "host=\(first.folder) port=\(first.port)"]
                try Pooler(setup, settings, port: isShared ? first.port : nil).run { second throws in
                    try first.rewrite {
                        $0.peers["2"] = isShared ? "host=\(second.folder)" : "host=localhost"
                        $0.peers["2"]! += " port=\(second.port)"
                    }
                    first.reload()
                    try eventually("the first knows the second") {
                        first.log.contains("reload done")
                    }
                    try body(first, second)
                }
            }
        }
    }

    /// Waits until PostgreSQL runs the query, whoever sent it.
    private func untilRunning(_ query: String) throws {
        let observer = try Postgres.shared.connect(user: "postgres")
        try eventually("\(query) runs") {
            try observer.query(
                "select count(*) from pg_stat_activity where state = 'active' and query = $1", [query]
            ).value == "1"
        }
    }

    @Test(arguments: Setup.transaction)
    func aPeersKeyIsPassedOnByteByByte(setup: Setup) async throws {
        let peer = try StubPeer()
        // The name has an address on which nobody listens, too.
        let peers = ["770": "host=localhost port=\(peer.port) pool_size=1"]
        try await withPooler(setup, configuration(1, peers)) { pooler throws in
            let key: [UInt8] = [0x71, 0x02, 0x03, 0x80, 0xFF, 0x00, 0x7F, 0xA7]
            let requester = try pooler.raw()
            try requester.send(Bytes.cancel(key))
            let first = try peer.accept()
            #expect(
                try first.receiveBytes(16)
                    == [0, 0, 0, 16, 0x04, 0xD2, 0x16, 0x2E, 0x71, 2, 3, 0x80, 0xFF, 0, 0x7F, 0xA6])
            #expect(!first.hasInput(within: 0.1), "nothing else, and no end")
            #expect(!requester.hasInput(within: 0.1), "the peer has not answered")

            // There may be one connection at a time, over all workers.
            let others = try (0..<3).map { _ in try pooler.raw() }
            for other in others { try other.send(Bytes.cancel(key)) }
            #expect(!peer.isAsked(within: 0.5))
            first.disconnect()
            #expect(try requester.receiveToEnd().isEmpty)
            for _ in others {
                let next = try peer.accept()
                #expect(try next.receiveBytes(16).last == 0xA6)
                next.disconnect()
            }
            for other in others { #expect(try other.receiveToEnd().isEmpty) }
        }
    }

    /// What a peer passes on to us ends the query, however many hops it came.
    @Test(arguments: Setup.all)
    func aRequestThatAPeerPassesOnIsObeyed(setup: Setup) async throws {
        try await withPooler(setup, configuration(770)) { pooler throws in
            let client = try pooler.rawLogin()
            var key = client.cancelKey
            #expect(key.count == 8 && key[0] < 128)
            #expect(key[1] == 2 && key[2] == 3 && key[7] & 3 == 3)
            for hops in [2, 1, 0] as [UInt8] {
                let query = "select pg_sleep(60), '\(pooler.port) hops \(hops)'"
                try client.send(Bytes.query(query))
                try untilRunning(query)
                key[7] = key[7] & ~3 | hops
                let peer = try pooler.raw()
                try peer.send(Bytes.cancel(key))
                #expect(try peer.receiveToEnd().isEmpty, "no answer, but a close")
                #expect(try client.receive(through: "Z").first { $0.type == "E" }?.fields["C"] == "57014")
            }
        }
    }

    @Test(arguments: Setup.transaction)
    func whatCannotBePassedOnIsDropped(setup: Setup) async throws {
        let peers = ["2": "host=127.0.0.1 port=\(try freePort())", "3": "host=/nowhere"]
        try await withPooler(setup, configuration(1, peers)) { pooler throws in
            // Nobody listens, there is no such socket, no such peer, and no hop left.
            for (id, last) in [(2, 3), (3, 3), (4, 3), (2, 0)] as [(UInt8, UInt8)] {
                let requester = try pooler.raw()
                try requester.send(Bytes.cancel([1, id, 0, 1, 1, 1, 1, last]))
                #expect(try requester.receiveToEnd().isEmpty)
            }
            try eventually("the log says what became of it") {
                pooler.log.contains("peer 4, which is not in [peers]")
            }
            #expect(try pooler.connect().query("select 1").value == "1")
        }
    }

    @Test(arguments: Setup.all)
    func aCancelThatCameToTheOtherInstanceEndsTheQuery(setup: Setup) async throws {
        try await withTwo(setup) { first, second throws in
            for (own, other) in [(first, second), (second, first)] {
                let client = try own.rawLogin()
                for round in 0..<5 {
                    let query = "select pg_sleep(60), '\(own.port) \(round)'"
                    try client.send(Bytes.query(query))
                    try untilRunning(query)
                    let requester = try other.raw()
                    try requester.send(Bytes.cancel(client.cancelKey))
                    #expect(try requester.receiveToEnd().isEmpty)
                    let answer = try client.receive(through: "Z")
                    #expect(answer.first { $0.type == "E" }?.fields["C"] == "57014")
                }
                #expect(try client.query("select 1").map(\.type) == ["T", "D", "C", "Z"])
                let shown = try other.show("PEERS").first { $0["port"] == "\(own.port)" }
                #expect(shown?["peer_id"] == (own === first ? "1" : "2"))
                #expect(try other.show("PEER_POOLS").map { $0["sv_active_cancel"] } == ["0"])
            }
        }
    }

    /// Two instances on one port, among which the kernel divides connections: a client and its cancel
    /// request come to the same one by chance only.
    @Test(arguments: Setup.transaction)
    func behindABalancerEveryCancelArrives(setup: Setup) async throws {
        try await withTwo(setup, sharing: true) { first, _ throws in
            for number in 0..<16 {
                let client = try first.connect()
                let query = "select pg_sleep(60), 'balanced \(first.port) \(number)'"
                try client.send(query)
                try untilRunning(query)
                try client.cancel()
                let error = #expect(throws: PostgresError.self) { try client.finish() }
                #expect(error?.sqlState == "57014")
            }
        }
    }
}
