import Glibc
import Testing

/// The operators' program against a running instance.
@Suite struct SluicectlTests {
    /// What it prints, both streams, and what it ends with.
    private static func run(
        _ pooler: Pooler, _ words: [String]
    ) throws -> (status: Int32, text: String) {
        let file = Folder.shared.path("output-\(unique())")
        defer { unlink(file) }
        let child = try Child(
            [Folder.control, "-c", pooler.configurationFile] + words, output: file,
            environment: ["PGPORT": "1", "PGOPTIONS": "-c nonsense=1", "PGSSLMODE": "require"])
        guard case .exited(let status) = try child.wait() else { throw Failure("it was killed") }
        return (status, try readFile(file))
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func itShowsWhatRuns(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect(["application_name": "\u{1b}[2Jname"])
            try client.query("begin")
            let status = try Self.run(pooler, ["status"])
            #expect(status.status == 0 && status.text.contains("state     active"), "\(status)")
            #expect(status.text.contains("process   \(pooler.process.pid) of user "))
            #expect(status.text.contains("workers   \(setup.workers) of \(setup.workers) ready"))
            let pools = try Self.run(pooler, ["pools", "--database", "test"])
            #expect(pools.status == 0 && pools.text.split(separator: "\n").count == 2, "\(pools)")
            let json = try Self.run(pooler, ["pools", "--json"])
            #expect(json.status == 0 && json.text.contains("\"cl_active\" : 1"), "\(json)")
            let clients = try Self.run(pooler, ["clients", "--user", "app"])
            #expect(clients.text.contains("[2Jname") && !clients.text.contains("\u{1b}"), "\(clients)")
            for what in ["servers", "stats", "latency", "workers", "config"] {
                for more in [[], ["--wide"], ["--json"]] {
                    let table = try Self.run(pooler, [what] + more)
                    #expect(table.status == 0 && !table.text.isEmpty, "\(table)")
                }
            }
            #expect(try Self.run(pooler, ["show", "lists"]).text.contains("used_clients"))
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func itsStatusSaysWhatCameOfIt(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.query("begin")
            let late = try Self.run(pooler, ["pause", "test", "--timeout", "1"])
            #expect(late.status == 1 && late.text.contains("57014"), "\(late)")
            try client.query("commit")
            #expect(try Self.run(pooler, ["pause"]).status == 0)
            #expect(try Self.run(pooler, ["status"]).text.contains("state     paused"))
            #expect(try Self.run(pooler, ["resume"]).status == 0)
            let idle = try Self.run(pooler, ["resume"])
            #expect(idle.status == 1 && idle.text.contains("not paused"), "\(idle)")
            #expect(try Self.run(pooler, ["show", "nonsense"]).status == 1)
            #expect(try Self.run(pooler, ["pause", "--nonsense"]).status == 2)
            #expect(try Self.run(pooler, ["disable", "test"]).status == 0)
            #expect(throws: PostgresError.self) { try pooler.connect() }
            #expect(try Self.run(pooler, ["enable", "test"]).status == 0)
            #expect(try pooler.connect().query("select 1").value == "1")
            let elsewhere = try Child([Folder.control, "status", "--control", "\(pooler.folder)/none"])
            #expect(try elsewhere.wait() == .exited(3))
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func anInterruptedPauseIsUndone(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.query("begin")
            let pause = try Child([Folder.control, "-c", pooler.configurationFile, "pause", "test"])
            func isPaused() throws -> Bool {
                try pooler.show("DATABASES").first { $0["name"] == "test" }?["paused"] == "1"
            }
            try eventually("the database is paused") { try isPaused() }
            pause.signal(SIGINT)
            #expect(try pause.wait() == .exited(130))
            try eventually("the pause is undone") { try !isPaused() }
            try client.query("commit")
            #expect(try client.query("select 1").value == "1")
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.single)
    func aConfigurationIsCheckedAndCompared(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let check = ["check", pooler.configurationFile, "--pgsluice", Folder.binary]
            let same = try Self.run(pooler, check)
            #expect(same.status == 0 && same.text.contains("has the same settings"), "\(same)")
            try pooler.rewrite {
                $0.settings["default_pool_size"] = "3"
                $0.settings["max_pools"] = "99"
                $0.databases["third"] = "host=127.0.0.1"
            }
            let changed = try Self.run(pooler, check)
            for line in [
                #"  default_pool_size changes from "20" to "3""#,
                #"  max_pools stays "1024": a restart is needed for "99""#, #"  database "third" is added"#,
            ] { #expect(changed.text.contains(line + "\n"), "\(changed)") }
            #expect(changed.status == 0)
            let reload = try Self.run(pooler, ["reload"])
            #expect(reload.status == 0 && reload.text.contains("default_pool_size changes"), "\(reload)")
            try pooler.rewrite { $0.settings["pool_mode"] = "nonsense" }
            // The file itself does not say any more where the instance is.
            let bad = try Child(
                [Folder.control] + check + ["--control", "\(pooler.folder)/.pgsluice.\(pooler.port)"])
            #expect(try bad.wait() == .exited(1))
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func aShutdownIsWaitedFor(setup: Setup) async throws {
        try await onThread {
            let pooler = try Pooler(setup)
            var client: Connection? = try pooler.connect()
            try client?.query("select 1")
            let shutdown = try Child(
                [Folder.control, "-c", pooler.configurationFile, "shutdown", "--wait-for", "clients"])
            try eventually("no new clients are taken") { (try? pooler.connect()) == nil }
            #expect(shutdown.ending() == nil)
            #expect(try client?.query("select 1").value == "1")
            client = nil
            #expect(try shutdown.wait() == .exited(0))
            #expect(pooler.process.ending() == .exited(0))
            #expect(try Self.run(pooler, ["status"]).status == 3)
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.single)
    func anInstanceThatEndsAtOnceIsWaitedFor(setup: Setup) async throws {
        try await onThread {
            let pooler = try Pooler(setup)
            #expect(try Self.run(pooler, ["shutdown"]).status == 0)
            #expect(pooler.process.ending() == .exited(0))
        }
    }

    /// Goal: the session that has asked for a restart gets its answer from the program that takes over.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func aRestartIsAnswered(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let none = try Self.run(pooler, ["restart", "\(pooler.folder)/none"])
            #expect(none.status == 1 && none.text.contains("none"), "\(none)")
            let restart = try Self.run(pooler, ["restart", Folder.binary])
            #expect(restart.status == 0, "\(restart)")
            #expect(try Self.run(pooler, ["status"]).text.contains("process   \(pooler.process.pid) of"))
            #expect(try pooler.connect().query("select 1").value == "1")
        }
    }

    /// Goal: an instance that hangs does not hang whoever looks at it.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.single.prefix(1))
    func silenceIsNotWaitedForForEver(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            pooler.process.signal(SIGSTOP)
            defer { pooler.process.signal(SIGCONT) }
            let silent = try Self.run(pooler, ["status"])
            #expect(silent.status == 5 && silent.text.contains("does not answer"), "\(silent)")
        }
    }

    /// Only root can show it: who may enter the folder and is neither the instance's user nor root says
    /// nothing there, and root has to say whom it takes for the instance.
    @Test(.enabled(if: Options.isOurs && getuid() == 0), arguments: Setup.single.prefix(1))
    func onlyWhoIsTrustedIsTalkedTo(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let folder = "\(pooler.folder)/.pgsluice.\(pooler.port)"
            let command = "\(Folder.control) status --control \(folder)"
            let stranger = "setpriv --reuid 12345 --clear-groups \(command)"
            func run(_ line: String) throws -> String {
                try Child.output(of: ["/bin/sh", "-c", "\(line) 2>&1; echo status $?"])
            }
            let outside = try run(stranger)
            #expect(outside.contains("cannot look into") && outside.hasSuffix("status 4\n"), "\(outside)")
            for path in [pooler.folder, folder, "\(folder)/.s.PGSQL.\(pooler.port)"] { chmod(path, 0o777) }
            for line in [stranger, command] {
                let text = try run(line)
                #expect(text.contains("nothing was sent to it") && text.hasSuffix("status 4\n"), "\(text)")
            }
            let owner = try #require(Child.account?.name)
            #expect(try run("\(command) --owner \(owner)").hasSuffix("status 0\n"))
        }
    }

    /// Goal: the live view follows keys and the terminal's size, and leaves the terminal as it was.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.single)
    func theLiveViewIsDrawnAndTakenAway(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            try pooler.connect().query("select 1")
            for end in ["q", "\\x03", "TERM"] {
                let output = try Child.run([
                    "/usr/bin/python3", "-c", Self.terminalScript, end, Folder.control, "-c",
                    pooler.configurationFile, "top", "--interval", "0.2",
                ])
                #expect(output == "restored, status 0\n", "\(output)")
            }
            let without = try Self.run(pooler, ["top"])
            #expect(without.status == 2 && without.text.contains("needs a terminal"), "\(without)")
        }
    }

    /// Runs a program on a terminal of its own: how it is to end, then its words.
    private static let terminalScript = """
        import fcntl, os, pty, select, signal, struct, sys, termios
        end, words = sys.argv[1], sys.argv[2:]
        master, slave = pty.openpty()
        def resize(lines, columns):
            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        resize(24, 80)
        before = termios.tcgetattr(slave)
        child = os.fork()
        if child == 0:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            for number in range(3): os.dup2(slave, number)
            os.execv(words[0], words)
        seen = b""
        def expect(text):
            global seen
            while text not in seen:
                if not select.select([master], [], [], 20)[0]: sys.exit("no %r in %r" % (text, seen))
                seen += os.read(master, 65536)
            seen = seen[seen.index(text) + len(text):]
        expect(b"\\x1b[?1049h")
        expect(b"sort: n c w m s x [r] l")
        os.write(master, b"w")
        expect(b"sort: n c [w] m s x r l")
        resize(50, 200)
        expect(b"sorted by waiting   n name")
        if end == "TERM": os.kill(child, signal.SIGTERM)
        else: os.write(master, end.encode().decode("unicode_escape").encode())
        expect(b"\\x1b[?25h\\x1b[?1049l")
        _, status = os.waitpid(child, 0)
        same = termios.tcgetattr(slave) == before
        print("%s, status %d" % ("restored" if same else "not restored", os.waitstatus_to_exitcode(status)))
        """
}
