import CLinux
import Glibc

/// The few socket calls the benchmark programs need. Everything does not block; what cannot go wrong on a
/// sound machine ends the program.
public enum Socket {
    /// Where to connect to or listen.
    public enum Address {
        /// An IPv4 address in dotted form and a port.
        case internet(String, UInt16)
        /// A Unix socket's path.
        case local(String)

        /// A host as libpq understands it: a leading slash makes it the folder of Unix sockets.
        public init(host: String, port: Int) {
            self = host.hasPrefix("/") ? .local("\(host)/.s.PGSQL.\(port)") : .internet(host, UInt16(port))
        }
    }

    /// Begins to connect; the socket becomes writable when it is done. `nil` with `errno` when refused.
    /// - Parameter source: last number of the 127.0.0.x to come from, as one address has too few ports for
    ///   very many connections; 0 leaves it to the kernel.
    /// - Parameter port: the port of 127.0.0.1 to come from, for which whoever spreads connections by their
    ///   addresses always makes the same choice; 0 for any. It is free again as soon as the socket is closed.
    public static func connect(to address: Address, source: UInt8 = 0, port: UInt16 = 0) -> Int32? {
        let fd = open(address)
        if port != 0 {
            var on: Int32 = 1
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, 4)
            var reset = linger(l_onoff: 1, l_linger: 0)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, socklen_t(MemoryLayout<linger>.size))
            if withRaw(.internet("127.0.0.1", port), { Glibc.bind(fd, $0, $1) }) != 0 {
                fail("bind to port \(port)")
            }
        }
        if source != 0, case .internet = address {
            var on: Int32 = 1
            setsockopt(fd, Int32(IPPROTO_IP), IP_BIND_ADDRESS_NO_PORT, &on, 4)
            _ = withRaw(.internet("127.0.0.\(source)", 0)) { Glibc.bind(fd, $0, $1) }
        }
        let result = withRaw(address) { Glibc.connect(fd, $0, $1) }
        if result == 0 || errno == EINPROGRESS { return fd }
        let failure = errno
        close(fd)
        errno = failure
        return nil
    }

    /// Why connecting failed, or 0.
    public static func connectError(_ fd: Int32) -> Int32 {
        var value: Int32 = 0
        var size = socklen_t(4)
        return getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &size) == 0 ? value : errno
    }

    /// A listening socket. Port 0 takes a free one; `port(of:)` tells which.
    public static func listen(on address: Address) -> Int32 {
        let fd = open(address)
        var on: Int32 = 1
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        if case .local(let path) = address { unlink(path) }
        if withRaw(address, { Glibc.bind(fd, $0, $1) }) != 0 { fail("bind") }
        if Glibc.listen(fd, 4096) != 0 { fail("listen") }
        return fd
    }

    /// The port a socket is bound to.
    public static func port(of fd: Int32) -> UInt16 {
        var name = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutablePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getsockname(fd, __SOCKADDR_ARG(__sockaddr__: $0), &size)
            }
        }
        return UInt16(bigEndian: name.sin_port)
    }

    /// The next connection waiting at a listener, or `nil`.
    public static func accept(_ listener: Int32) -> Int32? {
        let fd = Glibc.accept(listener, __SOCKADDR_ARG(), nil)
        guard fd >= 0 else { return nil }
        prepare(fd)
        return fd
    }

    /// Sends bytes as far as there is room, and no signal when nobody listens any more.
    /// - Parameter more: more will follow at once, so that a short packet may wait for it.
    /// - Returns: how many went, or -1 with `errno`.
    public static func send(
        _ fd: Int32, _ bytes: UnsafeRawPointer, _ count: Int, more: Bool = false
    ) -> Int {
        Glibc.send(fd, bytes, count, Int32(MSG_NOSIGNAL) | (more ? Int32(MSG_MORE) : 0))
    }

    private static func open(_ address: Address) -> Int32 {
        let family: Int32
        switch address {
        case .internet: family = AF_INET
        case .local: family = AF_UNIX
        }
        let fd = socket(family, Int32(SOCK_STREAM.rawValue), 0)
        if fd < 0 { fail("socket") }
        prepare(fd)
        return fd
    }

    private static func prepare(_ fd: Int32) {
        if clinux_set_nonblocking(fd, 1) != 0 || clinux_set_close_on_exec(fd, 1) != 0 { fail("fcntl") }
        var on: Int32 = 1
        // Refused by Unix sockets, which have nothing to delay.
        setsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
    }

    private static func withRaw(
        _ address: Address, _ call: (__CONST_SOCKADDR_ARG, socklen_t) -> Int32
    ) -> Int32 {
        switch address {
        case .internet(let host, let port):
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_port = port.bigEndian
            if inet_pton(AF_INET, host, &name.sin_addr) != 1 { stop("'\(host)' is no IPv4 address") }
            return withUnsafePointer(to: &name) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    call(__CONST_SOCKADDR_ARG(__sockaddr__: $0), socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        case .local(let path):
            var name = sockaddr_un()
            name.sun_family = sa_family_t(AF_UNIX)
            let room = MemoryLayout.size(ofValue: name.sun_path)
            if path.utf8.count >= room { stop("the socket path '\(path)' is too long") }
            withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: path.utf8) }
            return withUnsafePointer(to: &name) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    call(__CONST_SOCKADDR_ARG(__sockaddr__: $0), socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
        }
    }
}
