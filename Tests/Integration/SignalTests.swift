import CLibPQ
import Glibc
import Testing

/// Signals to the process people know: the one in the pid file.
@Suite struct SignalTests {
    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func quitEndsAtOnce(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.query("begin")
            let processes = pooler.processes()
            #expect(processes.count > setup.workers, "a supervisor and \(setup.workers) workers")
            pooler.process.signal(SIGQUIT)
            #expect(try pooler.process.wait(5) == .exited(0))
            #expect(throws: PostgresError.self) { try client.query("select 1") }
            try eventually("no process is left") { processes.allSatisfy { kill($0, 0) != 0 } }
            try eventually("PostgreSQL has lost the server") {
                try pooler.postgres.ask(
                    "select count(*) from pg_stat_activity"
                        + " where state = 'idle in transaction' and query = 'begin'"
                        + " and application_name = ''") == "0"
            }
        }
    }

    /// TERM waits for the clients, takes no new ones, and ends with the last of them.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func terminateWaitsForClients(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            var client: Connection? = try pooler.connect()
            try client?.query("select 1")
            pooler.process.signal(SIGTERM)
            try eventually("new clients are refused") { !RawConnection.canConnect(port: pooler.port) }
            for _ in 0..<5 { #expect(try client?.query("select 1").value == "1") }
            #expect(pooler.process.ending() == nil)
            client = nil
            #expect(try pooler.process.wait(5) == .exited(0))
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction, [SIGTERM, SIGINT])
    func theSecondOneEndsAtOnce(setup: Setup, signal: Int32) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.query("begin")
            pooler.process.signal(signal)
            try eventually("new clients are refused") { !RawConnection.canConnect(port: pooler.port) }
            #expect(pooler.process.ending() == nil)
            pooler.process.signal(signal)
            #expect(try pooler.process.wait(5) == .exited(0))
        }
    }

    /// INT waits for the servers: transactions end, idle clients do not keep it.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func interruptWaitsForTransactions(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let idle = try pooler.connect()
            try idle.query("select 1")
            let busy = try pooler.connect()
            try busy.query("begin")
            pooler.process.signal(SIGINT)
            try eventually("new clients are refused") { !RawConnection.canConnect(port: pooler.port) }
            #expect(try busy.query("select 'in peace'").value == "in peace")
            #expect(pooler.process.ending() == nil)
            try busy.query("commit")
            #expect(try pooler.process.wait(5) == .exited(0))
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func withNobodyThereTerminateEndsAtOnce(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            pooler.process.signal(SIGTERM)
            #expect(try pooler.process.wait(5) == .exited(0))
        }
    }

    @Test(arguments: Setup.transaction)
    func usr1PausesAndUsr2Resumes(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.query("select 1")
            pooler.process.signal(SIGUSR1)
            try eventually("the pause is in the log") { pooler.log.contains("USR1") }
            try eventually("the servers are closed") { try pooler.show("SERVERS").isEmpty }
            try client.send("select 'resumed'")
            #expect(!client.hasInput(within: 0.5))
            pooler.process.signal(SIGUSR2)
            #expect(try client.finish().value == "resumed")
        }
    }

    /// A transaction that runs goes on during a pause; the next one waits.
    @Test(arguments: Setup.transaction)
    func aPauseLetsTransactionsEnd(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.query("begin")
            pooler.process.signal(SIGUSR1)
            try eventually("the pause is in the log") { pooler.log.contains("USR1") }
            #expect(try client.query("select 1").value == "1")
            try client.query("commit")
            try client.send("select 2")
            #expect(!client.hasInput(within: 0.4))
            pooler.process.signal(SIGUSR2)
            #expect(try client.finish().value == "2")
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.once)
    func thePidFileHoldsThePidAndGoesAway(setup: Setup) async throws {
        let folder = try await onThreadValue { try Folder.shared.make("pid") }
        try await withPooler(setup, Configuration(settings: ["pidfile": "\(folder)/pid"])) { pooler throws in
            // Its sockets listen before its pid file is there.
            try eventually("the pid file is there") {
                (try? readFile("\(folder)/pid")) == "\(pooler.process.pid)\n"
            }
            #expect(throws: Failure.self, "a second one does not start") {
                try Child.run([Folder.binary, pooler.configurationFile], within: 10)
            }
            pooler.process.signal(SIGQUIT)
            try pooler.process.wait()
            #expect(access("\(folder)/pid", F_OK) != 0)
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.once)
    func aDaemonLeavesItsStarter(setup: Setup) async throws {
        try await onThread {
            let folder = try Folder.shared.make("daemon")
            let port = try freePort()
            var configuration = Configuration(settings: [
                "pidfile": "\(folder)/pid", "logfile": "\(folder)/log",
            ])
            configuration.postgres = Postgres.shared
            try writeFile("\(folder)/userlist.txt", "\"app\" \"\"\n")
            try writeFile(
                "\(folder)/daemon.ini",
                Pooler.text(
                    configuration, setup: setup, port: port, folder: folder, postgres: Postgres.shared))
            try Child.run([Folder.binary, "-d", "-q", "\(folder)/daemon.ini"])
            // Its sockets listen before its pid file is there.
            try eventually("the daemon accepts and has its pid file") {
                RawConnection.canConnect(port: port) && access("\(folder)/pid", R_OK) == 0
            }
            let pid = try #require(pid_t(try readFile("\(folder)/pid").dropLast()))
            Leash.shared.add(pid)
            defer { Leash.shared.remove(pid) }
            let client = try Connection([
                "host": "127.0.0.1", "port": "\(port)", "user": "app", "dbname": "test",
            ])
            #expect(try client.query("select 1").value == "1")
            kill(pid, SIGQUIT)
            try eventually("the daemon is gone") { kill(pid, 0) != 0 }
            #expect(try readFile("\(folder)/log").contains("process up"))
        }
    }

    /// A worker that dies is replaced; the others and their clients do not notice.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func aWorkerThatDiesIsReplaced(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let clients = try (0..<12).map { _ in try pooler.connect() }
            for client in clients { try client.query("select 1") }
            let before = Set(pooler.workers())
            #expect(before.count == setup.workers)
            let victim = try #require(before.min())
            kill(victim, SIGKILL)
            try eventually("a new worker runs") {
                let workers = Set(pooler.workers())
                return workers.count == setup.workers && !workers.contains(victim)
            }
            var lost = 0
            for client in clients {
                do {
                    try client.query("select 1")
                } catch is PostgresError {
                    lost += 1
                }
            }
            #expect(setup.workers > 1 ? lost < 12 : lost == 12, "\(lost) of 12 clients were lost")
            for _ in 0..<20 { #expect(try pooler.connect().query("select 1").value == "1") }
            #expect(pooler.log.contains("\(victim)"), "the log names the worker that died")
        }
    }

    /// Workers do not outlive their supervisor.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func workersEndWithTheirSupervisor(setup: Setup) async throws {
        try await onThread {
            let pooler = try Pooler(setup)
            try pooler.connect().query("select 1")
            let processes = pooler.processes()
            pooler.process.signal(SIGKILL)
            try pooler.process.wait()
            try eventually("no process is left") { processes.allSatisfy { kill($0, 0) != 0 } }
        }
    }
}

extension Pooler {
    /// The processes that hold client connections: they have `worker` in their command line or name.
    func workers() -> [pid_t] {
        processes().dropFirst().filter { pid in
            let name = (try? readFile("/proc/\(pid)/cmdline")) ?? ""
            let short = (try? readFile("/proc/\(pid)/comm")) ?? ""
            return name.contains("worker") || short.contains("worker")
        }
    }
}
