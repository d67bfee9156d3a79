import Base
import SharedState
import Testing

@Suite struct ControlMessageTests {
    static let examples: [ControlMessage] = [
        .configuration(epoch: 7, byteCount: 123_456),
        .order(Order(epoch: .max, kind: .pause)),
        .order(Order(epoch: 1, kind: .killClient, database: bytes("shop"), argument: 99)),
        .order(Order(epoch: 2, kind: .resume, database: [])),
        .rowsWanted(request: 5, kind: .lists),
        .workerAdded(index: 3),
        .resolved(
            ResolvedName(
                name: bytes("db.example"),
                addresses: [
                    [127, 0, 0, 1], [UInt8](repeating: 7, count: 16), [UInt8](repeating: 8, count: 20),
                ])),
        .resolved(ResolvedName(name: bytes("nowhere"), addresses: [], problem: bytes("no such host"))),
        .ready,
        .acknowledged(epoch: 7, problem: []),
        .acknowledged(epoch: 8, problem: bytes("certificate cannot be read")),
        .consoleLogin(
            ConsoleLogin(
                clientId: 12, user: bytes("ann"), role: .stats, address: bytes("::1"), port: 50_000,
                parameters: [
                    Parameter(name: bytes("application_name"), value: bytes("psql")),
                    Parameter(name: bytes("empty"), value: []),
                ])),
        .rows(RowsAnswer(request: 3, rows: [1, 2, 3], isLast: false)),
        .rows(RowsAnswer(request: 3, rows: [], attachedByteCount: 1 << 40, isLast: true)),
        .resolve(name: bytes("db.example")),
        .drained,
        .orderRequest(Order(epoch: 0, kind: .shutdownWaitForServers)),
    ]

    static func encoded(_ message: ControlMessage) throws -> [UInt8] {
        var buffer = ByteBuffer()
        try message.encode(into: &buffer)
        return buffer.bytes.withUnsafeBytes { Array($0) }
    }

    static func decode(_ record: [UInt8]) throws(ControlError) -> ControlMessage {
        try ControlMessage.decode(record.span.bytes)
    }

    static func decodeInbox(_ record: [UInt8]) throws(ControlError) -> InboxMessage {
        try InboxMessage.decode(record.span.bytes).message
    }

    @Test(arguments: examples)
    func whatIsEncodedDecodesTheSame(message: ControlMessage) throws {
        let record = try ControlMessageTests.encoded(message)
        #expect(record.count <= 4096)
        #expect(try ControlMessageTests.decode(record) == message)
    }

    /// Goal: a newer neighbour may add fields anywhere.
    @Test(arguments: examples)
    func unknownTagsAreSkipped(message: ControlMessage) throws {
        var record = try ControlMessageTests.encoded(message)
        record += [0xf0, 0x01, 0, 3, 1, 2, 3]
        record.insert(contentsOf: [0xf0, 0x02, 0, 0], at: 4)
        #expect(try ControlMessageTests.decode(record) == message)
    }

    @Test(arguments: examples)
    func everyShorterRecordIsRefusedOrAnotherMessage(message: ControlMessage) throws {
        let record = try ControlMessageTests.encoded(message)
        for count in 0..<record.count {
            let decoded = try? ControlMessageTests.decode(Array(record[..<count]))
            #expect(decoded != message)
        }
    }

    @Test func unknownKindsAndVersionsAreToldApart() {
        #expect(throws: ControlError.unknownMessage(kind: 200)) {
            try ControlMessageTests.decode([1, 200, 0, 0])
        }
        #expect(throws: ControlError.version(2)) { try ControlMessageTests.decode([2, 33, 0, 0]) }
        #expect(throws: ControlError.truncated) { try ControlMessageTests.decode([1, 33, 0]) }
        #expect(throws: ControlError.badField(tag: 6)) {
            try ControlMessageTests.decode([1, 37, 0, 0])
        }
    }

    @Test func whatIsTooLongIsRefusedAndLeavesTheBufferAlone() throws {
        var buffer = ByteBuffer()
        buffer.append("before")
        let long = ControlMessage.resolve(name: [UInt8](repeating: 1, count: 62_000))
        #expect(throws: ControlError.tooLong) { try long.encode(into: &buffer) }
        let count = buffer.count
        #expect(count == 6)
        let rows = [UInt8](repeating: 1, count: RowsAnswer.inlineLimit)
        _ = try ControlMessageTests.encoded(.rows(RowsAnswer(request: 1, rows: rows, isLast: true)))
    }

    /// Goal: no bytes make either decoder trap.
    @Test(arguments: 0..<200 as Range<UInt64>)
    func randomBytesNeverTrap(seed: UInt64) throws {
        var random = Random(seed: seed)
        for _ in 0..<200 {
            var record = try ControlMessageTests.encoded(
                ControlMessageTests.examples[random.below(ControlMessageTests.examples.count)])
            for _ in 0..<(1 + random.below(4)) where !record.isEmpty {
                switch random.below(3) {
                case 0: record[random.below(record.count)] = UInt8(random.below(256))
                case 1: record.remove(at: random.below(record.count))
                case _: record.insert(UInt8(random.below(256)), at: random.below(record.count + 1))
                }
            }
            _ = try? ControlMessage.decode(record.span.bytes)
            _ = try? InboxMessage.decode(record.span.bytes)
            let noise = (0..<random.below(64)).map { _ in UInt8(random.below(256)) }
            _ = try? ControlMessageTests.decode(([1] + noise))
            _ = try? ControlMessageTests.decodeInbox(([1, 1, 0, 0] + noise))
        }
    }

    @Test func onlyMessagesWithADescriptorSaySo() {
        let carrying = ControlMessageTests.examples.filter(\.carriesDescriptor)
        #expect(carrying.count == 4)
        #expect(!ControlMessage.rows(RowsAnswer(request: 1, rows: [], isLast: true)).carriesDescriptor)
    }

    @Test func anInboxMessageNamesItsReceiversIncarnation() throws {
        let messages: [InboxMessage] = [
            .cancel(key: Array(0..<8), timeToLive: 3, sender: 7, ticket: 1 << 40),
            .cancelAnswer(ticket: 1 << 40, isFound: true),
            .cancelAnswer(ticket: 9, isFound: false),
            .drop(database: Array("shop".utf8)),
        ]
        for message in messages {
            var buffer = ByteBuffer()
            try message.encode(incarnation: 5, into: &buffer)
            let decoded = try InboxMessage.decode(buffer.bytes)
            #expect(decoded.incarnation == 5)
            #expect(decoded.message == message)
        }
    }
}

@Suite struct RowTests {
    @Test func rowsComeOutAsTheyWentIn() throws {
        var writer = RowWriter()
        writer.beginRow(fieldCount: 4)
        writer.append("name")
        writer.append(-12)
        writer.appendNull()
        writer.append([] as [UInt8])
        writer.beginRow(fieldCount: 0)
        writer.beginRow(fieldCount: 1)
        writer.append(true)
        var reader = RowReader(writer.bytes)
        var rows: [[[UInt8]?]] = []
        while let row = try reader.next() { rows.append(row) }
        #expect(rows == [[bytes("name"), bytes("-12"), nil, []], [], [bytes("1")]])
    }

    @Test(arguments: 0..<200 as Range<UInt64>)
    func randomBytesNeverTrap(seed: UInt64) {
        var random = Random(seed: seed)
        for _ in 0..<100 {
            let noise = (0..<random.below(100)).map { _ in UInt8(random.below(random.below(2) == 0 ? 3 : 256))
            }
            var reader = RowReader(noise.span.bytes)
            while let row = try? reader.next() { _ = row }
        }
    }
}
