/// A question to the name resolver: one datagram on the channel of `WorkerContext.resolver`.
public struct ResolverRequest: Equatable, Sendable {
    /// Comes back in the answer; the asker's own. A worker puts its incarnation in it, because an answer to
    /// the one before it may still be in the channel.
    public var id: UInt64
    /// How long a found address may be used without asking the system again (`dns_max_ttl`), in
    /// milliseconds.
    public var lifeMilliseconds: UInt32
    /// The same for "there is no such name" (`dns_nxdomain_ttl`).
    public var failureLifeMilliseconds: UInt32
    /// The host name, UTF-8, 1…255 bytes.
    public var name: String

    /// A question from its parts.
    public init(id: UInt64, lifeMilliseconds: UInt32, failureLifeMilliseconds: UInt32, name: String) {
        self.id = id
        self.lifeMilliseconds = lifeMilliseconds
        self.failureLifeMilliseconds = failureLifeMilliseconds
        self.name = name
    }

    /// The datagram.
    public func encoded() -> [UInt8] {
        var writer = ResolverWriter(kind: 1)
        writer.put(id)
        writer.put(lifeMilliseconds)
        writer.put(failureLifeMilliseconds)
        writer.bytes += Array(name.utf8)
        return writer.bytes
    }

    /// The question in a datagram, or `nil` when it is none.
    public init?(_ datagram: [UInt8]) {
        var reader = ResolverReader(datagram, kind: 1)
        guard let id: UInt64 = reader?.take(), let life: UInt32 = reader?.take(),
            let failureLife: UInt32 = reader?.take(), let name = reader?.rest, (1...255).contains(name.count),
            !name.contains(0)
        else { return nil }
        self.init(
            id: id, lifeMilliseconds: life, failureLifeMilliseconds: failureLife,
            name: String(decoding: name, as: UTF8.self))
    }
}

/// The address of a host, without a port.
public enum ResolvedAddress: Equatable, Hashable, Sendable {
    /// Four bytes, in network order.
    case ipv4([UInt8])
    /// Sixteen bytes in network order, and the interface of a link-local address or 0.
    case ipv6([UInt8], scope: UInt32)
}

/// What the resolver found out, in one datagram.
public struct ResolverAnswer: Equatable, Sendable {
    /// The `id` of the question.
    public var id: UInt64
    /// All addresses in the order the system gave them, without repetition; empty when there are none.
    public var addresses: [ResolvedAddress]
    /// Why there are none; empty when there are some.
    public var failure: String

    /// The most addresses that one answer carries.
    public static let addressLimit = 64

    /// An answer from its parts.
    public init(id: UInt64, addresses: [ResolvedAddress], failure: String) {
        self.id = id
        self.addresses = addresses
        self.failure = failure
    }

    /// The datagram.
    public func encoded() -> [UInt8] {
        var writer = ResolverWriter(kind: 2)
        writer.put(id)
        let sent = addresses.prefix(ResolverAnswer.addressLimit)
        writer.put(UInt32(sent.count))
        for address in sent {
            switch address {
            case .ipv4(let bytes):
                precondition(bytes.count == 4, "an IPv4 address has four bytes")
                writer.put(UInt32(4))
                writer.bytes += bytes
            case .ipv6(let bytes, let scope):
                precondition(bytes.count == 16, "an IPv6 address has sixteen bytes")
                writer.put(UInt32(6))
                writer.put(scope)
                writer.bytes += bytes
            }
        }
        writer.bytes += Array(failure.utf8.prefix(500))
        return writer.bytes
    }

    /// The answer in a datagram, or `nil` when it is none.
    public init?(_ datagram: [UInt8]) {
        guard var reader = ResolverReader(datagram, kind: 2), let id: UInt64 = reader.take(),
            let count: UInt32 = reader.take(), count <= ResolverAnswer.addressLimit
        else { return nil }
        var addresses: [ResolvedAddress] = []
        for _ in 0..<count {
            guard let family: UInt32 = reader.take() else { return nil }
            if family == 4 {
                guard let bytes = reader.take(byteCount: 4) else { return nil }
                addresses.append(.ipv4(bytes))
            } else {
                guard family == 6, let scope: UInt32 = reader.take(), let bytes = reader.take(byteCount: 16)
                else { return nil }
                addresses.append(.ipv6(bytes, scope: scope))
            }
        }
        self.init(id: id, addresses: addresses, failure: String(decoding: reader.rest, as: UTF8.self))
    }
}

/// Numbers in the order of this machine: both ends of the channel run the same binary.
struct ResolverWriter {
    var bytes: [UInt8]

    init(kind: UInt8) { bytes = [kind] }

    /// Some bytes, behind their number.
    mutating func put(run: [UInt8]) {
        put(UInt32(run.count))
        bytes += run
    }

    mutating func put<Number: FixedWidthInteger>(_ number: Number) {
        for shift in stride(from: 0, to: Number.bitWidth, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: number >> shift))
        }
    }
}

struct ResolverReader {
    var rest: ArraySlice<UInt8>

    init?(_ datagram: [UInt8], kind: UInt8) {
        guard datagram.first == kind else { return nil }
        rest = datagram.dropFirst()
    }

    mutating func take<Number: FixedWidthInteger>() -> Number? {
        guard let bytes = take(byteCount: Number.bitWidth / 8) else { return nil }
        var number: Number = 0
        for byte in bytes.reversed() { number = number << 8 | Number(truncatingIfNeeded: byte) }
        return number
    }

    mutating func take(byteCount: Int) -> [UInt8]? {
        guard rest.count >= byteCount else { return nil }
        defer { rest = rest.dropFirst(byteCount) }
        return Array(rest.prefix(byteCount))
    }

    /// Some bytes, behind their number.
    mutating func takeRun() -> [UInt8]? {
        guard let count: UInt32 = take(), count <= rest.count else { return nil }
        return take(byteCount: Int(count))
    }

    /// Some bytes as text without zeros.
    mutating func takeText() -> String? {
        guard let run = takeRun(), !run.contains(0) else { return nil }
        return String(decoding: run, as: UTF8.self)
    }
}
