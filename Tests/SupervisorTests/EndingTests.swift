import Glibc
import System
import Testing

@Suite struct EndingTests {
    /// The client of a stub worker does not go when it is told to.
    @Test func whoDoesNotGoIsCutOffInTheEnd() throws {
        let instance = try Instance("shutdown_timeout = 0.4")
        let client = try instance.connect(worker: 0)
        defer { Descriptors.close(client) }
        let start = Clock.monotonicNanoseconds
        instance.send(SIGTERM)
        #expect(try instance.waitForEnd() == .exited(code: 0))
        #expect(Clock.monotonicNanoseconds - start >= 800_000_000)
        let log = instance.log
        #expect(log.contains("worker 0 got order dismissClients"))
        #expect(log.contains("shutdown_timeout has passed twice"))
    }

    @Test func withoutATimeoutNobodyIsSentAway() throws {
        let instance = try Instance()
        let client = try instance.connect(worker: 0)
        instance.send(SIGTERM)
        try eventually("connecting is refused") { !instance.canConnect() }
        usleep(300_000)
        #expect(instance.end() == nil)
        Descriptors.close(client)
        #expect(try instance.waitForEnd() == .exited(code: 0))
        #expect(!instance.log.contains("dismissClients"))
    }

    @Test func drainingIsToldBeforeNewClientsAreRefused() throws {
        let instance = try Instance("drain_delay = 1")
        let console = try ConsoleClient(controlSocket: instance.controlSocket)
        func isDraining() throws -> Bool {
            try console.query("SHOW STATE").contains { $0.text.contains("draining") }
        }
        #expect(try !isDraining())
        let client = try instance.connect(worker: 0)
        let start = Clock.monotonicNanoseconds
        #expect(try console.query("DRAIN").map(\.type) == ["C"])
        #expect(try isDraining())
        #expect(try console.query("DRAIN")[0].text.contains("already draining"))
        try eventually("connecting is refused") { !instance.canConnect() }
        #expect(Clock.monotonicNanoseconds - start >= 1_000_000_000)
        #expect(try isDraining())
        #expect(instance.end() == nil)
        Descriptors.close(client)
        #expect(try instance.waitForEnd() == .exited(code: 0))
    }

    @Test func aSignalDoesNotWaitForTheDelay() throws {
        let instance = try Instance("drain_delay = 100")
        let console = try ConsoleClient(controlSocket: instance.controlSocket)
        #expect(try console.query("DRAIN").map(\.type) == ["C"])
        instance.send(SIGTERM)
        #expect(try instance.waitForEnd() == .exited(code: 0))
    }
}
