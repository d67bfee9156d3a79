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
            var pieces: [Piece] = []
            /// Rounds in which it waited and nothing came.
            var waits = 0
        }

        private struct Backend {
            var session: FakePostgres
            var connection: ConnectionID
            var mutator: ReplyMutator?
            var pieces: [Piece] = []
            var closes = false
        }

        /// A client that checks every byte it is answered.
        private struct Honest {
            var connection: ConnectionID
            var isWelcome = false
            var number = 0
            var expected: [UInt8] = []
            /// How many bytes of that have come.
            var receivedCount = 0
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
        private let shortRecordings: [Recording]
        /// Those of them that log in.
        private let sessions: [Recording]
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
        private var backends: [Backend] = []
        private let guestLimit: Int
        /// Rounds since anybody did anything.
        private var quietRounds = 0
        private var roundCount = 0
        private var honest: [Honest] = []
        private var consoles: [ConnectionID] = []
        private var key: [UInt8] = [0, 0, 0, 1, 0, 0, 0, 1]
        private var serverCount = 0
        /// Pieces with a changed message that have reached the core.
        public private(set) var changeCount = 0
        private var broadcastCount = 0
        /// Clients whose cancel request another worker has not answered yet.
        private var asked: [Handle<Client>] = []
        private var ticketCount: UInt64 = 0

        /// A world with a core of this kind. The invariants are checked after every event, or after each that
        /// something changed has led to.
        public init(
            seed: UInt64, number: Int, side: Side, conversations: Int, rig: CoreRig.Type = CoreRig.self,
            checksEveryEvent: Bool = true
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
                "auth_type = \(dice.pick(["trust", "trust", "trust", "plain", "md5", "scram-sha-256"]))",
                "max_prepared_statements = \(statements)",
                "default_pool_size = \(dice.pick([2, 4, 8]))", "server_login_retry = 0.1",
                "server_reset_query_always = \(dice.below(2))", "server_check_delay = \(dice.pick([0, 30]))",
                "max_packet_size = \(dice.pick([400_000, 2_147_483_647]))", "query_wait_notify = 0",
                "server_round_robin = \(dice.below(2))", "stats_users = stats", "disable_pqexec = 0",
                "ignore_startup_parameters = \(dice.pick(["extra_float_digits", "options"]))",
            ]
            self.rig = rig.init(
                settings.joined(separator: "\n"), databases: MutationWorld.databases,
                users: MutationWorld.users)
            self.rig.checksEveryEvent = checksEveryEvent
            recordings = MutationWorld.recordings(dice.pick(["db", "db2"]), mode)
            shortRecordings = recordings.filter { $0.byteCount < 4_000 && $0.name != "large answer" }
            sessions = shortRecordings.filter(\.isSession)
            guestLimit = dice.pick([2, 5, 10])
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
        private func trace(_ what: @autoclosure () -> String, _ bytes: [UInt8]) {
            guard MutationWorld.isTraced else { return }
            let text = String(
                decoding: bytes.prefix(300).map { (0x20..<0x7F).contains($0) ? $0 : 0x2E }, as: UTF8.self)
            print("\(rig.core.now / 1_000_000) \(what()): \(bytes.count) \(text)")
        }

        private static let isTraced = getenv("PGSLUICE_MUTATIONS_TRACE") != nil

        // MARK: Running

        /// Runs to the end of all conversations.
        public func run() {
            while failures.isEmpty, nextConversation < lastConversation || !guests.isEmpty {
                while guests.count < guestLimit, nextConversation < lastConversation { addGuest() }
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
            for _ in 0..<20_000 {
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
            for index in backends.indices.reversed() where dice.below(4) > 0 {
                if playBackend(index) { isQuiet = false }
            }
            for index in honest.indices where dice.once(in: 8) { playHonest(index) }
            playConsoles()
            playOtherWorkers()
            quietRounds = isQuiet ? quietRounds + 1 : 0
            if isQuiet || dice.once(in: 10) { rig.advance(milliseconds: UInt64(dice.below(60))) }
            roundCount += 1
            if !rig.checksEveryEvent, roundCount % 16 == 0 {
                rig.check()
                rig.forgetLog()
            }
            takeFaults()
        }

        /// Something reaches the core.
        private func deliver(_ piece: Piece, to connection: ConnectionID) {
            rig.receive(connection, piece.bytes)
            guard piece.isChanged else { return }
            changeCount += 1
            if !rig.checksEveryEvent { rig.check(includesStatistics: false) }
        }

        /// The bytes cut at random places; if something is changed, it begins with them.
        private func pieces(_ bytes: [UInt8], isChanged: Bool) -> [Piece] {
            if !dice.once(in: 4) { return [Piece(bytes: bytes, isChanged: isChanged)] }
            var isChanged = isChanged
            return dice.pieces(bytes).map { bytes in
                defer { isChanged = false }
                return Piece(bytes: bytes, isChanged: isChanged)
            }
        }

        // MARK: Guests

        private func addGuest() {
            let index = nextConversation
            nextConversation += 1
            // The long ones take as long as a hundred others.
            let recording = dice.pick(
                dice.once(in: 300) ? recordings : dice.once(in: 8) ? shortRecordings : sessions)
            let player = Player(
                recording, password: FakePostgres.password, cancelKey: key,
                mutator: Mutator(seed: seed, index: index, side: side.rawValue), others: shortRecordings,
                interval: side == .server ? nil : dice.pick([2, 2, 3, 12]))
            guests.append(Guest(player: player, connection: rig.accept()))
        }

        /// True when the guest did something, or has left.
        private func playGuest(_ index: Int) -> Bool {
            let connection = guests[index].connection
            let bytes = rig.raw(connection)
            if !bytes.isEmpty {
                trace("to client \(connection.slot)", bytes)
                guests[index].player.receive(bytes)
                guests[index].waits = 0
                if guests[index].player.key.count >= 8 { key = guests[index].player.key }
            }
            guard rig.isOpen(connection), side == .nobody || !dice.once(in: 400) else {
                leave(index)
                return true
            }
            // From whom input is held nothing is received.
            if rig.isHeld(connection), side != .nobody { return wait(index) }
            if let piece = guests[index].pieces.first {
                guests[index].pieces.removeFirst()
                trace("client \(connection.slot)", piece.bytes)
                deliver(piece, to: connection)
                return true
            }
            let changeCount = guests[index].player.changeCount
            switch guests[index].player.move() {
            case .send(let message):
                guests[index].waits = 0
                let isChanged = guests[index].player.changeCount > changeCount
                var pieces = pieces(message, isChanged: isChanged)
                // Nothing may be left of a message.
                guard !pieces.isEmpty else { return true }
                trace("client \(connection.slot)", pieces[0].bytes)
                deliver(pieces.removeFirst(), to: connection)
                guests[index].pieces = pieces
                return true
            case .wait: return wait(index)
            case .hangUp:
                leave(index)
                return true
            }
        }

        /// A guest that has waited in vain for a while goes on, or leaves if it cannot. True when it left.
        private func wait(_ index: Int) -> Bool {
            guests[index].waits += 1
            guard side != .nobody, guests[index].waits > 40 || quietRounds > 3 else { return false }
            if rig.isHeld(guests[index].connection) {
                guard guests[index].waits > 100 || dice.once(in: 20) else { return false }
                leave(index)
                return true
            }
            guests[index].player.stopWaiting()
            guests[index].waits = 30
            return false
        }

        private func leave(_ index: Int) {
            let connection = guests[index].connection
            trace("client \(connection.slot) leaves", [])
            rig.hangUp(connection)
            _ = rig.raw(connection)
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
            var backend = Backend(
                session: FakePostgres(login: login, processID: serverCount), connection: connection)
            if side == .server || side == .both, !isGood {
                backend.mutator = ReplyMutator(
                    mutator: Mutator(
                        seed: seed, index: number << 16 + serverCount, side: side.rawValue + 200),
                    interval: dice.pick([2, 3, 12]))
            }
            backends.append(backend)
        }

        /// True when the server said or did something.
        private func playBackend(_ index: Int) -> Bool {
            let connection = backends[index].connection
            guard rig.isOpen(connection) else {
                _ = rig.raw(connection)
                backends.remove(at: index)
                return true
            }
            let bytes = rig.raw(connection)
            if !bytes.isEmpty {
                trace("to server \(connection.slot)", bytes)
                answer(index, bytes)
            }
            if backends[index].mutator != nil, dice.once(in: 100) {
                backends[index].pieces.append(backends[index].mutator!.unasked())
            }
            if let piece = backends[index].pieces.first {
                backends[index].pieces.removeFirst()
                trace("server \(connection.slot)", piece.bytes)
                if !piece.bytes.isEmpty { deliver(piece, to: connection) }
                return true
            }
            if backends[index].closes {
                trace("server \(connection.slot) closes", [])
                rig.hangUp(connection)
                return true
            }
            return !bytes.isEmpty
        }

        private func answer(_ index: Int, _ bytes: [UInt8]) {
            let replies = backends[index].session.receive(bytes)
            if backends[index].session.isClosed { backends[index].closes = true }
            if let outcome = backends[index].mutator?.change(replies) {
                backends[index].pieces += outcome.pieces
                if outcome.closes { backends[index].closes = true }
            } else if !replies.isEmpty {
                backends[index].pieces += pieces(replies.bytes, isChanged: false)
            }
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
            let expected = honest[index].expected
            let end = honest[index].receivedCount + bytes.count
            guard end <= expected.count, expected[honest[index].receivedCount..<end] == bytes[...] else {
                let begin = expected.prefix(honest[index].receivedCount)
                return fail("honest client \(index) wanted \(expected), and got \(begin + bytes)")
            }
            honest[index].receivedCount = end
            guard end == expected.count else { return }
            honest[index].number += 1
            let text = "honest \(number) \(index) \(honest[index].number)"
            let isExtended = dice.once(in: 3)
            let request = isExtended ? Honesty.extendedRequest(text) : Bytes.query("select \(text)")
            honest[index].expected = isExtended ? Honesty.extendedAnswer(text) : Bytes.answer(text)
            honest[index].receivedCount = 0
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
