import Config
import SharedState
import System

/// The only writer of the log: standard error, a file, and the system's log. Never waits for any of them.
struct LogWriter {
    /// Where lines go besides standard error.
    struct Destinations: Equatable {
        /// A file that is appended to; empty for none.
        var file = ""
        /// What the system's log is told, or `nil`.
        var system: SystemLog?
    }

    /// How lines get to the system's log.
    struct SystemLog: Equatable {
        /// The name in front of each line.
        var identity: String
        /// The facility's number of syslog(3), as `facilityNumber` gives it.
        var facility: Int
    }

    /// The lines that matter less than this are not written: `.log` without `-v`.
    var threshold = LogLevel.log

    private var standardError: OutputQueue?
    private var file: OutputQueue?
    private var destinations = Destinations()
    private var layout = LogLayout()
    private var limiter = LogLimiter()
    /// Whether standard error leads to the journal, which takes the priority from the beginning of a line.
    private let isJournal: Bool

    /// A writer to standard error, or to nothing.
    init(standardError: Bool, isJournal: Bool = false) {
        if standardError { self.standardError = OutputQueue(descriptor: 2) }
        self.isJournal = isJournal
    }

    /// Stops writing to standard error, which now leads nowhere.
    mutating func leaveStandardError() {
        standardError?.drain(milliseconds: 100)
        standardError = nil
    }

    /// Descriptors that a child must not hold and a poll may ask about.
    var interests: [Poll.Interest] {
        [standardError, file].compactMap { $0 }.filter(\.isWaiting).map {
            Poll.Interest($0.descriptor, .write)
        }
    }

    /// How lines look from now on.
    mutating func use(_ format: LogFormat) {
        guard layout.format != format else { return }
        layout = LogLayout()
        layout.format = format
    }

    /// Opens the destinations; the file is opened anew even if its name is the same, so that a rotated one
    /// is left.
    ///
    /// - Throws: when the file cannot be opened; then nothing changes.
    mutating func open(_ new: Destinations) throws(SystemError) {
        var opened: OutputQueue?
        if !new.file.isEmpty {
            opened = OutputQueue(descriptor: try FileSystem.openForAppending(new.file, mode: 0o644))
        }
        if let file {
            self.file?.drain(milliseconds: 100)
            Descriptors.close(file.descriptor)
        }
        file = opened
        destinations = new
    }

    /// Writes a line of our own, now.
    mutating func write(_ level: LogLevel, _ text: String) {
        write(
            LogRecord(
                level: level, realtimeMicroseconds: Clock.realNanoseconds / 1000, pid: Process.id,
                text: Array(text.utf8)))
        flush()
    }

    /// Writes a line of a worker, unless it has written many of the kind. `flush` sends it on its way.
    mutating func writeFromWorker(_ record: LogRecord) {
        guard record.level <= threshold else { return }
        let now = Clock.monotonicNanoseconds
        endStorm(now)
        if limiter.admits(record, now: now) { write(record) }
    }

    private mutating func endStorm(_ now: UInt64, always: Bool = false) {
        for summary in limiter.endPeriod(now: now, always: always) { write(summary) }
    }

    private mutating func write(_ record: LogRecord) {
        guard record.level <= threshold else { return }
        if standardError != nil || file != nil {
            let line = layout.line(record)
            standardError?.append(isJournal ? LogWriter.withPriority(record.level, line) : line)
            file?.append(line)
        }
        if let system = destinations.system { send(record, to: system) }
    }

    /// Each line with its priority in front, as sd-daemon(3) has it.
    static func withPriority(_ level: LogLevel, _ text: [UInt8]) -> [UInt8] {
        let priority = Array("<\(severity(level))>".utf8)
        return text.dropLast().split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            .flatMap { priority + $0 + [UInt8(ascii: "\n")] }
    }

    /// The number syslog(3) has for a level.
    private static func severity(_ level: LogLevel) -> Int {
        switch level {
        case .fatal: 2
        case .error: 3
        case .warning: 4
        case .log: 6
        case .debug, .noise: 7
        }
    }

    /// Writes what the destinations take at once, and says what had to be dropped before.
    mutating func flush() {
        endStorm(Clock.monotonicNanoseconds)
        standardError?.flush()
        file?.flush()
        if let line = droppedLine(standardError?.takeDroppedCountWhenFree()) {
            standardError?.append(line)
            standardError?.flush()
        }
        if let line = droppedLine(file?.takeDroppedCountWhenFree()) {
            file?.append(line)
            file?.flush()
        }
    }

    /// Writes everything, before the process ends.
    mutating func finish() {
        endStorm(0, always: true)
        standardError?.drain(milliseconds: 500)
        file?.drain(milliseconds: 500)
    }

    private mutating func droppedLine(_ count: Int?) -> [UInt8]? {
        guard let count, count > 0 else { return nil }
        let text = "\(count) log lines were lost because nobody read them"
        return layout.line(
            LogRecord(
                level: .warning, realtimeMicroseconds: Clock.realNanoseconds / 1000, pid: Process.id,
                text: Array(text.utf8)))
    }

    private func send(_ record: LogRecord, to system: SystemLog) {
        let head =
            "<\(system.facility * 8 + LogWriter.severity(record.level))>\(system.identity)[\(record.pid)]: "
        ServiceManager.sendToSystemLog(Array(head.utf8) + LogLayout.cleaned(record.text))
    }

    /// The number of a facility by the name that `syslog_facility` uses; `nil` for an unknown one.
    static func facilityNumber(_ name: String) -> Int? {
        switch name {
        case "user": 1
        case "daemon": 3
        case "auth": 4
        case "authpriv": 10
        default:
            name.hasPrefix("local")
                ? Int(name.dropFirst(5)).flatMap { (0...7).contains($0) ? 16 + $0 : nil } : nil
        }
    }
}
