public import Base

/// The header with which a proxy says whose connection it passes on (HAProxy's PROXY protocol, versions 1
/// and 2). It stands in front of everything else, in front of TLS too.
public struct ProxyHeader: Equatable, Sendable {
    /// The two ends of a connection.
    public struct Ends: Equatable, Sendable {
        public let source: IPAddress
        public let sourcePort: UInt16
        public let destination: IPAddress
        public let destinationPort: UInt16
    }

    /// What is known of a header from the bytes that have come.
    public enum Progress: Equatable, Sendable {
        /// More is needed: so many bytes in all before anything else can be said.
        case incomplete(byteCount: Int)
        /// It is there, and so many bytes long.
        case complete(ProxyHeader, byteCount: Int)
        /// It is none.
        case invalid
    }

    /// Whose connection it is; `nil` when it is the proxy's own, or one that is not TCP or not known: the
    /// ends of the socket count then.
    public let ends: Ends?

    /// Most bytes of a line of version 1, its end included.
    static let longestLine = 107
    /// Most bytes of a header of version 2: addresses of Unix sockets, and as much of anything else.
    static let longestBlock = 536
    private static let signature: [UInt8] = [
        0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A,
    ]
    private static let word = Array("PROXY ".utf8)

    /// Reads what a connection begins with.
    public static func read(_ bytes: RawSpan) -> Progress {
        let count = bytes.byteCount
        if begins(bytes, with: signature) {
            guard count >= 16 else { return .incomplete(byteCount: 16) }
            return block(bytes)
        }
        guard begins(bytes, with: word) else { return .invalid }
        var end = 0
        while end < min(count, longestLine), byte(bytes, end) != 0x0D, byte(bytes, end) != 0x0A { end += 1 }
        guard end + 2 <= longestLine else { return .invalid }
        guard end + 1 < count else {
            return end == count || byte(bytes, end) == 0x0D ? .incomplete(byteCount: count + 1) : .invalid
        }
        guard byte(bytes, end) == 0x0D, byte(bytes, end + 1) == 0x0A else { return .invalid }
        return line(text(bytes, 0, end), byteCount: end + 2)
    }

    // MARK: Version 1

    private static func line(_ text: [UInt8], byteCount: Int) -> Progress {
        let words = text.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        let isIPv4: Bool
        switch String(decoding: words[1], as: UTF8.self) {
        case "UNKNOWN": return .complete(ProxyHeader(ends: nil), byteCount: byteCount)
        case "TCP4": isIPv4 = true
        case "TCP6": isIPv4 = false
        default: return .invalid
        }
        guard words.count == 6, let source = address(words[2], isIPv4),
            let destination = address(words[3], isIPv4), let sourcePort = port(words[4]),
            let destinationPort = port(words[5])
        else { return .invalid }
        let ends = Ends(
            source: source, sourcePort: sourcePort, destination: destination, destinationPort: destinationPort
        )
        return .complete(ProxyHeader(ends: ends), byteCount: byteCount)
    }

    private static func address(_ text: ArraySlice<UInt8>, _ isIPv4: Bool) -> IPAddress? {
        // A zone has no meaning on another machine.
        guard text.contains(UInt8(ascii: ":")) != isIPv4, !text.contains(UInt8(ascii: "%")) else {
            return nil
        }
        return IPAddress(text: Array(text))
    }

    private static func port(_ digits: ArraySlice<UInt8>) -> UInt16? {
        guard (1...5).contains(digits.count), digits.count == 1 || digits.first != UInt8(ascii: "0"),
            digits.allSatisfy({ (0x30...0x39).contains($0) })
        else { return nil }
        return UInt16(String(decoding: digits, as: UTF8.self))
    }

    // MARK: Version 2

    private static func block(_ bytes: RawSpan) -> Progress {
        let command = byte(bytes, 12)
        let family = byte(bytes, 13)
        let length = 16 + (Int(byte(bytes, 14)) << 8 | Int(byte(bytes, 15)))
        guard command == 0x20 || command == 0x21, family >> 4 <= 3, family & 15 <= 2,
            length <= longestBlock
        else { return .invalid }
        let isProxied = command == 0x21
        // Of what is not TCP the addresses are of no use, and are passed over; too short they may not be.
        let shortest =
            !isProxied ? 16 : [0x11: 28, 0x12: 28, 0x21: 52, 0x22: 52, 0x31: 232, 0x32: 232][family]
        guard length >= shortest ?? 16 else { return .invalid }
        guard bytes.byteCount >= length else { return .incomplete(byteCount: length) }
        guard isProxied, family == 0x11 || family == 0x21 else {
            return .complete(ProxyHeader(ends: nil), byteCount: length)
        }
        let width = family == 0x11 ? 4 : 16
        let ends = Ends(
            source: address(bytes, 16, width), sourcePort: UInt16(number(bytes, 16 + 2 * width, 2)),
            destination: address(bytes, 16 + width, width),
            destinationPort: UInt16(number(bytes, 18 + 2 * width, 2)))
        return .complete(ProxyHeader(ends: ends), byteCount: length)
    }

    private static func address(_ bytes: RawSpan, _ offset: Int, _ width: Int) -> IPAddress {
        if width == 4 { return IPAddress(ipv4: UInt32(number(bytes, offset, 4))) }
        return IPAddress(high: number(bytes, offset, 8), low: number(bytes, offset + 8, 8))
    }

    private static func number(_ bytes: RawSpan, _ offset: Int, _ width: Int) -> UInt64 {
        var number: UInt64 = 0
        for index in 0..<width { number = number << 8 | UInt64(byte(bytes, offset + index)) }
        return number
    }

    // MARK: Bytes

    private static func byte(_ bytes: RawSpan, _ offset: Int) -> UInt8 {
        unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
    }

    private static func text(_ bytes: RawSpan, _ start: Int, _ end: Int) -> [UInt8] {
        unsafe bytes.extracting(start..<end).withUnsafeBytes { unsafe Array($0) }
    }

    /// Whether the bytes, as far as they have come, are the first ones of `start`.
    private static func begins(_ bytes: RawSpan, with start: [UInt8]) -> Bool {
        for index in 0..<min(bytes.byteCount, start.count) where byte(bytes, index) != start[index] {
            return false
        }
        return true
    }
}
