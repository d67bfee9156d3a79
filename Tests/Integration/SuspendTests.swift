import Glibc
import Testing

/// SUSPEND: nothing is read until RESUME, and nothing is lost.
@Suite struct SuspendTests {
    @Test(.enabled(if: Options.isOurs), arguments: Setup.all)
    func nothingIsReadUntilResume(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let clients = try (0..<6).map { _ in try pooler.connect() }
            for client in clients { try client.query("select 1") }
            let console = try pooler.console()
            try clients[0].send("select pg_sleep(0.1), 7")
            try console.query("SUSPEND")
            for (number, client) in clients.enumerated().dropFirst() { try client.send("select \(number)") }
            let late = Thread {
                let value = try pooler.connect().query("select 8").value
                #expect(value == "8")
            }
            for client in clients.dropFirst() { #expect(!client.hasInput(within: 0.1)) }
            #expect(
                try console.query("SHOW STATE").records.contains {
                    $0 == ["key": "suspended", "value": "yes"]
                })
            try console.query("RESUME")
            #expect(try clients[0].finish().rows[0][1] == "7")
            for (number, client) in clients.enumerated().dropFirst() {
                #expect(try client.finish().value == "\(number)")
            }
            try late.join()
            for client in clients { #expect(try client.query("select 9").value == "9") }
        }
    }

    /// Who does not read what is queued for it is dropped, and the others are not.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func whoDoesNotReadIsDropped(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["suspend_timeout": "0.3"])) { pooler throws in
            let (reader, stalled) = (try pooler.connect(), try pooler.rawLogin())
            try reader.query("select 1")
            let query = "select repeat('x', 1000) from generate_series(1, 100000)"
            try stalled.send(Bytes.query(query))
            var sent = ""
            try eventually("nothing goes on any more") {
                let before = sent
                usleep(200_000)
                sent = try pooler.show("STATS_TOTALS").first { $0["database"] == "test" }?["bytes_sent"] ?? ""
                return sent == before && Int(sent) ?? 0 > 1_000_000
            }
            let console = try pooler.console()
            try console.query("SUSPEND")
            try console.query("RESUME")
            #expect(try reader.query("select 2").value == "2")
            try eventually("it is gone") {
                try pooler.show("CLIENTS").count { $0["database"] == "test" } == 1
            }
        }
    }
}
