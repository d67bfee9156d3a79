import Base
import Config

/// What happens in a world.
public enum Scope: String, Sendable {
    /// Simple queries only.
    case simple
    /// The extended protocol too.
    case extended
    /// And things go wrong.
    case faults
    /// And clients do what no driver is known to do: they send COPY data before they are asked for it, and
    /// destroy their statements in the middle of a pipeline that uses them.
    case harsh
    /// And there are several workers, some of which die.
    case several
    /// And users log in with passwords that only PostgreSQL knows; in every other world nothing goes wrong.
    case logins
    /// Like several or logins, and when a client has left another one takes its place, many times: worlds
    /// that last. In every other one nothing goes wrong.
    case crowds
}

/// What a world is made of; everything follows from the seed.
struct Setup {
    enum Mode: String { case session, transaction, statement }

    let seed: UInt64
    let scope: Scope
    /// What the client sends and is to be answered is kept.
    var isRecorded = false
    /// How PostgreSQL misbehaves on purpose, to see whether the oracle notices.
    var sabotage: Sabotage?
    var mode = Mode.transaction
    var workers = 1
    /// Clients move to the homes of their pools, and away from workers that leave.
    var movesClients = false
    var databases = 1
    var users = 1
    var clients = 1
    /// How many clients come to each place, one after the other.
    var visits = 1
    var poolSize = 1
    var maxPrepared = 3
    /// Bursts of messages of each client.
    var bursts = 10
    /// Further lines of the configuration.
    var lines: [String] = []
    /// PostgreSQL reports changed parameters at once, as before version 14.
    var reportsAtOnce = false

    /// Clients send a group of messages before the one in front of it has been answered.
    var pipelines = true
    /// How many worlds of a hundred have operators in them.
    var orderPercent = 0
    /// How many clients of a hundred ask for queries to be cancelled.
    var cancelPercent = 0
    /// SQLSTATEs with which a client may be sent away because of what the configuration says.
    var excuses: Set<String> = []
    /// How many clients of a hundred leave in the middle of something.
    var vanishPercent = 0

    // The network.
    /// How many deliveries of a hundred are cut at random.
    var splitPercent = 0
    /// The most that one receive brings.
    var bufferSize = 16_384
    /// What the network holds in each direction.
    var networkRoom = 65_536
    var highWater = 16_384
    var lowWater = 4096
    var heldLimit = 4096

    var hasFaults: Bool {
        switch scope {
        case .simple, .extended: false
        case .faults, .harsh, .several: true
        case .logins, .crowds: seed % 2 == 1
        }
    }
    /// By how much the world lasts longer than one in which each client comes once; there is more that goes
    /// wrong in it, too.
    var stretch: Int { max(1, visits / 4) }
    /// Users are in no list: PostgreSQL is asked.
    private(set) var looksUp = false
    /// Clients have to prove who they are.
    var asksForPasswords = false
    /// Passwords are changed meanwhile.
    var changesPasswords = false
    /// Clients come when others who asked for a cancel have hung up without waiting for its end:
    /// what was the one's place in a worker is the other's then.
    var hasLatecomers: Bool { workers > 1 && cancelPercent > 0 && seed / 2 % 4 == 3 }
    var isSabotaged: Bool { sabotage != nil }

    /// The world of a seed.
    init(seed: UInt64, scope: Scope, sabotage: Sabotage? = nil) {
        self.seed = seed
        self.scope = scope
        self.sabotage = sabotage
        var random = Random(seed: seed)
        mode = random.pick(
            scope == .crowds
                ? [.transaction, .transaction, .session, .statement]
                : [.transaction, .transaction, .transaction, .transaction, .session, .statement])
        databases = random.pick([1, 1, 2])
        users = random.pick([1, 1, 2])
        clients = random.number(1...5)
        poolSize = random.number(1...3)
        maxPrepared = random.pick([1, 2, 3, 3, 20])
        bursts = random.number(3...14)
        reportsAtOnce = random.chance(20)
        vanishPercent = random.pick([0, 0, 30])
        splitPercent = random.pick([0, 0, 10, 50, 95])
        bufferSize = random.pick([64, 500, 16_384, 16_384])
        networkRoom = random.pick([400, 5000, 65_536, 65_536])
        highWater = random.pick([200, 2000, 16_384])
        lowWater = highWater / 4
        heldLimit = random.pick([100, 4096])
        pipelines = random.chance(60)
        addLines(&random)
        guard scope == .several || scope == .logins || scope == .crowds else { return }
        workers = scope == .several ? random.pick([2, 2, 3]) : random.pick([1, 2, 3])
        clients += random.number(1...4)
        poolSize = random.pick([1, 1, 2, 3])
        movesClients = random.chance(60)
        if scope == .crowds {
            visits = random.number(10...30)
            bursts = random.number(1...6)
        }
        if scope == .logins || scope == .crowds && random.chance(33) { addLogins(&random) }
    }

    private mutating func addLogins(_ random: inout Random) {
        looksUp = true
        users = random.number(1...3)
        asksForPasswords = random.chance(70)
        changesPasswords = hasFaults && random.chance(40)
        lines.append("auth_user = asker")
        lines.append("auth_query = \(Setup.lookupQuery)")
        if random.chance(50) { lines.append("auth_dbname = d0") }
        if random.chance(40) { lines.append("auth_query_cache = 1") }
        // Strangers are refused; and who cannot be looked up is told nothing else.
        excuses.formUnion(hasFaults ? ["F0000"] : [])
        if changesPasswords { excuses.formUnion(["28P01", "08006"]) }
    }

    /// What users are looked up with, and the password of the user who does.
    static let lookupQuery = "select name, secret from secrets where name = $1"
    static let askersPassword = "asks"

    private mutating func addLines(_ random: inout Random) {
        if mode == .statement || random.chance(20) { lines.append("server_round_robin = 1") }
        guard scope != .simple else { return }
        orderPercent = 25
        cancelPercent = random.pick([0, 0, 50])
        let harmless = [
            "server_lifetime = 1", "server_idle_timeout = 1", "server_check_delay = 0",
            "server_reset_query_always = 1", "min_pool_size = 2", "max_db_connections = 2",
            "max_user_connections = 2", "reserve_pool_size = 1",
            "log_connections = 0", "server_check_query = select 1",
        ]
        for line in harmless where random.chance(8) { lines.append(line) }
        let harmful = [
            ("query_wait_timeout = 1", "57014"), ("query_timeout = 1", "57014"),
            ("idle_transaction_timeout = 1", "25P03"), ("transaction_timeout = 1", "25P04"),
            ("client_idle_timeout = 1", "57P05"), ("client_login_timeout = 1", "57014"),
            ("server_fast_close = 1", "57P01"), ("max_client_conn = 3", "53300"),
            ("max_db_client_connections = 2", "53300"), ("server_connect_timeout = 1", "08006"),
        ]
        guard hasFaults else { return }
        for (line, state) in harmful where random.chance(8) {
            lines.append(line)
            excuses.formUnion([state, "57P03"])
        }
    }

    /// Whether prepared statements are kept by the pooler.
    var isVirtual: Bool { mode != .session && maxPrepared > 0 }

    /// The parameters of a fresh session of PostgreSQL.
    static let serverDefaults = [
        "application_name": "", "client_encoding": "UTF8", "DateStyle": "ISO, MDY",
        "IntervalStyle": "postgres", "server_version": "15.1", "standard_conforming_strings": "on",
        "TimeZone": "UTC",
    ]

    /// The configuration, and the bytes of its user list.
    func configuration() -> (Configuration, [UInt8]) {
        var ini = "[databases]\n"
        for index in 0..<databases { ini += "d\(index) = host=10.0.0.1 dbname=r\(index)\n" }
        ini += """
            [pgbouncer]
            listen_addr = 127.0.0.1
            auth_type = \(asksForPasswords ? "plain" : "trust")
            auth_file = users
            server_tls_sslmode = disable
            pool_mode = \(mode.rawValue)
            default_pool_size = \(poolSize)
            max_prepared_statements = \(maxPrepared)

            """
        for line in lines { ini += line + "\n" }
        let list =
            looksUp
            ? "\"asker\" \"\(Setup.askersPassword)\"\n" : (0..<users).map { "\"u\($0)\" \"\"\n" }.joined()
        let image = ConfigurationImage(
            path: "ini",
            files: [
                .init(path: "ini", bytes: Array(ini.utf8)), .init(path: "users", bytes: Array(list.utf8)),
            ])
        let parsed = Configuration.parse(image)
        guard let configuration = parsed.configuration else {
            preconditionFailure("a setup makes a configuration that is refused: \(parsed.diagnostics)")
        }
        return (configuration, Array(list.utf8))
    }

    /// The setup in a line.
    var words: String {
        let people =
            "\(databases) databases, \(users) users, \(clients) clients of \(bursts) bursts"
            + (visits > 1 ? ", \(visits) one after the other" : "")
        let limits = "pool size \(poolSize), max_prepared_statements \(maxPrepared)"
        let network = "\(splitPercent) % of deliveries cut, buffers \(bufferSize), network \(networkRoom)"
        return "seed \(seed): \(workers) workers, pool_mode \(mode), \(people), \(limits), \(network)"
            + (lines.isEmpty ? "" : ", " + lines.joined(separator: ", "))
    }
}

/// A lie of the simulated PostgreSQL that the oracle has to notice.
public enum Sabotage: String, Sendable, CaseIterable {
    /// A row of one session is answered in another.
    case mixesUpRows
    /// A message is left out.
    case dropsMessages
    /// A message comes twice.
    case repeatsMessages
    /// Errors name another SQLSTATE.
    case changesErrors
    /// An answer is never given.
    case goesSilent
}
