import CLinux
import Glibc

/// The address of a socket: IPv4 or IPv6 with a port, or the name of a Unix socket.
@safe
public struct SocketAddress: BitwiseCopyable {
    /// What kind of address it is.
    public enum Family: Equatable, Sendable {
        case ipv4
        case ipv6
        /// A Unix socket, by path or by abstract name; also one without a name.
        case unix
    }

    private var storage: sockaddr_storage
    /// How much of `storage` counts, in bytes.
    public private(set) var byteCount: UInt32

    /// An address that a system call fills in.
    init() {
        storage = sockaddr_storage()
        byteCount = 0
    }

    /// An IP address from the resolver, with a port.
    public init(_ host: ResolvedAddress, port: UInt16) {
        storage = sockaddr_storage()
        switch host {
        case .ipv4(let bytes):
            precondition(bytes.count == 4, "an IPv4 address has four bytes")
            byteCount = unsafe clinux_ipv4(&storage, bytes, port)
        case .ipv6(let bytes, let scope):
            precondition(bytes.count == 16, "an IPv6 address has sixteen bytes")
            byteCount = unsafe clinux_ipv6(&storage, bytes, port, scope)
        }
    }

    /// The IP address written in `host`: "10.0.0.1", "::1", "[::1]", "fe80::1%eth0". `nil` for a name.
    public init?(host: String, port: UInt16) {
        guard let found = ResolvedAddress(numeric: host) else { return nil }
        self.init(found, port: port)
    }

    /// A Unix socket; a path that begins with `@` names an abstract one. `nil` when it is empty or longer
    /// than the kernel takes (107 bytes), or has a zero in it.
    public init?(unixPath: String) {
        var name = Array(unixPath.utf8)
        guard !name.isEmpty, !name.contains(0) else { return nil }
        if name[0] == UInt8(ascii: "@") { name[0] = 0 }
        storage = sockaddr_storage()
        byteCount = unsafe clinux_unix(&storage, name, name.count)
        guard byteCount > 0 else { return nil }
    }

    /// Every IPv4 address of this machine.
    public static func anyIPv4(port: UInt16) -> SocketAddress {
        SocketAddress(.ipv4([0, 0, 0, 0]), port: port)
    }

    /// Every IPv6 address of this machine.
    public static func anyIPv6(port: UInt16) -> SocketAddress {
        SocketAddress(.ipv6([UInt8](repeating: 0, count: 16), scope: 0), port: port)
    }

    /// The kind of address; `nil` when nothing was filled in or it is of another kind.
    public var family: Family? {
        guard byteCount >= 2 else { return nil }
        switch Int32(storage.ss_family) {
        case AF_INET: return .ipv4
        case AF_INET6: return .ipv6
        case AF_UNIX: return .unix
        case _: return nil
        }
    }

    /// The port of an IP address; 0 for others.
    public var port: UInt16 {
        get { unsafe withUnsafePointer(to: storage) { unsafe clinux_port($0) } }
        set { unsafe clinux_set_port(&storage, newValue) }
    }

    /// The IP address without the port; `nil` for a Unix socket.
    public var host: ResolvedAddress? {
        switch family {
        case .ipv4: return .ipv4(bytes(count: 4))
        case .ipv6:
            let scope = unsafe withUnsafePointer(to: storage) { unsafe clinux_scope($0) }
            return .ipv6(bytes(count: 16), scope: scope)
        case .unix, nil: return nil
        }
    }

    /// The IP address without port and brackets, or the name of a Unix socket with `@` before an abstract
    /// one. Empty for a Unix socket without a name.
    public var hostText: String {
        if let host { return host.description }
        guard family == .unix else { return "" }
        let offset = clinux_unix_name_offset()
        guard byteCount > offset else { return "" }
        var name = bytes(count: Int(byteCount - offset))
        if name[0] == 0 {
            name[0] = UInt8(ascii: "@")
        } else if let end = name.firstIndex(of: 0) {
            name.removeSubrange(end...)
        }
        return String(decoding: name, as: UTF8.self)
    }

    /// As logs name it: "1.2.3.4:5432", "[::1]:5432", "unix:/tmp/.s.PGSQL.5432".
    public var text: String {
        switch family {
        case .ipv4: "\(hostText):\(port)"
        case .ipv6: "[\(hostText)]:\(port)"
        case .unix: hostText.isEmpty ? "unix" : "unix:\(hostText)"
        case nil: "unknown"
        }
    }

    /// The address as system calls want it; the pointer is valid only inside `body`.
    @unsafe
    public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        unsafe withUnsafeBytes(of: storage) {
            unsafe body(UnsafeRawBufferPointer(rebasing: $0[..<Int(byteCount)]))
        }
    }

    /// Has a system call fill the address in; it returns 0 when it did.
    mutating func fill(
        _ call: (UnsafeMutablePointer<sockaddr_storage>, UnsafeMutablePointer<UInt32>) -> Int32
    ) -> Bool { unsafe call(&storage, &byteCount) == 0 }

    private func bytes(count: Int) -> [UInt8] {
        unsafe withUnsafePointer(to: storage) {
            unsafe Array(UnsafeBufferPointer(start: clinux_address_bytes($0), count: count))
        }
    }
}

extension SocketAddress: Equatable {
    /// Whether both name the same thing.
    public static func == (left: SocketAddress, right: SocketAddress) -> Bool {
        left.family == right.family && left.port == right.port && left.host == right.host
            && (left.family != .unix || left.hostText == right.hostText)
    }
}

extension ResolvedAddress: CustomStringConvertible {
    /// The address written in `text`: "10.0.0.1", "::1", "[::1]", "fe80::1%eth0"; `nil` for anything else.
    public init?(numeric text: String) {
        var rest = text[...]
        if rest.hasPrefix("["), rest.hasSuffix("]") { rest = rest.dropFirst().dropLast() }
        var bytes = [UInt8](repeating: 0, count: 16)
        if unsafe inet_pton(AF_INET, String(rest), &bytes) == 1 {
            self = .ipv4(Array(bytes.prefix(4)))
            return
        }
        var scope: UInt32 = 0
        if let percent = rest.firstIndex(of: "%") {
            let zone = String(rest[rest.index(after: percent)...])
            guard let number = UInt32(zone) ?? ResolvedAddress.interface(named: zone) else { return nil }
            scope = number
            rest = rest[..<percent]
        }
        guard unsafe inet_pton(AF_INET6, String(rest), &bytes) == 1 else { return nil }
        self = .ipv6(bytes, scope: scope)
    }

    /// The address in its usual notation, without brackets.
    public var description: String {
        switch self {
        case .ipv4(let bytes): ResolvedAddress.text(AF_INET, bytes)
        case .ipv6(let bytes, let scope):
            ResolvedAddress.text(AF_INET6, bytes) + (scope == 0 ? "" : "%\(scope)")
        }
    }

    private static func interface(named name: String) -> UInt32? {
        let number = unsafe if_nametoindex(name)
        return number == 0 ? nil : number
    }

    private static func text(_ family: Int32, _ bytes: [UInt8]) -> String {
        var text = [CChar](repeating: 0, count: 64)
        return unsafe text.withUnsafeMutableBufferPointer { buffer in
            guard let found = unsafe inet_ntop(family, bytes, buffer.baseAddress, socklen_t(buffer.count))
            else { return "" }
            return unsafe String(cString: found)
        }
    }
}
