import Glibc
import System
import Testing

/// The workers that a restart has replaced, and clients that do not go.
@Suite struct RestartTests {
    @Test func whoDoesNotGoIsCutOffInTheEnd() throws {
        let instance = try Instance("restart_drain_timeout = 0.4")
        let console = try ConsoleClient(controlSocket: instance.controlSocket)
        let client = try instance.connect(worker: 0)
        defer { Descriptors.close(client) }
        let old = try instance.ask("pid", on: client)
        let start = Clock.monotonicNanoseconds
        #expect(try console.query("RESTART").map(\.type) == ["C"])
        try instance.waitForLog("worker 0 got order dismissClients")
        #expect(Clock.monotonicNanoseconds - start >= 400_000_000)
        try instance.waitForLog("restart_drain_timeout has passed twice, ending worker 0 [\(old)]")
        #expect(Clock.monotonicNanoseconds - start >= 800_000_000)
        try eventually("the client is cut off") { (try? instance.ask("pid", on: client)) == nil }
        #expect(try instance.ask("pid") != old)
    }

    /// A session that came through a worker keeps that until the time is over.
    @Test func aConsoleSessionEndsWithItsWorker() throws {
        let instance = try Instance("restart_drain_timeout = 1")
        let console = try ConsoleClient(controlSocket: instance.controlSocket)
        let client = try instance.connect(worker: 0)
        defer { Descriptors.close(client) }
        let session = try ConsoleClient(instance, worker: 0)
        #expect(try console.query("RESTART").map(\.type) == ["C"])
        #expect(try session.query("SHOW VERSION").map(\.type).contains("D"))
        try instance.waitForLog("worker 0 got order dismissClients")
        let farewell = try session.next()
        #expect(farewell?.text.contains("57P01") == true)
        #expect(try console.query("SHOW VERSION").map(\.type).contains("D"))
    }

    @Test func aRestartWhileWorkersLeaveHasToBeForced() throws {
        let instance = try Instance("restart_drain_timeout = 0")
        let console = try ConsoleClient(controlSocket: instance.controlSocket)
        let client = try instance.connect(worker: 0)
        #expect(try console.query("RESTART").map(\.type) == ["C"])
        let refusal = try console.query("RESTART")
        #expect(refusal[0].text.contains("workers that leave still serve clients"))
        #expect(try instance.ask("index", on: client) == "0")
        #expect(try console.query("RESTART FORCE").map(\.type) == ["C"])
        #expect(try instance.ask("index", on: client) == "0")
        Descriptors.close(client)
        try eventually("another restart is possible") { try console.query("RESTART").map(\.type) == ["C"] }
        #expect(!instance.log.contains("dismissClients"))
    }
}
