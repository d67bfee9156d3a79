import Testing

@testable import Config

@Suite struct GrammarTests {
    private func items(_ text: String) -> [INIReader.Item] { items(Array(text.utf8)) }

    private func items(_ bytes: [UInt8]) -> [INIReader.Item] {
        var reader = INIReader(bytes)
        var items: [INIReader.Item] = []
        while let item = reader.next() { items.append(item) }
        return items
    }

    @Test func leadingBlanksCommentsAndEmptyLinesMeanNothing() {
        let text = "\n\t [a]\n  # c\n ; c = d\n  k  =\t v w  \n\r\n"
        #expect(items(text) == [.section("a"), .pair(key: "k", value: "v w")])
    }

    @Test func aValueIsTheRestOfTheLine() {
        #expect(items("k = a ; b # c") == [.pair(key: "k", value: "a ; b # c")])
        #expect(items("k = 'a' = \"b\"") == [.pair(key: "k", value: "'a' = \"b\"")])
        #expect(items("k =") == [.pair(key: "k", value: "")])
        #expect(items("k=v\r\nl=w\r\n") == [.pair(key: "k", value: "v"), .pair(key: "l", value: "w")])
    }

    @Test func keysAreBareOrInSingleQuotes() {
        #expect(items("a_b.c-9* = 1") == [.pair(key: "a_b.c-9*", value: "1")])
        #expect(items("'my db' = 1") == [.pair(key: "my db", value: "1")])
        #expect(items("'a\"b'=1") == [.pair(key: "a\"b", value: "1")])
    }

    @Test(arguments: [
        "my db = 1", "\"db\" = 1", "= 1", "'' = 1", "'open = 1", "word", "k v", "[open", "%include",
        "%includex",
    ])
    func otherLinesAreMalformed(line: String) {
        let found = items(line)
        guard case .malformed = found.first else {
            Issue.record("\(found)")
            return
        }
    }

    @Test func anIncludeTakesTheRestOfItsLine() {
        #expect(items("  %include  a b.ini \n") == [.include("a b.ini")])
    }

    @Test func aSectionMayBeFollowedByAComment() {
        #expect(items("[a] ; c\n[b]k=v") == [.section("a"), .section("b"), .pair(key: "k", value: "v")])
    }

    @Test func textThatIsNotUTF8IsMalformedButMayStandInComments() {
        #expect(items([0x23, 0xFF, 0x0A, 0x6B, 0x3D, 0x76]) == [.pair(key: "k", value: "v")])
        guard case .malformed = items([0x6B, 0x3D, 0xFF]).first else { Issue.record("accepted"); return }
        guard case .malformed = items([0x6B, 0x3D, 0x00]).first else { Issue.record("accepted"); return }
    }

    @Test func aByteOrderMarkIsPassedOver() {
        #expect(items([0xEF, 0xBB, 0xBF, 0x6B, 0x3D]) == [.pair(key: "k", value: "")])
    }

    @Test func lineNumbersCountFromOne() {
        var reader = INIReader(Array("\n# c\n[a]\nk=v\n\nl=w".utf8))
        var lines: [Int] = []
        while reader.next() != nil { lines.append(reader.line) }
        #expect(lines == [3, 4, 6])
    }

    @Test func connectionStringsHaveBareAndQuotedValues() throws {
        let pairs = try ConnectionString.pairs(of: "  host=h port = 5  password='a ''b'' c'user=u ")
        #expect(pairs.map(\.key) == ["host", "port", "password", "user"])
        #expect(pairs.map(\.value) == ["h", "5", "a 'b' c", "u"])
        #expect(try ConnectionString.pairs(of: "").isEmpty)
    }

    @Test(arguments: [
        "password=", "password=''", "password= ", "host", "=x", "a='x", "host=h ; comment", "a\tb",
    ])
    func otherConnectionStringsAreMalformed(text: String) {
        #expect(throws: ConnectionString.Malformed.self) { try ConnectionString.pairs(of: text) }
    }

    @Test func quotedValuesComeBack() throws {
        for value in ["x", "a'b", "''", "ä e\u{301}", "a b=c"] {
            let pairs = try ConnectionString.pairs(of: "k=\(ConnectionString.quote(value))")
            #expect(pairs == [ConnectionString.Pair(key: "k", value: value)])
        }
    }
}
