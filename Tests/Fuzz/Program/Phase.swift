import BenchmarkSupport
import FuzzSupport
import Glibc

/// Which end of the pooler says what it should not.
enum Side: UInt64, CaseIterable {
    case client = 1
    case server = 2
}

/// One pgsluice from start to end, with conversations changed on one side and honest clients beside.
class Phase {
    /// What the phases of a run have in common.
    struct Options {
        var binary: String
        var seed: UInt64
        var backend: String
        var concurrency: Int
    }

    /// How the pooler is set up; which of them a conversation meets follows from its index.
    struct Kind {
        var workers: Int
        var authentication: String
        var settings: [String]

        static let all = [
            Kind(workers: 3, authentication: "md5", settings: ["max_prepared_statements = 100"]),
            Kind(
                workers: 2, authentication: "scram-sha-256",
                settings: ["max_prepared_statements = 4", "server_round_robin = 1"]),
            Kind(
                workers: 1, authentication: "plain",
                settings: [
                    "max_prepared_statements = 0", "server_check_delay = 0", "max_packet_size = 400000",
                ]),
            Kind(
                workers: 4, authentication: "trust",
                settings: ["max_prepared_statements = 20", "server_reset_query_always = 1"]),
        ]
    }

    /// How it ended.
    struct Result {
        var changed = 0
        var answers = 0
        var slowest = 0.0
        var memory = (early: 0, late: 0)
        var lost = 0.0
        var failures: [String] = []
        /// Conversations that were under way at the first failure.
        var suspects: [Int] = []
    }

    let options: Options
    let kind: Kind
    let side: Side
    let loop = Loop()
    private(set) var pooler: Pooler!
    var result = Result()
    var guests: [Int: Guest] = [:]
    private var honest: [HonestClient] = []
    private var recent: [(index: Int, time: Double)] = []
    private var processID = 0
    private var connections = 0
    private var indexes: any IteratorProtocol<Int>
    private var lastLook = 0.0
    private var lastReload = now()
    private let target: Int
    private let deadline: Double
    private var isOver = false

    /// - Parameters:
    ///   - indexes: of the conversations, in order.
    ///   - target: how many changed conversations are enough.
    ///   - seconds: when to stop at the latest.
    init(
        _ options: Options, _ side: Side, _ kind: Kind, indexes: any Sequence<Int>, target: Int,
        seconds: Double
    ) {
        self.options = options
        self.side = side
        self.kind = kind
        self.indexes = indexes.makeIterator()
        self.target = target
        deadline = now() + seconds
    }

    // MARK: What the sides do differently

    /// Opens what is behind the pooler; answers the lines of `[databases]`.
    func open() -> [String] { [] }
    /// Databases that an honest client uses while others are changed, and how long it may wait there.
    var shared: [(database: String, bound: Double)] { [] }
    /// Databases that must serve an honest client when all others have left.
    var healed: [String] { [] }
    /// Begins as many conversations as there is room for.
    func fill() {}
    /// A guest has left.
    func left(_ guest: Guest) {}
    /// From now on nothing is changed.
    func heal() {}

    // MARK: Running

    func run() -> Result {
        let good = Door(loop) { [unowned self] in serveHonestly($0) }
        let databases = ["good = host=\(good.address) port=\(good.port) dbname=good pool_size=8"] + open()
        pooler = Pooler(
            binary: options.binary,
            Pooler.Settings(
                workers: kind.workers, backend: options.backend, authentication: kind.authentication,
                others: kind.settings, databases: databases))
        honest = (0..<3).map { _ in addHonest("good", bound: 5) }
        honest += shared.map { addHonest($0.database, bound: $0.bound) }
        runConversations()
        if result.failures.isEmpty { checkEnd() }
        result.lost = loop.lost
        loop.closeAll()
        if let line = pooler.confession() { fail("the log says: \(line)") }
        if let problem = pooler.end(keeps: !result.failures.isEmpty) { fail(problem) }
        return result
    }

    private func runConversations() {
        while result.failures.isEmpty {
            if !isOver, result.changed >= target || now() > deadline { isOver = true }
            if !isOver { fill() }
            if isOver, guests.isEmpty { return }
            loop.turn()
            look()
        }
    }

    /// The next conversation's index; `nil` when there is none.
    func nextIndex() -> Int? {
        guard !isOver, let index = indexes.next() else {
            isOver = true
            return nil
        }
        return index
    }

    func fail(_ text: String) {
        if result.failures.isEmpty {
            let time = now()
            result.suspects = guests.keys.sorted()
            result.suspects += recent.filter { time - $0.time < 0.2 }.map { $0.index }
        }
        result.failures.append(text)
    }

    private func look() {
        let time = now()
        guard time - lastLook > 0.05 else { return }
        lastLook = time
        if let problem = pooler.problem() { fail(problem) }
        if time - lastReload > 2 {
            lastReload = time
            pooler.reload()
        }
        recent.removeAll { time - $0.time > 1 }
        if result.memory.early == 0, result.changed > target / 4 { result.memory.early = pooler.memory() }
    }

    // MARK: Guests

    /// The connection of a new client, from one of many addresses, as one has not enough ports.
    func connect() -> Int32 {
        connections += 1
        let source = UInt8(1 + connections % 240)
        while true {
            let address = Socket.Address.internet("127.0.0.1", UInt16(pooler.port))
            if let descriptor = Socket.connect(to: address, source: source) { return descriptor }
            if errno != EAGAIN, errno != EADDRNOTAVAIL { BenchmarkSupport.fail("connect") }
            usleep(1_000)
        }
    }

    func begin(_ index: Int, _ recording: Recording, player: Player, mutator: Mutator) {
        let guest = Guest(
            connect(), loop, index: index, name: recording.name, player: player, mutator: mutator,
            isChanged: side == .client
        ) { [unowned self] in
            guests[$0.index] = nil
            recent.append(($0.index, now()))
            left($0)
        }
        if guest.isOpen { guests[index] = guest }
    }

    func nextProcessID() -> Int {
        processID += 1
        return processID
    }

    /// A user who can log in here.
    func pickUser(_ mutator: inout Mutator) -> String {
        let keepsKeys = kind.authentication == "md5" || kind.authentication == "scram-sha-256"
        return keepsKeys && mutator.once(in: 4) ? "scram" : "alice"
    }

    // MARK: Honest ones

    func serveHonestly(_ descriptor: Int32) {
        let number = nextProcessID()
        let login = FakePostgres.Login.allCases[number % 4]
        _ = Backend(descriptor, loop, login: login, processID: number, change: { _ in nil })
    }

    private func addHonest(
        _ database: String, bound: Double, ignoresParameters: Bool = false
    ) -> HonestClient {
        HonestClient(
            connect(), loop, name: database, user: "alice", database: database, bound: bound,
            ignoresParameters: ignoresParameters
        ) { [unowned self] in fail($0) }
    }

    private func dismissHonest() {
        for client in honest {
            result.answers += client.answers
            result.slowest = max(result.slowest, client.longest)
            client.close()
        }
        honest = []
    }

    // MARK: The end

    private func checkEnd() {
        for client in honest {
            let before = client.answers
            if !loop.turn(until: { client.answers > before + 1 || !client.isOpen }, within: 6) {
                fail("the honest client of \(client.name) is not served any more")
            }
        }
        dismissHonest()
        heal()
        result.memory.late = pooler.memory()
        if result.memory.early > 0, result.memory.late > result.memory.early * 2 + 64 * 1024 {
            fail("memory has grown from \(result.memory.early) to \(result.memory.late) KiB")
        }
        checkNobodyIsLeft()
        for database in healed where result.failures.isEmpty { checkIsServed(database) }
        if let problem = pooler.problem() { fail(problem) }
    }

    private func checkIsServed(_ database: String) {
        let client = addHonest(database, bound: 10, ignoresParameters: true)
        _ = loop.turn(until: { client.answers > 1 || !client.isOpen }, within: 12)
        if client.isOpen, client.answers < 2 { fail("nobody is served in \(database) afterwards") }
        result.answers += client.answers
        client.close()
    }

    private func checkNobodyIsLeft() {
        let console = Console(connect(), loop)
        var complaint = ""
        let limit = now() + 15
        repeat {
            guard let left = whoIsLeft(console) else { return fail("the console does not answer") }
            complaint = left
            _ = loop.turn(until: { false }, within: complaint.isEmpty ? 0 : 0.2)
        } while !complaint.isEmpty && now() < limit
        if !complaint.isEmpty { fail("afterwards \(complaint)") }
        console.close()
    }

    /// What should not be there any more, in words; empty when there is nothing.
    private func whoIsLeft(_ console: Console) -> String? {
        guard let clients = console.show("CLIENTS"), let servers = console.show("SERVERS"),
            let pools = console.show("POOLS")
        else { return nil }
        let left = clients.filter { $0["database"] != "pgbouncer" }
        if !left.isEmpty { return "there are \(left.count) clients, such as \(left[0])" }
        let linked = servers.filter { !["idle", "used"].contains($0["state"]) || $0["link"] != "" }
        if !linked.isEmpty { return "there are \(linked.count) servers that are not idle: \(linked[0])" }
        for pool in pools where pool["database"] != "pgbouncer" {
            for (name, value) in pool where name.hasPrefix("cl_") || name == "sv_active" {
                if value != "0" { return "the pool \(pool["database"] ?? "") says \(name) = \(value)" }
            }
        }
        return ""
    }
}
