import Base
import Testing

@testable import Config

/// Whatever is in a file, reading it ends, and ends in a configuration or in errors.
@Suite struct RandomInputTests {
    @Test(arguments: 0..<300 as Range<UInt64>)
    func randomBytesNeverTrap(seed: UInt64) {
        var random = Random(seed: seed)
        let bytes = (0..<random.below(600)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        check(bytes)
    }

    /// Pieces of grammar in random order reach further than random bytes.
    @Test(arguments: 0..<600 as Range<UInt64>)
    func randomPiecesNeverTrap(seed: UInt64) {
        let pieces = [
            "[pgbouncer]", "[databases]", "[users]", "[peers]", "[", "]", "=", " = ", "\n", "\n", "\n", " ",
            "'", "''",
            "%include test.ini", "%include ", "*", "a", "1", "-", "+", "0x", "08", "1e9", ".", ",", ";", " ;",
            "#",
            "99999999999999999999", "\u{301}", "\u{0}", "é", "host=", "port=", "pool_size=", "password='",
            "\r", "\t",
        ]
        let keys = SettingTable.all.map(\.name)
        var random = Random(seed: seed)
        var text = ""
        for _ in 0..<random.below(80) {
            text += random.below(4) == 0 ? keys[random.below(keys.count)] : pieces[random.below(pieces.count)]
        }
        check(Array(text.utf8))
    }

    /// A good file with a few bytes changed.
    @Test(arguments: 0..<600 as Range<UInt64>)
    func changedFilesNeverTrap(seed: UInt64) {
        var random = Random(seed: seed)
        var bytes = Array(
            (ParserTests.pasted + "\n* = host='a,b' port=1 connect_query='x ''y'''\n[users]\nu=pool_size=3")
                .utf8)
        for _ in 0...random.below(6) {
            let place = random.below(bytes.count)
            switch random.below(3) {
            case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
            case 1: bytes.remove(at: place)
            default:
                bytes.insert(
                    contentsOf: bytes[place...].prefix(random.below(20)), at: random.below(bytes.count))
            }
        }
        check(bytes)
    }

    private func check(_ bytes: [UInt8]) {
        let image = ConfigurationImage(path: "test.ini") { $0 == "test.ini" ? bytes : nil }
        let parsed = Configuration.parse(image)
        #expect((parsed.configuration == nil) == !parsed.errors.isEmpty)
        #expect(parsed.errors.allSatisfy { !$0.message.isEmpty })
    }
}
