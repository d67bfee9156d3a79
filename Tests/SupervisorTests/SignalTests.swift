import Glibc
import System
import Testing

@Suite struct SignalTests {
    @Test func termWaitsForClientsAndRefusesNewOnes() throws {
        let instance = try Instance()
        let client = try instance.connect(worker: 0)
        instance.send(SIGTERM)
        try eventually("connecting is refused") { !instance.canConnect() }
        #expect(instance.end() == nil)
        #expect(FileSystem.exists(instance.unixSocket))
        #expect(try instance.ask("index", on: client) == "0")
        Descriptors.close(client)
        #expect(try instance.waitForEnd() == .exited(code: 0))
        #expect(!FileSystem.exists(instance.unixSocket))
        #expect(!FileSystem.exists(instance.pidFile))
        #expect(instance.log.contains("got SIGTERM, shutting down, waiting for all clients disconnect"))
    }

    @Test(arguments: [SIGTERM, SIGINT])
    func theSecondOneEndsAtOnce(signal: Int32) throws {
        let instance = try Instance()
        let client = try instance.connect(worker: 0)
        defer { Descriptors.close(client) }
        instance.send(signal)
        try instance.waitForLog("shutting down, waiting")
        #expect(instance.end() == nil)
        instance.send(signal)
        #expect(try instance.waitForEnd(within: 3) == .exited(code: 0))
    }

    @Test func quitEndsAtOnce() throws {
        let instance = try Instance()
        let client = try instance.connect(worker: 0)
        defer { Descriptors.close(client) }
        instance.send(SIGQUIT)
        #expect(try instance.waitForEnd(within: 3) == .exited(code: 0))
    }

    @Test func pauseAndResumeReachEveryWorkerOnce() throws {
        let instance = try Instance()
        instance.send(SIGUSR1)
        try instance.waitForLog("worker 0 got order pause")
        try instance.waitForLog("worker 1 got order pause")
        instance.send(SIGUSR1)
        try instance.waitForLog("got SIGUSR1, but already paused/suspended")
        _ = try? instance.ask("exit 1", worker: 0)
        try eventually("a paused worker starts") { (try? instance.ask("paused", worker: 0)) == "true" }
        instance.send(SIGUSR2)
        try instance.waitForLog("worker 1 got order resume")
        instance.send(SIGUSR2)
        try instance.waitForLog("got SIGUSR2, but not paused/suspended")
    }

    @Test func resumeIsIgnoredWhileShuttingDown() throws {
        let instance = try Instance()
        let client = try instance.connect(worker: 0)
        instance.send(SIGTERM)
        try instance.waitForLog("got SIGTERM")
        instance.send(SIGUSR2)
        try instance.waitForLog("got SIGUSR2 while shutting down, ignoring")
        Descriptors.close(client)
        _ = try instance.waitForEnd()
    }
}
