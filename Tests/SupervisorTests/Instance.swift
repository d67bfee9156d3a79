import Glibc
import Synchronization
import System
import Testing

struct TestFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

func eventually(
    _ what: String, within seconds: Double = 10, _ condition: () throws -> Bool
) throws {
    let end = Clock.monotonicNanoseconds + UInt64(seconds * 1e9)
    while try !condition() {
        guard Clock.monotonicNanoseconds < end else { throw TestFailure("not in \(seconds) s: \(what)") }
        usleep(5_000)
    }
}

/// A supervisor of our own with workers that do what they are told, in a folder of its own.
final class Instance {
    let folder: String
    let port: UInt16
    private(set) var process: Int32 = 0
    private var ending: Process.Ending?

    var file: String { "\(folder)/pgsluice.ini" }
    var pidFile: String { "\(folder)/pid" }
    var unixSocket: String { "\(folder)/.s.PGSQL.\(port)" }
    var controlFolder: String { "\(folder)/.pgsluice.\(port)" }
    var controlSocket: String { "\(controlFolder)/.s.PGSQL.\(port)" }
    var log: String {
        (try? FileSystem.read("\(folder)/log")).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    static var host: String {
        let own = FileSystem.linkTarget("/proc/self/exe") ?? ""
        return own.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/SupervisorHost"
    }

    /// Prepares the folder and starts unless told not to.
    init(_ settings: String = "", workers: Int = 2, start: Bool = true) throws {
        var template = Array("/tmp/pgsluice-supervisor.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw TestFailure("no folder") }
        folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        chmod(folder, 0o777)
        port = try Instance.freePort()
        try write(settings, workers: workers)
        if start { try self.start() }
    }

    deinit {
        if process > 0, ending == nil {
            kill(process, SIGKILL)
            _ = Process.wait(for: process)
        }
        // Workers end by themselves when the supervisor is gone.
        for name in [
            "log", "pgsluice.ini", "pid", "userlist.txt", ".s.PGSQL.\(port)", "notify", "pgsluice.ini.crash",
        ] {
            try? FileSystem.remove("\(folder)/\(name)")
        }
        try? FileSystem.remove(controlSocket)
        rmdir(controlFolder)
        rmdir(folder)
    }

    func write(_ settings: String, workers: Int = 2) throws {
        let text = """
            [databases]
            * = host=127.0.0.1
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = \(port)
            unix_socket_dir = \(folder)
            pidfile = \(pidFile)
            auth_type = trust
            auth_file = \(folder)/userlist.txt
            server_tls_sslmode = disable
            workers = \(workers)
            \(settings)

            """
        try? FileSystem.remove(file)
        try? FileSystem.remove("\(folder)/userlist.txt")
        try FileSystem.create("\(folder)/userlist.txt", Array("\"app\" \"\"\n".utf8), mode: 0o644)
        try FileSystem.create(file, Array(text.utf8), mode: 0o644)
    }

    /// Starts the program and waits until all workers are ready, or until it ends when it is expected to.
    func start(
        _ arguments: [String] = [], environment: [String] = [], output: Int32? = nil, script: String? = nil,
        passed: Int32? = nil, waits: Bool = true
    ) throws {
        var words = [Instance.host]
        if geteuid() == 0 { words += ["-u", "nobody"] }
        words += arguments + [file]
        if let script { words = ["/bin/sh", "-c", script, "sh"] + words }
        ending = nil
        process = try spawn(words, environment, output, passed)
        guard waits else { return }
        try eventually("the workers are ready: \(log)") {
            if let ending = end() { throw TestFailure("the supervisor \(ending): \(log)") }
            return output != nil ? canConnect() : log.contains("process up")
        }
    }

    private func spawn(
        _ words: [String], _ environment: [String], _ output: Int32?, _ passed: Int32?
    ) throws -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        if let output {
            posix_spawn_file_actions_adddup2(&actions, output, 1)
        } else {
            posix_spawn_file_actions_addopen(
                &actions, 1, "\(folder)/log", O_WRONLY | O_CREAT | O_APPEND, 0o666)
        }
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        if let passed { posix_spawn_file_actions_adddup2(&actions, passed, 3) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var variables = environment
        if let path = Process.environment("LD_LIBRARY_PATH") { variables.append("LD_LIBRARY_PATH=\(path)") }
        var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = variables.map { strdup($0) } + [nil]
        defer { (argv + envp).forEach { free($0) } }
        var pid = pid_t()
        let result = posix_spawn(&pid, words[0], &actions, &attributes, &argv, &envp)
        guard result == 0 else { throw TestFailure("cannot start \(words[0]): \(Errno(result))") }
        return pid
    }

    /// How the program ended, if it has.
    func end() -> Process.Ending? {
        if ending == nil { ending = Process.reap(process) }
        return ending
    }

    func waitForEnd(within seconds: Double = 10) throws -> Process.Ending {
        try eventually("the program ends: \(log)", within: seconds) { end() != nil }
        return ending!
    }

    func send(_ signal: Int32) { Process.send(signal, to: process) }

    func waitForLog(_ text: String, count: Int = 1) throws {
        try eventually("the log says \(text): \(log)") { log.split(separator: text).count > count }
    }

    // MARK: Clients

    /// A connection to some worker; the caller's.
    func connect() throws -> Int32 {
        let descriptor = try Socket.open(.ipv4)
        do { try Socket.connect(descriptor, to: SocketAddress(host: "127.0.0.1", port: port)!) } catch {
            Descriptors.close(descriptor)
            throw error
        }
        return descriptor
    }

    func canConnect() -> Bool {
        guard let descriptor = try? connect() else { return false }
        Descriptors.close(descriptor)
        return true
    }

    /// What a worker answers to a command on this connection.
    func ask(_ command: String, on descriptor: Int32) throws -> String {
        try Descriptors.writeAll(descriptor, Array((command + "\n").utf8))
        var text = ""
        while !text.hasSuffix("\n") {
            let ready = Poll.wait([Poll.Interest(descriptor, .read)], milliseconds: 10_000)
            guard ready[0].canRead, let bytes = try Descriptors.read(descriptor, limit: 65536), !bytes.isEmpty
            else { break }
            text += String(decoding: bytes, as: UTF8.self)
        }
        return String(text.dropLast())
    }

    /// What some worker answers.
    func ask(_ command: String) throws -> String {
        let descriptor = try connect()
        defer { Descriptors.close(descriptor) }
        return try ask(command, on: descriptor)
    }

    /// A connection to the worker with this index.
    func connect(worker index: Int) throws -> Int32 {
        for _ in 0..<500 {
            let descriptor = try connect()
            if try ask("index", on: descriptor) == String(index) { return descriptor }
            Descriptors.close(descriptor)
        }
        throw TestFailure("worker \(index) never accepts")
    }

    func ask(_ command: String, worker index: Int) throws -> String {
        let descriptor = try connect(worker: index)
        defer { Descriptors.close(descriptor) }
        return try ask(command, on: descriptor)
    }

    /// A port that nobody has and no other test of this process was given.
    static func freePort() throws -> UInt16 {
        while true {
            let listener = try Listener.open(SocketAddress(host: "127.0.0.1", port: 0)!)
            defer { Descriptors.close(listener) }
            let port = Socket.localAddress(of: listener)!.port
            if usedPorts.withLock({ $0.insert(port).inserted }) { return port }
        }
    }

    private static let usedPorts = Mutex<Set<UInt16>>([])
}
