import Glibc

/// A process that the tests started. Where the tests run as root it is one of an unprivileged user, because
/// neither PostgreSQL nor the pooler runs as root.
final class Child: @unchecked Sendable {
    let pid: pid_t
    private var ended: Ending?

    /// How a process ended.
    enum Ending: Equatable { case exited(Int32), killed(signal: Int32) }

    /// The account that children run under when the tests run as root.
    static let account: (name: String, user: uid_t, group: gid_t)? = {
        guard getuid() == 0 else { return nil }
        for name in ["postgres", "nobody"] {
            if let entry = getpwnam(name) { return (name, entry.pointee.pw_uid, entry.pointee.pw_gid) }
        }
        preconditionFailure("neither postgres nor nobody exists; run Scripts/install-dependencies")
    }()

    /// Starts `arguments[0]` with its standard input from nowhere and its output appended to a file.
    init(_ arguments: [String], output: String = "/dev/null", environment: [String: String] = [:]) throws {
        var arguments = arguments
        if let account = Self.account {
            arguments =
                [
                    "setpriv", "--reuid", "\(account.user)", "--regid", "\(account.group)", "--clear-groups",
                    "--",
                ]
                + arguments
        }
        pid = try Self.spawn(arguments, output: output, environment: environment)
        Leash.shared.add(pid)
    }

    /// The ending, if the process has ended.
    func ending() -> Ending? {
        if let ended { return ended }
        var status: Int32 = 0
        guard waitpid(pid, &status, WNOHANG) == pid else { return nil }
        let signal = status & 0x7f
        ended = signal == 0 ? .exited((status >> 8) & 0xff) : .killed(signal: signal)
        Leash.shared.remove(pid)
        return ended
    }

    func signal(_ number: Int32) { if ending() == nil { kill(pid, number) } }

    /// Waits for the end; kills the process and throws when it takes longer than `seconds`.
    @discardableResult
    func wait(_ seconds: Double = Options.patience) throws -> Ending {
        let deadline = now() + seconds
        while true {
            if let ending = ending() { return ending }
            if now() > deadline {
                kill(pid, SIGKILL)
                while ending() == nil { usleep(1_000) }
                throw Failure("process \(pid) did not end in \(seconds) s")
            }
            usleep(2_000)
        }
    }

    /// Runs a program to its end, as the unprivileged user, and returns what it printed (both streams).
    /// Throws when its exit status is not 0.
    @discardableResult
    static func run(
        _ arguments: [String], environment: [String: String] = [:], within seconds: Double = 60
    ) throws -> String {
        let file = Folder.shared.path("output-\(unique())")
        let child = try Child(arguments, output: file, environment: environment)
        let ending = try child.wait(seconds)
        let output = try readFile(file)
        unlink(file)
        guard ending == .exited(0) else {
            throw Failure("\(arguments.joined(separator: " ")): \(ending)\n\(output)")
        }
        return output
    }

    /// What a program prints, run as ourselves.
    static func output(of arguments: [String]) throws -> String {
        let file = "/tmp/pgsluice-output-\(getpid())-\(unique())"
        defer { unlink(file) }
        let pid = try spawn(arguments, output: file, environment: [:])
        var status: Int32 = 0
        while waitpid(pid, &status, 0) == -1 && errno == EINTR {}
        guard status == 0 else { throw Failure("\(arguments): status \(status)") }
        return try readFile(file)
    }

    private static func spawn(
        _ arguments: [String], output: String, environment extra: [String: String]
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        if arguments[0] == "setpriv" { posix_spawn_file_actions_addchdir_np(&actions, "/") }

        // Threads of this process may block signals; a child starts with none blocked, in a group of its own.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))

        var variables = extra
        for name in ["PATH", "LD_LIBRARY_PATH", "LANG"] where variables[name] == nil {
            if let value = getenv(name) { variables[name] = String(cString: value) }
        }
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { (argv + envp).forEach { free($0) } }
        var pid = pid_t()
        let result = posix_spawnp(&pid, arguments[0], &actions, &attributes, &argv, &envp)
        guard result == 0 else {
            throw Failure("cannot start \(arguments[0]): \(String(cString: strerror(result)))")
        }
        return pid
    }
}

/// Ends what the tests started when they themselves end, however that happens: a small shell reads the pids
/// of our children from a pipe, and when the pipe closes it kills those that are left and removes our
/// folder.
final class Leash: @unchecked Sendable {
    static let shared = Leash()

    private let pipeEnd: Int32

    private init() {
        var ends: [Int32] = [0, 0]
        precondition(pipe2(&ends, O_CLOEXEC) == 0, "no pipe to be had")
        pipeEnd = ends[1]
        let script = """
            trap '' INT TERM HUP
            declare -A running
            while read -r verb argument; do
                case $verb in
                    add) running[$argument]=1 ;;
                    remove) unset "running[$argument]" ;;
                    folder) folder=$argument ;;
                esac
            done
            for pid in "${!running[@]}"; do kill -QUIT "$pid"; done 2>/dev/null
            for _ in {1..50}; do
                alive=no
                for pid in "${!running[@]}"; do
                    kill -0 "$pid" 2>/dev/null && alive=yes
                done
                [[ $alive == yes ]] || break
                sleep 0.1
            done
            for pid in "${!running[@]}"; do kill -KILL "$pid"; done 2>/dev/null
            [[ $folder == /tmp/pgsluice-test.* ]] && rm -rf "$folder"
            exit 0
            """
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, ends[0], 0)
        // Whoever waits for the end of our output is not to wait for this shell.
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        let arguments = ["bash", "-c", script]
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var pid = pid_t()
        let result = posix_spawnp(&pid, "bash", &actions, &attributes, &argv, environ)
        precondition(result == 0, "no bash to be had")
        close(ends[0])
    }

    func add(_ pid: pid_t) { tell("add \(pid)") }
    func remove(_ pid: pid_t) { tell("remove \(pid)") }
    func own(folder: String) { tell("folder \(folder)") }

    private func tell(_ line: String) { _ = (line + "\n").withCString { write(pipeEnd, $0, strlen($0)) } }
}
