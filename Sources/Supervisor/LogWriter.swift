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
    private var stampSecond: UInt64 = 0
    private var stampStart = ""
    private var stampZone = ""

    /// A writer to standard error, or to nothing.
    init(standardError: Bool) {
        if standardError { self.standardError = OutputQueue(descriptor: 2) }
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

    /// Writes a line that somebody else made. `flush` sends it on its way.
    mutating func write(_ record: LogRecord) {
        guard record.level <= threshold else { return }
        if standardError != nil || file != nil {
            let line = format(record)
            standardError?.append(line)
            file?.append(line)
        }
        if let system = destinations.system { send(record, to: system) }
    }

    /// Writes what the destinations take at once, and says what had to be dropped before.
    mutating func flush() {
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
        standardError?.drain(milliseconds: 500)
        file?.drain(milliseconds: 500)
    }

    private mutating func droppedLine(_ count: Int?) -> [UInt8]? {
        guard let count, count > 0 else { return nil }
        let text = "\(count) log lines were lost because nobody read them"
        return format(
            LogRecord(
                level: .warning, realtimeMicroseconds: Clock.realNanoseconds / 1000, pid: Process.id,
                text: Array(text.utf8)))
    }

    /// "2026-07-10 12:34:56.789 UTC [123] LOG text" and a line end. Further lines of the text are indented,
    /// so that what a client sends cannot look like a line of ours.
    mutating func format(_ record: LogRecord) -> [UInt8] {
        let second = record.realtimeMicroseconds / 1_000_000
        if second != stampSecond || stampStart.isEmpty {
            let time = LocalTime(realNanoseconds: record.realtimeMicroseconds * 1000)
            stampSecond = second
            stampStart = time.dateAndTime
            stampZone = time.zone
        }
        let milliseconds = String(1000 + record.realtimeMicroseconds / 1000 % 1000).dropFirst()
        let head = "\(stampStart).\(milliseconds) \(stampZone) [\(record.pid)] \(record.level.word) "
        return Array(head.utf8) + LogWriter.cleaned(record.text) + [UInt8(ascii: "\n")]
    }

    /// Line ends followed by a tab, other control characters replaced.
    static func cleaned(_ text: [UInt8]) -> [UInt8] {
        guard text.contains(where: { $0 < 0x20 || $0 == 0x7f }) else { return text }
        var result: [UInt8] = []
        for byte in text {
            if byte == UInt8(ascii: "\n") {
                result += [byte, UInt8(ascii: "\t")]
            } else {
                result.append(
                    byte >= 0x20 && byte != 0x7f || byte == UInt8(ascii: "\t") ? byte : UInt8(ascii: "?"))
            }
        }
        return result
    }

    private func send(_ record: LogRecord, to system: SystemLog) {
        let severity =
            switch record.level {
            case .fatal: 2
            case .error: 3
            case .warning: 4
            case .log: 6
            case .debug, .noise: 7
            }
        let head = "<\(system.facility * 8 + severity)>\(system.identity)[\(record.pid)]: "
        ServiceManager.sendToSystemLog(Array(head.utf8) + LogWriter.cleaned(record.text))
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
