import Glibc

/// Another pooler, as far as cancel requests go: accepts connections and shows what comes.
final class StubPeer: @unchecked Sendable {
    let port: Int
    private let descriptor: Int32

    init() throws {
        port = try freePort()
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        let bound = withUnsafePointer(to: address) { pointer in
            bind(descriptor, .init(__sockaddr_in__: pointer), socklen_t(MemoryLayout<sockaddr_in>.size))
        }
        guard bound == 0, listen(descriptor, 16) == 0 else { throw Failure.system("listen") }
    }

    deinit { close(descriptor) }

    /// Whether somebody connects within the time.
    func isAsked(within seconds: Double) -> Bool {
        var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&poller, 1, Int32(seconds * 1_000)) > 0
    }

    /// The next connection.
    func accept() throws -> RawConnection {
        guard isAsked(within: Options.patience) else { throw Failure("nobody connects to the peer") }
        let accepted = Glibc.accept4(
            descriptor, .init(__sockaddr__: nil), nil, Int32(SOCK_CLOEXEC.rawValue))
        guard accepted >= 0 else { throw Failure.system("accept") }
        return RawConnection(accepted: accepted)
    }
}
