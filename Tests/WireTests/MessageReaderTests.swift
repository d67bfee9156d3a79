import Base
import Testing
import Wire

@Suite struct MessageReaderTests {
    @Test func valuesComeOutInTheOrderTheyWentIn() throws {
        var buffer = ByteBuffer()
        buffer.append(7)
        buffer.append(bigEndian: Int16(-2))
        buffer.append(bigEndian: Int32(-70_000))
        buffer.append(bigEndian: UInt64.max - 1)
        buffer.appendCString("name")
        buffer.append([1, 2, 3])
        var reader = MessageReader(buffer.bytes)
        let byte = try reader.readUInt8()
        let short = try reader.readInt16()
        let integer = try reader.readInt32()
        let long = try reader.readUInt64()
        let name = try reader.readCString().array
        let rest = try reader.readBytes(3).array
        let remaining = reader.remaining
        #expect(byte == 7 && short == -2 && integer == -70_000 && long == UInt64.max - 1)
        #expect(name == Array("name".utf8) && rest == [1, 2, 3] && remaining == 0)
        try reader.expectEnd()
    }

    @Test func aReadThatFailsConsumesNothing() throws {
        let bytes: [UInt8] = [1, 2, 3]
        var reader = MessageReader(bytes.span.bytes)
        #expect(throws: WireError.truncated) { try readInt32(&reader) }
        #expect(throws: WireError.unterminatedText) { try readCString(&reader) }
        #expect(throws: WireError.truncated) { try skip(&reader, 4) }
        #expect(throws: WireError.invalidLength) { try skip(&reader, -1) }
        #expect(throws: WireError.trailingBytes) { try expectEnd(&reader) }
        let remaining = reader.remaining
        #expect(remaining == 3)
    }

    @Test func noBytesAreNoTrouble() throws {
        var reader = MessageReader(RawSpan())
        let none = try reader.readBytes(0).byteCount
        let rest = reader.readRest().byteCount
        #expect(none == 0 && rest == 0)
        #expect(throws: WireError.unterminatedText) { try readCString(&reader) }
    }

    /// A header may arrive in any number of pieces. Goal: every prefix short of five bytes means
    /// "wait", never an error and never a guess.
    @Test(arguments: 0...4)
    func everyShortHeaderWaits(arrived: Int) throws {
        let sync: [UInt8] = [UInt8(ascii: "S"), 0, 0, 0, 4]
        var reader = MessageReader(sync.span.bytes.extracting(0..<arrived))
        let header = try MessageHeader.read(&reader)
        let unread = reader.remaining
        #expect(header == nil)
        #expect(unread == arrived, "a read that waits consumes nothing")
    }

    @Test(arguments: [Int32.min, -1, 0, 3])
    func aLengthShorterThanItselfIsRefused(length: Int32) throws {
        var buffer = ByteBuffer()
        buffer.append(FrontendMessage.sync)
        buffer.append(bigEndian: length)
        let bytes = buffer.bytes.array
        #expect(throws: WireError.invalidLength) {
            var reader = MessageReader(bytes.span.bytes)
            _ = try MessageHeader.read(&reader)
        }
    }

    @Test func aHeaderTellsTypeAndLength() throws {
        let bytes: [UInt8] = [UInt8(ascii: "Q"), 0, 0, 1, 4, 9]
        var reader = MessageReader(bytes.span.bytes)
        let header = try MessageHeader.read(&reader)
        let unread = reader.remaining
        #expect(header == MessageHeader(type: FrontendMessage.query, bodyByteCount: 256))
        #expect(header?.messageByteCount == 261 && unread == 1)
    }

    /// Any sequence of reads over any bytes either succeeds inside the bounds or throws.
    @Test(arguments: 0..<200 as Range<UInt64>)
    func randomReadsNeverTrap(seed: UInt64) {
        var random = Random(seed: seed)
        let bytes = randomBytes(&random, upTo: 40)
        var reader = MessageReader(bytes.span.bytes)
        for _ in 0..<60 {
            let before = reader.offset
            switch random.below(8) {
            case 0: _ = try? reader.readUInt8()
            case 1: _ = try? reader.readInt16()
            case 2: _ = try? reader.readInt32()
            case 3: _ = try? reader.readUInt64()
            case 4: _ = try? reader.readBytes(random.below(12) - 2).array
            case 5: _ = try? reader.readCString().array
            case 6: try? reader.skip(random.below(12) - 2)
            default: _ = try? MessageHeader.read(&reader)
            }
            let after = reader.offset
            #expect(after >= before && after <= bytes.count)
        }
    }

    private func readInt32(_ reader: inout MessageReader) throws(WireError) { _ = try reader.readInt32() }
    private func readCString(_ reader: inout MessageReader) throws(WireError) {
        _ = try reader.readCString()
    }
    private func skip(_ reader: inout MessageReader, _ count: Int) throws(WireError) {
        try reader.skip(count)
    }
    private func expectEnd(_ reader: inout MessageReader) throws(WireError) { try reader.expectEnd() }
}

/// Bytes for tests of robustness; zero bytes are frequent, because they end things.
func randomBytes(_ random: inout Random, upTo limit: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    for _ in 0..<random.below(limit + 1) {
        bytes.append(random.below(4) == 0 ? 0 : UInt8(truncatingIfNeeded: random.next()))
    }
    return bytes
}
