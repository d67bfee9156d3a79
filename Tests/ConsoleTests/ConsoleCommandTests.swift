import Base
import Console
import Testing

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

@Suite struct ConsoleCommandTests {
    static let commands: [(String, ConsoleCommand)] = [
        ("SHOW POOLS", .show(.pools)),
        ("show stats_totals;", .show(.statsTotals)),
        ("\t sHoW\n \"VERSION\" ; \r\n", .show(.version)),
        ("select version", .show(.version)),
        ("SELECT STATS", .show(.stats)),
        ("show active_sockets", .show(.activeSockets)),
        ("SHOW TimeZone", .showParameter(.timeZone)),
        ("show client_encoding", .showParameter(.clientEncoding)),
        ("set client_encoding to 'utf8'", .setParameter(.clientEncoding)),
        ("SET DateStyle = 'x''y'", .setParameter(.dateStyle)),
        ("set extra_float_digits=3", .setParameter(.extraFloatDigits)),
        ("set a=b", .set(key: bytes("a"), value: bytes("b"))),
        ("SET \"a b\" TO 'it''s';", .set(key: bytes("a b"), value: bytes("it's"))),
        ("reload", .reload),
        ("PAUSE", .pause(database: nil)),
        ("pause Shop", .pause(database: bytes("Shop"))),
        ("pause \"my-db\"", .pause(database: bytes("my-db"))),
        ("resume \"a\"\"b\"", .resume(database: bytes("a\"b"))),
        ("shutdown", .shutdown(.immediate)),
        ("SHUTDOWN wait_for_servers", .shutdown(.waitForServers)),
        ("SHUTDOWN WAIT_FOR_CLIENTS;", .shutdown(.waitForClients)),
        ("pause timeout 5", .pause(database: nil, limitSeconds: 5)),
        ("PAUSE shop TIMEOUT 60;", .pause(database: bytes("shop"), limitSeconds: 60)),
        ("pause timeout", .pause(database: bytes("timeout"))),
        ("pause timeout timeout 1", .pause(database: bytes("timeout"), limitSeconds: 1)),
        ("kill", .database(.kill, nil)),
        ("KILL shop", .database(.kill, bytes("shop"))),
        ("disable shop", .database(.disable, bytes("shop"))),
        ("enable shop", .database(.enable, bytes("shop"))),
        ("reconnect", .database(.reconnect, nil)),
        ("suspend", .suspend), ("Drain;", .drain),
        ("restart", .restart(path: nil)), ("RESTART FORCE;", .restart(path: nil, isForced: true)),
        ("restart '/a b' force", .restart(path: Array("/a b".utf8), isForced: true)),
        ("wait_close", .database(.waitClose, nil)),
        ("kill_client 7", .killClient(id: 7)),
        ("kill_client \"C-12\"", .killClient(id: 12)),
    ]

    @Test(arguments: commands)
    func knownCommandsAreUnderstood(query: String, expected: ConsoleCommand) throws {
        #expect(try ConsoleCommand.parse(bytes(query)) == expected)
    }

    static let invalid = [
        "", ";", "show", "select", "show stats totals", "select 1", "SELECT version()", "foo", "show foo",
        "show version; show version", "show version --x", "-- show version", "reload x", "shutdown now",
        "pause x y", "pause my-db", "pause \"x", "set a", "set a=b c", "set a=", "set = b", "suspend x",
        "drain x", "restart x", "restart force '/a'", "restart '/a' now",
        "pause timeout 0",
        "pause timeout x", "pause a timeout", "pause a b 5", "pause a timeout 5 6", "reload timeout 5",
        "show;;",
        "\"show\"\"\" version", "select version ; ;",
    ]

    /// Goal: the text clients compare, with the query as it was written.
    @Test(arguments: invalid)
    func anythingElseIsNamedAsInvalid(query: String) {
        #expect(throws: ConsoleError("invalid command '\(query)', use SHOW HELP;")) {
            try ConsoleCommand.parse(bytes(query))
        }
    }

    @Test func wordsHaveLimits() throws {
        func word(_ count: Int) -> String { String(repeating: "a", count: count) }
        for query in [
            word(16), "show \(word(64))", "set \(word(64))=b", "set a='\(word(256))'",
        ] {
            #expect(throws: ConsoleError("bad arguments")) { try ConsoleCommand.parse(bytes(query)) }
        }
        #expect(try ConsoleCommand.parse(bytes("pause \(word(63))")) == .pause(database: bytes(word(63))))
        #expect(
            try ConsoleCommand.parse(bytes("set a='\(word(255))'"))
                == .set(key: bytes("a"), value: bytes(word(255))))
    }

    @Test func someCommandsNeedADatabase() {
        for query in ["enable", "disable;"] {
            #expect(throws: ConsoleError("a database is required")) {
                try ConsoleCommand.parse(bytes(query))
            }
        }
    }

    @Test func aClientIsNamedByItsNumber() {
        for query in ["kill_client", "kill_client x", "kill_client 0x7f", "kill_client \"-1\""] {
            #expect(throws: ConsoleError("invalid client pointer supplied")) {
                try ConsoleCommand.parse(bytes(query))
            }
        }
    }

    @Test(arguments: 0..<100 as Range<UInt64>)
    func randomBytesNeverTrap(seed: UInt64) {
        var random = Random(seed: seed)
        for _ in 0..<300 {
            var query = bytes(
                ConsoleCommandTests.commands[random.below(ConsoleCommandTests.commands.count)].0)
            for _ in 0..<random.below(5) {
                query.insert(bytes("\"'; =a\n")[random.below(7)], at: random.below(query.count + 1))
                if random.below(4) == 0 { query[random.below(query.count)] = UInt8(random.below(256)) }
            }
            _ = try? ConsoleCommand.parse(query)
        }
    }
}
