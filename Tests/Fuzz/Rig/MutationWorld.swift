#if DEBUG || INVARIANTS
    import Base
    import FuzzSupport
    import Glibc

    @testable import PoolCore

    /// A core between changed clients, a fake PostgreSQL that may be changed too, and clients that are not to
    /// notice. Everything in it follows from its seed.
    public final class MutationWorld {
        /// Whose conversations are changed.
        public enum Side: UInt64, CaseIterable, Sendable {
            case nobody, client, server, both
            public static var changed: [Side] { [.client, .server, .both] }
        }

        private struct Guest {
            var player: Player
            var connection: ConnectionID
            var pieces: [[UInt8]] = []
            /// Rounds in which it waited and nothing came.
            var waits = 0
        }

        private struct Backend {
            var session: FakePostgres
            var mutator: ReplyMutator?
            var pieces: [[UInt8]] = []
            var closes = false
        }

        /// A client that checks every byte it is answered.
        private struct Honest {
            var connection: ConnectionID
            var isWelcome = false
            var number = 0
            var expected: [UInt8] = []
            var received: [UInt8] = []
        }

        private static let databases = """
            db = host=10.0.0.1
            db2 = host=10.0.0.1 connect_query='select 1'
            good = host=10.0.0.2
            """
        private static let users = """
            "alice" "secret"
            "stats" "secret"
            "nopassword" ""
            """

        public let recordings: [Recording]
        /// Whether prepared statements follow a client from server to server, or servers do not change.
        public let keepsStatements: Bool
        public private(set) var failures: [String] = []
        private let rig: CoreRig
        private let side: Side
        private let seed: UInt64
        private let number: Int
        private var dice: Mutator
        private let login: FakePostgres.Login
        private let isShared: Bool
        private var nextConversation: Int
        private let lastConversation: Int
        private var guests: [Guest] = []
        private var backends: [ConnectionID: Backend] = [:]
        private var order: [ConnectionID] = []
        private var honest: [Honest] = []
        private var consoles: [ConnectionID] = []
        private var key: [UInt8] = [0, 0, 0, 1, 0, 0, 0, 1]
        private var serverCount = 0
        /// Changes that have reached the core; those of servers whose end it has not seen are not counted.
        public private(set) var changeCount = 0
        private var broadcastCount = 0
        /// Clients whose cancel request another worker has not answered yet.
        private var asked: [Handle<Client>] = []
        private var ticketCount: UInt64 = 0

        /// A world with a core of this kind.
        public init(
            seed: UInt64, number: Int, side: Side, conversations: Int, rig: CoreRig.Type = CoreRig.self
        ) {
            self.seed = seed
            self.number = number
            self.side = side
            var dice = Mutator(seed: seed, index: number, side: 100 + side.rawValue)
            let mode = dice.pick(["transaction", "transaction", "session", "statement"])
            let login = dice.pick(FakePostgres.Login.allCases)
            self.login = login
            let statements = dice.pick([0, 4, 100])
            keepsStatements = statements > 0 || mode == "session"
            let settings = [
                "pool_mode = \(mode)",
                "auth_type = \(dice.pick(["trust", "plain", "md5", "scram-sha-256"]))",
                "max_prepared_statements = \(statements)",
                "default_pool_size = \(dice.pick([2, 4]))", "server_login_retry = 0.1",
                "server_reset_query_always = \(dice.below(2))", "server_check_delay = \(dice.pick([0, 30]))",
                "max_packet_size = \(dice.pick([400_000, 2_147_483_647]))", "query_wait_notify = 0",
                "server_round_robin = \(dice.below(2))", "stats_users = stats", "disable_pqexec = 0",
                "ignore_startup_parameters = \(dice.pick(["extra_float_digits", "options"]))",
            ]
            self.rig = rig.init(
                settings.joined(separator: "\n"), databases: MutationWorld.databases,
                users: MutationWorld.users)
            recordings = MutationWorld.recordings(dice.pick(["db", "db2"]), mode)
            self.dice = dice
            isShared = side == .client || side == .nobody
            nextConversation = number * conversations
            lastConversation = nextConversation + conversations
            addHonest("good")
            if isShared { addHonest("db") }
        }

        /// All recordings for a database in a pool mode. They are long, and made once.
        private static func recordings(_ database: String, _ mode: String) -> [Recording] {
            let hasTransactions = mode != "statement"
            let key = "\(database) \(hasTransactions)"
            if let known = made[key] { return known }
            let all = Recording.all(
                at: Recording.Place(database: database, user: "alice", hasTransactions: hasTransactions))
            made[key] = all
            return all
        }

        private nonisolated(unsafe) static var made: [String: [Recording]] = [:]

        private func fail(_ text: String) {
            trace("FAILED", Array(text.utf8))
            failures.append(text)
        }

        /// Shows what happens, when asked to.
        private func trace(_ what: String, _ bytes: [UInt8]) {
            guard MutationWorld.isTraced else { return }
            let text = String(
                decoding: bytes.prefix(300).map { (0x20..<0x7F).contains($0) ? $0 : 0x2E }, as: UTF8.self)
            print("\(rig.core.now / 1_000_000) \(what): \(bytes.count) \(text)")
        }

        private static let isTraced = getenv("PGSLUICE_MUTATIONS_TRACE") != nil

        // MARK: Running

        /// Runs to the end of all conversations.
        public func run() {
            while failures.isEmpty, nextConversation < lastConversation || !guests.isEmpty {
                while guests.count < 3, nextConversation < lastConversation { addGuest() }
                playRounds()
            }
            finish()
        }

        /// Plays one recording as it is, beside nobody; answers what went wrong.
        public func playUnchanged(_ recording: Recording) -> String? {
            let connection = rig.accept()
            guests = [
                Guest(player: Player(recording, password: FakePostgres.password), connection: connection)
            ]
            var last = guests[0].player
            while guests.first?.waits ?? 0 < 1_000 {
                playRound()
                guard let guest = guests.first else {
                    if !last.wentWell { return "it did not go well" }
                    let mayFail = recording.hasErrors || !keepsStatements
                    return last.errorCount > 0 && !mayFail ? "an error: \(rig.log.suffix(3))" : nil
                }
                last = guest.player
            }
            rig.hangUp(connection)
            guests = []
            return "stuck at step \(last.position): \(rig.log.suffix(3))"
        }

        /// Whoever is left leaves; nothing may be left over, and nobody may have been disturbed.
        public func finish() {
            for index in honest.indices where failures.isEmpty {
                let before = honest[index].number
                for _ in 0..<2_000 where honest[index].number < before + 2 && failures.isEmpty { playRound() }
                if honest[index].number < before + 2 {
                    fail("honest client \(index) is not served any more: \(rig.log.suffix(5))")
                }
            }
            guard failures.isEmpty else { return }
            for connection in consoles { rig.hangUp(connection) }
            rig.expectEmptiness()
            takeFaults()
        }

        /// Whatever the rig has complained of is a failure here.
        private func takeFaults() {
            for fault in rig.faults where failures.isEmpty { fail(fault) }
        }

        /// Rounds until one guest has left.
        private func playRounds() {
            let count = guests.count
            for _ in 0..<3_000 {
                playRound()
                if guests.count < count || !failures.isEmpty { return }
            }
            fail("guests do not end: \(guests.map { ($0.player.position, $0.waits) }), \(rig.log.suffix(5))")
        }

        private func playRound() {
            var isQuiet = true
            if !rig.connecting.isEmpty {
                isQuiet = false
                connect()
            }
            for index in guests.indices.reversed() where dice.below(4) > 0 {
                if playGuest(index) { isQuiet = false }
            }
            for connection in order where dice.below(4) > 0 {
                if playBackend(connection) { isQuiet = false }
            }
            for index in honest.indices where dice.below(3) > 0 { playHonest(index) }
            playConsoles()
            playOtherWorkers()
            takeFaults()
            if isQuiet || dice.once(in: 10) { rig.advance(milliseconds: UInt64(dice.below(60))) }
        }

        // MARK: Guests

        private func addGuest() {
            let index = nextConversation
            nextConversation += 1
            let recording = dice.pick(recordings)
            let player =
                side == .server
                ? Player(recording, password: FakePostgres.password, cancelKey: key)
                : Player(
                    recording, password: FakePostgres.password, cancelKey: key,
                    mutator: Mutator(seed: seed, index: index, side: side.rawValue), others: recordings)
            guests.append(Guest(player: player, connection: rig.accept()))
        }

        /// True when the guest did something, or has left.
        private func playGuest(_ index: Int) -> Bool {
            let connection = guests[index].connection
            let bytes = rig.raw(connection)
            guests[index].player.receive(bytes)
            if !bytes.isEmpty { trace("to client \(connection.slot)", bytes) }
            if !bytes.isEmpty { guests[index].waits = 0 }
            if guests[index].player.key.count >= 8 { key = guests[index].player.key }
            guard rig.isOpen(connection), side == .nobody || !dice.once(in: 400) else {
                leave(index)
                return true
            }
            if let piece = guests[index].pieces.first {
                guests[index].pieces.removeFirst()
                trace("client \(connection.slot)", piece)
                rig.receive(connection, piece)
                return true
            }
            switch guests[index].player.move() {
            case .send(let message):
                guests[index].waits = 0
                guests[index].pieces = dice.pieces(message)
                return true
            case .wait:
                guests[index].waits += bytes.isEmpty ? 1 : 0
                // A guest that has waited in vain for a while goes on.
                if guests[index].waits > 40, side != .nobody {
                    guests[index].player.stopWaiting()
                    guests[index].waits = 30
                }
                return false
            case .hangUp:
                leave(index)
                return true
            }
        }

        private func leave(_ index: Int) {
            trace("client \(guests[index].connection.slot) leaves", [])
            changeCount += guests[index].player.changeCount
            rig.hangUp(guests[index].connection)
            guests.remove(at: index)
        }

        // MARK: Servers

        private func connect() {
            if side.rawValue >= Side.server.rawValue, dice.once(in: 15) {
                rig.tell(.connectFailed(rig.connecting.removeFirst(), .connect("refused")))
                return
            }
            let server = rig.connecting[0]
            let pool = rig.core.servers[server].pool
            let database = rig.core.databases[Int(rig.core.pools[pool].database)].name
            let isGood = database == Array("good".utf8)
            let connection = rig.connectServer()
            serverCount += 1
            var backend = Backend(session: FakePostgres(login: login, processID: serverCount))
            if side == .server || side == .both, !isGood {
                backend.mutator = ReplyMutator(
                    mutator: Mutator(
                        seed: seed, index: number << 16 + serverCount, side: side.rawValue + 200))
            }
            backends[connection] = backend
            order.append(connection)
        }

        /// True when the server said or did something.
        private func playBackend(_ connection: ConnectionID) -> Bool {
            guard rig.isOpen(connection) else {
                changeCount += backends[connection]?.mutator?.changeCount ?? 0
                backends[connection] = nil
                order.removeAll { $0 == connection }
                return true
            }
            let bytes = rig.raw(connection)
            if !bytes.isEmpty {
                trace("to server \(connection.slot)", bytes)
                answer(connection, bytes)
            }
            if backends[connection]?.mutator != nil, dice.once(in: 100) {
                let stray = backends[connection]?.mutator?.unasked() ?? []
                backends[connection]?.pieces.append(stray)
            }
            if let piece = backends[connection]?.pieces.first {
                backends[connection]?.pieces.removeFirst()
                trace("server \(connection.slot)", piece)
                if !piece.isEmpty { rig.receive(connection, piece) }
                return true
            }
            if backends[connection]?.closes == true {
                trace("server \(connection.slot) closes", [])
                rig.hangUp(connection)
                return true
            }
            return !bytes.isEmpty
        }

        private func answer(_ connection: ConnectionID, _ bytes: [UInt8]) {
            guard var backend = backends[connection] else { return }
            let replies = backend.session.receive(bytes)
            if backend.session.isClosed { backend.closes = true }
            if let outcome = backend.mutator?.change(replies) {
                backend.pieces += outcome.pieces
                if outcome.closes { backend.closes = true }
            } else if !replies.isEmpty {
                backend.pieces += dice.pieces(Array(replies.joined()))
            }
            backends[connection] = backend
        }

        // MARK: Around

        private func playConsoles() {
            while !rig.consoles.isEmpty {
                let console = rig.openConsole()
                consoles.append(console)
                rig.receive(console, Bytes.ready(UInt8(ascii: "I")))
            }
            for console in consoles where dice.once(in: 4) {
                guard rig.isOpen(console) else { continue }
                let bytes = rig.raw(console)
                if !bytes.isEmpty { rig.receive(console, Bytes.ready(UInt8(ascii: "I"))) }
                if dice.once(in: 20) { rig.hangUp(console) }
            }
            consoles.removeAll { !rig.isOpen($0) }
        }

        /// The other workers: they answer what they are asked, or not, and ask for keys themselves.
        private func playOtherWorkers() {
            while broadcastCount < rig.broadcasts.count {
                let client = rig.broadcasters[broadcastCount]
                broadcastCount += 1
                let workers = dice.below(3)
                rig.tell(.cancelBroadcast(client, workers: workers))
                for _ in 0..<workers { asked.append(client) }
            }
            if !asked.isEmpty, dice.once(in: 3) {
                let client = asked.removeFirst()
                if !dice.once(in: 10) { rig.tell(.cancelAnswered(client, isFound: dice.once(in: 4))) }
            }
            guard side != .nobody, dice.once(in: 60) else { return }
            ticketCount += 1
            rig.tell(.cancelRequested(key: key, CancelTicket(worker: 1, number: ticketCount)))
        }

        // MARK: Those who must not notice

        private func addHonest(_ database: String) {
            let connection = rig.accept()
            rig.receive(connection, Bytes.startup([("user", "alice"), ("database", database)]))
            honest.append(Honest(connection: connection))
            logins[connection] = Player(
                Recording.login, password: FakePostgres.password)
        }

        private var logins: [ConnectionID: Player] = [:]

        private func playHonest(_ index: Int) {
            let connection = honest[index].connection
            guard rig.isOpen(connection) else {
                return fail("honest client \(index) was closed: \(rig.log.suffix(5))")
            }
            let bytes = rig.raw(connection)
            guard honest[index].isWelcome else { return logIn(index, bytes) }
            honest[index].received += bytes
            let expected = honest[index].expected
            let received = honest[index].received
            guard expected.starts(with: received) else {
                return fail("honest client \(index) wanted \(expected), and got \(received)")
            }
            guard received.count == expected.count else { return }
            honest[index].number += 1
            let text = "honest \(number) \(index) \(honest[index].number)"
            let isExtended = dice.once(in: 3)
            let request = isExtended ? Honesty.extendedRequest(text) : Bytes.query("select \(text)")
            honest[index].expected = isExtended ? Honesty.extendedAnswer(text) : Bytes.answer(text)
            honest[index].received = []
            rig.receive(connection, request, pieceSize: dice.pick([Int.max, 7]))
        }

        private func logIn(_ index: Int, _ bytes: [UInt8]) {
            let connection = honest[index].connection
            logins[connection]?.receive(bytes)
            switch logins[connection]?.move() {
            case .send(let answer): rig.receive(connection, answer)
            case .hangUp:
                honest[index].isWelcome = true
                logins[connection] = nil
            case .wait, nil: return
            }
        }
    }
#endif
