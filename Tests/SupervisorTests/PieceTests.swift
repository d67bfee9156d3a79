import SharedState
import System
import Testing

@testable import Supervisor

@Suite struct PieceTests {
    @Test func restartsPauseLongerAndLongerUntilAWorkerHasLived() {
        var policy = RestartPolicy()
        let milliseconds = (0..<9).map { _ in policy.pause(afterLifeOf: 1_000_000) / 1_000_000 }
        #expect(milliseconds == [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000])
        #expect(policy.pause(afterLifeOf: 2_000_000_000) == 0)
        #expect(policy.pause(afterLifeOf: 1_000_000) == 100_000_000)
    }

    @Test func aPidFileHoldsOneNumber() {
        #expect(PidFile.parse(Array("123\n".utf8)) == 123)
        #expect(PidFile.parse(Array(" 123 4".utf8)) == 123)
        for text in ["", "\n", "abc", "-5", "0", "99999999999"] {
            #expect(PidFile.parse(Array(text.utf8)) == nil)
        }
    }

    @Test func logLinesLookLikePgBouncers() {
        var layout = LogLayout()
        let record = LogRecord(
            level: .warning, realtimeMicroseconds: 1_783_600_496_007_500, pid: 42, text: Array("hello".utf8))
        let line = String(decoding: layout.line(record), as: UTF8.self)
        let expected = LocalTime(realNanoseconds: 1_783_600_496_007_500_000).logStamp
        #expect(line == "\(expected) [42] WARNING hello\n")
        #expect(expected.contains(".007 "))
    }

    @Test func textOfClientsCannotForgeALine() {
        let text = LogLayout.cleaned(Array("a\n2026 FATAL\u{1b}[1m\tb".utf8))
        #expect(String(decoding: text, as: UTF8.self) == "a\n\t2026 FATAL?[1m\tb")
    }

    @Test func facilitiesHaveTheirNumbers() {
        #expect(LogWriter.facilityNumber("daemon") == 3)
        #expect(LogWriter.facilityNumber("local7") == 23)
        #expect(LogWriter.facilityNumber("local8") == nil)
    }
}
