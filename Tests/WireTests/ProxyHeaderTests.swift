import Base
import Testing
import Wire

@Suite struct ProxyHeaderTests {
    private static let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10]

    private static let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"

    private func read(_ bytes: [UInt8]) -> ProxyHeader.Progress { ProxyHeader.read(bytes.rawSpan) }
    private func read(_ text: String) -> ProxyHeader.Progress { read(Array(text.utf8)) }

    /// The source and the length, in words.
    private func source(_ bytes: [UInt8]) -> String {
        switch read(bytes) {
        case .complete(let header, let count):
            guard let ends = header.ends else { return "own \(count)" }
            return "\(ends.source.text) \(ends.sourcePort) > "
                + "\(ends.destination.text) \(ends.destinationPort) \(count)"
        case .incomplete(let count): return "incomplete \(count)"
        case .invalid: return "invalid"
        }
    }

    private static func block(_ command: UInt8, _ family: UInt8, _ body: [UInt8]) -> [UInt8] {
        signature + [command, family, UInt8(body.count >> 8), UInt8(body.count & 255)] + body
    }

    @Test(arguments: [
        ("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", "192.168.0.1 56324 > 192.168.0.11 443 47"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 0 65535\r\nrest", "1.2.3.4 0 > 5.6.7.8 65535 36"),
        ("PROXY TCP6 2001:DB8::1 ::1 1 2\r\n", "2001:db8::1 1 > ::1 2 32"),
        (
            "PROXY TCP6 \(longest) \(longest) 65535 65535\r\n", "\(longest) 65535 > \(longest) 65535 104"
        ),
        ("PROXY UNKNOWN\r\n", "own 15"), ("PROXY UNKNOWN whatever stands here\r\n", "own 36"),
    ])
    func linesAreRead(line: String, expected: String) { #expect(source(Array(line.utf8)) == expected) }

    @Test(arguments: [
        "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n",
        "PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", "PROXY\r\n", "PROXY \r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", "proxy UNKNOWN\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", "PROXY TCP6 fe80::1%1 ::1 1 2\r\n", "PROXY UNKNOWNX\r\n",
        "PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n", "GET / HTTP/1.1\r\n",
        "X",
    ])
    func otherLinesAreNone(line: String) { #expect(source(Array(line.utf8)) == "invalid") }

    @Test func aLineEndsWithin107Bytes() {
        let longest = "PROXY UNKNOWN " + String(repeating: "x", count: 107 - 16) + "\r\n"
        #expect(longest.utf8.count == 107)
        #expect(source(Array(longest.utf8)) == "own 107")
        let longer = Array(longest.utf8.dropLast(2)) + Array("x\r\n".utf8)
        #expect(source(longer) == "invalid")
        #expect(source(Array(longer.prefix(106))) == "invalid")
    }

    @Test func blocksAreRead() {
        let ipv4: [UInt8] = [10, 1, 2, 3, 10, 4, 5, 6, 0x12, 0x34, 0x19, 0x20]
        #expect(source(Self.block(0x21, 0x11, ipv4)) == "10.1.2.3 4660 > 10.4.5.6 6432 28")
        let ipv6 = [0x20, 1, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 27) + [1, 0, 7, 0, 8]
        #expect(source(Self.block(0x21, 0x21, ipv6)) == "2001:db8:: 7 > ::1 8 52")
        // What stands behind the addresses is passed over.
        #expect(
            source(Self.block(0x21, 0x11, ipv4 + [4, 0, 2, 9, 9]) + [1, 2])
                == "10.1.2.3 4660 > 10.4.5.6 6432 33")
    }

    @Test(arguments: [
        block(0x20, 0, []), block(0x20, 0x11, [1, 2, 3]), block(0x21, 0, [9, 9]),
        block(0x21, 0x12, [UInt8](repeating: 1, count: 12)),
        block(0x21, 0x31, [UInt8](repeating: 1, count: 216)),
        block(0x21, 0x10, []),
    ])
    func whatIsNotTCPKeepsTheEndsOfTheSocket(bytes: [UInt8]) {
        #expect(source(bytes) == "own \(bytes.count)")
    }

    @Test(arguments: [
        block(0x11, 0x11, [UInt8](repeating: 1, count: 12)), block(0x22, 0, []), block(0x21, 0x41, []),
        block(0x21, 0x13, []), block(0x21, 0x11, [UInt8](repeating: 1, count: 11)),
        block(0x21, 0x21, [UInt8](repeating: 1, count: 35)),
        block(0x21, 0x31, [UInt8](repeating: 1, count: 215)),
        block(0x20, 0, [UInt8](repeating: 1, count: 521)), signature.dropLast() + [11],
    ])
    func otherBlocksAreNone(bytes: [UInt8]) { #expect(source(bytes) == "invalid") }

    @Test func theLongestBlockIsRead() {
        let block = Self.block(0x20, 0, [UInt8](repeating: 1, count: 520))
        #expect(block.count == 536)
        #expect(source(block) == "own 536")
    }

    /// However it is cut, the same comes out, and never less is asked for than is there.
    @Test func headersComeInPieces() {
        let line = Array("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n".utf8)
        let block = Self.block(0x21, 0x11, [10, 1, 2, 3, 10, 4, 5, 6, 0x12, 0x34, 0x19, 0x20, 3, 0, 1, 7])
        for whole in [line, block] {
            for count in 0..<whole.count {
                guard case .incomplete(let needed) = read(Array(whole.prefix(count))) else {
                    Issue.record("\(count) bytes of \(whole.count) are not incomplete")
                    continue
                }
                #expect(needed > count && needed <= whole.count)
            }
        }
    }

    /// Anything at all: no trap, and no more is asked for than a header may have.
    @Test func bytesAtRandomDoNoHarm() {
        var random = Random(seed: 11)
        let starts = [
            Self.signature + [0x21, 0x11, 0], Self.signature, Array("PROXY TCP6 ".utf8), Array("PROXY ".utf8),
            [],
        ]
        for _ in 0..<20_000 {
            var bytes = starts[Int(random.next() % 5)]
            for _ in 0..<(random.next() % 60) {
                let digits = Array("0123456789abcdef.: \r\n".utf8)
                bytes.append(
                    random.next() % 2 == 0
                        ? UInt8(truncatingIfNeeded: random.next()) : digits[Int(random.next() % 21)])
            }
            switch read(bytes) {
            case .invalid: continue
            case .incomplete(let count): #expect(count > bytes.count && count <= 536)
            case .complete(_, let count): #expect(count <= bytes.count && count >= 15)
            }
        }
    }
}
