import Base
import Console
import SharedState
import Testing
import Wire

@Suite struct ConsoleSessionTests {
    static func error(_ message: String, _ state: String = "08P01", severity: String = "ERROR") -> Reply {
        .error(severity: severity, state: state, message: message)
    }

    /// Goal: what drivers look at is there, the client's own values last, where they win.
    @Test func theWelcomeAnnouncesWhatPgBouncerAnnounces() {
        let parameters = [
            Parameter(name: bytes("datestyle"), value: bytes("German")),
            Parameter(name: bytes("application_name"), value: bytes("psql")),
            Parameter(name: bytes("unknown"), value: bytes("x")),
        ]
        var peer = Peer(parameters: parameters, notify: "hello", welcomed: false)
        let replies = peer.replies()
        #expect(
            replies == [
                .authenticationOk, .parameter("server_version", "1.26.0/bouncer"),
                .parameter("client_encoding", "UTF8"), .parameter("server_encoding", "UTF8"),
                .parameter("DateStyle", "ISO"), .parameter("TimeZone", "GMT"),
                .parameter("standard_conforming_strings", "on"), .parameter("is_superuser", "on"),
                .parameter("DateStyle", "German"), .parameter("application_name", "psql"),
                .key(77, [1, 2, 3, 4]),
                .notice("hello"), .ready,
            ])
        let logins = peer.session.takeTotals()[.clientLogins]
        #expect(logins == 1)
    }

    @Test func showVersionIsAnsweredAtOnce() {
        var peer = Peer()
        let request = peer.query("SHOW VERSION;")
        #expect(request == nil)
        let replies = peer.replies()
        #expect(
            replies == [
                .columns([ConsoleColumn("version", .text)]), .row(["PgBouncer 1.26.0 (pgsluice 0.1.0)"]),
                .complete("SHOW"), .ready,
            ])
    }

    @Test func helpComesAsANotice() {
        var peer = Peer()
        _ = peer.query("show help")
        let replies = peer.replies()
        #expect(replies == [.notice("Console usage"), .complete("SHOW"), .ready])
    }

    @Test func driversMaySetAndAskForTheirParameters() {
        var peer = Peer(role: .stats)
        _ = peer.query("set timezone to 'UTC'")
        _ = peer.query("show TimeZone")
        let replies = peer.replies()
        #expect(
            replies == [
                .notice("SET ignored"), .complete("SET"), .ready,
                .columns([ConsoleColumn("timezone", .text)]),
                .row(["GMT"]), .complete("SHOW"), .ready,
            ])
    }

    /// Goal: bytes may arrive in any pieces, and commands one behind another, without a difference.
    @Test(arguments: 1...40)
    func anySplitGivesTheSameAnswers(size: Int) {
        var whole = Peer()
        var split = Peer()
        let stream =
            Peer.message("Q", bytes("show version\0")) + Peer.message("Q", bytes("nonsense\0"))
            + Peer.message("Q", bytes("show client_encoding\0")) + Peer.message("X", [])
        _ = whole.send(stream)
        for start in stride(from: 0, to: stream.count, by: size) {
            _ = split.send(Array(stream[start..<min(start + size, stream.count)]))
        }
        let expected = whole.replies()
        let actual = split.replies()
        #expect(actual == expected)
        #expect(expected.filter { $0 == .ready }.count == 3)
        let closing = split.session.isClosing
        #expect(closing)
    }

    /// Goal: a command behind one that waits is served after it, in order.
    @Test func pipelinedCommandsWaitForTheOneBeforeThem() {
        var peer = Peer()
        let request = peer.send(
            Peer.message("Q", bytes("pause shop\0")) + Peer.message("Q", bytes("show state\0"))
                + Peer.message("Q", bytes("reload\0")))
        #expect(request == .order(.pause, database: bytes("shop")))
        let waiting = peer.session.isWaiting
        let wants = peer.session.wantsInput
        #expect(waiting && !wants)
        let early = peer.replies()
        #expect(early == [])
        let second = peer.answer(.done)
        #expect(second == .state)
        let third = peer.answer(.state(.paused))
        #expect(third == .reload)
        let last = peer.answer(.failed(.reloadFailed))
        #expect(last == nil)
        let replies = peer.replies()
        #expect(
            replies == [
                .complete("PAUSE"), .ready,
                .columns([ConsoleColumn("key", .text), ConsoleColumn("value", .text)]),
                .row(["active", "no"]), .row(["paused", "yes"]), .row(["suspended", "no"]), .complete("SHOW"),
                .ready, Self.error("RELOAD failed, see logs for additional details", "F0000"), .ready,
            ])
    }

    @Test func ordersReachTheSupervisor() {
        let cases: [(String, ConsoleRequest, String)] = [
            ("pause", .order(.pause, database: nil), "PAUSE"),
            ("resume", .order(.resume, database: nil), "RESUME"),
            ("resume \"x-y\"", .order(.resume, database: bytes("x-y")), "RESUME"),
            ("shutdown wait_for_clients", .order(.shutdownWaitForClients, database: nil), "SHUTDOWN"),
            ("shutdown wait_for_servers", .order(.shutdownWaitForServers, database: nil), "SHUTDOWN"),
            ("reload", .reload, "RELOAD"),
            ("pause timeout 7", .order(.pause, database: nil, limitSeconds: 7), "PAUSE"),
            ("kill", .order(.kill, database: nil), "KILL"),
            ("kill Shop", .order(.kill, database: bytes("Shop")), "KILL"),
            ("reconnect", .order(.reconnect, database: nil), "RECONNECT"),
            ("disable shop", .order(.disable, database: bytes("shop")), "DISABLE"),
            ("enable shop", .order(.enable, database: bytes("shop")), "ENABLE"),
            ("wait_close", .order(.waitClose, database: nil), "WAIT_CLOSE"),
            ("kill_client 7", .killClient(id: 7), "KILL_CLIENT"),
            ("drain", .drain, "DRAIN"),
            ("suspend", .order(.suspend, database: nil), "SUSPEND"),
            ("set Verbose = '1'", .set(key: "verbose", value: "1"), "SET Verbose=1"),
        ]
        for (query, expected, tag) in cases {
            var peer = Peer()
            let request = peer.query(query)
            #expect(request == expected)
            _ = peer.answer(.done)
            let replies = peer.replies()
            #expect(replies == [.complete(tag), .ready])
        }
        var peer = Peer()
        let request = peer.query("shutdown")
        #expect(request == .order(.shutdownNow, database: nil))
    }

    @Test func errorsKeepTheSession() {
        let cases = [
            ("foo", Self.error("invalid command 'foo', use SHOW HELP;")),
            ("pause pgbouncer", Self.error("cannot pause admin db: pgbouncer")),
            ("kill pgbouncer", Self.error("cannot kill admin db: pgbouncer")),
            ("reconnect pgbouncer", Self.error("cannot reconnect admin db: pgbouncer")),
            ("wait_close pgbouncer", Self.error("cannot wait in admin db: pgbouncer")),
        ]
        var peer = Peer()
        for (query, expected) in cases {
            let request = peer.query(query)
            #expect(request == nil)
            let replies = peer.replies()
            #expect(replies == [expected, .ready])
        }
        let log = peer.session.takeLog()
        #expect(log.count == cases.count)
        #expect(log.first == "invalid command 'foo', use SHOW HELP;")
    }

    @Test func whoMayOnlyLookCanDoNothingElse() {
        var peer = Peer(role: .stats)
        for query in ["reload", "pause x", "resume", "shutdown", "set x=y", "show fds", "kill", "drain"] {
            let request = peer.query(query)
            #expect(request == nil)
            let replies = peer.replies()
            #expect(replies == [Self.error("admin access needed"), .ready])
        }
        _ = peer.query("reload x")
        let replies = peer.replies()
        #expect(replies == [Self.error("invalid command 'reload x', use SHOW HELP;"), .ready])
        let request = peer.query("show config")
        #expect(request == .configuration)
    }

    @Test func otherPacketsAreRefused() {
        var peer = Peer()
        _ = peer.send(Peer.message("F", []))
        let replies = peer.replies()
        #expect(
            replies == [
                Self.error("unsupported packet type for admin console: 70"), .ready,
                Self.error("bad packet", severity: "FATAL"),
            ])
    }

    @Test func brokenPacketsEndTheSession() {
        for packet in [
            [81, 0, 0, 0, 3], [81, 255, 255, 255, 255], [81, 0, 1, 0, 0], Peer.message("Q", []),
            Peer.message("Q", bytes("show version")), Peer.message("Q", bytes("a\0b\0")),
        ] as [[UInt8]] {
            var peer = Peer()
            _ = peer.send(packet)
            let closing = peer.session.isClosing
            #expect(closing)
            guard case .error("FATAL", "08P01", _)? = peer.replies().last else {
                Issue.record("a fatal error ends the session")
                continue
            }
        }
    }

    @Test func queriesAreCounted() {
        var peer = Peer()
        _ = peer.session.takeTotals()
        _ = peer.query("show version")
        _ = peer.query("foo")
        let totals = peer.session.takeTotals()
        #expect(totals[.queries] == 2)
        #expect(totals[.transactions] == 2)
        #expect(totals[.receivedBytes] == 18 + 9)
        let again = peer.session.takeTotals()
        #expect(again == PoolTotals())
    }

    @Test func theControlSocketBeginsWithAStartupPacket() {
        var peer = Peer(controlSocket: ())
        let ssl: [UInt8] = [0, 0, 0, 8, 4, 210, 22, 47]
        _ = peer.send(ssl)
        let refusal = peer.session.output.bytes.array
        #expect(refusal == bytes("N"))
        peer.session.output.removeAll()
        let startup = Peer.startup([
            ("user", "root"), ("database", "pgsluice"), ("application_name", "sluicectl"),
        ])
        for byte in startup { _ = peer.send([byte]) }
        let replies = peer.replies()
        #expect(replies.first == .authenticationOk)
        #expect(replies.contains(.parameter("application_name", "sluicectl")))
        #expect(replies.last == .ready)
        let request = peer.query("reload")
        #expect(request == .reload)
    }

    @Test func theControlSocketServesTheConsoleOnly() {
        for parameters in [[("user", "pgbouncer"), ("database", "shop")], [("user", "root")], []] {
            var peer = Peer(controlSocket: ())
            _ = peer.send(Peer.startup(parameters))
            let replies = peer.replies()
            #expect(
                replies == [Self.error("only database pgbouncer is served here", "3D000", severity: "FATAL")])
            let closing = peer.session.isClosing
            #expect(closing)
        }
    }

    @Test func aNewerProtocolIsNegotiatedDown() {
        var peer = Peer(controlSocket: ())
        _ = peer.send(Peer.startup([("user", "pgbouncer")], minor: 2))
        let replies = peer.replies()
        #expect(replies.first == .other(UInt8(ascii: "v")))
        #expect(replies.last == .ready)
    }

    @Test func aCancelRequestIsHandedOn() {
        var peer = Peer(controlSocket: ())
        let packet: [UInt8] = [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 77, 1, 2, 3, 4]
        let request = peer.send(packet)
        #expect(request == .cancel(Peer.key))
        let closing = peer.session.isClosing
        #expect(closing)
    }

    /// Goal: a client that sends and never reads costs a bounded amount of memory.
    @Test func aClientThatDoesNotReadIsNotReadEither() {
        var peer = Peer()
        var rounds = 0
        while peer.session.wantsInput, rounds < 100_000 {
            _ = peer.query("show version")
            rounds += 1
        }
        let waiting = peer.session.output.count
        #expect(waiting < (1 << 20) + 4096)
        _ = peer.query("show version")
        let unchanged = peer.session.output.count
        #expect(unchanged == waiting)
        peer.session.output.removeAll()
        let request = peer.session.advance()
        #expect(request == nil)
        let more = peer.session.output.count
        #expect(more > 0, "what was kept back is served when there is room")
    }

    @Test(arguments: 0..<200 as Range<UInt64>)
    func randomBytesNeverTrap(seed: UInt64) {
        var random = Random(seed: seed)
        let stream =
            Peer.message("Q", bytes("show clients\0")) + Peer.message("Q", bytes("pause\0"))
            + ExtendedTests.series("show pools", formats: [1], limit: 1)
            + Peer.message("Q", bytes("show version\0")) + Peer.message("X", [])
        for _ in 0..<50 {
            var damaged = random.below(2) == 0 ? stream : Peer.startup([("user", "pgbouncer")]) + stream
            for _ in 0..<(1 + random.below(4)) {
                damaged[random.below(damaged.count)] = UInt8(random.below(256))
            }
            var peer = random.below(2) == 0 ? Peer() : Peer(controlSocket: ())
            var request = peer.send(damaged)
            while request != nil {
                request = peer.answer(random.below(2) == 0 ? .done : .failed(.notPaused))
            }
        }
    }
}
