import BenchmarkSupport
import FuzzSupport
import Glibc

/// The program under test, in a folder and on a port of its own. As root it is run as an unprivileged user.
final class Pooler {
    /// What is different from one phase to the next.
    struct Settings {
        var workers: Int
        var backend: String
        var authentication: String
        var others: [String]
        /// Lines of `[databases]`.
        var databases: [String]
    }

    let port: Int
    private let folder: String
    private let process: pid_t
    private var workers: [pid_t] = []
    private var hasEnded = false

    private static let account: (user: uid_t, group: gid_t)? = {
        guard getuid() == 0 else { return nil }
        for name in ["postgres", "nobody"] {
            if let entry = getpwnam(name) { return (entry.pointee.pw_uid, entry.pointee.pw_gid) }
        }
        stop("neither of the users postgres and nobody exists; run as an unprivileged user")
    }()

    init(binary: String, _ settings: Settings) {
        let pattern = Array("/tmp/pgsluice-fuzz.XXXXXX".utf8CString)
        folder = pattern.withUnsafeBufferPointer { source in
            var name = Array(source)
            guard mkdtemp(&name) != nil else { fail("mkdtemp") }
            return String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        let probe = Socket.listen(on: .internet("127.0.0.1", 0))
        port = Int(Socket.port(of: probe))
        close(probe)
        let program = "\(folder)/pgsluice"
        Pooler.write(Pooler.read(binary), to: program, mode: 0o755)
        let users = ["alice", "admin", "stats"].map { "\"\($0)\" \"\(FakePostgres.password)\"\n" }
        let scram = "\"scram\" \"\(FakePostgres.storedPassword)\"\n"
        Pooler.write(Array((users.joined() + scram).utf8), to: "\(folder)/users")
        Pooler.write(Array(Pooler.text(settings, port, folder).utf8), to: "\(folder)/pgsluice.ini")
        if let account = Pooler.account { chown(folder, account.user, account.group) }
        process = Pooler.start([program, "\(folder)/pgsluice.ini"], log: "\(folder)/log")
        waitUntilUp()
        // It never reads itself again, and so it is not left lying about when this program is interrupted.
        unlink(program)
    }

    private static func text(_ settings: Settings, _ port: Int, _ folder: String) -> String {
        """
        [databases]
        \(settings.databases.joined(separator: "\n"))
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = \(port)
        unix_socket_dir =
        auth_type = \(settings.authentication)
        auth_file = \(folder)/users
        admin_users = admin
        stats_users = stats
        workers = \(settings.workers)
        io_backend = \(settings.backend)
        pool_mode = transaction
        max_client_conn = 4000
        server_login_retry = 0.1
        server_tls_sslmode = disable
        query_wait_notify = 0
        log_connections = 0
        log_disconnections = 0
        \(settings.others.joined(separator: "\n"))
        """ + "\n"
    }

    private func waitUntilUp() {
        let deadline = now() + 20
        while now() < deadline {
            let log = self.log
            if log.contains("Address already in use") || hasExited() { break }
            workers = children()
            if log.contains("process up") || log.contains("is up"), !workers.isEmpty { return }
            usleep(20_000)
        }
        stop("pgsluice does not start: \(log.suffix(2_000))")
    }

    // MARK: Looking

    /// Its log.
    var log: String { String(decoding: Pooler.read("\(folder)/log"), as: UTF8.self) }

    /// What is wrong with its processes; `nil` when nothing is.
    func problem() -> String? {
        if hasExited() { return "pgsluice has ended" }
        let there = children()
        let missing = workers.filter { !there.contains($0) }
        return missing.isEmpty ? nil : "these processes have died: \(missing)"
    }

    /// What its log says that it should not.
    func confession() -> String? {
        let signs = [
            "fatal error", "precondition", "assertion", "illegal instruction", "killed by", "core dumped",
            "has died", "panic", "sanitizer",
        ]
        for line in log.split(separator: "\n") {
            let lower = line.lowercased()
            if signs.contains(where: { lower.contains($0) }) { return String(line) }
        }
        return nil
    }

    /// Memory of all its processes, in KiB.
    func memory() -> Int {
        children().reduce(0) { total, pid in
            let text = String(decoding: Pooler.read("/proc/\(pid)/status"), as: UTF8.self)
            let line = text.split(separator: "\n").first { $0.hasPrefix("RssAnon:") }
            return total
                + (line?.split { $0 == " " || $0 == "\t" }.dropFirst().first.flatMap { Int($0) } ?? 0)
        }
    }

    private func children() -> [pid_t] {
        String(decoding: Pooler.read("/proc/\(process)/task/\(process)/children"), as: UTF8.self)
            .split(separator: " ").compactMap { pid_t($0) }
    }

    private func hasExited() -> Bool {
        var status: Int32 = 0
        if !hasEnded, waitpid(process, &status, WNOHANG) == process { hasEnded = true }
        return hasEnded
    }

    /// Has it read its configuration again.
    func reload() { if !hasEnded { kill(process, SIGHUP) } }

    // MARK: Ending

    /// Stops it and removes its folder; the folder stays when `keeps`.
    func end(keeps: Bool) -> String? {
        var problem: String?
        if !hasExited() {
            kill(process, SIGQUIT)
            let deadline = now() + 10
            while !hasExited(), now() < deadline { usleep(10_000) }
            if !hasExited() {
                problem = "pgsluice does not end"
                kill(process, SIGKILL)
                while !hasExited() { usleep(10_000) }
            }
        }
        unlink("\(folder)/users")
        if keeps {
            complain("fuzz: configuration and log are in \(folder)")
        } else {
            for name in ["pgsluice.ini", "log"] { unlink("\(folder)/\(name)") }
            rmdir(folder)
        }
        return problem
    }

    // MARK: The system

    private static func start(_ command: [String], log: String) -> pid_t {
        var arguments = ["setpriv", "--pdeathsig", "KILL"]
        if let account {
            arguments += ["--reuid", "\(account.user)", "--regid", "\(account.group)", "--clear-groups"]
        }
        arguments += ["--"] + command
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        posix_spawn_file_actions_addchdir_np(&actions, "/")
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var pid = pid_t()
        let result = posix_spawnp(&pid, arguments[0], &actions, nil, &argv, environ)
        for argument in argv { free(argument) }
        guard result == 0 else { stop("cannot start setpriv: \(String(cString: strerror(result)))") }
        return pid
    }

    private static func read(_ path: String) -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return [] }
        defer { close(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Glibc.read(file, &buffer, buffer.count)
            guard count > 0 else { return bytes }
            bytes += buffer[..<count]
        }
    }

    private static func write(_ bytes: [UInt8], to path: String, mode: mode_t = 0o644) {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        guard file >= 0 else { fail("open \(path)") }
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(file, $0.baseAddress! + offset, $0.count - offset)
            }
            guard count > 0 else { fail("write \(path)") }
            offset += count
        }
        close(file)
    }
}
