import Glibc
import System
import Testing

@Suite struct ResizeTests {
    /// The workers that answer, by many connections.
    private func serving(_ instance: Instance) throws -> Set<String> {
        Set(try (0..<60).map { _ in try instance.ask("index") })
    }

    @Test func workersComeByAReload() throws {
        let instance = try Instance(workers: 1)
        let first = try instance.ask("pid", worker: 0)
        try instance.write("", workers: 3)
        instance.send(SIGHUP)
        try instance.waitForLog("workers: 3 (configured)")
        try eventually("three workers serve") { try serving(instance) == ["0", "1", "2"] }
        #expect(try instance.ask("pid", worker: 0) == first)
        #expect(try instance.ask("descriptors", worker: 2) == "stray 0 missing 0 senders 3")
        #expect(try instance.ask("resolve 127.0.0.1", worker: 2) == "127.0.0.1")
        #expect(try instance.ask("resolve 127.0.0.1", worker: 0) == "127.0.0.1")
    }

    @Test func workersGoByAReloadAndComeBack() throws {
        let instance = try Instance(workers: 3)
        let client = try instance.connect(worker: 2)
        try instance.write("", workers: 1)
        instance.send(SIGHUP)
        try instance.waitForLog("leaves", count: 2)
        // One that has a client stays for it; nobody new comes to it.
        #expect(try serving(instance) == ["0"])
        #expect(try instance.ask("index", on: client) == "2")
        Descriptors.close(client)
        try instance.waitForLog("has left", count: 2)
        try instance.write("", workers: 3)
        instance.send(SIGHUP)
        try eventually("all serve again") { try serving(instance) == ["0", "1", "2"] }
        #expect(try instance.ask("incarnation", worker: 2) == "2")
        #expect(try instance.ask("incarnation", worker: 0) == "1")
    }
}
