import Glibc
import Testing

/// Those who have not proved who they are. `Scripts/flood` does the same with thousands of them.
@Suite struct StrangerTests {
    private static let login = Bytes.startup([("user", "app"), ("database", "test")])

    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func aFloodFromOneAddressKeepsNobodyElseOut(setup: Setup) async throws {
        let configuration = Configuration(
            settings: ["auth_type": "plain", "max_client_conn": "20", "max_login_conn": "100"],
            secrets: ["app": "secret"])
        try await withPooler(setup, configuration) { pooler throws in
            var flood: [RawConnection] = []
            for index in 0..<400 {
                let client = try pooler.raw(from: 2)
                // Some say nothing, some give a name and go no further.
                if index % 2 == 0 { try client.send([0]) } else { try client.send(Self.login) }
                flood.append(client)
                if index % 40 == 39 { _ = try pooler.connect(password: "secret").query("select 1") }
            }
            // Another one from there is let in, or told why not.
            let other = try pooler.raw(from: 2)
            try other.send(Self.login)
            let answer = try other.receive()
            let isTold = answer?.type == "E" && answer?.fields["M"]?.contains("max_login_conn") == true
            #expect(answer?.type == "R" || isTold, "\(String(describing: answer))")
            func total(_ column: String) throws -> Int {
                try pooler.show("WORKERS").compactMap { Int($0[column] ?? "") }.reduce(0, +)
            }
            try eventually("those beyond the limit are sent away") { try total("logins_refused") >= 300 }
            #expect(try total("login_clients") <= 101)
            let refused = try flood[0].receiveToEnd(within: 5)
            #expect(refused.last?.fields["C"] == "53300")
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func loginsThatFailAreCountedAndLogged(setup: Setup) async throws {
        let configuration = Configuration(
            settings: ["auth_type": "scram-sha-256", "max_login_failures_per_user": "\(3 * setup.workers)"],
            secrets: ["app": "secret"])
        try await withPooler(setup, configuration) { pooler throws in
            // Each worker has its share, and forgives a little while this goes on.
            var messages: Set<String> = []
            for _ in 0..<(6 * setup.workers + 2) {
                do { _ = try pooler.connect(password: "wrong-secret") } catch let error as PostgresError {
                    messages.insert(error.message)
                }
            }
            #expect(messages.contains { $0.contains("authentication failed") })
            #expect(messages.contains { $0.contains("max_login_failures_per_user") })
            let failed = try pooler.show("WORKERS").compactMap { Int($0["logins_failed"] ?? "") }.reduce(0, +)
            #expect(failed >= 3)
            #expect(pooler.log.contains("app@127.0.0.1:"))
            #expect(pooler.log.contains("login failed: db=test user=app"))
            #expect(!pooler.log.contains("wrong-secret"))
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func aProxySaysWhereAClientIs(setup: Setup) async throws {
        let configuration = Configuration(settings: ["proxy_protocol_from": "127.0.0.2, 127.0.0.3"])
        try await withPooler(setup, configuration) { pooler throws in
            let client = try pooler.raw(from: 2)
            try client.trickle(Array("PROXY TCP4 192.0.2.7 192.0.2.1 5555 6432\r\n".utf8))
            try client.logIn([("user", "app"), ("database", "test")])
            let second = try pooler.raw(from: 3)
            let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10]
            try second.send(signature + [0x21, 0x11, 0, 15, 192, 0, 2, 8, 192, 0, 2, 1, 1, 2, 3, 4, 4, 0, 0])
            try second.logIn([("user", "app"), ("database", "test")])
            let shown = try pooler.show("CLIENTS").map { "\($0["addr"] ?? "") \($0["port"] ?? "")" }
            #expect(shown.contains("192.0.2.7 5555"))
            #expect(shown.contains("192.0.2.8 258"))
            #expect(pooler.log.contains("test/app@192.0.2.7:5555"))
            // Whoever must say so and does not, and who may not and does.
            for (last, bytes) in [(2, Self.login), (1, Array("PROXY UNKNOWN\r\n".utf8) + Self.login)] {
                let refused = try pooler.raw(from: UInt32(last))
                try refused.send(bytes)
                #expect(try refused.receiveToEnd(within: 5).last?.fields["C"] == "08P01")
            }
            _ = try pooler.connect().query("select 1")
        }
    }
}
