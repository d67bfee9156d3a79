import Base
import BenchmarkSupport

/// The requests of a mode and the answers they must get, byte for byte.
///
/// A number of eight digits in requests comes back in answers: it names the client and counts its requests,
/// so that an answer meant for another client, or for an earlier request, is seen to be wrong.
struct Script {
    /// One request and its answer.
    struct Step {
        /// What is sent, in one piece.
        let request: [UInt8]
        /// Where its number begins, if it has one.
        let requestNumber: Int?
        /// What must come back.
        let answer: [UInt8]
        /// Where its number begins, if it has one.
        let answerNumber: Int?
    }

    /// The startup packet.
    let startup: [UInt8]
    /// Sent once, after logging in.
    let preparation: Step?
    /// Sent over and over; together they are one transaction.
    let steps: [Step]
    /// What says good-bye.
    let farewell: [UInt8] = [UInt8(ascii: "X"), 0, 0, 0, 4]

    private static let digits = "10000000"

    /// The requests of a mode.
    init(_ options: Options) {
        var buffer = ByteBuffer()
        buffer.appendMessage(nil) { body in
            body.append(bigEndian: UInt32(3 << 16))
            for text in ["user", options.user, "database", options.database] {
                body.append(zeroTerminated: text)
            }
            body.append(UInt8(0))
        }
        startup = buffer.array

        let replies = Replies()
        let parameterQuery = "select $1::int4 as value"
        let prepared = Script.parse("statement_1", parameterQuery) + Script.sync
        let ready = Script.ready("I", replies)
        let row = Script.row(replies)
        let select = Step(
            Script.query("select \(Script.digits) as value"), replies.numberDescription + row + ready)
        switch options.mode {
        case .simple, .connect, .idle:
            preparation = nil
            steps = [select]
        case .hold:
            preparation = nil
            steps = [
                Step(
                    Script.query("select \(Script.digits) as value from pg_sleep(0.005)"),
                    replies.numberDescription + row + ready)
            ]
        case .extended:
            preparation = nil
            steps = [
                Step(
                    Script.parse("", parameterQuery) + Script.run(""),
                    replies.parseComplete + replies.bindComplete + replies.numberDescription + row + ready)
            ]
        case .prepared:
            preparation = Step(prepared, replies.parseComplete + ready)
            steps = [
                Step(
                    Script.run("statement_1"), replies.bindComplete + replies.numberDescription + row + ready)
            ]
        case .transaction:
            preparation = nil
            let inside = Script.ready("T", replies)
            steps = [
                Step(Script.query("BEGIN"), Replies.complete("BEGIN") + inside),
                Step(
                    Script.query("select \(Script.digits) as value"),
                    replies.numberDescription + row + inside),
                Step(Script.query("COMMIT"), Replies.complete("COMMIT") + ready),
            ]
        case .big:
            preparation = nil
            steps = [Step(Script.query("select big"), replies.big + ready)]
        }
    }

    private static let sync: [UInt8] = [UInt8(ascii: "S"), 0, 0, 0, 4]

    private static func query(_ text: String) -> [UInt8] {
        message("Q") { $0.append(zeroTerminated: text) }
    }

    private static func parse(_ name: String, _ text: String) -> [UInt8] {
        message("P") {
            $0.append(zeroTerminated: name)
            $0.append(zeroTerminated: text)
            $0.append(bigEndian: UInt16(0))
        }
    }

    /// Bind with the number, Describe, Execute, Sync.
    private static func run(_ name: String) -> [UInt8] {
        let bind = message("B") {
            $0.append(zeroTerminated: "")
            $0.append(zeroTerminated: name)
            $0.append(bigEndian: UInt16(0))
            $0.append(bigEndian: UInt16(1))
            $0.append(bigEndian: UInt32(digits.utf8.count))
            $0.append(text: digits)
            $0.append(bigEndian: UInt16(0))
        }
        let describe = message("D") {
            $0.append(UInt8(ascii: "P"))
            $0.append(zeroTerminated: "")
        }
        let execute = message("E") {
            $0.append(zeroTerminated: "")
            $0.append(bigEndian: UInt32(0))
        }
        return bind + describe + execute + sync
    }

    private static func row(_ replies: Replies) -> [UInt8] {
        var buffer = ByteBuffer()
        Array(digits.utf8).withUnsafeBytes { replies.appendRow(ShortText($0), to: &buffer) }
        return buffer.array + replies.oneRowComplete
    }

    private static func ready(_ status: Unicode.Scalar, _ replies: Replies) -> [UInt8] {
        var buffer = ByteBuffer()
        replies.appendReady(UInt8(ascii: status), to: &buffer)
        return buffer.array
    }

    private static func message(_ type: Unicode.Scalar, body: (inout ByteBuffer) -> Void) -> [UInt8] {
        var buffer = ByteBuffer()
        buffer.appendMessage(type, body: body)
        return buffer.array
    }
}

extension Script.Step {
    /// A step; numbers are found by their digits.
    init(_ request: [UInt8], _ answer: [UInt8]) {
        self.init(
            request: request, requestNumber: Script.Step.numberOffset(request),
            answer: answer, answerNumber: Script.Step.numberOffset(answer))
    }

    private static func numberOffset(_ bytes: [UInt8]) -> Int? {
        let digits = Array("10000000".utf8)
        guard bytes.count >= digits.count, bytes.count < 1024 else { return nil }
        return (0...bytes.count - digits.count).first { bytes[$0..<$0 + digits.count].elementsEqual(digits) }
    }
}
