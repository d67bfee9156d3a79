import CLinux
import Glibc

/// Sockets that others connect to.
public enum Listener {
    /// How a listener is set up.
    public struct Options: Equatable, Sendable {
        /// Several sockets on one address share its connections (SO_REUSEPORT).
        public var sharesPort = false
        /// How many connections may wait; the kernel cuts it at `net.core.somaxconn`. 0 stands for all of
        /// that.
        public var backlog: Int32 = 0
        /// Connections appear when the client has sent something, or after that many seconds; 0 for at
        /// once.
        public var deferAcceptSeconds: Int32 = 0
        /// Permissions of a Unix socket's file; `nil` leaves what the umask makes.
        public var unixMode: UInt32?

        /// The defaults.
        public init() {}
    }

    /// Binds and listens; the result is non-blocking. The file of a Unix socket must not exist; it is the
    /// caller's to remove.
    ///
    /// IPv6 addresses take IPv6 connections only, so that `*` can have one socket of each kind.
    public static func open(
        _ address: SocketAddress, _ options: Options = Options()
    ) throws(SystemError) -> Int32 {
        let descriptor = try bound(address, sharesPort: options.sharesPort)
        do throws(SystemError) {
            if let mode = options.unixMode, address.family == .unix, !address.hostText.hasPrefix("@") {
                let changed = unsafe chmod(address.hostText, mode)
                guard changed == 0 else { throw SystemError("set the mode of \(address.hostText)") }
            }
            if address.family != .unix, options.deferAcceptSeconds > 0 {
                try setDeferAccept(descriptor, seconds: options.deferAcceptSeconds)
            }
            let backlog = options.backlog > 0 ? options.backlog : Int32.max
            guard listen(descriptor, backlog) == 0 else {
                throw SystemError("listen on \(address.text)")
            }
        } catch {
            Descriptors.close(descriptor)
            throw error
        }
        return descriptor
    }

    /// Fails when somebody else has the address: SO_REUSEPORT alone would let a second instance in
    /// silently.
    ///
    /// The address is free again when this returns.
    public static func probe(_ address: SocketAddress) throws(SystemError) {
        Descriptors.close(try bound(address, sharesPort: false))
    }

    /// Changes how long a listener holds back connections that have sent nothing (`tcp_defer_accept`); 0
    /// for not at all.
    public static func setDeferAccept(_ descriptor: Int32, seconds: Int32) throws(SystemError) {
        try Socket.setOption(descriptor, Int32(IPPROTO_TCP), TCP_DEFER_ACCEPT, seconds, "TCP_DEFER_ACCEPT")
    }

    /// Has new connections to an address go to some of its sockets only, each as likely as the others.
    ///
    /// What has been connected stays in the queue where it is.
    /// - Parameters:
    ///   - descriptor: any of the sockets that share the address (`sharesPort`).
    ///   - places: which of them, counted in the order in which they began to listen; at most 64.
    public static func steer(_ descriptor: Int32, to places: [UInt32]) throws(SystemError) {
        guard unsafe clinux_steer(descriptor, places, UInt32(places.count)) == 0 else {
            throw SystemError("steer new connections (SO_ATTACH_REUSEPORT_CBPF)")
        }
    }

    /// Has new connections to an address go to all of its sockets again, as the kernel spreads them.
    public static func stopSteering(_ descriptor: Int32) throws(SystemError) {
        guard clinux_stop_steering(descriptor) == 0 else {
            throw SystemError("stop steering new connections (SO_DETACH_REUSEPORT_BPF)")
        }
    }

    private static func bound(
        _ address: SocketAddress, sharesPort: Bool
    ) throws(SystemError) -> Int32 {
        guard let family = address.family else { preconditionFailure("a listener has an address") }
        let descriptor = try Socket.open(family, nonBlocking: true)
        do throws(SystemError) {
            if family != .unix {
                try Socket.setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR")
                if sharesPort {
                    try Socket.setOption(descriptor, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT")
                }
            }
            if family == .ipv6 {
                try Socket.setOption(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1, "IPV6_V6ONLY")
            }
            let result = unsafe address.withBytes {
                unsafe clinux_bind(descriptor, $0.baseAddress, UInt32($0.count))
            }
            guard result == 0 else { throw SystemError("bind to \(address.text)") }
        } catch {
            Descriptors.close(descriptor)
            throw error
        }
        return descriptor
    }
}
