import Glibc

/// What the limits of the storm's pooler are, each such that somebody wants more.
enum StormLimits {
    static let pool = 5
    static let reserve = 2
    static let clients = 48
    /// Servers and clients by database and by user.
    static let servers = ["database alpha": 8, "database beta": 6, "user app": 9, "user other": 8]
    static let clientsOf = ["database alpha": 34, "database beta": 26, "user app": 34, "user other": 30]
    static let databases = ["alpha", "beta"]
    static let users = ["app", "other"]
    /// Each database is reached at an address of its own, so that sockets tell whose they are.
    static let addresses = ["alpha": "127.0.0.1", "beta": "127.0.0.2"]

    static func configuration(_ postgres: Postgres) -> Configuration {
        var configuration = Configuration(settings: [
            "default_pool_size": "\(pool)", "reserve_pool_size": "\(reserve)",
            "reserve_pool_timeout": "0.1", "max_client_conn": "\(clients)", "query_wait_timeout": "120",
            "server_idle_timeout": "2", "server_lifetime": "3", "client_login_timeout": "120",
        ])
        for name in databases {
            configuration.databases[name] = """
                host=\(addresses[name]!) port=\(postgres.port) dbname=\(name) \
                max_db_connections=\(servers["database \(name)"]!) \
                max_db_client_connections=\(clientsOf["database \(name)"]!)
                """
        }
        for name in users {
            configuration.users[name] = """
                max_user_connections=\(servers["user \(name)"]!) \
                max_user_client_connections=\(clientsOf["user \(name)"]!)
                """
        }
        configuration.postgres = postgres
        return configuration
    }
}

/// A worker that was killed, and what it had.
struct StormKill: Sendable {
    var time: Double
    var process: pid_t
    /// Ports of its clients and of its connections to PostgreSQL.
    var clientPorts: Set<Int>
    var serverPorts: Set<Int>
    /// Ports of clients that had been accepted and passed on to some worker, which had not received them.
    var passedPorts: Set<Int>
    var hadLock: Bool
}

/// What has happened so far; counts, and what must not be.
struct StormTally: Sendable {
    var logins = 0
    var refusals = 0
    var transactions = 0
    /// Connections that broke because their worker was killed.
    var lost = 0
    /// Connections that broke on their way to a worker that was killed.
    var lostOnTheWay = 0
    var longestLogin = 0.0
    var samples = 0
    var unstableSamples = 0
    var serverSamples = 0
    /// The most there ever was, by limit.
    var peaks: [String: Int] = [:]
    /// The longest that PostgreSQL kept a connection whose other end was gone.
    var longestOrphan = 0.0
    /// The longest that the kernel kept a socket of a killed worker open.
    var longestAfterKill = 0.0
    /// Samples with more open sockets than the limit, and the longest unbroken time of it.
    var socketExcesses = 0
    var longestSocketExcess = 0.0
    var recoveries = 0
    var errors: [String] = []

    mutating func peak(_ name: String, _ value: Int) { peaks[name] = max(peaks[name] ?? 0, value) }

    /// Counts a value that may not exceed its limit.
    mutating func check(_ name: String, _ value: Int, limit: Int) {
        peak(name, value)
        if value > limit { complain("\(name): \(value) of \(limit)") }
    }

    mutating func complain(_ text: String) { if errors.count < 50 { errors.append(text) } }
}

/// Clients of all kinds at work, while workers are killed and every limit is watched.
final class Storm: @unchecked Sendable {
    let pooler: Pooler
    let tally = Shared(StormTally())
    let kills = Shared<[StormKill]>([])
    let isOver = Shared(false)
    /// Workers that ever were.
    let workers = Shared<Set<pid_t>>([])
    /// Runs of pgbench that are under way, and how many of their clients killed workers had.
    private let benches = Shared<[pid_t: Int]>([:])
    private let ledger: LedgerView

    init(_ pooler: Pooler) throws {
        self.pooler = pooler
        ledger = try LedgerView(
            supervisor: pooler.process.pid, databases: StormLimits.databases, users: StormLimits.users)
    }

    /// Lets everybody loose for so many seconds.
    func run(seconds: Double) throws {
        var threads = [Thread { try self.watchLedger() }, Thread { try self.watchPostgres() }]
        for number in 0..<22 {
            threads.append(Thread { try self.beSteady(number, number % 2, number / 2 % 2) })
        }
        for number in 0..<4 { threads.append(Thread { try self.logInAndOut(number) }) }
        threads.append(Thread { try self.bench("alpha", "app", "simple") })
        threads.append(Thread { try self.bench("beta", "other", "prepared") })
        let start = now()
        let killer = Thread { try self.killWorkers(from: start) }
        usleep(UInt32(seconds * 1e6))
        isOver.with { $0 = true }
        try killer.join()
        for thread in threads { try thread.join() }
    }

    // MARK: Clients

    /// Connects, does some transactions, and again.
    private func beSteady(_ number: Int, _ database: Int, _ user: Int) throws {
        var count = 0
        while !isOver.current {
            try withClient(StormLimits.databases[database], StormLimits.users[user]) { client in
                for round in 0..<150 where !isOver.current {
                    count += 1
                    let value = "\(number)-\(count)"
                    if round % 10 == 0 {
                        try expect(client, "begin", nil)
                        try expect(client, "select '\(value)' from pg_sleep(0.002)", value)
                        try expect(client, "commit", nil)
                    } else {
                        try expect(client, "select '\(value)'", value)
                    }
                    tally.with { $0.transactions += 1 }
                }
            }
        }
    }

    /// Connects several times at once, asks one thing, and goes.
    private func logInAndOut(_ number: Int) throws {
        var count = 0
        while !isOver.current {
            try Thread.concurrently(6) { index in
                let (database, user) = (StormLimits.databases[index % 2], StormLimits.users[index / 2 % 2])
                try self.withClient(database, user) { client in
                    try self.expect(client, "select '\(number)/\(index)'", "\(number)/\(index)")
                    self.tally.with { $0.transactions += 1 }
                    usleep(20_000)
                }
            }
            count += 1
            usleep(30_000)
        }
    }

    private func expect(_ client: RawConnection, _ query: String, _ value: String?) throws {
        let messages = try client.query(query)
        if let error = messages.first(where: { $0.type == "E" }) { throw Failure("\(query): \(error)") }
        guard let value else { return }
        let row = messages.first { $0.type == "D" }
        guard row?.body.dropFirst(6).elementsEqual(value.utf8) == true else {
            throw Failure("\(query) was answered with \(messages)")
        }
    }

    /// Runs the body with a client; what goes wrong has to be the killed worker's fault, or a limit's.
    private func withClient(
        _ database: String, _ user: String, _ body: (RawConnection) throws -> Void
    ) throws {
        let began = now()
        let client = try pooler.raw()
        let port = client.localPort
        var isLoggedIn = false
        do {
            try client.logIn([("user", user), ("database", database)])
            isLoggedIn = true
            tally.with {
                $0.logins += 1
                $0.longestLogin = max($0.longestLogin, now() - began)
            }
            try body(client)
            try client.send(Bytes.terminate)
        } catch let failure as Failure {
            let text = failure.description
            let isRefusal =
                text.contains("no more connections allowed")
                || text.contains("client connections exceeded")
            let since = kills.current.filter { $0.time >= began }
            let isLost = since.contains { $0.clientPorts.contains(port) }
            let isLostOnTheWay =
                !isLoggedIn && !isRefusal
                && (since.contains { $0.passedPorts.contains(port) } || hasJustKilled)
            tally.with {
                if isLost {
                    $0.lost += 1
                } else if isLostOnTheWay {
                    $0.lostOnTheWay += 1
                } else if isRefusal {
                    $0.refusals += 1
                } else {
                    $0.complain(
                        """
                        client of \(database)/\(user), which no killed worker had, \(now() - began) s \
                        old, after \(since.count) kills: \(text)
                        """)
                }
            }
            if isRefusal { usleep(20_000) }
        }
    }

    /// Whether a connection that breaks now may have been passed on to a worker that was just being killed:
    /// until its end is noticed it counts as one that serves.
    private var hasJustKilled: Bool { kills.current.contains { (0..<0.3).contains(now() - $0.time) } }

    /// Runs pgbench over and over.
    private func bench(_ database: String, _ user: String, _ protocolName: String) throws {
        while !isOver.current {
            let file = Folder.shared.path("bench-\(unique())")
            let child = try Child(
                [
                    "\(Postgres.tools)/pgbench", "-n", "-S", "-M", protocolName, "-c", "4", "-T", "2",
                    "-h", "127.0.0.1", "-p", "\(pooler.port)", "-U", user, database,
                ], output: file)
            benches.with { $0[child.pid] = 0 }
            let ending = try child.wait(120)
            let hasJustKilled = hasJustKilled
            let lost = benches.with { $0.removeValue(forKey: child.pid) ?? 0 }
            let output = try readFile(file)
            unlink(file)
            let lines = output.split(separator: "\n")
            let processed = lines.first { $0.contains("actually processed") }?.split(separator: " ").last
            let aborted = lines.filter { $0.contains("aborted") && $0.contains("client") }.count
            let isRefused = output.contains("no more connections") || output.contains("connections exceeded")
            let isLostOnTheWay =
                hasJustKilled && !isRefused && output.contains("connection to server at")
            tally.with {
                $0.transactions += Int(processed ?? "") ?? 0
                $0.logins += ending == .exited(0) ? 4 : 0
                $0.lost += lost
                if isRefused { $0.refusals += 1 }
                if isLostOnTheWay { $0.lostOnTheWay += 1 }
                if aborted > lost || ending != .exited(0) && lost == 0 && !isRefused && !isLostOnTheWay {
                    $0.complain("pgbench lost \(aborted) clients, killed workers had \(lost): \(output)")
                }
            }
        }
    }

    // MARK: Kills

    private func killWorkers(from start: Double) throws {
        let sockets = try SocketTable()
        var round = 0
        while !isOver.current {
            round += 1
            let wait = start + Double(round) - now()
            if wait > 0 { usleep(UInt32(wait * 1e6)) }
            let running = pooler.workers()
            workers.with { $0.formUnion(running) }
            guard !isOver.current, let victim = running.randomElement() else { continue }
            guard stop(victim) else { continue }
            // It stands where the kill would have struck; so what it has can be written down first.
            if round % 4 == 0 { try seekLock(victim) }
            let kill = StormKill(
                time: now(), process: victim, clientPorts: try ports(of: victim, sockets, from: pooler.port),
                serverPorts: try ports(of: victim, sockets, to: pooler.postgres.port),
                passedPorts: try portsOnTheWay(sockets), hadLock: try ledger.lockHolder() == victim)
            for bench in benches.current.keys {
                let theirs = try ports(of: bench, sockets, to: pooler.port)
                let lost = theirs.intersection(kill.clientPorts.union(kill.passedPorts))
                benches.with { $0[bench]? += lost.count }
            }
            kills.with { $0.append(kill) }
            Glibc.kill(victim, SIGKILL)
        }
    }

    /// The ports that tell a process's connections from or to a port from all others.
    private func ports(
        of process: pid_t, _ table: SocketTable, from local: Int = 0, to remote: Int = 0
    ) throws -> Set<Int> {
        let inodes = SocketTable.inodes(of: process)
        let own = try table.open(from: local, to: remote).filter { inodes.contains($0.inode) }
        return Set(own.map { local > 0 ? $0.remotePort : $0.localPort })
    }

    /// Ports of clients whose connections no process of the pooler has, though they have been accepted.
    private func portsOnTheWay(_ table: SocketTable) throws -> Set<Int> {
        let accepted = try table.open(from: pooler.port).filter { $0.inode != 0 }
        let owned = pooler.processes().reduce(into: Set<Int>()) { $0.formUnion(SocketTable.inodes(of: $1)) }
        return Set(accepted.filter { !owned.contains($0.inode) }.map(\.remotePort))
    }

    /// Stops a process and waits until it stands; false when it has gone.
    private func stop(_ process: pid_t) -> Bool {
        guard kill(process, SIGSTOP) == 0 else { return false }
        while let state = try? readFile("/proc/\(process)/stat") {
            let letter = state.drop { $0 != ")" }.dropFirst(2).first
            if letter == "T" { return true }
            if letter == "Z" || letter == "X" { return false }
            sched_yield()
        }
        return false
    }

    /// Tries to have a process stop while it holds the ledger's lock, for a short time; meanwhile clients
    /// come and go as fast as they can, because that is what it is held for.
    private func seekLock(_ process: pid_t) throws {
        let deadline = now() + 0.7
        let isSought = Shared(true)
        let crowd = Thread {
            let startup = Bytes.startup([("user", "app"), ("database", "alpha")])
            while isSought.current {
                guard let client = try? self.pooler.raw() else { return }
                try? client.send(startup)
                client.reset()
            }
        }
        while try ledger.lockHolder() != process, now() < deadline {
            kill(process, SIGCONT)
            for _ in 0..<Int.random(in: 1..<200) where try ledger.lockHolder() == process { break }
            guard stop(process) else { break }
        }
        isSought.with { $0 = false }
        try crowd.join()
    }

    // MARK: Watching

    /// Looks at the ledger and at the open sockets every 10 ms.
    private func watchLedger() throws {
        let sockets = try SocketTable()
        let excessSince = Shared<[String: Double]>([:])
        var faultySince: Double?
        while !isOver.current {
            let (sample, isStable) = try ledger.sample()
            let open = try sockets.open(to: pooler.postgres.port)
            let time = now()
            let isFaulty = isStable && !sample.faults.isEmpty
            faultySince = isFaulty ? faultySince ?? time : nil
            tally.with { tally in
                tally.samples += 1
                tally.unstableSamples += isStable ? 0 : 1
                tally.recoveries = sample.recoveries
                check(sample, &tally)
                // Between a death and the next who takes the lock totals may differ from rows.
                if let since = faultySince, time - since > 1 {
                    tally.complain("for \(time - since) s: \(sample.faults)")
                }
                check(open, time, excessSince, &tally)
            }
            usleep(10_000)
        }
    }

    private func check(_ sample: LedgerSample, _ tally: inout StormTally) {
        tally.check("clients", sample.clients, limit: StormLimits.clients)
        for pool in sample.pools {
            tally.check(
                "pool \(pool.database)/\(pool.user)", pool.servers,
                limit: StormLimits.pool + StormLimits.reserve)
        }
        for name in sample.names {
            guard let servers = StormLimits.servers[name.name] else { continue }
            tally.check("servers of \(name.name)", name.servers, limit: servers)
            tally.check("clients of \(name.name)", name.clients, limit: StormLimits.clientsOf[name.name]!)
        }
    }

    /// Sockets that no killed worker had.
    private func living(_ sockets: [TCPSocket], _ time: Double) -> [TCPSocket] {
        var dead: Set<Int> = []
        for kill in kills.current where time - kill.time < 2 { dead.formUnion(kill.serverPorts) }
        return sockets.filter { !dead.contains($0.localPort) }
    }

    private func check(
        _ open: [TCPSocket], _ time: Double, _ excessSince: Shared<[String: Double]>,
        _ tally: inout StormTally
    ) {
        for (index, kill) in kills.current.enumerated() where (0..<2).contains(time - kill.time) {
            var left = open.filter { kill.serverPorts.contains($0.localPort) }
            guard !left.isEmpty else { continue }
            // What it was just lending may have become another's.
            let owned = pooler.workers().filter { $0 != kill.process }.reduce(into: Set<Int>()) {
                $0.formUnion(SocketTable.inodes(of: $1))
            }
            let lent = left.filter { owned.contains($0.inode) }.map(\.localPort)
            kills.with { $0[index].serverPorts.subtract(lent) }
            left.removeAll { lent.contains($0.localPort) }
            guard !left.isEmpty else { continue }
            let age = time - kill.time
            tally.longestAfterKill = max(tally.longestAfterKill, age)
            if age > 1 { tally.complain("\(left.count) sockets outlive their worker by a second") }
        }
        let living = living(open, time)
        for (database, address) in StormLimits.addresses {
            let count = living.filter { $0.remoteAddress == address }.count
            let limit = StormLimits.servers["database \(database)"]!
            tally.peak("sockets of database \(database)", count)
            if count > limit {
                tally.socketExcesses += 1
                let since = excessSince.with { excesses in
                    let since = excesses[database] ?? time
                    excesses[database] = since
                    return since
                }
                tally.longestSocketExcess = max(tally.longestSocketExcess, time - since)
            } else {
                excessSince.with { $0[database] = nil }
            }
        }
    }

    /// Compares PostgreSQL's connections with the limits and with the open sockets.
    private func watchPostgres() throws {
        let sockets = try SocketTable()
        let direct = try pooler.postgres.connect(database: "postgres", user: "postgres")
        var orphans: [String: Double] = [:]
        while !isOver.current {
            let before = Set(living(try sockets.open(to: pooler.postgres.port), now()).map(\.localPort))
            let rows = try direct.query(
                """
                select client_port, datname, usename, backend_start from pg_stat_activity
                where backend_type = 'client backend' and client_port > 0 and datname is not null
                """
            ).rows
            let time = now()
            let after = Set(living(try sockets.open(to: pooler.postgres.port), time).map(\.localPort))
            var counts: [String: Int] = [:]
            var left: [String: Double] = [:]
            for row in rows {
                let port = Int(row[0] ?? "") ?? 0
                let (database, user) = (row[1] ?? "", row[2] ?? "")
                if before.contains(port), after.contains(port) {
                    for key in ["pool \(database)/\(user)", "database \(database)", "user \(user)"] {
                        counts[key, default: 0] += 1
                    }
                } else if !after.contains(port) {
                    let key = "\(port) \(row[3] ?? "")"
                    left[key] = orphans[key] ?? time
                }
            }
            orphans = left
            tally.with { tally in
                tally.serverSamples += 1
                for (name, count) in counts {
                    let limit = StormLimits.servers[name] ?? StormLimits.pool + StormLimits.reserve
                    tally.check("PostgreSQL's of \(name)", count, limit: limit)
                }
                for since in left.values { tally.longestOrphan = max(tally.longestOrphan, time - since) }
            }
            usleep(10_000)
        }
    }

    // MARK: The end

    /// Waits until ledger, sockets and PostgreSQL agree that nobody is left and nothing is used.
    func settle() throws {
        let sockets = try SocketTable()
        let direct = try pooler.postgres.connect(database: "postgres", user: "postgres")
        let query = "select count(*) from pg_stat_activity where client_port > 0"
        var last = ""
        func agree() throws -> Bool {
            let (sample, isStable) = try ledger.sample()
            let open = try sockets.open(to: pooler.postgres.port).count
            let seen = Int(try direct.query(query).value ?? "") ?? -1
            last = "\(sample) \(open) sockets, \(seen) connections of PostgreSQL, \(sample.faults)"
            return isStable && sample.faults.isEmpty && sample.clients == 0 && sample.transfers == 0
                && sample.names.allSatisfy { $0.clients == 0 } && !sample.pools.contains { $0.isInUse }
                && sample.servers == open && open == seen
        }
        do { try eventually("the ledger equals reality", agree) } catch { throw Failure("\(error): \(last)") }
        try eventually("all workers are there") { pooler.workers().count == pooler.setup.workers }
        workers.with { $0.formUnion(pooler.workers()) }
    }

    /// What has happened, in some lines.
    var report: String {
        let tally = tally.current
        let kills = kills.current
        func milliseconds(_ seconds: Double) -> String { "\(Int(seconds * 1_000)) ms" }
        let counts = [
            "\(kills.count) workers killed, \(kills.filter(\.hadLock).count) of them with the ledger's lock",
            "\(tally.recoveries) recoveries of the lock", "\(tally.logins) logins",
            "\(tally.refusals) logins refused", "\(milliseconds(tally.longestLogin)) for the longest login",
            "\(tally.transactions) transactions", "\(tally.lost) connections lost with their worker",
            "\(tally.lostOnTheWay) connections lost on their way to a killed worker",
            "\(tally.samples) samples of ledger and sockets, \(tally.unstableSamples) while it changed",
            "\(tally.serverSamples) samples of PostgreSQL's connections",
            "\(tally.socketExcesses) samples with more sockets than a limit allows, "
                + "for \(milliseconds(tally.longestSocketExcess)) at most",
            "\(milliseconds(tally.longestAfterKill)) until all sockets of a killed worker were closed",
            "\(milliseconds(tally.longestOrphan)) until PostgreSQL had noticed",
            "\(tally.errors.count) errors",
        ]
        let peaks = tally.peaks.sorted { $0.key < $1.key }.map { "at most \($0.value): \($0.key)" }
        return (["storm with \(pooler.setup):"] + counts + peaks).joined(separator: "\n    ")
    }
}
