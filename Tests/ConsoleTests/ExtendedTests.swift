import Base
import Testing
import Wire

@testable import Console

/// The extended query protocol, as drivers use it.
@Suite struct ExtendedTests {
    static func parse(_ text: String, name: String = "", types: Int16 = 0) -> [UInt8] {
        Peer.message(
            "P",
            bytes(name) + [0] + bytes(text) + [0, 0, UInt8(types)]
                + [UInt8](repeating: 0, count: 4 * Int(types)))
    }

    static func bind(
        _ statement: String = "", portal: String = "", formats: [UInt8] = [], values: Int = 0
    ) -> [UInt8] {
        Peer.message(
            "B",
            bytes(portal) + [0] + bytes(statement) + [0, 0, 0, 0, UInt8(values)]
                + (0..<values).flatMap { _ in [0, 0, 0, 1, 0x31] as [UInt8] } + [0, UInt8(formats.count)]
                + formats.flatMap { [0, $0] })
    }

    static func describe(_ kind: Character, _ name: String = "") -> [UInt8] {
        Peer.message("D", [kind.asciiValue!] + bytes(name) + [0])
    }

    static func execute(_ portal: String = "", limit: UInt8 = 0) -> [UInt8] {
        Peer.message("E", bytes(portal) + [0, 0, 0, 0, limit])
    }

    static let sync = Peer.message("S", [])

    static func series(_ text: String, formats: [UInt8] = [], limit: UInt8 = 0) -> [UInt8] {
        parse(text) + bind(formats: formats) + describe("P") + execute(limit: limit) + sync
    }

    private static let parsed = Reply.other(UInt8(ascii: "1"))
    private static let bound = Reply.other(UInt8(ascii: "2"))
    private static let closed = Reply.other(UInt8(ascii: "3"))
    private static let noData = Reply.other(UInt8(ascii: "n"))
    private static let parameters = Reply.other(UInt8(ascii: "t"))
    private static let suspended = Reply.other(UInt8(ascii: "s"))
    private static let empty = Reply.other(UInt8(ascii: "I"))
    private static let stateColumns = Reply.columns([
        ConsoleColumn("key", .text), ConsoleColumn("value", .text),
    ])

    /// What psycopg and JDBC send for a statement without parameters.
    @Test func aCommandIsParsedBoundDescribedAndRun() {
        var peer = Peer()
        let request = peer.send(Self.series("SHOW STATE"))
        #expect(request == .state)
        _ = peer.answer(.state(.active))
        let replies = peer.replies()
        #expect(
            replies == [
                Self.parsed, Self.bound, Self.stateColumns, .row(["active", "yes"]), .row(["paused", "no"]),
                .row(["suspended", "no"]), .complete("SHOW"), .ready,
            ])
    }

    /// What asyncpg sends: the statement is described first, in a series of its own.
    @Test func aNamedStatementIsDescribedAndRunAgain() {
        var peer = Peer()
        _ = peer.send(Self.parse("RELOAD", name: "s1") + Self.describe("S", "s1") + Self.sync)
        #expect(peer.replies() == [Self.parsed, Self.parameters, Self.noData, .ready])
        for _ in 0..<2 {
            let request = peer.send(Self.bind("s1") + Self.execute() + Self.sync)
            #expect(request == .reload)
            _ = peer.answer(.done)
            #expect(peer.replies() == [Self.bound, .complete("RELOAD"), .ready])
        }
        _ = peer.send(Self.parse("RELOAD", name: "s1") + Self.sync)
        let again = peer.replies()
        #expect(again.count == 2 && again.first?.state == "42P05")
        _ = peer.send(Peer.message("C", bytes("Ss1\0")) + Self.bind("s1") + Self.execute() + Self.sync)
        let gone = peer.replies()
        #expect(gone.count == 3 && gone[0] == Self.closed && gone[1].state == "26000")
    }

    /// Goal: after an error everything up to Sync is passed over, and the session goes on.
    @Test func anErrorPassesOverTheRestOfTheSeries() {
        var peer = Peer()
        for text in ["select 1", "show stats totals"] {
            _ = peer.send(Self.series(text))
            #expect(
                peer.replies() == [
                    ConsoleSessionTests.error("invalid command '\(text)', use SHOW HELP;"), .ready,
                ])
        }
        _ = peer.send(Self.execute("p") + Self.describe("P", "p") + Self.sync)
        let missing = peer.replies()
        #expect(missing.count == 2 && missing[0].state == "34000")
        var stats = Peer(role: .stats)
        let request = stats.send(Self.series("RELOAD"))
        #expect(request == nil)
        let refused = stats.replies()
        #expect(refused.contains(ConsoleSessionTests.error("admin access needed")) && refused.last == .ready)
    }

    @Test func parametersAreRefusedInPlainWords() {
        for message in [
            Self.parse("SHOW POOLS", types: 1), Self.parse("PAUSE $1"),
            Self.parse("SHOW POOLS") + Self.bind(values: 1),
        ] {
            var peer = Peer()
            _ = peer.send(message + Self.execute() + Self.sync)
            let error = peer.replies().dropLast().last
            #expect(error?.state == "0A000" && error?.message?.contains("take no parameters") == true)
        }
    }

    @Test func anEmptyTextIsAnsweredAsPostgreSQLDoes() {
        var peer = Peer()
        _ = peer.send(Self.series(""))
        #expect(peer.replies() == [Self.parsed, Self.bound, Self.noData, Self.empty, .ready])
    }

    @Test func rowsComeInPortionsWhenTheyAreAskedForSo() {
        var peer = Peer()
        let request = peer.send(
            Self.parse("SHOW STATE") + Self.bind(portal: "p") + Self.execute("p", limit: 2)
                + Self.execute("p", limit: 2) + Self.sync + Self.execute("p") + Self.sync)
        #expect(request == .state)
        _ = peer.answer(.state(.paused))
        let replies = peer.replies()
        #expect(
            Array(replies.prefix(8)) == [
                Self.parsed, Self.bound, .row(["active", "no"]), .row(["paused", "yes"]), Self.suspended,
                .row(["suspended", "no"]), .complete("SHOW"), .ready,
            ])
        // Sync ends portals.
        #expect(replies.count == 10 && replies[8].state == "34000")
    }

    /// A command that changes something is not carried out twice by the same portal.
    @Test func aPortalWithoutRowsRunsOnce() {
        var peer = Peer()
        let request = peer.send(
            Self.parse("RELOAD") + Self.bind() + Self.execute() + Self.execute() + Self.sync)
        #expect(request == .reload)
        let second = peer.answer(.done)
        #expect(second == nil)
        let replies = peer.replies()
        #expect(replies.count == 5 && replies[2] == .complete("RELOAD") && replies[3].state == "55000")
    }

    @Test(arguments: [
        ("0", "0000 0000 0000 0000"), ("5", "0001 0000 0000 0000 0005"), ("-5", "0001 0000 4000 0000 0005"),
        ("10000", "0001 0001 0000 0000 0001"), ("123456789", "0003 0002 0000 0000 0001 0929 1a85"),
        ("12.34", "0002 0000 0000 0002 000c 0d48"), ("0.0500", "0001 ffff 0000 0004 01f4"),
    ])
    func numbersGoInBinary(text: String, expected: String) {
        let hex = Self.binary(text, .numeric)
        #expect(hex == expected.filter { $0 != " " })
    }

    @Test func otherTypesGoInBinary() {
        #expect(Self.binary("258", .int4) == "00000102")
        #expect(Self.binary("-1", .int8) == "ffffffffffffffff")
        #expect(Self.binary("99999999999", .int4) == "7fffffff")
        #expect(Self.binary("ab", .text) == "6162")
        #expect(Self.binary("\\x0aff", .bytea) == "0aff")
    }

    /// One field through a session, in hexadecimal.
    private static func binary(_ text: String, _ type: ColumnType) -> String {
        var table = ConsoleTable(columns: [ConsoleColumn("x", type)])
        table.append([text])
        var buffer = ByteBuffer()
        table.encodeRows(0..<1, into: &buffer, ColumnFormats([1]))
        return buffer.bytes.array.dropFirst(11).map { byte in
            (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined()
    }

    @Test func eachColumnHasItsFormat() {
        for (formats, isFine) in [([], true), ([1], true), ([0, 1], true), ([0, 1, 1], false)]
            as [([UInt8], Bool)]
        {
            var peer = Peer()
            let request = peer.send(Self.series("SHOW STATE", formats: formats))
            #expect((request == .state) == isFine)
        }
    }

    @Test func statementsAreBoundedInNumber() {
        var peer = Peer()
        for index in 0..<1000 { _ = peer.send(Self.parse("RELOAD", name: "s\(index)")) }
        #expect(peer.replies().allSatisfy { $0 == Self.parsed })
        _ = peer.send(Self.parse("RELOAD", name: "more") + Self.sync)
        #expect(peer.replies().first?.state == "54000")
        _ = peer.send(Self.parse("RELOAD") + Self.sync)
        #expect(peer.replies() == [Self.parsed, .ready])
    }
}
