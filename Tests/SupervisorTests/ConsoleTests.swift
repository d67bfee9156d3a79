import System
import Testing

@Suite struct ConsoleServiceTests {
    @Test func theVersionIsShown() throws {
        let instance = try Instance()
        let console = try ConsoleClient(instance)
        let rows = try console.query("SHOW VERSION").filter { $0.type == "D" }
        #expect(rows.count == 1 && rows[0].text.contains("PgBouncer 1.26.0 (pgsluice"))
        #expect(instance.end() == nil)
    }

    @Test func rowsOfAllWorkersAreAddedUp() throws {
        let instance = try Instance()
        let console = try ConsoleClient(instance)
        let rows = try console.query("SHOW LISTS").filter { $0.type == "D" }
        #expect(rows.contains { $0.text.contains("used_clients") && $0.text.hasSuffix("21") })
    }

    @Test func aWorkerThatDoesNotAnswerIsNamedInTime() throws {
        let instance = try Instance()
        let console = try ConsoleClient(instance)
        #expect(try instance.ask("mute", worker: 1) == "muted")
        let start = Clock.monotonicNanoseconds
        let messages = try console.query("SHOW LISTS")
        let took = Clock.monotonicNanoseconds - start
        #expect(messages.contains { $0.type == "N" && $0.text.contains("worker 1 did not answer") })
        #expect(messages.contains { $0.text.contains("used_clients") && $0.text.hasSuffix("10") })
        #expect(took > 400_000_000 && took < 3_000_000_000)
    }

    @Test func countsOfADeadWorkerStay() throws {
        let instance = try Instance()
        _ = try instance.ask("count", worker: 0)
        _ = try instance.ask("count", worker: 1)
        _ = try? instance.ask("exit 1", worker: 0)
        try instance.waitForLog("exited with status 1")
        let rows = try ConsoleClient(instance).query("SHOW STATS").filter { $0.type == "D" }
        #expect(rows.contains { $0.text.contains("d") && $0.text.contains("10") })
    }

    @Test func reloadAnswersWhenEveryWorkerHasTheConfiguration() throws {
        let instance = try Instance("default_pool_size = 7")
        let console = try ConsoleClient(instance)
        try instance.write("default_pool_size = 9")
        #expect(try console.query("RELOAD").map(\.type) == ["C"])
        #expect(try instance.ask("setting default_pool_size", worker: 1) == "9")
        try instance.write("default_pool_size = x")
        let refusal = try console.query("RELOAD")
        #expect(refusal.count == 1 && refusal[0].type == "E")
        #expect(refusal[0].text.contains("F0000") && refusal[0].text.contains("\(instance.file):12"))
        let rows = try console.query("SHOW CONFIG").filter { $0.text.contains("default_pool_size") }
        #expect(rows.count == 1 && rows[0].text.contains("9"))
    }

    @Test func pauseAndResumeKnowTheState() throws {
        let instance = try Instance()
        let console = try ConsoleClient(instance)
        #expect(try console.query("PAUSE").map(\.type) == ["C"])
        #expect(try console.query("PAUSE")[0].text.contains("already suspended/paused"))
        #expect(
            try console.query("SHOW STATE").contains {
                $0.text.contains("paused") && $0.text.hasSuffix("yes")
            })
        #expect(try console.query("RESUME").map(\.type) == ["C"])
        #expect(try console.query("RESUME")[0].text.contains("pooler is not paused/suspended"))
        #expect(try console.query("RESUME db")[0].text.contains("database db is not paused"))
    }

    @Test func shutdownEndsTheProcess() throws {
        let instance = try Instance()
        let console = try ConsoleClient(instance)
        try console.send("SHUTDOWN")
        #expect(try console.next() == nil)
        #expect(try instance.waitForEnd() == .exited(code: 0))
    }

    /// A session that sends without reading is read no further: its memory is bounded, the others are
    /// served.
    @Test func aSessionThatDoesNotReadStopsNobody() throws {
        let instance = try Instance()
        let deaf = try ConsoleClient(instance)
        let query = Array("Q\0\0\0\u{10}SHOW CONFIG\0".utf8)
        try Descriptors.setNonBlocking(deaf.descriptor, true)
        var sent = 0
        for _ in 0..<2000 { sent += try Descriptors.write(deaf.descriptor, query[...]) }
        #expect(sent > 0)
        let other = try ConsoleClient(instance)
        #expect(try other.query("SHOW VERSION").count == 3)
        let status = String(decoding: try FileSystem.read("/proc/\(instance.process)/status"), as: UTF8.self)
        let resident = status.split(separator: "\n").first { $0.hasPrefix("VmRSS") }!
        #expect(Int(resident.split(separator: " ").dropLast().last!)! < 60_000)
    }
}
