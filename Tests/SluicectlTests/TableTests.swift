import Testing

@testable import sluicectl

@Suite struct TableTests {
    private static let answer = {
        var answer = Answer()
        answer.columns = [Column("name"), Column("count", type: 23), Column("total", type: 1700)]
        answer.rows = [["a", "7", "12345"], ["longer", nil, "1"], ["", "10", "0"]]
        return answer
    }()

    @Test func numbersStandToTheRightAndLinesHaveNoBlanksAtTheirEnds() {
        #expect(
            TextTable(Self.answer).lines == [
                "name    count  total", "a           7  12345", "longer      -      1",
                "-          10      0",
            ])
        var plain = Answer()
        plain.columns = [Column("a"), Column("b")]
        plain.rows = [["x", "long"], ["y", "z"]]
        #expect(TextTable(plain).lines == ["a  b", "x  long", "y  z"])
    }

    @Test func anEmptyTableStillNamesItsColumns() {
        var empty = Self.answer
        empty.rows = []
        #expect(TextTable(empty).lines == ["name  count  total"])
        #expect(TextTable(Answer()).lines == [""])
    }

    /// Goal: whoever chooses an application_name does not get to write to the administrator's terminal.
    @Test(arguments: ["\u{1b}[2J", "a\nb", "\u{9b}31m", "x\u{202e}y", "\u{7f}"])
    func namesCannotGiveOrdersToTheTerminal(name: String) {
        let cell = TextTable.cell(name)
        #expect(cell.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control })
        #expect(cell.contains("\u{fffd}"))
        #expect(TextTable.cell("é plain 名") == "é plain 名")
    }

    @Test(arguments: [("plain", 5), ("名前", 4), ("e\u{301}", 1), ("", 0), ("🙂", 2)])
    func widthIsWhatATerminalTakes(text: String, width: Int) {
        #expect(text.displayWidth == width)
    }

    @Test(arguments: ["plain text", "名前と名前", "e\u{301}e\u{301}e\u{301}e\u{301}", "a🙂b🙂c"])
    func cutTextFits(text: String) {
        for width in 0...12 {
            let cut = text.cut(to: width)
            #expect(cut.displayWidth <= width)
            #expect((cut == text) == (text.displayWidth <= width))
            #expect(cut == text || width == 0 || cut.hasSuffix("~"))
        }
    }

    // MARK: Listings

    @Test func aListingShowsItsColumnsInItsUnits() {
        var pools = Answer()
        pools.columns = [
            Column("user"), Column("database"), Column("maxwait", isNumber: true),
            Column("maxwait_us", isNumber: true), Column("sv_being_canceled", isNumber: true),
        ]
        pools.rows = [["app", "shop", "3", "250000", "0"], ["web", "shop", "0", "0", "0"]]
        #expect(
            Listing.pools.table(pools).lines == [
                "database  user  maxwait", "shop      app      3.3s", "shop      web         0",
            ])
    }

    @Test func anAnswerWithNothingOfAListingIsShownWhole() {
        #expect(Listing.pools.table(Self.answer) == TextTable(Self.answer))
        #expect(Listing(command: "X", shown: []).table(Self.answer) == TextTable(Self.answer))
    }

    @Test func rowsAreSelectedByDatabaseAndUser() {
        var answer = Answer()
        answer.columns = [Column("database"), Column("user")]
        answer.rows = [["a", "x"], ["a", "y"], ["b", "x"]]
        #expect(answer.filtered("database", "a").filtered("user", "x").rows == [["a", "x"]])
        #expect(answer.filtered("database", nil).rows.count == 3)
        #expect(answer.filtered("database", "A").rows.isEmpty)
    }

    @Test func settingsAreSelectedByNameAndByChange() {
        var answer = Answer()
        answer.columns = ["key", "value", "default", "changeable"].map { Column($0) }
        answer.rows = [
            ["a", "1", "1", "yes"], ["b", "2", "1", "yes"], ["c", nil, "", "no"], ["d", "x", nil, "no"],
        ]
        func keys(_ names: [String], _ changed: Bool) -> [String?] {
            Config.select(answer, names: names, changed: changed).column("key")
        }
        #expect(keys([], false) == ["a", "b", "c", "d"])
        #expect(keys([], true) == ["b", "d"])
        #expect(keys(["a", "b"], true) == ["b"])
        #expect(keys(["a"], false) == ["a"])
    }
}
