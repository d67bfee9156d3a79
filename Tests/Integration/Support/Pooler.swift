import Glibc

/// What a test changes in the configuration.
struct Configuration: Sendable {
    /// Added to `[pgbouncer]`, over the defaults of the tests.
    var settings: [String: String] = [:]
    /// Lines of `[databases]`: name and connection string. Added to `test` and `second`.
    var databases: [String: String] = [:]
    /// Lines of `[users]`.
    var users: [String: String] = [:]
    /// Lines of `[peers]`.
    var peers: [String: String] = [:]
    /// Lines of the user list, besides those every test has.
    var secrets: [String: String] = [:]
    /// Variables of the program's environment.
    var environment: [String: String] = [:]
    /// The PostgreSQL behind; the shared one when `nil`.
    var postgres: Postgres?
}

/// The program under test, started with a configuration of its own on a free port.
final class Pooler: @unchecked Sendable {
    let setup: Setup
    let port: Int
    let folder: String
    let postgres: Postgres
    let process: Child
    private let configuration: Configuration

    /// Where the clients of a test connect: the pooler, or PostgreSQL itself to check the test.
    private var clientPort: Int { Options.isDirect ? postgres.port : port }
    var configurationFile: String { "\(folder)/pgsluice.ini" }
    private var logFile: String { "\(folder)/log" }

    /// Everything the program has written to its log.
    var log: String { (try? readFile(logFile)) ?? "" }

    /// Starts the program and waits until it accepts connections; on a port that nobody has, or on one that
    /// it shares.
    init(
        _ setup: Setup, _ configuration: Configuration = Configuration(), arguments: [String] = [],
        port shared: Int? = nil
    ) throws {
        self.setup = setup
        self.configuration = configuration
        postgres = configuration.postgres ?? Postgres.shared
        folder = try Folder.shared.make("pooler")
        try Self.writeUsers(configuration.secrets, to: "\(folder)/userlist.txt")
        var started: (port: Int, process: Child)?
        while started == nil {
            let port = try shared ?? freePort()
            let text = Self.text(configuration, setup: setup, port: port, folder: folder, postgres: postgres)
            try writeFile("\(folder)/pgsluice.ini", text)
            let command = [Folder.binary] + arguments + ["\(folder)/pgsluice.ini"]
            let process = try Child(
                command, output: "\(folder)/log",
                environment: configuration.environment.merging(["PGSLUICE_TEST": "1"]) { $1 })
            // The socket in the file system is bound after the port; who comes in between does not find it.
            let usesFolder = text.contains("unix_socket_dir = \(folder)\n")
            let socket = usesFolder ? "\(folder)/.s.PGSQL.\(port)" : nil
            if try Self.accepts(port, socket, process, log: "\(folder)/log") { started = (port, process) }
        }
        (port, process) = started!
    }

    /// Waits until the program accepts connections. False when somebody else has taken the port meanwhile.
    private static func accepts(
        _ port: Int, _ socket: String?, _ process: Child, log: String
    ) throws -> Bool {
        var isTaken = false
        do {
            try eventually("the pooler accepts connections") {
                if let ending = process.ending() { throw Failure("\(ending)") }
                isTaken = try readFile(log).contains("Address already in use")
                if let socket, !RawConnection.canConnect(path: socket), !isTaken { return false }
                return isTaken || RawConnection.canConnect(port: port)
            }
        } catch {
            process.signal(SIGKILL)
            throw Failure("the pooler did not start: \(error)\n\(try readFile(log))")
        }
        guard isTaken else { return true }
        process.signal(SIGKILL)
        try process.wait()
        unlink(log)
        return false
    }

    // MARK: - Configuration

    /// The configuration file for a setup.
    static func text(
        _ configuration: Configuration, setup: Setup, port: Int, folder: String, postgres: Postgres
    ) -> String {
        var settings = [
            "listen_addr": "127.0.0.1", "listen_port": "\(port)", "unix_socket_dir": folder,
            "auth_type": "trust", "auth_file": "\(folder)/userlist.txt", "admin_users": "admin",
            "stats_users": "stats", "pool_mode": setup.mode.rawValue, "server_login_retry": "1",
            "max_client_conn": "500", "max_prepared_statements": "100",
        ]
        if Options.isOurs {
            settings["workers"] = "\(setup.workers)"
            settings["io_backend"] = setup.backend
        }
        settings.merge(configuration.settings) { _, new in new }
        if !Options.isOurs { settings["max_prepared_statements"] = nil }
        // Each worker has its share of the pool, and a session keeps its server: so that two clients always
        // find two servers, wherever they are, there are as many for each worker.
        if setup.mode == .session, let size = Int(settings["default_pool_size"] ?? "") {
            settings["default_pool_size"] = "\(size * setup.workers)"
        }
        let host = "host=127.0.0.1 port=\(postgres.port)"
        var databases = ["test": "\(host) dbname=test", "second": "\(host) dbname=second"]
        databases.merge(configuration.databases) { _, new in new }

        func lines(_ values: [String: String]) -> String {
            values.sorted { $0.key < $1.key }.map { "\($0.key) = \($0.value)\n" }.joined()
        }
        return """
            [databases]
            \(lines(databases))
            [pgbouncer]
            \(lines(settings))
            [users]
            \(lines(configuration.users))
            [peers]
            \(lines(configuration.peers))
            """
    }

    private static func writeUsers(_ secrets: [String: String], to path: String) throws {
        var all = [
            "app": "", "other": "", "postgres": "", "admin": "admin", "stats": "stats", "replicator": "",
            "plain_user": Postgres.password, "md5_user": Postgres.password, "scram_user": Postgres.password,
        ]
        all.merge(secrets) { _, new in new }
        try writeFile(path, all.map { "\"\($0.key)\" \"\($0.value)\"\n" }.joined())
    }

    /// Writes a changed configuration file; nothing reads it before a reload.
    func rewrite(_ change: (inout Configuration) -> Void) throws {
        var changed = configuration
        change(&changed)
        try writeFile(
            configurationFile,
            Self.text(changed, setup: setup, port: port, folder: folder, postgres: postgres))
        try Self.writeUsers(changed.secrets, to: "\(folder)/userlist.txt")
    }

    // MARK: - Connections

    /// A connection through the pooler.
    func connect(
        database: String = "test", user: String = "app", password: String = "",
        _ parameters: [String: String] = [:], afterAnswer: (() throws -> Void)? = nil
    ) throws -> Connection {
        var all = [
            "host": "127.0.0.1", "port": "\(clientPort)", "dbname": database, "user": user,
            "password": password,
        ]
        all.merge(parameters) { _, new in new }
        return try Connection(all, afterAnswer: afterAnswer)
    }

    /// A connection to the console.
    func console(user: String = "admin", tls: Bool = false) throws -> Connection {
        try connect(
            database: "pgbouncer", user: user, password: user, ["sslmode": tls ? "require" : "disable"])
    }

    /// The rows of `SHOW WHAT`, as dictionaries.
    func show(_ what: String, tls: Bool = false) throws -> [[String: String]] {
        try console(tls: tls).query("SHOW \(what)").records
    }

    /// A connection that speaks the protocol by hand, before any startup packet.
    /// - Parameter last: the last number of the loopback address to come from.
    func raw(from last: UInt32 = 1) throws -> RawConnection {
        try RawConnection(port: clientPort, from: last)
    }

    /// A connection that speaks the protocol by hand, logged in.
    func rawLogin(
        database: String = "test", user: String = "app", _ parameters: [(String, String)] = []
    ) throws -> RawConnection {
        let connection = try raw()
        try connection.logIn([("user", user), ("database", database)] + parameters)
        return connection
    }

    /// How many connections of this pooler PostgreSQL has, counted by PostgreSQL. The pooler's connections
    /// are told from those of others by the port they come from.
    func serverCount(where condition: String = "true") throws -> Int {
        let ports = try show("SERVERS").compactMap { $0["local_port"] }.filter { Int($0) ?? 0 > 0 }
        guard !ports.isEmpty else { return 0 }
        let query = """
            select count(*) from pg_stat_activity
            where client_port in (\(ports.joined(separator: ","))) and \(condition)
            """
        return Int(try postgres.ask(query) ?? "") ?? -1
    }

    // MARK: - Processes

    /// The processes of the pooler: the one started and all its children.
    func processes() -> [pid_t] {
        func children(of pid: pid_t) -> [pid_t] {
            let text = (try? readFile("/proc/\(pid)/task/\(pid)/children")) ?? ""
            return text.split(separator: " ").compactMap { pid_t($0) }
        }
        var all = [process.pid]
        var index = 0
        while index < all.count {
            all += children(of: all[index])
            index += 1
        }
        return all
    }

    /// Memory of all processes, shared pages counted once, in bytes.
    func memory() -> Int {
        processes().reduce(0) { total, pid in
            let text = (try? readFile("/proc/\(pid)/smaps_rollup")) ?? ""
            let line = text.split(separator: "\n").first { $0.hasPrefix("Pss:") }
            let kilobytes = line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
            return total + kilobytes * 1_024
        }
    }

    func reload() { process.signal(SIGHUP) }

    /// Runs the body, and stops the program in any case; throws when either does not end well.
    func run(_ body: (Pooler) throws -> Void) throws {
        do {
            try body(self)
        } catch {
            process.signal(SIGKILL)
            _ = try? process.wait()
            throw Failure("\(error)\n  with \(setup); the end of the log:\n\(log.suffix(2_000))")
        }
        try stop()
    }

    /// Stops the program at once and throws when it does not end well or its log speaks of a bug.
    func stop() throws {
        if process.ending() == nil { process.signal(Options.isOurs ? SIGQUIT : SIGTERM) }
        let ending = try process.wait()
        guard ending == .exited(0) || !Options.isOurs else {
            throw Failure("the pooler ended with \(ending): \(log.suffix(3_000))")
        }
        try checkLog()
    }

    /// Throws when the log speaks of a crash or of the wrong-reply firewall.
    func checkLog() throws {
        for sign in ["Fatal error", "*** ", "Illegal instruction", "firewall", "AddressSanitizer"] {
            guard !log.contains(sign) else {
                throw Failure("the log speaks of \(sign): \(log.suffix(5_000))")
            }
        }
    }
}

/// Runs a test with a pooler of its own, on a thread that may block, and checks that the pooler ends well.
func withPooler(
    _ setup: Setup, _ configuration: Configuration = Configuration(), arguments: [String] = [],
    _ body: (Pooler) throws -> Void
) async throws {
    try await onThread { try Pooler(setup, configuration, arguments: arguments).run(body) }
}

/// Runs a test on a thread that may block.
func onThread(_ body: () throws -> Void) async throws {
    try await withTaskExecutorPreference(BlockingThreads.shared) { try body() }
}
