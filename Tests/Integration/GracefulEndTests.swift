import Glibc
import Testing

/// A shutdown that does not wait for ever, and cuts nothing off.
@Suite struct GracefulEndTests {
    /// Clients like those of a service: transaction after transaction, until they are told to go.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.all, [SIGTERM, SIGINT])
    func nothingThatRunsIsCutOff(setup: Setup, signal: Int32) async throws {
        let settings = ["shutdown_timeout": "1", "default_pool_size": "4"]
        try await withPooler(setup, Configuration(settings: settings)) { pooler throws in
            let begun = Shared(0)
            let clients = (0..<(setup.mode == .session ? 4 : 8)).map { _ in
                Thread { try Self.work(pooler, begun, signal) }
            }
            try eventually("all work") { begun.current >= 100 }
            pooler.process.signal(signal)
            for client in clients { try client.join() }
            #expect(try pooler.process.wait() == .exited(0))
            #expect(!pooler.log.contains("has passed twice"))
        }
    }

    /// Throws when anything but the farewell ends the work, or when that comes inside a transaction.
    private static func work(_ pooler: Pooler, _ begun: Shared<Int>, _ signal: Int32) throws {
        let client = try pooler.connect()
        let isInTransactions = pooler.setup.mode != .statement
        while true {
            do { try client.query(isInTransactions ? "begin" : "select 0") } catch let error as PostgresError
            {
                // What comes before the query has been sent is a notice to libpq.
                let isTold = client.notices.contains { $0.contains("server shutting down") }
                // SIGINT ends when no server is in use, whoever is connected then.
                guard error.sqlState == "57P01" || isTold || signal == SIGINT else {
                    throw Failure("at begin: \(error)")
                }
                return
            }
            begun.with { $0 += 1 }
            guard isInTransactions else { continue }
            guard try client.query("select pg_sleep(0.01), 7").rows[0][1] == "7" else {
                throw Failure("answer")
            }
            try client.query("commit")
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.once)
    func whoStaysInATransactionIsCutOff(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["shutdown_timeout": "0.5"])) { pooler throws in
            let client = try pooler.connect()
            try client.query("begin")
            let idle = try pooler.connect()
            pooler.process.signal(SIGTERM)
            #expect(try pooler.process.wait(10) == .exited(0))
            #expect(pooler.log.contains("has passed twice"))
            #expect(throws: PostgresError.self) { try client.query("select 1") }
            #expect(throws: PostgresError.self) { try idle.query("select 1") }
        }
    }
}
