import Glibc
import System
import Testing

@Suite struct LifeTests {
    @Test func workersHoldOnlyWhatTheyWereGiven() throws {
        let instance = try Instance(workers: 3)
        for index in 0..<3 {
            let report = try instance.ask("descriptors", worker: index)
            #expect(report == "stray 0 missing 0 senders 3")
        }
    }

    /// A replacement is forked later, when the supervisor holds more: it too gets no more than the first.
    @Test func aWorkerThatDiesIsReplacedAndItsLastWordsAreKept() throws {
        let instance = try Instance()
        let client = try instance.connect(worker: 1)
        defer { Descriptors.close(client) }
        _ = try? instance.ask("crash", on: client)
        try instance.waitForLog("killed by signal 9 (KILL)")
        #expect(instance.log.contains("last words"))
        #expect(instance.log.contains("starting another\n"))
        #expect(try instance.ask("incarnation", worker: 1) == "2")
        #expect(try instance.ask("incarnation", worker: 0) == "1")
        #expect(try instance.ask("descriptors", worker: 1) == "stray 0 missing 0 senders 2")
    }

    @Test func aWorkerThatKeepsDyingIsStartedAfterPauses() throws {
        let instance = try Instance(workers: 1)
        for _ in 0..<3 {
            try eventually("a worker answers") { (try? instance.ask("exit 5")) != nil }
        }
        try instance.waitForLog("exited with status 5", count: 3)
        #expect(instance.log.contains("starting another in 0.1 s"))
        #expect(instance.log.contains("starting another in 0.2 s"))
    }

    @Test(arguments: [SIGSEGV, SIGABRT])
    func aWorkerThatIsSentAFaultEnds(signal: Int32) throws {
        let instance = try Instance()
        let worker = Int32(try instance.ask("pid", worker: 0))!
        Process.send(signal, to: worker)
        try instance.waitForLog("killed by signal \(signal)")
        #expect(try instance.ask("incarnation", worker: 0) == "2")
    }

    @Test func workersEndWhenTheSupervisorIsKilled() throws {
        let instance = try Instance()
        let workers = try (0..<2).map { Int32(try instance.ask("pid", worker: $0))! }
        instance.send(SIGKILL)
        _ = try instance.waitForEnd()
        try eventually("the workers end") { workers.allSatisfy { !Process.exists($0) } }
    }

    @Test func processesAreNamed() throws {
        let instance = try Instance()
        #expect(try instance.ask("title", worker: 1) == "pgsluice: worker 1")
    }

    @Test func namesAreResolvedInAProcessOfTheirOwn() throws {
        let instance = try Instance(workers: 1)
        let found = try instance.ask("resolve localhost")
        #expect(found.contains("127.0.0.1") || found.contains("::1"))
        let missing = try instance.ask("resolve no-such-name.invalid")
        #expect(!missing.contains("127.0.0.1") && missing != "no answer")
    }

    @Test func theResolverIsReplacedToo() throws {
        let instance = try Instance(workers: 1)
        let children = try FileSystem.read("/proc/\(instance.process)/task/\(instance.process)/children")
        let resolver = String(decoding: children, as: UTF8.self).split(separator: " ").compactMap {
            Int32($0)
        }
        .first { process in
            let name = (try? FileSystem.read("/proc/\(process)/comm")) ?? []
            return name == Array("pgsluice-dns\n".utf8)
        }
        Process.send(SIGKILL, to: try #require(resolver))
        try instance.waitForLog("the name resolver killed by signal 9")
        #expect(try instance.ask("resolve 127.0.0.1") == "127.0.0.1")
    }

    /// It looks five times a second whether its workers turn.
    @Test func anIdleSupervisorSleeps() throws {
        let instance = try Instance()
        usleep(300_000)
        func wakeUps() throws -> Int {
            let status = try FileSystem.read("/proc/\(instance.process)/status")
            let line = String(decoding: status, as: UTF8.self).split(separator: "\n")
                .first { $0.hasPrefix("voluntary_ctxt") }
            return Int(line!.split(separator: "\t").last!)!
        }
        let before = try wakeUps()
        sleep(2)
        let after = try wakeUps()
        #expect(after - before <= 12)
    }

    /// Nobody reads the log: the instance serves on, and says later how much was lost.
    @Test func aFullPipeStopsNobody() throws {
        let instance = try Instance(workers: 1, start: false)
        let (read, write) = try Descriptors.pipe()
        defer { Descriptors.close(read) }
        try instance.start(output: write)
        Descriptors.close(write)
        for _ in 0..<30 { #expect(try instance.ask("flood 500") == "flooded") }
        #expect(try instance.ask("index") == "0")
        instance.send(SIGHUP)
        #expect(try instance.ask("index") == "0")
        var text = ""
        try eventually("lost lines are counted") {
            let ready = Poll.wait([Poll.Interest(read, .read)], milliseconds: 100)
            if ready[0].canRead, let bytes = try Descriptors.read(read, limit: 1 << 20) {
                text += String(decoding: bytes, as: UTF8.self)
            } else {
                // A line of its own shows what was dropped before it.
                _ = try? instance.ask("log hello")
            }
            return text.contains("log lines were lost")
                || text.contains("log lines because its ring was full")
        }
    }
}
