import Auth
import Base
import Config
import Wire

/// One parser: what it is fed with at first, and what must be true of all it makes of anything.
struct Parser: Sendable {
    let name: String
    /// Inputs to begin with, beside those of the corpus.
    let seeds: [[UInt8]]
    /// What means something in its language, to be put into inputs.
    var words: [[UInt8]] = []
    /// Runs it; says what is wrong with the outcome. A trap is a finding too.
    let check: @Sendable ([UInt8]) -> String?

    static let all = [
        startup, options, proxy, password, scram, address, userList, secret, configuration, rules, maps, ldap,
        question, reply, challenge, console, flights, records,
    ]

    static func bytes(_ texts: String...) -> [[UInt8]] { texts.map { Array($0.utf8) } }

    private static func packet(_ code: [UInt8], _ body: String) -> [UInt8] {
        let count = 8 + body.utf8.count
        return [0, 0, UInt8(count >> 8), UInt8(count & 255)] + code + Array(body.utf8)
    }

    // MARK: What a stranger sends first

    private static let startup = Parser(
        name: "startup",
        seeds: [
            packet([0, 3, 0, 0], "user\0app\0database\0test\0\0"),
            packet([0, 3, 0, 2], "user\0a\0_pq_.x\0y\0options\0-c a=b\0\0"),
            packet([4, 210, 22, 47], ""), packet([4, 210, 22, 48], ""),
            packet([4, 210, 22, 46], "\0\0\0\u{9}secret"), packet([0, 2, 0, 0], "x"),
        ]
    ) { input in
        let length: Int?
        do throws(WireError) { length = try StartupPacket.byteCount(of: input.rawSpan) } catch { return nil }
        guard let length else { return input.count < 4 ? nil : "four bytes do not tell the length" }
        guard (8...StartupPacket.byteCountLimit).contains(length) else { return "a length of \(length)" }
        guard length <= input.count else { return nil }
        let packet = input.rawSpan.extracting(0..<length)
        guard case .startup(_, let range) = StartupPacket.parse(packet) else { return nil }
        guard range.lowerBound == 8, range.upperBound == length else { return "parameters in \(range)" }
        guard var parameters = try? StartupParameters(packet.extracting(range)) else { return nil }
        var count = 0
        while let parameter = parameters.next() {
            count += parameter.name.byteCount + parameter.value.byteCount + 2
            if parameter.name.byteCount == 0 { return "a parameter without a name" }
        }
        return count < length ? nil : "more parameters than bytes"
    }

    private static let options = Parser(
        name: "options",
        seeds: bytes(
            "-c a=b", "--a-b=c", "-c a=b\\ c -cx=y --search_path=a,b", "-c a", "-x", "\\\\", "-c a=\\")
    ) { input in
        // They come as a text that ends with a zero.
        let input = input.filter { $0 != 0 }
        var output = ByteBuffer(capacity: 64)
        do throws(StartupFault) { try StartupOptions.parse(input.rawSpan, into: &output) } catch {
            return nil
        }
        guard output.count <= 2 * input.count + 2 else { return "\(output.count) bytes of \(input.count)" }
        return (try? StartupParameters(output.bytes)) == nil ? "no list of parameters comes out" : nil
    }

    private static let proxy = Parser(
        name: "proxy",
        seeds: bytes(
            "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", "PROXY TCP6 2001:db8::1 ::1 1 2\r\n",
            "PROXY UNKNOWN\r\n")
            + [
                [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10, 0x21, 0x11, 0, 15]
                    + [10, 1, 2, 3, 10, 4, 5, 6, 1, 2, 3, 4, 4, 0, 0],
                [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10, 0x20, 0, 0, 0],
            ]
    ) { input in
        switch ProxyHeader.read(input.rawSpan) {
        case .invalid: return nil
        case .incomplete(let count):
            return count > input.count && count <= 536 ? nil : "\(count) bytes are asked for"
        case .complete(let header, let count):
            guard (15...536).contains(count), count <= input.count else { return "\(count) bytes long" }
            let alone = ProxyHeader.read(input.rawSpan.extracting(0..<count))
            guard alone == .complete(header, byteCount: count) else { return "what follows changes it" }
            for shorter in [0, count / 2, count - 1] {
                guard case .incomplete = ProxyHeader.read(input.rawSpan.extracting(0..<shorter)) else {
                    return "\(shorter) of its bytes are not incomplete"
                }
            }
            return nil
        }
    }

    private static let address = Parser(
        name: "address",
        seeds: bytes(
            "10.0.0.1", "::1", "2001:db8::1:0:0:1", "::ffff:1.2.3.4", "fe80::1%eth0", "10.0.0.0/8", "::/0")
    ) { input in
        _ = AddressRange(String(decoding: input, as: UTF8.self))
        guard let address = IPAddress(text: input) else { return nil }
        return IPAddress(address.text) == address ? nil : "\(address.text) is another address"
    }
}
