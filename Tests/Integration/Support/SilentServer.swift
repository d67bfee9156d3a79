import Glibc

/// Accepts connections and never says a word.
final class SilentServer: @unchecked Sendable {
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
        // Connections wait in the backlog for ever: the kernel accepts them, nobody else does.
        guard bound == 0, listen(descriptor, 16) == 0 else { throw Failure.system("listen") }
    }

    deinit { close(descriptor) }
}
