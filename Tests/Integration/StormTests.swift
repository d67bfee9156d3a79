import Glibc
import Testing

/// Everything at once: every limit reached, clients coming and going, and workers that are killed.
@Suite struct StormTests {
    /// Goal: no limit is exceeded, nobody notices but the clients of the worker that is killed, and in the
    /// end the ledger equals reality. `Scripts/storm` runs it for longer.
    @Test(.enabled(if: Options.isOurs), arguments: OnePoolTests.several)
    func workersAreKilledUnderLoad(setup: Setup) async throws {
        try await onThread {
            let postgres = try Postgres(settings: ["listen_addresses": "127.0.0.1,127.0.0.2"])
            defer { try? postgres.stop(.immediate) }
            for name in StormLimits.databases {
                try postgres.ask("create database \(name) owner app", database: "postgres")
                try Child.run([
                    "\(Postgres.tools)/pgbench", "-i", "-q", "-h", "127.0.0.1", "-p", "\(postgres.port)",
                    "-U", "app", name,
                ])
                try postgres.ask("grant select on all tables in schema public to public", database: name)
            }
            let pooler = try Pooler(setup, StormLimits.configuration(postgres))
            defer { pooler.process.signal(SIGKILL) }
            let storm = try Storm(pooler)
            try storm.run(seconds: Options.stormSeconds)
            try storm.settle()
            print(storm.report)
            check(storm)
            let processes = Set(pooler.processes()).union(storm.workers.current)
            try pooler.stop()
            try eventually("no process is left") { processes.allSatisfy { kill($0, 0) != 0 } }
            try eventually("PostgreSQL has no connection left") {
                try postgres.ask("select count(*) from pg_stat_activity where client_port > 0") == "0"
            }
        }
    }

    private func check(_ storm: Storm) {
        let tally = storm.tally.current
        for error in tally.errors { Issue.record("\(error)") }
        if !tally.errors.isEmpty {
            print(
                storm.pooler.log.split(separator: "\n").filter { $0.contains("orker") }.joined(
                    separator: "\n"))
        }
        #expect(!storm.kills.current.isEmpty)
        #expect(tally.transactions > 0)
        #expect(tally.longestOrphan < 1, "PostgreSQL kept a connection whose other end was gone")
        // A worker counts a connection off and then shuts it; it may have to wait for a processor in between,
        // the more often the busier the machine is.
        #expect(tally.socketExcesses * 5 < tally.samples, "more open sockets than a limit allows")
        #expect(tally.longestSocketExcess < 1, "more open sockets than a limit allows")
        for name in StormLimits.databases {
            let reached = tally.peaks["servers of database \(name)"]
            #expect(reached == StormLimits.servers["database \(name)"], "the limit was never reached")
        }
        #expect(tally.peaks["clients"] == StormLimits.clients, "the limit was never reached")
    }
}
