import Base
import Testing
import Wire

@Suite struct StartupPacketTests {
    @Test func theFirstPacketsAreToldApart() {
        #expect(parse(packet(80_877_103)) == .sslRequest)
        #expect(parse(packet(80_877_104)) == .gssEncryptionRequest)
        #expect(parse(packet(0x2_0000, [0])) == .protocol2)
        #expect(parse(packet(0x3_0000, [0])) == .startup(minor: 0, parameters: 8..<9))
        #expect(parse(packet(0x3_0002)) == .startup(minor: 2, parameters: 8..<8))
        #expect(parse(packet(0x4_0000)) == .invalidHeader)
        #expect(parse(packet(0x1_0000)) == .invalidHeader)
        #expect(parse(packet(80_877_103, [0])) == .invalidHeader)
    }

    @Test(arguments: [0, 3, 4, 8, 32, 256, 257])
    func cancelKeysHaveFourTo256Bytes(keyByteCount: Int) {
        let body = [0, 0, 0, 9] + [UInt8](repeating: 5, count: keyByteCount)
        let expected: StartupPacket =
            (4...256).contains(keyByteCount)
            ? .cancelRequest(processID: 9, key: 12..<12 + keyByteCount) : .invalidCancelRequest
        #expect(parse(packet(80_877_102, body)) == expected)
    }

    @Test func theLengthIsKnownAfterFourBytes() throws {
        let bytes = packet(0x3_0000, [1, 2, 3])
        for arrived in 0..<4 {
            let prefix = Array(bytes[..<arrived])
            #expect(try byteCount(prefix) == nil)
        }
        #expect(try byteCount(bytes) == 11)
    }

    @Test(arguments: [[0x16], [0, 1], [0, 0, 0, 7], [0x47, 0x45, 0x54, 0x20], [0, 1, 0, 0]] as [[UInt8]])
    func whatCannotBeginAPacketIsRefusedAtOnce(bytes: [UInt8]) {
        #expect(throws: WireError.invalidLength) {
            _ = try StartupPacket.byteCount(of: bytes.span.bytes)
        }
    }

    @Test func parametersComeOutInOrder() throws {
        #expect(
            try parameters("user\0anna\0database\0\0\0")
                == [Parameter("user", "anna"), Parameter("database", "")])
        #expect(try parameters("\0") == [])
    }

    @Test(arguments: [
        "", "user", "user\0", "user\0anna", "user\0anna\0", "\0x", "user\0anna\0\0\0", "user\0\0",
    ])
    func aListThatDoesNotEndWhereItMustIsRefused(text: String) {
        #expect(throws: StartupFault.invalidLayout) { _ = try parameters(text) }
    }

    @Test func whatWeWriteWeRead() throws {
        var buffer = ByteBuffer()
        let offset = buffer.beginStartupPacket(minor: 2)
        buffer.appendStartupParameter("user", Array("anna".utf8).span.bytes)
        buffer.appendStartupParameter("database", Array("shop".utf8).span.bytes)
        buffer.endStartupPacket(at: offset)
        let bytes = buffer.bytes.array
        guard case .startup(minor: 2, let range) = parse(bytes) else {
            Issue.record("not a startup packet")
            return
        }
        let body = String(decoding: bytes[range], as: UTF8.self)
        #expect(try parameters(body) == [Parameter("user", "anna"), Parameter("database", "shop")])
    }

    @Test func weWriteTheOtherFirstPackets() {
        var ssl = ByteBuffer()
        ssl.appendSSLRequest()
        #expect(parse(ssl.bytes.array) == .sslRequest)
        var cancel = ByteBuffer()
        cancel.appendCancelRequest(processID: 77, key: ([1, 2, 3, 4] as [UInt8]).span.bytes)
        #expect(parse(cancel.bytes.array) == .cancelRequest(processID: 77, key: 12..<16))
    }

    @Test(arguments: 0..<300 as Range<UInt64>)
    func randomPacketsNeverTrap(seed: UInt64) {
        var random = Random(seed: seed)
        var bytes = packet(
            [0x3_0000, 80_877_102, 80_877_103, 0x2_0000][random.below(4)], randomBytes(&random, upTo: 60))
        if random.below(2) == 0 { bytes[random.below(bytes.count)] ^= 1 << UInt8(random.below(8)) }
        for end in 0...bytes.count {
            let prefix = Array(bytes[..<end])
            _ = try? StartupPacket.byteCount(of: prefix.span.bytes)
            switch parse(prefix) {
            case .startup(_, let range):
                _ = try? parameters(String(decoding: prefix[range], as: UTF8.self))
            case .cancelRequest(_, let range): #expect(prefix[range].count >= 4)
            case .sslRequest, .gssEncryptionRequest, .invalidCancelRequest, .protocol2, .invalidHeader: break
            }
        }
    }

    private func packet(_ code: UInt32, _ body: [UInt8] = []) -> [UInt8] {
        var buffer = ByteBuffer()
        buffer.append(bigEndian: UInt32(8 + body.count))
        buffer.append(bigEndian: code)
        buffer.append(body)
        return buffer.bytes.array
    }

    private func byteCount(_ bytes: [UInt8]) throws(WireError) -> Int? {
        try StartupPacket.byteCount(of: bytes.span.bytes)
    }

    private func parse(_ bytes: [UInt8]) -> StartupPacket { StartupPacket.parse(bytes.span.bytes) }
}

@Suite struct StartupOptionsTests {
    @Test func allThreeSpellingsAreRead() throws {
        #expect(
            try options("-c a=1  -cb=2\t--c=3")
                == [Parameter("a", "1"), Parameter("b", "2"), Parameter("c", "3")])
        #expect(try options("") == [])
        #expect(try options("   ") == [])
    }

    @Test func aBackslashTakesTheNextByteLiterally() throws {
        #expect(
            try options(#"-c DateStyle=ISO,\ MDY --search_path=\\x"#)
                == [Parameter("DateStyle", "ISO, MDY"), Parameter("search_path", #"\x"#)])
    }

    @Test func aDashInANameStandsForAnUnderscore() throws {
        #expect(try options("--statement-timeout=5-6") == [Parameter("statement_timeout", "5-6")])
    }

    @Test func aValueMayBeEmptyAndMayHoldEqualSigns() throws {
        #expect(try options("-c a= -c b=x=y") == [Parameter("a", ""), Parameter("b", "x=y")])
    }

    @Test(arguments: ["-c", "-c ", "a=1", "-d a=1", "-c a", "--a", "--=1", "-c =1", "-", "--", "-c a=1 x"])
    func anythingElseIsRefusedAndLeavesNothingBehind(text: String) {
        var output = ByteBuffer()
        output.append(9)
        #expect(throws: StartupFault.unsupportedOptions) {
            try StartupOptions.parse(Array(text.utf8).span.bytes, into: &output)
        }
        #expect(output.bytes.array == [9])
    }

    @Test(arguments: 0..<300 as Range<UInt64>)
    func randomOptionsNeverTrap(seed: UInt64) throws {
        var random = Random(seed: seed)
        let alphabet = Array(#"-c =\ab"#.utf8)
        let text = (0..<random.below(24)).map { _ in alphabet[random.below(alphabet.count)] }
        _ = try? options(String(decoding: text, as: UTF8.self))
    }

    private func options(_ text: String) throws -> [Parameter] {
        var output = ByteBuffer()
        try StartupOptions.parse(Array(text.utf8).span.bytes, into: &output)
        return try parameters(String(decoding: output.bytes.array, as: UTF8.self))
    }
}

/// A parameter that tests can compare.
struct Parameter: Equatable {
    let name, value: String

    init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

func parameters(_ text: String) throws(StartupFault) -> [Parameter] {
    let bytes = Array(text.utf8)
    var walk = try StartupParameters(bytes.span.bytes)
    var found: [Parameter] = []
    while let parameter = walk.next() {
        found.append(Parameter(parameter.name.text, parameter.value.text))
    }
    return found
}
