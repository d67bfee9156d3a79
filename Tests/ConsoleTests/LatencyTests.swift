import Console
import SharedState
import Testing

/// SHOW LATENCY and SHOW HISTORY.
@Suite struct LatencyTests {
    /// Histograms of one pool with these query times.
    static func latencies(_ times: [UInt64]) -> PoolLatencies {
        let counters = PoolCounters.scratch()
        for time in times {
            counters.add(.queries)
            counters.record(.query, microseconds: time)
        }
        var result = PoolLatencies()
        result.add(counters)
        return result
    }

    static func sums(_ queries: UInt64, _ times: [UInt64] = []) -> StatisticsSums {
        var sums = StatisticsSums()
        sums.totals[.queries] = queries
        sums.latencies = latencies(times)
        return sums
    }

    static func text(_ table: ConsoleTable) -> [[String]] {
        table.rows.map { $0.map { String(decoding: $0 ?? [], as: UTF8.self) } }
    }

    static let shop = PoolName(database: bytes("shop"), user: bytes("web"))

    @Test func percentilesAreThoseOfTheLastWholePeriodAndOfAll() {
        var statistics = LatencyStatistics()
        let first = Array(repeating: UInt64(3), count: 98) + [11, 15]
        #expect(
            Self.text(statistics.table([Self.shop: Self.latencies(first)]))[0]
                == ["shop", "web", "query", "0", "0", "0", "0", "0", "100", "3", "3", "11", "15"],
            "no period is over yet")
        statistics.endPeriod([Self.shop: Self.latencies(first)])
        let second = first + [7, 7, 9]
        let table = statistics.table([Self.shop: Self.latencies(second)])
        #expect(
            Self.text(table)[0]
                == ["shop", "web", "query", "100", "3", "3", "11", "15", "103", "3", "3", "11", "15"])
        #expect(Self.text(table).map { $0[2] } == ["query", "xact", "wait"])
        statistics.endPeriod([Self.shop: Self.latencies(second)])
        #expect(
            Self.text(statistics.table([Self.shop: Self.latencies(second)]))[0][3...7]
                == ["3", "7", "9", "9", "9"])
        statistics.endPeriod([Self.shop: Self.latencies(second)])
        #expect(
            Self.text(statistics.table([Self.shop: Self.latencies(second)]))[0][3...7]
                == ["0", "0", "0", "0", "0"], "nothing happened in the last period")
    }

    /// Bounds are powers of two, where the counts are exact.
    @Test func histogramsAreCumulated() {
        let table = HistogramsTable.table([Self.shop: Self.latencies([1, 127, 128, 3_000, 1 << 25, 1 << 31])])
        #expect(table.columns.map(\.name) == ["database", "user", "kind", "le", "count", "seconds"])
        let rows = Self.text(table).filter { $0[2] == "query" }
        #expect(Self.text(table).count == 60 && rows.count == 20)
        #expect(rows[0] == ["shop", "web", "query", "0.000128", "2", "0.000124"])
        #expect(rows[1][3...4] == ["0.000256", "3"])
        #expect(rows[5][3...4] == ["0.004096", "4"])
        #expect(rows[18][3...4] == ["33.554432", "4"])
        #expect(rows[19][3...4] == ["+Inf", "6"])
        let sum = (1 << 31) + (1 << 25) + 3_256
        let shown = (Double(rows[19][5]) ?? 0) * 1_000_000
        #expect(abs(shown - Double(sum)) <= Double(sum) / 16)
    }

    @Test func poolsAreSortedAndHaveThreeRowsEach() {
        let other = PoolName(database: bytes("app"), user: bytes("zoe"))
        let table = LatencyStatistics().table([Self.shop: Self.latencies([]), other: Self.latencies([1])])
        #expect(
            table.columns.map(\.name)
                == [
                    "database", "user", "kind", "count", "p50", "p90", "p99", "p999", "total_count",
                    "total_p50", "total_p90", "total_p99", "total_p999",
                ])
        #expect(Self.text(table).map { $0[0] } == ["app", "app", "app", "shop", "shop", "shop"])
    }

    @Test func everySecondIsARow() {
        var history = StatisticsHistory(nowMicroseconds: 5_000_000, Self.sums(10))
        #expect(history.dueMicroseconds == 6_000_000)
        history.add(nowMicroseconds: 6_000_000, realtimeMicroseconds: 1, Self.sums(13, [4, 4, 6]))
        history.add(nowMicroseconds: 7_100_000, realtimeMicroseconds: 2, nil)
        history.add(nowMicroseconds: 8_100_000, realtimeMicroseconds: 3, Self.sums(14, [4, 4, 6, 9]))
        let table = history.table { "time \($0)" }
        let names = table.columns.map(\.name)
        #expect(Set(names).count == names.count)
        func column(_ name: String) -> [String] {
            Self.text(table).map { $0[names.firstIndex(of: name) ?? 0] }
        }
        #expect(column("time") == ["time 1", "time 2", "time 3"])
        #expect(column("microseconds") == ["1000000", "1100000", "1000000"])
        #expect(column("query_count") == ["3", "0", "1"])
        #expect(column("query_p50") == ["4", "0", "9"])
        #expect(column("query_p999") == ["6", "0", "9"])
        #expect(column("wait_p99") == ["0", "0", "0"])
    }

    /// Goal: memory is bounded, the newest ten minutes stay, and no count is lost between rows.
    @Test func tenMinutesAreKept() {
        var history = StatisticsHistory(nowMicroseconds: 0)
        for second in 1...1450 as ClosedRange<UInt64> {
            history.add(
                nowMicroseconds: second * 1_000_000, realtimeMicroseconds: second,
                second % 3 == 0 ? Self.sums(second) : nil)
        }
        let rows = Self.text(history.table { "\($0)" })
        #expect(rows.map { $0[0] } == (851...1450).map { "\($0)" })
        let queries = rows.reduce(0) { $0 + (Int($1[4]) ?? 0) }
        #expect(queries == 1449 - 849, "each third second has what came in three")
    }

    @Test func theConsoleAsksForThem() {
        var peer = Peer()
        #expect(peer.query("show latency") == .latency)
        _ = peer.answer(.table(LatencyStatistics().table([Self.shop: Self.latencies([8])])))
        #expect(peer.replies().count == 6, "columns, three rows, complete, ready")
        #expect(peer.query("SHOW HISTORY;") == .history)
        _ = peer.answer(.table(StatisticsHistory(nowMicroseconds: 0).table { "\($0)" }))
        #expect(peer.replies().count == 3)
    }
}
