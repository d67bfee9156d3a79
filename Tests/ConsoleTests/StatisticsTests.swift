import Console
import SharedState
import Testing

@Suite struct StatisticsTests {
    static func totals(_ factor: UInt64) -> PoolTotals {
        var totals = PoolTotals()
        totals[.serverAssignments] = 2 * factor
        totals[.transactions] = 10 * factor
        totals[.queries] = 20 * factor
        totals[.receivedBytes] = 1000 * factor
        totals[.sentBytes] = 5000 * factor
        totals[.transactionMicroseconds] = 70 * factor
        totals[.queryMicroseconds] = 60 * factor
        totals[.waitMicroseconds] = 9 * factor
        totals[.clientParses] = 3 * factor
        totals[.serverParses] = 1 * factor
        totals[.binds] = 4 * factor
        totals[.clientLogins] = 5 * factor
        return totals
    }

    static func database(_ name: String, _ factor: UInt64) -> DatabaseTotals {
        DatabaseTotals(database: bytes(name), totals: totals(factor))
    }

    static func show(_ command: String, _ report: StatisticsReport) -> [Reply] {
        var peer = Peer()
        _ = peer.query("show \(command)")
        _ = peer.answer(.statistics(report))
        return peer.replies()
    }

    static let statsColumns = """
        total_server_assignment_count total_xact_count total_query_count total_received total_sent
        total_xact_time total_query_time total_wait_time total_client_parse_count total_server_parse_count
        total_bind_count total_client_login_count avg_server_assignment_count avg_xact_count avg_query_count
        avg_recv avg_sent avg_xact_time avg_query_time avg_wait_time avg_client_parse_count
        avg_server_parse_count avg_bind_count avg_client_login_count
        """
    static let totalsColumns = """
        server_assignment_count xact_count query_count bytes_received bytes_sent xact_time query_time
        wait_time client_parse_count server_parse_count bind_count client_login_count
        """
    static let averagesColumns = """
        server_assignment_count xact_count query_count bytes_received bytes_sent xact_time query_time
        wait_time avg_client_parse_count avg_server_parse_count avg_bind_count avg_client_login_count
        """

    static func columns(_ names: String) -> Reply {
        let names = names.split { $0 == " " || $0 == "\n" }
        return .columns(
            [ConsoleColumn("database", .text)] + names.map { ConsoleColumn(String($0), .numeric) })
    }

    /// Two databases, two seconds after a base of nothing.
    static var report: StatisticsReport {
        StatisticsAverages(nowMicroseconds: 1_000_000).report(
            nowMicroseconds: 3_000_000, [database("shop", 10), database("app", 1), database("shop", 10)])
    }

    @Test func statsHaveTotalsAndAverages() {
        let shown = Self.show("stats", Self.report)
        #expect(shown[0] == Self.columns(Self.statsColumns))
        #expect(
            shown[1]
                == .row([
                    "app", "2", "10", "20", "1000", "5000", "70", "60", "9", "3", "1", "4", "5", "1", "5",
                    "10", "500",
                    "2500", "7", "3", "4", "1", "0", "2", "2",
                ]))
        #expect(
            shown[2]
                == .row([
                    "shop", "40", "200", "400", "20000", "100000", "1400", "1200", "180", "60", "20", "80",
                    "100", "20",
                    "100", "200", "10000", "50000", "7", "3", "4", "30", "10", "40", "50",
                ]), "rows of the same database are one")
        #expect(shown.count == 5)
    }

    @Test func totalsAndAveragesHaveTheirOwnTables() {
        let totals = Self.show("stats_totals", Self.report)
        #expect(totals[0] == Self.columns(Self.totalsColumns))
        #expect(
            totals[1]
                == .row(["app", "2", "10", "20", "1000", "5000", "70", "60", "9", "3", "1", "4", "5"]))
        let averages = Self.show("stats_averages", Self.report)
        #expect(averages[0] == Self.columns(Self.averagesColumns))
        #expect(
            averages[1] == .row(["app", "1", "5", "10", "500", "2500", "7", "3", "4", "1", "0", "2", "2"]))
    }

    @Test func theSumHasARowPerCounter() {
        let shown = Self.show("totals", Self.report)
        #expect(shown[0] == .columns([ConsoleColumn("name", .text), ConsoleColumn("value", .numeric)]))
        let names = [
            "server_assignment_count", "xact_count", "query_count", "client_bytes", "server_bytes",
            "xact_time",
            "query_time", "wait_time", "ps_client_parse_count", "ps_server_parse_count", "ps_bind_count",
            "client_login_count",
        ]
        let totals = [
            "42", "210", "420", "21000", "105000", "1470", "1260", "189", "63", "21", "84", "105",
        ]
        let averages = ["21", "105", "210", "10500", "52500", "7", "3", "4", "31", "10", "42", "52"]
        let expected =
            zip(names, totals).map { Reply.row(["total_" + $0, $1]) }
            + zip(names, averages).map { Reply.row(["avg_" + $0, $1]) }
        #expect(Array(shown[1...24]) == expected)
        #expect(shown.count == 27)
    }

    /// Goal: averages rest on a moment between one and two periods ago, whenever somebody asks.
    @Test func averagesLookBackOneToTwoPeriods() {
        var averages = StatisticsAverages(nowMicroseconds: 0)
        func perSecond(_ now: UInt64, _ factor: UInt64) -> UInt64 {
            averages.report(nowMicroseconds: now, [Self.database("d", factor)]).sum.averages[.transactions]
        }
        #expect(perSecond(0, 0) == 0, "no time has passed, nothing divides by it")
        _ = averages.endPeriod(nowMicroseconds: 60_000_000, [Self.database("d", 60)])
        #expect(perSecond(60_000_000, 60) == 10)
        _ = averages.endPeriod(nowMicroseconds: 120_000_000, [Self.database("d", 60)])
        #expect(perSecond(120_000_000, 60) == 0, "the first minute is forgotten, the second had nothing")
        #expect(perSecond(180_000_000, 300) == 20, "240 more in 120 s since the first minute's end")
    }

    @Test func theLogLineTellsThePeriod() {
        var averages = StatisticsAverages(nowMicroseconds: 0)
        let first = averages.endPeriod(nowMicroseconds: 1_000_000, [Self.database("a", 1)])
        #expect(
            first.text
                == "stats: 10 xacts/s, 20 queries/s, 3 client parses/s, 1 server parses/s, 4 binds/s, "
                + "5 client logins/s, in 1000 B/s, out 5000 B/s, xact 7 us, query 3 us, wait 4 us")
        let second = averages.endPeriod(
            nowMicroseconds: 3_000_000, [Self.database("a", 1), Self.database("b", 4)])
        #expect(second.text.hasPrefix("stats: 20 xacts/s, 40 queries/s, 6 client parses/s"))
    }

    @Test func countersThatFellGiveNoAverage() {
        var averages = StatisticsAverages(nowMicroseconds: 0)
        _ = averages.endPeriod(nowMicroseconds: 1_000_000, [Self.database("a", 100)])
        let line = averages.endPeriod(nowMicroseconds: 2_000_000, [Self.database("a", 1)])
        #expect(line.text.hasPrefix("stats: 0 xacts/s"))
    }
}
