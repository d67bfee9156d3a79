import CLibPQ
import Testing

/// Cancel requests, which come on connections of their own and may reach any worker.
@Suite struct CancelTests {
    @Test(arguments: Setup.all)
    func aRunningQueryIsCancelled(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            for _ in 0..<5 {
                try client.send("select pg_sleep(60)")
                try pooler.untilActive("select pg_sleep(60)")
                try client.cancel()
                let error = #expect(throws: PostgresError.self) { try client.finish() }
                #expect(error?.sqlState == "57014")
                #expect(try client.query("select 1").value == "1")
            }
        }
    }

    /// Only the query of the key's owner is cancelled.
    @Test(arguments: Setup.all)
    func theOthersGoOn(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let clients = try (0..<6).map { _ in try pooler.connect() }
            for (number, client) in clients.enumerated() { try client.send("select pg_sleep(2), \(number)") }
            try pooler.untilActive("select pg_sleep(2)", count: 6)
            try clients[3].cancel()
            for (number, client) in clients.enumerated() {
                if number == 3 {
                    #expect(throws: PostgresError.self) { try client.finish() }
                } else {
                    #expect(try client.finish().rows == [["", "\(number)"]])
                }
            }
        }
    }

    /// A query that waits for a server is cancelled at once, whichever worker the request came to.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func aWaitingQueryIsCancelled(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["default_pool_size": "1"])) { pooler throws in
            let holder = try pooler.connect()
            let clients = try (0..<6).map { _ in try pooler.connect() }
            try holder.query("begin")
            for client in clients {
                try client.send("select 1")
                try eventually("it waits") {
                    try pooler.show("POOLS").contains { $0["cl_waiting"] == "1" }
                }
                try client.cancel()
                let error = #expect(throws: PostgresError.self) { try client.finish() }
                #expect(error?.sqlState == "57014")
            }
            try holder.query("commit")
            for client in clients { #expect(try client.query("select 2").value == "2") }
        }
    }

    /// A cancel that comes after the query has ended cancels nobody, least of all the server's next client.
    @Test(arguments: Setup.single)
    func aLateCancelHitsNobody(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["default_pool_size": "1"])) { pooler throws in
            let owner = try pooler.connect()
            let next = try pooler.connect()
            for _ in 0..<10 {
                try owner.query("select 1")
                try next.send("select pg_sleep(0.1), 'done'")
                try owner.cancel()
                #expect(try next.finish().rows == [["", "done"]])
            }
        }
    }

    /// Once the cancel call has returned it is over: what the client sends next is not hit, whichever worker
    /// the request came to.
    @Test(arguments: Setup.transaction)
    func aCancelThatHasReturnedIsOver(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            for _ in 0..<100 {
                try client.send("select 1")
                try client.cancel()
                do {
                    try client.finish()
                } catch let error as PostgresError {
                    guard error.sqlState == "57014" else { throw error }
                }
                try client.query("select pg_sleep(0.01)")
            }
        }
    }

    @Test(arguments: Setup.all)
    func aKeyThatNobodyHasIsIgnored(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.rawLogin()
            try client.send(Bytes.query("select pg_sleep(0.5), 'unharmed'"))
            for wrong in [
                [UInt8](repeating: 0, count: 8), [UInt8](repeating: 255, count: 8),
                client.cancelKey.prefix(7) + [client.cancelKey[7] ^ 0xf0],
                [client.cancelKey[0] ^ 1] + client.cancelKey.dropFirst(),
            ] {
                let canceller = try pooler.raw()
                try canceller.send(Bytes.cancel(Array(wrong)))
                #expect(try canceller.receiveToEnd().isEmpty, "no answer, but a close")
            }
            #expect(try client.receive(through: "Z").map(\.type) == ["T", "D", "C", "Z"])
        }
    }

    @Test(arguments: Setup.single)
    func keysAreDifferentAndHideTheServers(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let clients = try (0..<20).map { _ in try pooler.rawLogin() }
            #expect(Set(clients.map(\.cancelKey)).count == 20)
            #expect(
                clients.allSatisfy { $0.cancelKey.count == 8 && ($0.cancelKey[0] < 128 || !Options.isOurs) })
        }
    }

    @Test(arguments: Setup.all)
    func aCancelWithABadLengthIsClosedSilently(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            for key in [[], [1, 2, 3, 4], [UInt8](repeating: 7, count: 11)] as [[UInt8]] {
                let canceller = try pooler.raw()
                try canceller.send(Bytes.cancel(key))
                #expect(try canceller.receiveToEnd().allSatisfy { $0.type == "E" })
            }
            #expect(try pooler.connect().query("select 1").value == "1")
        }
    }

    /// Many cancels at a time, over all workers: each reaches its own query.
    @Test(arguments: Setup.all)
    func manyCancelsAtATime(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["default_pool_size": "12"])) { pooler throws in
            try Thread.concurrently(12) { _ in
                let client = try pooler.connect()
                for _ in 0..<3 {
                    try client.send("select pg_sleep(30)")
                    // The query may not have reached PostgreSQL yet, in which case the cancel is without
                    // effect.
                    var tries = 0
                    while !client.hasInput(within: 0.2) {
                        tries += 1
                        guard tries < 50 else { throw Failure("50 cancels had no effect") }
                        try client.cancel()
                    }
                    do {
                        try client.finish()
                        throw Failure("the query was not cancelled")
                    } catch let error as PostgresError {
                        guard error.sqlState == "57014" else { throw error }
                    }
                    try client.query("select 1")
                }
            }
        }
    }
}

extension Pooler {
    /// Waits until PostgreSQL is running the query, so many times, on connections of this pooler or another.
    func untilActive(_ query: String, count: Int = 1) throws {
        let observer = try postgres.connect(user: "postgres")
        let sql = "select pid, state, query from pg_stat_activity where query like $1"
        var seen: [[String: String]] = []
        var servers: Set<String> = []
        do {
            try eventually("\(count) × \(query) runs") {
                servers = try serverPIDs()
                seen = try observer.query(sql, [query + "%"]).records
                return seen.filter { $0["state"] == "active" && servers.contains($0["pid"]!) }.count >= count
            }
        } catch {
            throw Failure("\(error); PostgreSQL runs \(seen), our servers are \(servers)")
        }
    }

    /// PostgreSQL's process ids of the servers of this pooler.
    func serverPIDs() throws -> Set<String> { Set(try show("SERVERS").compactMap { $0["remote_pid"] }) }
}
