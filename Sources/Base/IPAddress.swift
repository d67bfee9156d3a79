/// An IPv4 or IPv6 address: 128 bits, an IPv4 one in the form `::ffff:a.b.c.d`.
public struct IPAddress: BitwiseCopyable, Hashable, Sendable {
    /// The first eight bytes, the first one in the highest bits.
    public let high: UInt64
    /// The last eight bytes.
    public let low: UInt64

    /// An address from its halves.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// An IPv4 address; its first byte is in the highest bits.
    public init(ipv4 bits: UInt32) { self.init(high: 0, low: 0xFFFF << 32 | UInt64(bits)) }

    /// The address written in `text`: `10.0.0.1`, `::1`, `fe80::1%eth0`. The zone is not looked at. `nil` for
    /// anything else.
    public init?(_ text: some StringProtocol) { self.init(text: Array(text.utf8)) }

    /// The address written in these bytes.
    public init?(text: [UInt8]) {
        guard text.contains(UInt8(ascii: ":")) else {
            guard let bits = IPAddress.ipv4(text[...]) else { return nil }
            self.init(ipv4: bits)
            return
        }
        let zone = text.firstIndex(of: UInt8(ascii: "%")) ?? text.endIndex
        guard let groups = IPAddress.groups(text[..<zone]) else { return nil }
        self.init(high: IPAddress.word(groups[..<4]), low: IPAddress.word(groups[4...]))
    }

    /// Whether it is an IPv4 address.
    public var isIPv4: Bool { high == 0 && low >> 32 == 0xFFFF }

    /// The address in its usual notation (RFC 5952).
    public var text: String {
        if isIPv4 {
            let bytes: [UInt64] = [low >> 24 & 0xFF, low >> 16 & 0xFF, low >> 8 & 0xFF, low & 0xFF]
            return bytes.map { String($0) }.joined(separator: ".")
        }
        var groups: [UInt64] = []
        for half in [high, low] {
            for shift: UInt64 in [48, 32, 16, 0] { groups.append(half >> shift & 0xFFFF) }
        }
        let zeros = IPAddress.longestZeros(groups)
        var text = ""
        var index = 0
        while index < 8 {
            if zeros.count > 1, index == zeros.lowerBound {
                text += "::"
                index = zeros.upperBound
                continue
            }
            if !text.isEmpty, !text.hasSuffix(":") { text += ":" }
            text += String(groups[index], radix: 16)
            index += 1
        }
        return text
    }

    // MARK: Reading

    /// Four numbers without leading zeros, with dots between.
    private static func ipv4(_ text: ArraySlice<UInt8>) -> UInt32? {
        var bits: UInt32 = 0
        var start = text.startIndex
        // Every connection comes here: without arrays of parts.
        for position in 1...4 {
            let end = text[start...].firstIndex(of: UInt8(ascii: ".")) ?? text.endIndex
            let part = text[start..<end]
            guard (1...3).contains(part.count), part.count == 1 || part.first != UInt8(ascii: "0"),
                let number = decimal(part), number <= 255, (end == text.endIndex) == (position == 4)
            else { return nil }
            bits = bits << 8 | UInt32(number)
            start = min(end + 1, text.endIndex)
        }
        return bits
    }

    private static func decimal(_ digits: ArraySlice<UInt8>) -> Int? {
        var number = 0
        for digit in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            number = number * 10 + Int(digit - UInt8(ascii: "0"))
        }
        return number
    }

    /// The eight groups of an IPv6 address.
    private static func groups(_ text: ArraySlice<UInt8>) -> [UInt64]? {
        let colon = UInt8(ascii: ":")
        var gap: Int?
        var index = text.startIndex
        while index + 1 < text.endIndex {
            if text[index] == colon, text[index + 1] == colon {
                gap = index
                break
            }
            index += 1
        }
        guard let gap else {
            guard let all = run(text, isLast: true), all.count == 8 else { return nil }
            return all
        }
        guard let front = run(text[..<gap], isLast: false), let back = run(text[(gap + 2)...], isLast: true),
            front.count + back.count < 8
        else { return nil }
        return front + [UInt64](repeating: 0, count: 8 - front.count - back.count) + back
    }

    /// Groups with single colons between; the last two of an address may be written as an IPv4 one.
    private static func run(_ text: ArraySlice<UInt8>, isLast: Bool) -> [UInt64]? {
        if text.isEmpty { return [] }
        let parts = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard parts.count <= 8 else { return nil }
        var groups: [UInt64] = []
        for (index, part) in parts.enumerated() {
            if isLast, index == parts.count - 1, let bits = ipv4(part) {
                groups += [UInt64(bits >> 16), UInt64(bits & 0xFFFF)]
            } else {
                guard let group = hexadecimal(part) else { return nil }
                groups.append(group)
            }
        }
        return groups.count <= 8 ? groups : nil
    }

    private static func hexadecimal(_ digits: ArraySlice<UInt8>) -> UInt64? {
        guard (1...4).contains(digits.count) else { return nil }
        var number: UInt64 = 0
        for digit in digits {
            switch digit {
            case 0x30...0x39: number = number << 4 | UInt64(digit - 0x30)
            case 0x61...0x66: number = number << 4 | UInt64(digit - 0x61 + 10)
            case 0x41...0x46: number = number << 4 | UInt64(digit - 0x41 + 10)
            default: return nil
            }
        }
        return number
    }

    private static func word(_ groups: ArraySlice<UInt64>) -> UInt64 {
        groups.reduce(UInt64(0)) { $0 << 16 | $1 }
    }

    // MARK: Writing

    /// Where the longest run of zeros is, the first of several.
    private static func longestZeros(_ groups: [UInt64]) -> Range<Int> {
        var best = 0..<0
        var start = 0
        for index in 0...8 where index == 8 || groups[index] != 0 {
            if index - start > best.count { best = start..<index }
            start = index + 1
        }
        return best
    }
}

/// The addresses that begin with the same bits: `10.0.0.0/8`, `2001:db8::/32`, or a single one.
public struct AddressRange: BitwiseCopyable, Hashable, Sendable {
    /// Any address of the range.
    private let address: IPAddress
    /// How many of its 128 bits count.
    private let bitCount: Int

    /// The range written in `text`; `nil` when it is none.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), let address = IPAddress(parts[0]) else { return nil }
        let most = address.isIPv4 ? 32 : 128
        var length = most
        if parts.count == 2 {
            guard parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(parts[1]),
                number <= most
            else { return nil }
            length = number
        }
        self.address = address
        bitCount = 128 - most + length
    }

    /// Whether an address is in the range.
    public func contains(_ other: IPAddress) -> Bool {
        if bitCount <= 64 { return AddressRange.agree(address.high, other.high, bitCount) }
        return address.high == other.high && AddressRange.agree(address.low, other.low, bitCount - 64)
    }

    private static func agree(_ left: UInt64, _ right: UInt64, _ bitCount: Int) -> Bool {
        bitCount == 0 || (left ^ right) >> UInt64(64 - bitCount) == 0
    }
}
