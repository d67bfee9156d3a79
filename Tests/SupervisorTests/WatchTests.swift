import Glibc
import System
import Testing

@Suite struct WatchTests {
    /// Connections for a stopped worker, those that wait for it already included, are served by others.
    @Test func nobodyWaitsForAStoppedWorker() throws {
        let instance = try Instance(workers: 3)
        let stopped = Int32(try instance.ask("pid", worker: 1))!
        let client = try instance.connect(worker: 1)
        defer { Descriptors.close(client) }
        Process.send(SIGSTOP, to: stopped)
        // A third of these lands in its queue.
        let waiting = try (0..<30).map { _ in try instance.connect() }
        defer { waiting.forEach(Descriptors.close) }
        for connection in waiting {
            #expect(["0", "2"].contains(try instance.ask("index", on: connection)))
        }
        #expect(instance.log.contains("worker 1 [\(stopped)] does not answer; new connections go to the"))
        for _ in 0..<30 { #expect(try instance.ask("index") != "1") }
        Process.send(SIGCONT, to: stopped)
        #expect(try instance.ask("index", on: client) == "1")
        try instance.waitForLog("worker 1 [\(stopped)] answers again")
        #expect(try instance.ask("pid", worker: 1) == "\(stopped)")
        #expect(try instance.ask("incarnation", worker: 1) == "1")
    }

    /// A worker that dies again and again is started after pauses; meanwhile the others have its clients.
    @Test func nobodyWaitsForADeadWorker() throws {
        let instance = try Instance()
        try eventually("it has died six times") {
            _ = try? instance.ask("crash", worker: 0)
            return instance.log.contains("starting another in 1.6 s")
        }
        let start = Clock.monotonicNanoseconds
        for _ in 0..<20 { #expect(try instance.ask("index") == "1") }
        // Else worker 0 may be back, and this has shown nothing.
        #expect(Clock.monotonicNanoseconds - start < 1_600_000_000)
        try eventually("it is back") { (try? instance.ask("incarnation", worker: 0)) == "7" }
    }

    @Test func aWorkerThatHangsIsReplaced() throws {
        let instance = try Instance("worker_hang_timeout = 1.2")
        let stopped = Int32(try instance.ask("pid", worker: 0))!
        Process.send(SIGSTOP, to: stopped)
        try instance.waitForLog("s (worker_hang_timeout); ending it")
        try instance.waitForLog("worker 0 [\(stopped)] killed by signal 9 (KILL)")
        #expect(try instance.ask("incarnation", worker: 0) == "2")
    }

    /// With the lock of the ledger in its hands it would stop everybody.
    @Test func aWorkerThatStopsWithTheLockIsEndedAtOnce() throws {
        let instance = try Instance("worker_hang_timeout = 0")
        let client = try instance.connect(worker: 0)
        defer { Descriptors.close(client) }
        try Descriptors.writeAll(client, Array("stop-locked\n".utf8))
        try instance.waitForLog("has stopped with the lock that all need; ending it")
        #expect(try instance.ask("incarnation", worker: 0) == "2")
    }

    /// Nobody is blamed for the time in which the supervisor did not run either.
    @Test func afterASleepOfTheMachineNobodyIsBlamed() throws {
        let instance = try Instance("worker_hang_timeout = 1")
        let workers = try (0..<2).map { Int32(try instance.ask("pid", worker: $0))! }
        let all = workers + [instance.process]
        all.forEach { Process.send(SIGSTOP, to: $0) }
        sleep(2)
        // The supervisor first: what it sees are heartbeats of two seconds ago.
        Process.send(SIGCONT, to: instance.process)
        workers.forEach { Process.send(SIGCONT, to: $0) }
        #expect(try instance.ask("pid", worker: 0) == "\(workers[0])")
        #expect(!instance.log.contains("ending it"))
    }
}
