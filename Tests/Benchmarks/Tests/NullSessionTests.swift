import Base
import Testing

@testable import BenchmarkSupport

@Suite struct NullSessionTests {
    private static let replies = Replies()
    private static let ready: [UInt8] = [UInt8(ascii: "Z"), 0, 0, 0, 5]

    private static func message(_ type: Unicode.Scalar?, _ body: (inout ByteBuffer) -> Void) -> [UInt8] {
        var buffer = ByteBuffer()
        buffer.appendMessage(type, body: body)
        return buffer.array
    }

    private static func query(_ text: String) -> [UInt8] { message("Q") { $0.append(zeroTerminated: text) } }

    private static let startup = message(nil) {
        $0.append(bigEndian: UInt32(3 << 16))
        for text in ["user", "alice", "database", "shop"] { $0.append(zeroTerminated: text) }
        $0.append(UInt8(0))
    }

    private static let extended =
        message("P") {
            $0.append(zeroTerminated: "")
            $0.append(zeroTerminated: "select $1::int4 as value")
            $0.append(bigEndian: UInt16(0))
        }
        + message("B") {
            $0.append(zeroTerminated: "")
            $0.append(zeroTerminated: "")
            $0.append(bigEndian: UInt16(0))
            $0.append(bigEndian: UInt16(1))
            $0.append(bigEndian: UInt32(4))
            $0.append(text: "4711")
            $0.append(bigEndian: UInt16(0))
        }
        + message("D") {
            $0.append(UInt8(ascii: "P"))
            $0.append(UInt8(0))
        }
        + message("E") {
            $0.append(UInt8(0))
            $0.append(bigEndian: UInt32(0))
        } + message("S") { _ in }

    /// All replies to `input` when it arrives in pieces of `size` bytes, and why the session stopped last.
    private static func talk(
        _ input: [UInt8], inPiecesOf size: Int, _ authentication: NullSession.Authentication = .trust
    ) -> (replies: [UInt8], pause: NullSession.Pause) {
        var session = NullSession(authentication: authentication, processID: 7)
        var output = ByteBuffer()
        var kept: [UInt8] = []
        var last = NullSession.Pause.needsInput
        for start in stride(from: 0, to: input.count, by: size) {
            kept += input[start..<min(start + size, input.count)]
            let (consumed, pause) = kept.withUnsafeBytes { session.answer($0, with: replies, into: &output) }
            kept.removeFirst(consumed)
            last = pause
        }
        return (output.array, last)
    }

    private static func welcome() -> [UInt8] {
        var buffer = ByteBuffer()
        replies.appendWelcome(user: "alice", processID: 7, to: &buffer)
        return buffer.array
    }

    private static func row(_ value: String) -> [UInt8] {
        var buffer = ByteBuffer()
        Array(value.utf8).withUnsafeBytes { replies.appendRow(ShortText($0), to: &buffer) }
        return buffer.array + replies.oneRowComplete
    }

    /// Goal: the answer does not depend on how the network cuts the requests.
    @Test(arguments: [1, 2, 3, 5, 8, 64, 100_000])
    func aConversationMayArriveInAnyPieces(size: Int) {
        let requests =
            NullSessionTests.startup + NullSessionTests.query("select 42 as value")
            + NullSessionTests.extended
        let idle = NullSessionTests.ready + [UInt8(ascii: "I")]
        let expected =
            NullSessionTests.welcome() + NullSessionTests.replies.numberDescription
            + NullSessionTests.row("42") + idle + NullSessionTests.replies.parseComplete
            + NullSessionTests.replies.bindComplete + NullSessionTests.replies.numberDescription
            + NullSessionTests.row("4711") + idle
        let talked = NullSessionTests.talk(requests, inPiecesOf: size)
        #expect(talked.replies == expected)
        #expect(talked.pause == .needsInput)
    }

    @Test func beginAndCommitChangeTheStatus() {
        let requests =
            NullSessionTests.startup + NullSessionTests.query("begin;")
            + NullSessionTests.query("  SELECT 1") + NullSessionTests.query("COMMIT")
        let replies = NullSessionTests.talk(requests, inPiecesOf: 1000).replies
        let statuses = replies.indices.filter { replies[$0...].starts(with: NullSessionTests.ready) }
            .map { replies[$0 + 5] }
        #expect(statuses == Array("ITTI".utf8))
    }

    @Test func encryptionIsDeclinedAndStartupGoesOn() {
        let sslRequest: [UInt8] = [0, 0, 0, 8, 4, 210, 22, 47]
        let talked = NullSessionTests.talk(sslRequest + NullSessionTests.startup, inPiecesOf: 1000)
        #expect(talked.replies == [UInt8(ascii: "N")] + NullSessionTests.welcome())
    }

    @Test func aCancelRequestClosesWithoutAnAnswer() {
        let cancel: [UInt8] = [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 7, 1, 2, 3, 4]
        let talked = NullSessionTests.talk(cancel, inPiecesOf: 1000)
        #expect(talked.replies == [])
        #expect(talked.pause == .close)
    }

    @Test func md5AsksForAPasswordFirst() {
        let password = NullSessionTests.message("p") { $0.append(zeroTerminated: "md5…") }
        let talked = NullSessionTests.talk(NullSessionTests.startup + password, inPiecesOf: 1000, .md5)
        #expect(talked.replies.starts(with: [UInt8(ascii: "R"), 0, 0, 0, 12, 0, 0, 0, 5]))
        #expect(talked.replies.dropFirst(13) == NullSessionTests.welcome()[...])
    }

    /// Goal: the session stops at a big answer, and says ready after it, not before.
    @Test func aBigAnswerInterruptsTheSession() {
        var session = NullSession(authentication: .trust, processID: 7)
        var output = ByteBuffer()
        let input = NullSessionTests.startup + NullSessionTests.query("select big")
        let (consumed, pause) = input.withUnsafeBytes {
            session.answer($0, with: NullSessionTests.replies, into: &output)
        }
        #expect(consumed == input.count)
        #expect(pause == .bigAnswer(start: 0))
        let before = output.count
        let next = [UInt8]().withUnsafeBytes {
            session.answer($0, with: NullSessionTests.replies, into: &output)
        }
        #expect(next.pause == .needsInput)
        #expect(Array(output.array[before...]) == NullSessionTests.ready + [UInt8(ascii: "I")])
    }

    @Test func anUnknownMessageIsRefusedAndEndsTheConversation() {
        let input = NullSessionTests.startup + NullSessionTests.message("?") { _ in }
        let talked = NullSessionTests.talk(input, inPiecesOf: 1000)
        #expect(talked.pause == .close)
        #expect(talked.replies.count > NullSessionTests.welcome().count)
    }
}
