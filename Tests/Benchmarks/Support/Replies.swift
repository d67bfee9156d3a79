public import Base

/// What `NullPostgres` answers, built once: the server copies it out, the load generator compares with it.
public struct Replies: Sendable {
    /// Rows of the big answer.
    public static let bigRowCount = 1024
    /// Bytes of each of its row messages, so that the rows make up 1 MiB.
    public static let bigRowByteCount = 1024

    /// One column `value` of type int4, as `select 1 as value` has.
    public let numberDescription: [UInt8]
    /// One column `value` of type text.
    public let textDescription: [UInt8]
    /// Description, rows and end of the big answer.
    public let big: [UInt8]
    /// The end of a statement that answered one row.
    public let oneRowComplete: [UInt8]
    /// Answer to Parse.
    public let parseComplete: [UInt8] = [UInt8(ascii: "1"), 0, 0, 0, 4]
    /// Answer to Bind.
    public let bindComplete: [UInt8] = [UInt8(ascii: "2"), 0, 0, 0, 4]
    /// Answer to Close.
    public let closeComplete: [UInt8] = [UInt8(ascii: "3"), 0, 0, 0, 4]
    /// Answer to Describe of something that gives no rows.
    public let noData: [UInt8] = [UInt8(ascii: "n"), 0, 0, 0, 4]
    /// Answer to Execute of a query that says nothing.
    public let emptyQuery: [UInt8] = [UInt8(ascii: "I"), 0, 0, 0, 4]
    /// Answer to Describe of a statement, before the description of its rows: one int4 parameter.
    public let oneParameter: [UInt8] = [UInt8(ascii: "t"), 0, 0, 0, 10, 0, 1, 0, 0, 0, 23]

    /// Builds all replies; about 1 MiB.
    public init() {
        numberDescription = Replies.description(typeID: 23, size: 4)
        textDescription = Replies.description(typeID: 25, size: -1)
        oneRowComplete = Replies.complete("SELECT 1")
        var buffer = ByteBuffer(capacity: 1 << 20 + 1024)
        buffer.append(textDescription)
        for row in 0..<Replies.bigRowCount {
            buffer.appendMessage("D") { body in
                let valueByteCount = Replies.bigRowByteCount - 11
                body.append(bigEndian: UInt16(1))
                body.append(bigEndian: UInt32(valueByteCount))
                for column in 0..<valueByteCount {
                    body.append(UInt8(ascii: "a") + UInt8((row + column) % 26))
                }
            }
        }
        buffer.append(Replies.complete("SELECT \(Replies.bigRowCount)"))
        big = buffer.array
    }

    /// The end of a statement, with its tag.
    public static func complete(_ tag: String) -> [UInt8] {
        var buffer = ByteBuffer()
        buffer.appendMessage("C") { $0.append(zeroTerminated: tag) }
        return buffer.array
    }

    /// Appends a row of one column.
    public func appendRow(_ value: ShortText, to output: inout ByteBuffer) {
        output.append(UInt8(ascii: "D"))
        output.append(bigEndian: UInt32(10 + value.count))
        output.append(bigEndian: UInt16(1))
        output.append(bigEndian: UInt32(value.count))
        for index in 0..<value.count { output.append(value[index]) }
    }

    /// Appends ready-for-query.
    /// - Parameter status: `I`, `T` or `E`.
    public func appendReady(_ status: UInt8, to output: inout ByteBuffer) {
        output.append(UInt8(ascii: "Z"))
        output.append(bigEndian: UInt32(5))
        output.append(status)
    }

    /// Appends everything a PostgreSQL 15 says when it lets somebody in, ready-for-query included.
    public func appendWelcome(user: String, processID: UInt32, to output: inout ByteBuffer) {
        output.appendMessage("R") { $0.append(bigEndian: UInt32(0)) }
        let parameters = [
            ("application_name", ""), ("client_encoding", "UTF8"), ("DateStyle", "ISO, MDY"),
            ("default_transaction_read_only", "off"), ("in_hot_standby", "off"), ("integer_datetimes", "on"),
            ("IntervalStyle", "postgres"), ("is_superuser", "off"), ("server_encoding", "UTF8"),
            ("server_version", "15.14"), ("session_authorization", user),
            ("standard_conforming_strings", "on"), ("TimeZone", "Etc/UTC"),
        ]
        for (name, value) in parameters {
            output.appendMessage("S") {
                $0.append(zeroTerminated: name)
                $0.append(zeroTerminated: value)
            }
        }
        output.appendMessage("K") {
            $0.append(bigEndian: processID)
            $0.append(bigEndian: processID &* 2_654_435_761)
        }
        appendReady(UInt8(ascii: "I"), to: &output)
    }

    private static func description(typeID: UInt32, size: Int16) -> [UInt8] {
        var buffer = ByteBuffer()
        buffer.appendMessage("T") { body in
            body.append(bigEndian: UInt16(1))
            body.append(zeroTerminated: "value")
            body.append(bigEndian: UInt32(0))  // no table
            body.append(bigEndian: UInt16(0))  // no column
            body.append(bigEndian: typeID)
            body.append(bigEndian: UInt16(bitPattern: size))
            body.append(bigEndian: UInt32.max)  // no modifier
            body.append(bigEndian: UInt16(0))  // text
        }
        return buffer.array
    }
}

/// A value of at most 16 bytes, without memory of its own.
public struct ShortText: BitwiseCopyable, Sendable {
    private var bytes: InlineArray<16, UInt8>
    /// Bytes in use.
    public private(set) var count: Int

    /// The first 16 bytes of what is given.
    public init(_ source: UnsafeRawBufferPointer) {
        bytes = InlineArray(repeating: 0)
        count = min(source.count, 16)
        for index in 0..<count { bytes[index] = source[index] }
    }

    /// The digit 1, what a query without a literal answers.
    public static var one: ShortText {
        var text = ShortText(UnsafeRawBufferPointer(start: nil, count: 0))
        text.bytes[0] = UInt8(ascii: "1")
        text.count = 1
        return text
    }

    /// One byte.
    public subscript(index: Int) -> UInt8 { bytes[index] }
}
