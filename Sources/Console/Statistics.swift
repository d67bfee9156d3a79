public import SharedState

/// One database's counters and their averages over the last one to two periods.
public struct DatabaseStatistics: Equatable {
    /// The database's name.
    public let database: [UInt8]
    /// Since the instance started.
    public let totals: PoolTotals
    /// Counts and bytes per second, times in microseconds per transaction, query or assignment.
    public let averages: PoolTotals
}

/// What SHOW STATS and its kin show.
public struct StatisticsReport: Equatable {
    /// Every database, ordered by name.
    public let databases: [DatabaseStatistics]
    /// All databases together; its name is empty.
    public let sum: DatabaseStatistics
}

/// Remembers what the counters were one and two periods ago, and makes averages of the difference.
public struct StatisticsAverages {
    /// Counters at a moment.
    private struct Taken {
        let microseconds: UInt64
        let totals: [[UInt8]: PoolTotals]
    }

    private var older: Taken
    private var newer: Taken

    /// - Parameter nowMicroseconds: monotonic; the moment from which the first averages count.
    public init(nowMicroseconds: UInt64) {
        newer = Taken(microseconds: nowMicroseconds, totals: [:])
        older = newer
    }

    /// Ends a period (`stats_period`), and gives what happened in it over all databases, for the log.
    public mutating func endPeriod(nowMicroseconds: UInt64, _ databases: [DatabaseTotals]) -> StatsLine {
        let current = Taken(microseconds: nowMicroseconds, totals: StatisticsAverages.byName(databases))
        var growth = PoolTotals()
        for (database, totals) in current.totals {
            growth.add(totals.since(newer.totals[database] ?? PoolTotals()))
        }
        older = newer
        newer = current
        let elapsed = nowMicroseconds &- older.microseconds
        return StatsLine(averages: StatisticsAverages.averages(growth, elapsedMicroseconds: elapsed))
    }

    /// Totals and averages of every database.
    public func report(nowMicroseconds: UInt64, _ databases: [DatabaseTotals]) -> StatisticsReport {
        let elapsed = nowMicroseconds &- older.microseconds
        let current = StatisticsAverages.byName(databases)
        var result: [DatabaseStatistics] = []
        var sum = PoolTotals()
        var sumGrowth = PoolTotals()
        for (database, totals) in current {
            let growth = totals.since(older.totals[database] ?? PoolTotals())
            sum.add(totals)
            sumGrowth.add(growth)
            result.append(
                DatabaseStatistics(
                    database: database, totals: totals,
                    averages: StatisticsAverages.averages(growth, elapsedMicroseconds: elapsed)))
        }
        result.sort { $0.database.lexicographicallyPrecedes($1.database) }
        let averages = StatisticsAverages.averages(sumGrowth, elapsedMicroseconds: elapsed)
        return StatisticsReport(
            databases: result, sum: DatabaseStatistics(database: [], totals: sum, averages: averages))
    }

    /// Sums databases of the same name: the console's own counts come apart from those of the workers.
    private static func byName(_ databases: [DatabaseTotals]) -> [[UInt8]: PoolTotals] {
        var result: [[UInt8]: PoolTotals] = [:]
        for database in databases { result[database.database, default: PoolTotals()].add(database.totals) }
        return result
    }

    /// What each counter means as an average.
    static func averages(_ growth: PoolTotals, elapsedMicroseconds: UInt64) -> PoolTotals {
        var result = PoolTotals()
        for counter in PoolCounter.allCases {
            switch counter {
            case .transactionMicroseconds: result[counter] = quotient(growth[counter], growth[.transactions])
            case .queryMicroseconds: result[counter] = quotient(growth[counter], growth[.queries])
            case .waitMicroseconds: result[counter] = quotient(growth[counter], growth[.serverAssignments])
            case .serverAssignments, .transactions, .queries, .receivedBytes, .sentBytes, .clientParses,
                .serverParses, .binds, .clientLogins:
                guard elapsedMicroseconds > 0 else { continue }
                let perSecond = UInt128(growth[counter]) * 1_000_000 / UInt128(elapsedMicroseconds)
                result[counter] = UInt64(clamping: perSecond)
            }
        }
        return result
    }

    private static func quotient(_ total: UInt64, _ count: UInt64) -> UInt64 {
        count == 0 ? 0 : total / count
    }
}

/// The periodic line of the log, also told to the service manager. Monitoring parses it.
public struct StatsLine: Equatable {
    private let averages: PoolTotals

    init(averages: PoolTotals) {
        self.averages = averages
    }

    /// The line without its timestamp.
    public var text: String {
        let parts = [
            "\(averages[.transactions]) xacts/s",
            "\(averages[.queries]) queries/s",
            "\(averages[.clientParses]) client parses/s",
            "\(averages[.serverParses]) server parses/s",
            "\(averages[.binds]) binds/s",
            "\(averages[.clientLogins]) client logins/s",
            "in \(averages[.receivedBytes]) B/s",
            "out \(averages[.sentBytes]) B/s",
            "xact \(averages[.transactionMicroseconds]) us",
            "query \(averages[.queryMicroseconds]) us",
            "wait \(averages[.waitMicroseconds]) us",
        ]
        return "stats: " + parts.joined(separator: ", ")
    }
}
