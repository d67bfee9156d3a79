/// What PostgreSQL answers to those who look users up: they may say nothing else.
struct LookupAnswer {
    private var output: [Message] = []
    private var asked = ""
    /// The messages that are to come, in order.
    private var awaited = LookupAnswer.order

    private static let order = Array("PBDES".utf8)

    /// The next message.
    mutating func receive(_ message: Message, _ world: World) {
        guard message.type == awaited.first else {
            return world.fail("who looks users up says \(message.words(fromClient: true))")
        }
        awaited.removeFirst()
        switch message.type {
        case UInt8(ascii: "P"):
            var fields = FieldReader(message.body)
            if fields.text() != "" || fields.text() != Setup.lookupQuery {
                world.fail("another query than the one for secrets is prepared")
            }
            output = [Message("1")]
        case UInt8(ascii: "B"):
            let length = message.body.integer(at: 6)
            asked = String(decoding: message.body[10..<(10 + length)], as: UTF8.self)
            output.append(Message("2"))
        case UInt8(ascii: "D"):
            output.append(Message("T", [0, 2] + LookupAnswer.column("name") + LookupAnswer.column("secret")))
        case UInt8(ascii: "E"):
            if let secret = world.passwords[asked] {
                var row: [UInt8] = [0, 2]
                for text in [asked, secret] {
                    row.appendInteger(UInt32(text.utf8.count))
                    row += Array(text.utf8)
                }
                output.append(Message("D", row))
            }
            var tag: [UInt8] = []
            tag.appendText("SELECT 1")
            output.append(Message("C", tag))
        default:
            output.append(Message("Z", [UInt8(ascii: "I")]))
            awaited = LookupAnswer.order
        }
    }

    private static func column(_ name: String) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendText(name)
        return bytes + [0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 255, 255, 255, 255, 255, 255, 0, 0]
    }

    /// What is to be sent: nothing before the group is complete.
    mutating func takeBytes() -> [UInt8] {
        guard awaited.count == LookupAnswer.order.count else { return [] }
        defer { output = [] }
        return output.flatMap(\.bytes)
    }
}
