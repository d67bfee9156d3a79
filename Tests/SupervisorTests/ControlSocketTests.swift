import Glibc
import System
import Testing

@Suite struct ControlSocketTests {
    @Test func itServesTheConsoleInAFolderOfItsOwn() throws {
        let instance = try Instance()
        #expect(instance.log.contains("control socket \(instance.controlSocket)"))
        var status = stat()
        #expect(stat(instance.controlFolder, &status) == 0 && status.st_mode & 0o777 == 0o700)
        for name in ["pgbouncer", "pgsluice"] {
            let console = try ConsoleClient(controlSocket: instance.controlSocket, database: name)
            #expect(try console.query("SHOW VERSION").contains { $0.text.contains("PgBouncer 1.26.0") })
            #expect(try console.query("PAUSE").map(\.type) == ["C"])
            #expect(try console.query("RESUME").map(\.type) == ["C"])
        }
        #expect(throws: TestFailure.self) {
            try ConsoleClient(controlSocket: instance.controlSocket, database: "app")
        }
        instance.send(SIGQUIT)
        #expect(try instance.waitForEnd() == .exited(code: 0))
        #expect(!FileSystem.exists(instance.controlFolder))
    }

    @Test func itsSessionsAreShownWithTheirProcess() throws {
        let instance = try Instance()
        let console = try ConsoleClient(controlSocket: instance.controlSocket)
        let rows = try console.query("SHOW CLIENTS").filter { $0.type == "D" }
        #expect(rows.count == 1 && rows[0].text.contains("\(getpid())"))
        // The stub workers have 21 clients between them.
        let lists = try console.query("SHOW LISTS")
        #expect(lists.contains { $0.text.contains("used_clients") && $0.text.hasSuffix("22") })
    }

    @Test func whatADeadInstanceLeftIsTakenOver() throws {
        let instance = try Instance()
        instance.send(SIGKILL)
        _ = try instance.waitForEnd()
        #expect(FileSystem.exists(instance.controlSocket))
        // The orphaned workers still have the port for a moment.
        try eventually("the workers are gone") { !instance.canConnect() }
        try instance.start()
        try instance.waitForLog("process up", count: 2)
        #expect(try ConsoleClient(controlSocket: instance.controlSocket).query("SHOW VERSION").count == 3)
    }

    /// Instances that share a port and the folder of their pidfiles. Goal: none loses its socket to another
    /// one, and the other one serves all the same.
    @Test func thatOfALivingInstanceStaysIts() throws {
        let settings = "unix_socket_dir =\nso_reuseport = 1"
        let instance = try Instance(settings)
        let other = try Instance(
            settings + "\nlisten_port = \(instance.port)\npidfile = \(instance.folder)/other", start: false)
        try other.start()
        #expect(other.log.contains("no control socket: another instance that is running uses"))
        other.send(SIGQUIT)
        #expect(try other.waitForEnd() == .exited(code: 0))
        #expect(try ConsoleClient(controlSocket: instance.controlSocket).query("SHOW VERSION").count == 3)
    }

    @Test func aNamedFolderThatIsTakenOrOpenToOthersIsRefused() throws {
        let instance = try Instance()
        let other = try Instance("control_dir = \(instance.controlFolder)", start: false)
        try other.start(waits: false)
        #expect(try other.waitForEnd() == .exited(code: 1))
        #expect(other.log.contains("control_dir: another instance that is running uses"))
        try other.write("control_dir = \(other.folder)")
        try other.start(waits: false)
        #expect(try other.waitForEnd() == .exited(code: 1))
        #expect(other.log.contains("has to be a directory of our own user with mode 0700"))
        #expect(!FileSystem.exists(other.unixSocket), "the listeners' files are gone too")
    }

    /// Goal: a folder that somebody has put where ours is to be is not used, and the pooler still serves.
    @Test func aFolderThatIsNotOursLeavesUsWithoutASocket() throws {
        let instance = try Instance(start: false)
        #expect(mkdir(instance.controlFolder, 0o777) == 0)
        chmod(instance.controlFolder, 0o777)
        try instance.start()
        #expect(instance.log.contains("no control socket"))
        #expect(!FileSystem.exists(instance.controlSocket))
    }

    @Test func withoutAPlaceThereIsNone() throws {
        let instance = try Instance("unix_socket_dir = @abstract\npidfile =")
        #expect(instance.log.contains("no control socket: set control_dir"))
        let beside = try Instance("unix_socket_dir = ")
        #expect(try ConsoleClient(controlSocket: beside.controlSocket).query("SHOW VERSION").count == 3)
    }

    /// Only root can show it: the folder keeps everybody else out, so it is opened, and a process of another
    /// user connects.
    @Test(.enabled(if: geteuid() == 0)) func anotherUserIsRefused() throws {
        let instance = try Instance()
        chmod(instance.controlFolder, 0o711)
        chmod(instance.controlSocket, 0o777)
        let script =
            "import socket, sys; s = socket.socket(socket.AF_UNIX); "
            + "s.connect(\"\(instance.controlSocket)\"); sys.exit(7 if b\"C28000\" in s.recv(999) else 8)"
        let status = system("setpriv --reuid 12345 --clear-groups /usr/bin/python3 -c '\(script)'")
        #expect(status >> 8 == 7)
        try instance.waitForLog("of user 12345")
    }

    @Test func sessionsAreBoundedInNumber() throws {
        let instance = try Instance()
        var sessions: [ConsoleClient] = []
        for _ in 0..<100 { sessions.append(try ConsoleClient(controlSocket: instance.controlSocket)) }
        do {
            _ = try ConsoleClient(controlSocket: instance.controlSocket)
            Issue.record("a session too many was welcomed")
        } catch { #expect("\(error)".contains("53300")) }
        // Others are not affected, and who leaves makes room.
        #expect(try ConsoleClient(instance).query("SHOW VERSION").count == 3)
        sessions.removeLast()
        try eventually("there is room again") {
            (try? ConsoleClient(controlSocket: instance.controlSocket)) != nil
        }
    }
}
