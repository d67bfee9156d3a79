import CLibPQ
import Glibc
import Testing

/// Many clients, big messages, slow and dying peers.
@Suite struct LoadTests {
    @Test(arguments: Setup.all)
    func largeMessagesPassBothWays(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            for size in [1_000, 4_091, 4_096, 8_192, 65_536, 1 << 20, 20 << 20] {
                let text = String(repeating: "x", count: size)
                #expect(try client.query("select length('\(text)')").value == "\(size)")
                #expect(try client.query("select length($1::text)", [text]).value == "\(size)")
                #expect(try client.query("select repeat('y', \(size))").value?.utf8.count == size)
            }
        }
    }

    @Test(arguments: Setup.all)
    func manyRowsPass(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            let rows = try client.query("select g, repeat('r', g % 300) from generate_series(1, 100000) g")
                .rows
            #expect(rows.count == 100_000)
            #expect(
                rows.indices.allSatisfy {
                    rows[$0][0] == "\($0 + 1)" && rows[$0][1]?.utf8.count == ($0 + 1) % 300
                })
        }
    }

    /// Results of every size around the sizes of buffers, several clients at a time, each byte checked.
    @Test(arguments: Setup.transaction)
    func resultsOfEverySizeArriveUnchanged(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["default_pool_size": "4"])) { pooler throws in
            try Thread.concurrently(6) { number in
                let client = try pooler.connect()
                for base in [0, 2_048, 4_096, 16_384, 65_536, 262_144] {
                    for delta in -3...3 where base + delta > 0 {
                        let size = base + delta
                        let expected = String(repeating: "\(number)", count: size)
                        let got = try client.query("select repeat('\(number)', \(size))").value
                        guard got == expected else { throw Failure("\(size) bytes came back changed") }
                    }
                }
            }
        }
    }

    /// A client that does not read costs bounded memory and delays nobody.
    @Test(arguments: Setup.transaction)
    func aClientThatStopsReadingHarmsNobody(setup: Setup) async throws {
        // Enough servers for all, whichever workers they come to.
        let configuration = Configuration(settings: ["default_pool_size": "\(6 * setup.workers)"])
        try await withPooler(setup, configuration) { pooler throws in
            let other = try pooler.connect()
            try other.query("select 1")
            let before = pooler.memory()
            let sleepers = try (0..<3).map { _ in
                let client = try pooler.rawLogin()
                try client.send(Bytes.query("select repeat('x', 10000) from generate_series(1, 8000)"))
                return client
            }
            let slowest = try (0..<200).map { _ in try seconds { try other.query("select 1") } }.max() ?? 0
            #expect(slowest < 2, "an answer took \(slowest) s beside clients that do not read")
            usleep(500_000)
            let growth = pooler.memory() - before
            #expect(
                growth < 24 << 20, "memory grew by \(growth >> 10) KiB for three clients that do not read")
            for client in sleepers.dropFirst() {
                let rows = try client.receive(through: "Z", within: 60).filter { $0.type == "D" }.count
                #expect(rows == 8_000, "once it reads, it gets everything")
            }
            sleepers[0].disconnect()
            #expect(try other.query("select 1").value == "1")
        }
    }

    /// The other way round: PostgreSQL does not read (it waits for a lock) while a client sends a lot.
    @Test(arguments: Setup.transaction)
    func aServerThatDoesNotReadCostsBoundedMemory(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let other = try pooler.connect()
            try other.query("select 1")
            let before = pooler.memory()
            let client = try pooler.rawLogin()
            let key = unique() + 1_000_000
            let locker = try pooler.postgres.connect()
            try locker.query("select pg_advisory_lock(\(key))")
            let sender = Thread {
                try client.send(Bytes.query("select pg_advisory_lock(\(key)), pg_advisory_unlock(\(key))"))
                let filler = Bytes.query("select length('\(String(repeating: "z", count: 1 << 20))')")
                for _ in 0..<64 { try client.send(filler) }
            }
            for _ in 0..<100 { try other.query("select 1") }
            usleep(500_000)
            let growth = pooler.memory() - before
            #expect(growth < 24 << 20, "memory grew by \(growth >> 10) KiB")
            try locker.query("select pg_advisory_unlock(\(key))")
            for _ in 0..<65 { try client.receive(through: "Z", within: 60) }
            try sender.join()
        }
    }

    @Test(arguments: Setup.transaction)
    func connectQueryCloseOverAndOver(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            try Thread.concurrently(8) { number in
                for round in 0..<40 {
                    let client = try pooler.connect()
                    guard try client.query("select '\(number)-\(round)'").value == "\(number)-\(round)" else {
                        throw Failure("wrong answer")
                    }
                }
            }
            try eventually("all clients are gone") {
                try pooler.show("CLIENTS").allSatisfy { $0["database"] != "test" }
            }
        }
    }

    /// Clients that are killed at every moment, beside one that must not notice.
    @Test(arguments: Setup.transaction)
    func clientsKilledAtEveryMoment(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["default_pool_size": "3"])) { pooler throws in
            let honest = try pooler.connect()
            let conversation =
                Bytes.startup([("user", "app"), ("database", "test")]) + Bytes.query("begin")
                + Bytes.parse("s", "select $1::text") + Bytes.bind("", "s", ["x"]) + Bytes.execute("")
                + Bytes.sync + Bytes.query("select pg_sleep(0.01)") + Bytes.query("commit")
            for length in stride(from: 1, through: conversation.count, by: 3) {
                let client = try pooler.raw()
                try client.send(Array(conversation.prefix(length)))
                if length % 2 == 0 { _ = client.hasInput(within: 0.002) }
                if length % 4 < 2 { client.reset() } else { client.disconnect() }
                if length % 9 == 0 {
                    #expect(try honest.query("select \(length)").value == "\(length)")
                }
            }
            for number in 0..<20 { #expect(try honest.query("select \(number)").value == "\(number)") }
            try eventually("no transaction is left open") {
                try pooler.show("SERVERS").allSatisfy { $0["state"] != "active" }
            }
        }
    }

    /// Five thousand clients share twenty servers; each gets its own answers. One case at a time, because
    /// this process has the clients' descriptors.
    @Test(.serialized, arguments: Setup.transaction)
    func fiveThousandClientsOnTwentyServers(setup: Setup) async throws {
        let settings = [
            "max_client_conn": "6000", "default_pool_size": "20", "query_wait_timeout": "60",
            "client_login_timeout": "120",
            // The kernel keeps only so many connections in mind that have not sent anything yet.
            "tcp_defer_accept": "0",
        ]
        try await withPooler(setup, Configuration(settings: settings)) { pooler throws in
            let perThread = 1_250
            let peak = Shared(0)
            let arrived = Shared(0)
            try Thread.concurrently(4) { thread in
                let clients = try (0..<perThread).map { _ in try pooler.raw() }
                for client in clients {
                    try client.send(Bytes.startup([("user", "app"), ("database", "test")]))
                }
                for client in clients { try client.receive(through: "Z", within: 120) }
                arrived.with { $0 += perThread }
                try eventually("all clients are there", within: 120) { arrived.current == 4 * perThread }
                for round in 0..<2 {
                    for (index, client) in clients.enumerated() {
                        try client.send(Bytes.query("select \(thread * 10_000_000 + round * 10_000 + index)"))
                    }
                    for (index, client) in clients.enumerated() {
                        let messages = try client.receive(through: "Z", within: 120)
                        let expected = "\(thread * 10_000_000 + round * 10_000 + index)"
                        guard messages.map(\.type) == ["T", "D", "C", "Z"],
                            messages[1].body.dropFirst(6).elementsEqual(expected.utf8)
                        else { throw Failure("\(expected) was answered with \(messages)") }
                    }
                }
                if thread == 0 {
                    let rows = try pooler.show("CLIENTS").filter { $0["database"] == "test" }.count
                    peak.with { $0 = max($0, rows) }
                }
            }
            #expect(peak.current >= perThread)
            let servers = try pooler.show("SERVERS").count
            #expect(servers <= 20 + (setup.workers - 1) * 2, "\(servers) servers")
        }
    }
}
