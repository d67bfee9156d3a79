public import SharedState

/// The last ten minutes, second by second: what was counted in each, and percentiles of its times.
///
/// The counts of all rows, and of what came before them, add up to the totals: each row is the difference of
/// two readings, whatever time lay between them.
public struct StatisticsHistory {
    /// Rows that are kept.
    public static let length = 600
    /// From one reading to the next.
    public static let intervalMicroseconds: UInt64 = 1_000_000

    private enum Tag {
        static let last: UInt16 = 1
        static let lastMicroseconds: UInt16 = 2
        static let row: UInt16 = 3
    }

    private struct Row {
        /// When it ended, since 1970.
        var realtimeMicroseconds: UInt64
        var microseconds: UInt64
        /// As the columns have them; empty when nothing happened.
        var values: [UInt64]
    }

    /// A ring: the oldest row is at `next` once there are `length` of them.
    private var rows: [Row] = []
    private var next = 0
    private var last: StatisticsSums
    private var lastMicroseconds: UInt64

    /// A history that begins now.
    ///
    /// - Parameters:
    ///   - nowMicroseconds: monotonic.
    ///   - sums: what has been counted so far.
    public init(nowMicroseconds: UInt64, _ sums: StatisticsSums = StatisticsSums()) {
        lastMicroseconds = nowMicroseconds
        last = sums
        rows.reserveCapacity(StatisticsHistory.length)
    }

    /// For a program that takes over.
    public var record: TaggedRecord {
        var record = TaggedRecord()
        record.add(Tag.last, last.record)
        record.add(Tag.lastMicroseconds, lastMicroseconds)
        for row in rows[next...] + rows[..<next] {
            record.add(Tag.row, [row.realtimeMicroseconds, row.microseconds] + row.values)
        }
        return record
    }

    /// What `record` gave. The rows of a program that counts something else are left out.
    public init(_ record: TaggedRecord) throws(ControlError) {
        guard let last = try record.records(Tag.last).first else { throw .badField(tag: Tag.last) }
        self.init(nowMicroseconds: try record.number(Tag.lastMicroseconds), try StatisticsSums(last))
        let columns = ShowCommand.history.columns.count
        for bytes in record.all(Tag.row).suffix(StatisticsHistory.length) {
            var field = TaggedRecord()
            field.add(Tag.row, bytes)
            let numbers = try field.numbers(Tag.row)
            // Of an idle second there are two numbers.
            guard numbers.count == 2 || numbers.count == columns else { continue }
            rows.append(
                Row(
                    realtimeMicroseconds: numbers[0], microseconds: numbers[1],
                    values: Array(numbers.dropFirst(2))))
        }
    }

    /// When the next reading is due, monotonic.
    public var dueMicroseconds: UInt64 { lastMicroseconds + StatisticsHistory.intervalMicroseconds }

    /// Ends a row.
    ///
    /// - Parameters:
    ///   - nowMicroseconds: monotonic.
    ///   - realtimeMicroseconds: since 1970.
    ///   - sums: what has been counted so far; `nil` when nothing has been since the last row.
    public mutating func add(
        nowMicroseconds: UInt64, realtimeMicroseconds: UInt64, _ sums: StatisticsSums?
    ) {
        var row = Row(
            realtimeMicroseconds: realtimeMicroseconds, microseconds: nowMicroseconds &- lastMicroseconds,
            values: [])
        lastMicroseconds = nowMicroseconds
        if let sums, sums != last {
            let growth = sums.since(last)
            last = sums
            row.values = StatisticsColumns.counters.map { growth.totals[$0] }
            for kind in PoolHistogram.allCases {
                row.values += LatencyColumns.percentiles(growth.latencies, kind)
            }
        }
        if rows.count < StatisticsHistory.length {
            rows.append(row)
        } else {
            rows[next] = row
            next = (next + 1) % StatisticsHistory.length
        }
    }

    /// SHOW HISTORY, oldest first.
    ///
    /// - Parameter formatTime: writes microseconds since 1970 as local time.
    public func table(formatTime: (UInt64) -> String) -> ConsoleTable {
        let columns = ShowCommand.history.columns
        var table = ConsoleTable(columns: columns)
        for row in rows[next...] + rows[..<next] {
            let values = row.values.isEmpty ? [UInt64](repeating: 0, count: columns.count - 2) : row.values
            let numbers = [row.microseconds] + values
            table.append(
                [Array(formatTime(row.realtimeMicroseconds).utf8)] + numbers.map { Array(String($0).utf8) })
        }
        return table
    }
}
