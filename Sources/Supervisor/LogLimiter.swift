import SharedState

/// Keeps a storm out of the log: of warnings and errors that one process repeats, and that differ in numbers
/// and connections only, a few are written in a second, and one line tells how many there were besides.
///
/// Lines of other levels are records of single events, such as the end of a connection with its reason; each
/// is written.
struct LogLimiter {
    /// Lines of a kind that are written in a period.
    static let lineLimit = 10
    static let periodNanoseconds: UInt64 = 1_000_000_000
    /// Kinds that are told apart in a period; of further ones everything is written.
    private static let kindLimit = 1000

    private struct Kind: Hashable {
        let pid: Int32
        let level: UInt8
        let text: [UInt8]
    }

    private var counts: [Kind: Int] = [:]
    private var last: [Kind: LogRecord] = [:]
    /// When the period ends; `nil` when none has begun.
    private(set) var endNanoseconds: UInt64?

    /// Whether this record is to be written.
    mutating func admits(_ record: LogRecord, now: UInt64) -> Bool {
        guard record.level == .warning || record.level == .error else { return true }
        if endNanoseconds == nil { endNanoseconds = now + LogLimiter.periodNanoseconds }
        let kind = Kind(pid: record.pid, level: record.level.rawValue, text: LogLimiter.kind(of: record))
        guard let count = counts[kind] else {
            if counts.count < LogLimiter.kindLimit { counts[kind] = 1 }
            return true
        }
        counts[kind] = count + 1
        guard count >= LogLimiter.lineLimit else { return true }
        last[kind] = record
        return false
    }

    /// Ends a period that is over, or any: the lines that tell what was not written.
    mutating func endPeriod(now: UInt64, always: Bool = false) -> [LogRecord] {
        guard let endNanoseconds, endNanoseconds <= now || always else { return [] }
        defer { self = LogLimiter() }
        let records = last.map { kind, record in
            let number = (counts[kind] ?? 0) - LogLimiter.lineLimit
            return LogRecord(
                level: record.level, realtimeMicroseconds: record.realtimeMicroseconds, pid: record.pid,
                text: Array("\(number) more lines in a second like this one: ".utf8) + record.text)
        }
        return records.sorted { ($0.realtimeMicroseconds, $0.pid) < ($1.realtimeMicroseconds, $1.pid) }
    }

    /// What lines of one kind have in common: the text without numbers; of a connection only its database
    /// and user.
    private static func kind(of record: LogRecord) -> [UInt8] {
        guard let line = LogLineParts(record) else { return withoutNumbers(record.text[...]) }
        return line.database + [0] + line.user + [0] + withoutNumbers(line.message)
    }

    private static func withoutNumbers(_ text: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        for byte in text {
            if (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
                if result.last != UInt8(ascii: "#") { result.append(UInt8(ascii: "#")) }
            } else {
                result.append(byte)
            }
        }
        return result
    }
}
