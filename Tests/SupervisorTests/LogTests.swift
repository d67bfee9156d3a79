import Config
import Glibc
import SharedState
import System
import Testing

@testable import Supervisor

@Suite struct LogTests {
    private static let names = LogSubject(databaseLength: 6, userLength: 5)

    private func record(
        _ text: String, _ level: LogLevel = .log, _ subject: LogSubject = .none, pid: Int32 = 7
    ) -> LogRecord {
        LogRecord(
            level: level, realtimeMicroseconds: 1_783_600_496_007_500, pid: pid, subject: subject,
            text: Array(text.utf8))
    }

    private func json(_ record: LogRecord) -> String {
        var layout = LogLayout()
        layout.format = .json
        return String(decoding: layout.line(record), as: UTF8.self)
    }

    @Test func aLineOfJSONHasItsFields() {
        let time = LocalTime(realNanoseconds: 1_783_600_496_007_500_000)
        let head = "{\"time\":\"\(time.isoDateAndTime).007\(time.isoOffset)\",\"level\":\"LOG\",\"pid\":7,"
        #expect(time.isoDateAndTime.split(separator: "T").map(\.count) == [10, 8])
        #expect(time.isoOffset.count == 6)
        #expect(json(record("up")) == head + "\"message\":\"up\"}\n")
    }

    /// A database may be called `a/b@c` and a user `d`: nothing is guessed.
    @Test func aLineAboutAConnectionIsTakenApart() {
        let text = "C-12: a/b@c /d/e f@[::1]:5432 closing because: no (age=1s) here (age=42s)"
        let line = json(record(text, .log, Self.names))
        #expect(
            line.hasSuffix(
                """
                "message":"closing because: no (age=1s) here (age=42s)","connection":"C-12",\
                "database":"a/b@c ","user":"d/e f","address":"[::1]:5432","reason":"no (age=1s) here",\
                "age":42}\n
                """))
        #expect(json(record(text)).contains("\"message\":\"C-12: a/b@c"))
        // Texts are cut somewhere.
        for count in 0..<text.utf8.count {
            let cut = json(record(String(text.prefix(count)), .log, Self.names))
            #expect(cut.hasPrefix("{") && cut.hasSuffix("}\n"))
        }
    }

    @Test func whatClientsSendStaysInsideItsString() {
        let bytes = Array("a\"}\\\n\t\u{1}\u{7f}é".utf8) + [0xff]
        let line = json(LogRecord(level: .error, realtimeMicroseconds: 0, pid: 1, text: bytes))
        #expect(line.hasSuffix("\"message\":\"a\\\"}\\\\\\n\\t\\u0001\\u007fé\u{fffd}\"}\n"))
    }

    @Test func theJournalIsToldThePriorityOfEachLine() {
        let line = LogWriter.withPriority(.warning, Array("a\n\tb\n".utf8))
        #expect(String(decoding: line, as: UTF8.self) == "<4>a\n<4>\tb\n")
    }

    // MARK: Storms

    @Test func ofAStormAFewLinesAreWrittenAndTheRestIsCounted() {
        var limiter = LogLimiter()
        var written = 0
        for number in 0..<1000 {
            let text = "S-\(number): dbname/alice@10.0.0.1:5432 server login failed: after \(number) ms"
            if limiter.admits(record(text, .warning, Self.names), now: UInt64(number)) { written += 1 }
        }
        #expect(written == LogLimiter.lineLimit)
        let early = limiter.endPeriod(now: 999_999_999)
        #expect(early.isEmpty)
        let rest = limiter.endPeriod(now: 1_000_000_000)
        #expect(rest.count == 1 && rest.first?.level == .warning && rest.first?.pid == 7)
        let text = String(decoding: rest.first?.text ?? [], as: UTF8.self)
        #expect(text.hasPrefix("990 more lines in a second like this one: S-999: dbname/alice@"))
        let later = limiter.endPeriod(now: .max)
        #expect(later.isEmpty)
    }

    @Test func linesThatDifferAreAllWritten() {
        var limiter = LogLimiter()
        for number in 0..<100 {
            let name = String(repeating: "x", count: number + 1)
            let subject = LogSubject(databaseLength: name.utf8.count, userLength: 1)
            let lines = [
                record("database \(name) is gone", .error), record("late", .warning, pid: Int32(number)),
                record("C-1: \(name)/u@h:1 pooler error", .warning, subject),
                // An event, not a warning.
                record("closing because: quit", .log),
            ]
            for line in lines {
                let isWritten = limiter.admits(line, now: 0)
                #expect(isWritten)
            }
        }
        let rest = limiter.endPeriod(now: .max)
        #expect(rest.isEmpty)
    }

    // MARK: Where lines go

    @Test func priorityGoesToTheJournalOnly() throws {
        let instance = try Instance(start: false)
        let path = "\(instance.folder)/log"
        try FileSystem.create(path, [], mode: 0o666)
        chmod(path, 0o666)
        let descriptor = try FileSystem.openForAppending(path, mode: 0o666)
        defer { Descriptors.close(descriptor) }
        var status = stat()
        #expect(fstat(descriptor, &status) == 0)
        try instance.start(
            environment: ["JOURNAL_STREAM=\(status.st_dev):\(status.st_ino)"], output: descriptor)
        try instance.waitForLog("process up")
        #expect(instance.log.split(separator: "\n").allSatisfy { $0.hasPrefix("<6>20") })
        let other = try Instance(start: false)
        try other.start(environment: ["JOURNAL_STREAM=\(status.st_dev):\(status.st_ino)"])
        #expect(other.log.split(separator: "\n").allSatisfy { $0.hasPrefix("20") })
    }

    @Test func aReloadChangesTheFormat() throws {
        let instance = try Instance("log_format = json")
        #expect(instance.log.split(separator: "\n").contains { $0.hasPrefix("{\"time\":\"") })
        try instance.write("log_format = text")
        instance.send(SIGHUP)
        try instance.waitForLog("reload done")
        try eventually("lines are text") { instance.log.split(separator: "\n").last?.hasPrefix("20") == true }
    }
}
