import Glibc
import System
import Testing

@Suite struct StartTests {
    @Test func thePidFileHoldsTheNumberOfTheSupervisor() throws {
        let instance = try Instance()
        let text = String(decoding: try FileSystem.read(instance.pidFile), as: UTF8.self)
        #expect(text == "\(instance.process)\n")
    }

    @Test func aStalePidFileIsRemoved() throws {
        let instance = try Instance(start: false)
        try FileSystem.create(instance.pidFile, Array("999999999\n".utf8), mode: 0o666)
        try instance.start()
        #expect(instance.log.contains("removed the stale pidfile"))
    }

    @Test func aLivePidFileIsRespected() throws {
        let instance = try Instance(start: false)
        try FileSystem.create(instance.pidFile, Array("\(Process.id)\n".utf8), mode: 0o644)
        try instance.start(waits: false)
        #expect(try instance.waitForEnd() == .exited(code: 1))
        #expect(instance.log.contains("process \(Process.id) is running"))
        #expect(FileSystem.exists(instance.pidFile))
    }

    @Test func aSecondInstanceDoesNotTakeTheSocket() throws {
        let instance = try Instance()
        let second = try Instance(start: false)
        try second.write("unix_socket_dir = \(instance.folder)\nlisten_port = \(instance.port)")
        try second.start(waits: false)
        #expect(try second.waitForEnd() == .exited(code: 1))
        #expect(second.log.contains("is in use, cannot continue"))
        #expect(FileSystem.exists(instance.unixSocket))
    }

    /// SO_REUSEPORT alone would let it take half of the connections.
    @Test func aSecondInstanceDoesNotShareThePort() throws {
        let instance = try Instance()
        let second = try Instance(start: false)
        try second.write("unix_socket_dir =\nlisten_port = \(instance.port)")
        try second.start(waits: false)
        #expect(try second.waitForEnd() == .exited(code: 1))
        #expect(second.log.contains("cannot listen on 127.0.0.1:\(instance.port)"))
    }

    @Test(.enabled(if: geteuid() == 0)) func rootIsRefused() throws {
        let instance = try Instance(start: false)
        try instance.start(script: "shift 3; exec \(Instance.host) \"$@\"", waits: false)
        #expect(try instance.waitForEnd() == .exited(code: 1))
        #expect(instance.log.contains("does not run as root"))
    }

    @Test func aBrokenConfigurationEndsTheStart() throws {
        let instance = try Instance("nonsense", start: false)
        try instance.start(waits: false)
        #expect(try instance.waitForEnd() == .exited(code: 1))
        #expect(instance.log.contains("\(instance.file):12"))
    }

    @Test func workersThatCannotWorkEndTheStart() throws {
        let instance = try Instance("job_name = unable", start: false)
        try instance.start(waits: false)
        #expect(try instance.waitForEnd() == .exited(code: 1))
        #expect(instance.log.contains("no way"))
        #expect(instance.log.contains("cannot work, see above"))
        #expect(!FileSystem.exists(instance.unixSocket) && !FileSystem.exists(instance.pidFile))
    }

    @Test func faultsOfTheUserListAreSaid() throws {
        let instance = try Instance(start: false)
        try FileSystem.remove("\(instance.folder)/userlist.txt")
        try FileSystem.create(
            "\(instance.folder)/userlist.txt", Array("\"a\" \"b\"\nnonsense\n".utf8), mode: 0o644)
        try instance.start()
        #expect(instance.log.contains("userlist.txt:2: broken auth file"))
    }

    @Test func preflightTellsWhatIsWrong() throws {
        let good = try Instance(start: false)
        try good.start(["--preflight"], waits: false)
        #expect(try good.waitForEnd() == .exited(code: 0))
        let bad = try Instance("pool_mode = sometimes", start: false)
        try bad.start(["--preflight"], waits: false)
        #expect(try bad.waitForEnd() == .exited(code: 1))
        #expect(bad.log.contains("\(bad.file):12"))
    }

    @Test func aDaemonLeavesItsParent() throws {
        let instance = try Instance(start: false)
        let logFile = "\(instance.folder)/daemon.log"
        defer { try? FileSystem.remove(logFile) }
        try instance.write("logfile = \(logFile)")
        try instance.start(["-d"], waits: false)
        #expect(try instance.waitForEnd() == .exited(code: 0))
        try eventually("the daemon serves") { instance.canConnect() }
        func number() -> Int32? {
            let text = (try? FileSystem.read(instance.pidFile)).map { String(decoding: $0, as: UTF8.self) }
            return text.flatMap { $0.hasSuffix("\n") ? Int32($0.dropLast()) : nil }
        }
        try eventually("the pid file is written") { number() != nil }
        let daemon = try #require(number())
        #expect(daemon != instance.process)
        Process.send(SIGTERM, to: daemon)
        try eventually("the daemon ends") { !Process.exists(daemon) }
    }

    @Test func aDaemonNeedsAPidFile() throws {
        let instance = try Instance("pidfile =", start: false)
        try instance.start(["-d"], waits: false)
        #expect(try instance.waitForEnd() == .exited(code: 1))
        #expect(instance.log.contains("daemon needs pidfile configured"))
    }

    @Test func socketsOfAServiceManagerAreUsed() throws {
        let instance = try Instance(start: false)
        let listener = try Listener.open(SocketAddress(host: "127.0.0.1", port: 0)!)
        let port = Socket.localAddress(of: listener)!.port
        try instance.start(
            script: "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"", passed: listener)
        Descriptors.close(listener)
        #expect(instance.log.contains("listen_addr and unix_socket_dir are ignored"))
        #expect(!instance.canConnect())
        let client = try Socket.open(.ipv4)
        defer { Descriptors.close(client) }
        try Socket.connect(client, to: SocketAddress(host: "127.0.0.1", port: port)!)
        #expect(try instance.ask("descriptors", on: client) == "stray 0 missing 0 senders 2")
    }

    @Test func aServiceManagerIsToldEverything() throws {
        let instance = try Instance(start: false)
        let path = "\(instance.folder)/notify"
        let socket = try Socket.open(.unix, .datagram)
        defer { Descriptors.close(socket) }
        bindDatagram(socket, path)
        chmod(path, 0o777)
        func next() throws -> String {
            let ready = Poll.wait([Poll.Interest(socket, .read)], milliseconds: 5000)
            guard ready[0].canRead, let bytes = try Descriptors.read(socket, limit: 4096) else { return "" }
            return String(decoding: bytes, as: UTF8.self)
        }
        try instance.start(environment: ["NOTIFY_SOCKET=\(path)"])
        #expect(try next().contains("READY=1\nMAINPID=\(instance.process)"))
        instance.send(SIGHUP)
        #expect(try next().contains("RELOADING=1\nMONOTONIC_USEC="))
        #expect(try next().contains("READY=1"))
        instance.send(SIGTERM)
        #expect(try next().contains("STOPPING=1"))
        _ = try instance.waitForEnd()
    }

    private func bindDatagram(_ socket: Int32, _ path: String) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, .init(__sockaddr__: $0), socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        precondition(result == 0)
    }
}
