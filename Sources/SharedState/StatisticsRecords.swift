/// Counts on their way to a program that takes over. What a version does not know it leaves out, and what it
/// does not find is 0.
extension PoolTotals {
    /// Behind this the counters' own numbers follow.
    private static let firstTag: UInt16 = 100

    /// Adds the counters to what is written.
    func write(into record: inout TaggedRecord) {
        for counter in PoolCounter.allCases {
            record.add(PoolTotals.firstTag + UInt16(counter.rawValue), self[counter])
        }
    }

    /// The counters in what was written.
    init(reading record: TaggedRecord) throws(ControlError) {
        self.init()
        for counter in PoolCounter.allCases {
            let tag = PoolTotals.firstTag + UInt16(counter.rawValue)
            if !record.bytes(tag).isEmpty { self[counter] = try record.number(tag) }
        }
    }
}

extension DatabaseTotals {
    private enum Tag {
        static let database: UInt16 = 1
    }

    /// For a program that takes over.
    public var record: TaggedRecord {
        var record = TaggedRecord()
        record.add(Tag.database, database)
        totals.write(into: &record)
        return record
    }

    /// What `record` gave.
    public init(_ record: TaggedRecord) throws(ControlError) {
        self.init(database: record.bytes(Tag.database), totals: try PoolTotals(reading: record))
    }
}

extension PoolLatencies {
    private enum Tag {
        static let database: UInt16 = 1
        static let user: UInt16 = 2
        /// Behind this the histograms' own numbers follow.
        static let firstHistogram: UInt16 = 300
    }

    /// Adds the histograms to what is written: for each count that is not 0 its bucket and itself.
    func write(into record: inout TaggedRecord) {
        for histogram in PoolHistogram.allCases {
            var numbers: [UInt64] = []
            for bucket in 0..<Histogram.bucketCount where self[histogram, bucket] > 0 {
                numbers += [UInt64(bucket), self[histogram, bucket]]
            }
            record.add(Tag.firstHistogram + UInt16(histogram.rawValue), numbers)
        }
    }

    /// The histograms in what was written.
    init(reading record: TaggedRecord) throws(ControlError) {
        self.init()
        for histogram in PoolHistogram.allCases {
            let tag = Tag.firstHistogram + UInt16(histogram.rawValue)
            let numbers = try record.numbers(tag)
            guard numbers.count.isMultiple(of: 2) else { throw .badField(tag: tag) }
            for index in stride(from: 0, to: numbers.count, by: 2) {
                guard let bucket = Int(exactly: numbers[index]), bucket < Histogram.bucketCount else {
                    throw .badField(tag: tag)
                }
                self[histogram, bucket] = numbers[index + 1]
            }
        }
    }

    /// For a program that takes over.
    public func record(of pool: PoolName) -> TaggedRecord {
        var record = TaggedRecord()
        record.add(Tag.database, pool.database)
        record.add(Tag.user, pool.user)
        write(into: &record)
        return record
    }

    /// What `record(of:)` gave.
    public static func decode(
        _ record: TaggedRecord
    ) throws(ControlError) -> (pool: PoolName, latencies: PoolLatencies) {
        let pool = PoolName(database: record.bytes(Tag.database), user: record.bytes(Tag.user))
        return (pool, try PoolLatencies(reading: record))
    }
}

extension StatisticsSums {
    /// For a program that takes over.
    public var record: TaggedRecord {
        var record = TaggedRecord()
        totals.write(into: &record)
        latencies.write(into: &record)
        return record
    }

    /// What `record` gave.
    public init(_ record: TaggedRecord) throws(ControlError) {
        self.init()
        totals = try PoolTotals(reading: record)
        latencies = try PoolLatencies(reading: record)
    }
}
