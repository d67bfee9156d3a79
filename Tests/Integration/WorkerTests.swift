import Glibc
import Testing

/// Workers that come, go, stop and die while clients connect and work.
@Suite struct WorkerTests {
    private static let several = Setup.transaction.filter { $0.workers > 1 }

    /// What becomes of a worker.
    enum Fate: CaseIterable { case stops, isKilled, leaves }

    /// Goal: who has connected and was not accepted by the worker in question is served by another one, in
    /// time; and nobody at all is refused. `Scripts/storm` holds it to 1.5 seconds.
    @Test(.enabled(if: Options.isOurs), arguments: several, Fate.allCases)
    func nobodyWaitsForAWorkerThatIsNotThere(setup: Setup, fate: Fate) async throws {
        let configuration = Configuration(settings: ["max_client_conn": "2000"])
        try await withPooler(setup, configuration) { pooler throws in
            try eventually("all workers are there") { pooler.workers().count == setup.workers }
            let crowd = Crowd(pooler)
            let people = Thread { try crowd.run() }
            var accepted: Set<Int> = []
            for round in 1..<setup.workers {
                let before = crowd.logins.current.count
                let worker = try #require(pooler.workers().sorted().last)
                switch fate {
                case .leaves:
                    try pooler.rewrite { $0.settings["workers"] = "\(setup.workers - round)" }
                    pooler.reload()
                    try eventually("a worker has left") { pooler.workers().count == setup.workers - round }
                case .stops, .isKilled:
                    kill(worker, SIGSTOP)
                    try eventually("it has stopped") {
                        try readFile("/proc/\(worker)/stat").contains(") T ")
                    }
                    accepted.formUnion(try crowd.accepted(by: worker))
                    if fate == .stops {
                        try eventually("it is noticed") {
                            pooler.log.contains("[\(worker)] does not answer")
                        }
                    } else {
                        kill(worker, SIGKILL)
                        try eventually("another takes its place") {
                            pooler.workers().count == setup.workers && !pooler.workers().contains(worker)
                        }
                    }
                }
                try eventually("many have connected since") {
                    crowd.logins.current.count >= before + 100
                }
                if fate == .stops {
                    kill(worker, SIGCONT)
                    try eventually("it goes on") { pooler.log.contains("[\(worker)] answers again") }
                }
            }
            crowd.isOver.with { $0 = true }
            try people.join()
            let logins = crowd.logins.current
            let others = logins.filter { $0.port < 0 || !accepted.contains($0.port) }
            for login in others where login.error != nil {
                // What a Unix socket is called at its other end nobody tells; a few may have been accepted.
                if fate == .isKilled, login.port < 0 { continue }
                Issue.record("\(login)")
            }
            let lost = others.filter { $0.error != nil }.count
            #expect(lost <= 8 * setup.workers)
            let longest = others.filter { $0.error == nil }.map(\.seconds).max() ?? 0
            #expect(longest < Options.longestLogin)
            print(
                "\(setup), a worker \(fate): \(logins.count) logins, the longest \(longest) s; "
                    + "\(accepted.count) accepted before, \(lost) others lost")
        }
    }

    /// Clients with settings and prepared statements of their own notice nothing of workers that come and go.
    @Test(.enabled(if: Options.isOurs), arguments: several)
    func workersComeAndGoUnderLoad(setup: Setup) async throws {
        let configuration = Configuration(settings: ["default_pool_size": "6"])
        try await withPooler(setup, configuration) { pooler throws in
            let isOver = Shared(false)
            let queries = Shared(0)
            let clients = Thread {
                try Thread.concurrently(10) { thread in
                    let client = try pooler.connect()
                    let zone = ["UTC", "Europe/Paris", "Asia/Tokyo"][thread % 3]
                    try client.query("set timezone to '\(zone)'")
                    try client.prepare("mine", "select $1::text || '\(thread)'")
                    try client.prepare("zone", "select current_setting('timezone')")
                    var number = 0
                    while !isOver.current {
                        number += 1
                        #expect(try client.execute("mine", ["\(number)-"]).value == "\(number)-\(thread)")
                        #expect(try client.execute("zone").value == zone)
                        try client.query("begin")
                        let first = try client.query("select pg_backend_pid()").value
                        #expect(try client.query("select pg_backend_pid()").value == first)
                        try client.query("commit")
                        queries.with { $0 += 1 }
                        if thread > 5 { usleep(10_000) }
                    }
                }
            }
            for count in [1, 3, 2, setup.workers] {
                try pooler.rewrite { $0.settings["workers"] = "\(count)" }
                pooler.reload()
                try eventually("there are \(count) workers") { pooler.workers().count == count }
                let before = queries.current
                try eventually("the clients work") { queries.current > before + 50 }
            }
            isOver.with { $0 = true }
            try clients.join()
            #expect(try pooler.show("SERVERS").count <= 6)
        }
    }

    /// The setting is for these tests, and says so to everybody else.
    @Test(.enabled(if: Options.isOurs)) func settingsOfTestsAreRefused() throws {
        let folder = try Folder.shared.make("refused")
        try writeFile(
            "\(folder)/ini",
            "[databases]\n* = host=127.0.0.1\n[pgbouncer]\nunix_socket_dir = \(folder)\n"
                + "test_keep_clients = 1\n"
        )
        do {
            try Child.run([Folder.binary, "--preflight", "\(folder)/ini"])
            Issue.record("it is accepted")
        } catch {
            #expect("\(error)".contains("test_keep_clients is for the tests of this program: remove it"))
        }
    }
}

/// Clients that connect again and again, over TCP and over the Unix socket, and note how long it takes.
private final class Crowd: Sendable {
    /// One login.
    struct Login {
        /// Where it came from; -1 over the Unix socket.
        var port: Int
        var seconds: Double
        var error: String?
    }

    let pooler: Pooler
    let logins = Shared<[Login]>([])
    let isOver = Shared(false)

    init(_ pooler: Pooler) { self.pooler = pooler }

    /// Some five hundred logins a second, if the machine can.
    func run() throws {
        try Thread.concurrently(16) { thread in
            while !self.isOver.current {
                let login = self.logIn(overUnixSocket: thread % 4 == 3)
                self.logins.with { $0.append(login) }
                usleep(25_000)
            }
        }
    }

    private func logIn(overUnixSocket: Bool) -> Login {
        var login = Login(port: -1, seconds: 0)
        let start = now()
        do {
            let connection =
                overUnixSocket
                ? RawConnection(accepted: try connectUnix()) : try RawConnection(port: pooler.port)
            if !overUnixSocket { login.port = connection.localPort }
            try connection.logIn([("user", "app"), ("database", "test")])
        } catch { login.error = "\(error)" }
        login.seconds = now() - start
        return login
    }

    private func connectUnix() throws -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = Array("\(pooler.folder)/.s.PGSQL.\(pooler.port)".utf8)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let result = withUnsafePointer(to: address) {
            connect(descriptor, .init(__sockaddr_un__: $0), socklen_t(MemoryLayout<sockaddr_un>.size))
        }
        guard result == 0 else {
            close(descriptor)
            throw Failure.system("connect to the Unix socket")
        }
        return descriptor
    }

    /// The ports of the clients that a stopped worker has accepted.
    func accepted(by worker: pid_t) throws -> Set<Int> {
        let inodes = SocketTable.inodes(of: worker)
        let sockets = try SocketTable().open(from: pooler.port)
        return Set(sockets.filter { inodes.contains($0.inode) }.map(\.remotePort))
    }
}
