/// An IP address.
public struct NetworkAddress: Equatable, Sendable {
    /// Four or sixteen bytes, in network order.
    public let bytes: [UInt8]

    /// An address from its bytes.
    ///
    /// - Precondition: there are four or sixteen.
    public init(bytes: [UInt8]) {
        precondition(bytes.count == 4 || bytes.count == 16, "an address has four or sixteen bytes")
        self.bytes = bytes
    }

    /// The address written in `text`: "10.0.0.1", "::1", "::ffff:10.0.0.1", "fe80::1%eth0", whose interface
    /// is dropped; `nil` for anything else.
    public init?(_ text: String) {
        let whole = text.utf8.prefix { $0 != UInt8(ascii: "%") }
        let isLong = whole.contains(UInt8(ascii: ":"))
        guard isLong || whole.count == text.utf8.count else { return nil }
        guard let bytes = isLong ? NetworkAddress.long(Array(whole)) : NetworkAddress.short(whole) else {
            return nil
        }
        self.bytes = bytes
    }

    private static func short(_ text: some Collection<UInt8>) -> [UInt8]? {
        let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bytes: [UInt8] = []
        for part in parts {
            // A leading zero would be octal to some.
            guard (1...3).contains(part.count), part.count == 1 || part.first != UInt8(ascii: "0"),
                part.allSatisfy({ (0x30...0x39).contains($0) }),
                let byte = UInt8(String(decoding: part, as: UTF8.self))
            else { return nil }
            bytes.append(byte)
        }
        return bytes
    }

    private static func long(_ text: [UInt8]) -> [UInt8]? {
        let colon = UInt8(ascii: ":")
        for index in text.indices.dropLast() where text[index] == colon && text[index + 1] == colon {
            guard let head = groups(text[..<index], isEnd: false), let tail = groups(text[(index + 2)...]),
                head.count + tail.count <= 14
            else { return nil }
            return head + [UInt8](repeating: 0, count: 16 - head.count - tail.count) + tail
        }
        guard let bytes = groups(text[...]), bytes.count == 16 else { return nil }
        return bytes
    }

    /// The bytes of groups between colons; the last may be an IPv4 address.
    private static func groups(_ text: ArraySlice<UInt8>, isEnd: Bool = true) -> [UInt8]? {
        guard !text.isEmpty else { return [] }
        var bytes: [UInt8] = []
        let parts = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if isEnd, index == parts.count - 1, part.contains(UInt8(ascii: ".")) {
                guard let last = short(part) else { return nil }
                bytes += last
            } else {
                guard (1...4).contains(part.count), part.allSatisfy(isHexadecimal),
                    let group = UInt16(String(decoding: part, as: UTF8.self), radix: 16)
                else { return nil }
                bytes += [UInt8(group >> 8), UInt8(truncatingIfNeeded: group)]
            }
        }
        return bytes.count <= 16 ? bytes : nil
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x46).contains(byte) || (0x61...0x66).contains(byte)
    }
}

/// An address and how many of its leading bits count.
public struct Network: Equatable, Sendable {
    /// The address; bits that the mask leaves out may be set in it.
    public let address: NetworkAddress
    /// As many bytes as the address has.
    public let mask: [UInt8]

    /// A network from its address and mask; `nil` when they are of different kinds.
    public init?(_ address: NetworkAddress, mask: NetworkAddress) {
        guard address.bytes.count == mask.bytes.count else { return nil }
        self.address = address
        self.mask = mask.bytes
    }

    /// The network of the first `bitCount` bits; `nil` when the address has fewer.
    public init?(_ address: NetworkAddress, bitCount: Int) {
        guard bitCount >= 0, bitCount <= 8 * address.bytes.count else { return nil }
        self.address = address
        mask = address.bytes.indices.map { index in
            ~(UInt8.max >> UInt8(min(max(bitCount - 8 * index, 0), 8)))
        }
    }

    /// Whether an address lies in it.
    public func contains(_ other: NetworkAddress) -> Bool {
        other.bytes.count == mask.count
            && mask.indices.allSatisfy { (other.bytes[$0] ^ address.bytes[$0]) & mask[$0] == 0 }
    }

    /// Whether the address has bits that the mask leaves out.
    var isAmbiguous: Bool { mask.indices.contains { address.bytes[$0] & ~mask[$0] != 0 } }
}
