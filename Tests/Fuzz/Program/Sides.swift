import FuzzSupport

/// Changed clients in front of good servers.
final class ClientPhase: Phase {
    private var doors: [Door] = []
    private var key: [UInt8] = [0, 0, 0, 1, 0, 0, 0, 1]
    private var recordings: [[Recording]] = []

    private static let places = ["t": "transaction", "s": "session", "st": "statement"]

    override func open() -> [String] {
        doors = (1...3).map { number in
            Door(loop, address: "127.0.0.\(number)") { [unowned self] in serveHonestly($0) }
        }
        for user in ["alice", "scram"] {
            for database in ["t", "s", "st"] {
                recordings.append(
                    Recording.all(
                        at: Recording.Place(
                            database: database, user: user, hasTransactions: database != "st",
                            hasConsole: true)))
            }
        }
        return zip(["t", "s", "st"], doors).map { name, door in
            "\(name) = host=\(door.address) port=\(door.port) dbname=\(name) pool_size=40 "
                + "pool_mode=\(ClientPhase.places[name]!)"
        }
    }

    // Behind clients that keep servers for as long as they like one may have to wait.
    override var shared: [(database: String, bound: Double)] { [("t", 30), ("s", 30), ("st", 30)] }
    override var healed: [String] { ["t", "s", "st", "good"] }

    override func fill() {
        while guests.count < options.concurrency, let index = nextIndex() {
            var mutator = Mutator(seed: options.seed, index: index, side: side.rawValue)
            let user = pickUser(&mutator)
            let all = recordings[(user == "scram" ? 3 : 0) + mutator.below(3)]
            let recording = mutator.pick(all)
            let player = Player(
                recording, password: FakePostgres.password, cancelKey: key, mutator: mutator, others: all)
            result.changed += 1
            begin(index, recording, player: player, mutator: mutator)
        }
    }

    override func left(_ guest: Guest) { if let new = guest.key { key = new } }
}

/// Good clients in front of changed servers. Each conversation has a database of its own, so that it is
/// known whose server a connection is.
final class ServerPhase: Phase {
    private var doors: [Door] = []
    private var recordings: [[Recording]] = []
    private var isHealed = false
    /// By database: the conversation that it serves.
    private var slots: [Slot] = []
    private var free: [Int] = []

    private struct Slot {
        var index: Int
        var attempts = 0
        var isChanged = false
        var backends: [Int32: Backend] = [:]
    }

    override func open() -> [String] {
        doors = (1...8).map { number in
            Door(loop, address: "127.0.0.\(number)") { [unowned self] in serve($0) }
        }
        let modes = ["transaction", "session", "statement", "transaction"]
        free = Array(0..<options.concurrency)
        slots = free.map { _ in Slot(index: 0) }
        for slot in free {
            let place = Recording.Place(
                database: "m\(slot)", user: "alice", hasTransactions: slot % 4 != 2)
            // What is long takes long and says no more than what is short.
            recordings.append(Recording.all(at: place).filter { !$0.name.hasPrefix("large") })
        }
        return free.map { slot in
            let door = doors[slot % doors.count]
            return "m\(slot) = host=\(door.address) port=\(door.port) dbname=m\(slot) pool_size=1 "
                + "pool_mode=\(modes[slot % 4])" + (slot % 5 == 4 ? " connect_query='select 1'" : "")
        }
    }

    override var healed: [String] { (0..<min(24, options.concurrency)).map { "m\($0)" } + ["good"] }

    override func heal() {
        isHealed = true
        for slot in slots.indices { endBackends(of: slot) }
    }

    override func fill() {
        while let slot = free.last, let index = nextIndex() {
            free.removeLast()
            endBackends(of: slot)
            slots[slot] = Slot(index: index)
            var mutator = Mutator(seed: options.seed, index: index, side: side.rawValue)
            let recording = mutator.pick(recordings[slot])
            let player = Player(recording, password: FakePostgres.password)
            place(index, slot)
            begin(index, recording, player: player, mutator: mutator)
        }
    }

    private var slotOf: [Int: Int] = [:]

    private func place(_ index: Int, _ slot: Int) { slotOf[index] = slot }

    override func left(_ guest: Guest) {
        guard let slot = slotOf.removeValue(forKey: guest.index) else { return }
        if slots[slot].isChanged { result.changed += 1 }
        endBackends(of: slot)
        free.insert(slot, at: 0)
    }

    private func endBackends(of slot: Int) {
        let backends = slots[slot].backends
        slots[slot].backends = [:]
        for backend in backends.values { backend.end() }
    }

    private func serve(_ descriptor: Int32) {
        let number = nextProcessID()
        var backend: Backend?
        backend = Backend(
            descriptor, loop, login: FakePostgres.Login.allCases[number % 4], processID: number,
            change: { [unowned self] database in
                defer { backend = nil }
                guard let slot = Int(database.dropFirst()), slots.indices.contains(slot) else { return nil }
                slots[slot].backends[descriptor] = backend
                guard !isHealed else { return nil }
                slots[slot].attempts += 1
                slots[slot].isChanged = true
                let salt = UInt64(slots[slot].attempts) << 8
                return ReplyMutator(
                    mutator: Mutator(
                        seed: options.seed, index: slots[slot].index, side: side.rawValue + salt))
            },
            gone: { [unowned self] gone in
                if let slot = Int(gone.database.dropFirst()), slots.indices.contains(slot) {
                    slots[slot].backends[descriptor] = nil
                }
            })
    }
}
