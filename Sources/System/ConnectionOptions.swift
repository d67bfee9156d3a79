import CLinux
import Glibc

/// What is set on every TCP connection, of clients and of servers; other sockets are left alone.
public struct ConnectionOptions: Equatable, Sendable, BitwiseCopyable {
    /// Whether the kernel looks after quiet connections (`tcp_keepalive`).
    public var keepAlive = true
    /// Seconds of quiet before the first look (`tcp_keepidle`); 0 for the system's default.
    public var keepAliveIdleSeconds: Int32 = 0
    /// Seconds between looks (`tcp_keepintvl`); 0 for the system's default.
    public var keepAliveIntervalSeconds: Int32 = 0
    /// Unanswered looks until the connection is given up (`tcp_keepcnt`); 0 for the system's default.
    public var keepAliveCount: Int32 = 0
    /// How long sent bytes may stay unacknowledged (`tcp_user_timeout`), in milliseconds; 0 for the
    /// system's default.
    public var userTimeoutMilliseconds: Int32 = 0
    /// Size of the kernel's buffers each way (`tcp_socket_buffer`), in bytes; 0 for the system's default.
    public var socketBufferByteCount: Int32 = 0

    /// The defaults.
    public init() {}

    /// Sets on a TCP listener what every connection needs that it accepts: the kernel copies it, and two
    /// system calls per connection are saved. The numbers are not set here, because a listener may outlive
    /// them and a system's default cannot be brought back.
    ///
    /// Returns the first failure, if any; connections work without, so it is for the log only.
    public func apply(toListener descriptor: Int32) -> SystemError? {
        do throws(SystemError) {
            // Messages are written whole, so there is nothing to wait for.
            try set(descriptor, TCP_NODELAY, 1, "TCP_NODELAY")
            try Socket.setOption(descriptor, SOL_SOCKET, SO_KEEPALIVE, keepAlive ? 1 : 0, "SO_KEEPALIVE")
            return nil
        } catch {
            return error
        }
    }

    /// Sets them on a TCP connection. One that was accepted has a part of them from its listener.
    ///
    /// Returns the first failure, if any; the connection works without, so it is for the log only.
    @discardableResult
    public func apply(to descriptor: Int32, isAccepted: Bool = false) -> SystemError? {
        if !isAccepted, let failure = apply(toListener: descriptor) { return failure }
        do throws(SystemError) {
            if socketBufferByteCount > 0 {
                try Socket.setOption(descriptor, SOL_SOCKET, SO_SNDBUF, socketBufferByteCount, "SO_SNDBUF")
                try Socket.setOption(descriptor, SOL_SOCKET, SO_RCVBUF, socketBufferByteCount, "SO_RCVBUF")
            }
            if userTimeoutMilliseconds > 0 {
                try set(descriptor, TCP_USER_TIMEOUT, userTimeoutMilliseconds, "TCP_USER_TIMEOUT")
            }
            guard keepAlive else { return nil }
            if keepAliveIdleSeconds > 0 {
                try set(descriptor, TCP_KEEPIDLE, keepAliveIdleSeconds, "TCP_KEEPIDLE")
            }
            if keepAliveIntervalSeconds > 0 {
                try set(descriptor, TCP_KEEPINTVL, keepAliveIntervalSeconds, "TCP_KEEPINTVL")
            }
            if keepAliveCount > 0 { try set(descriptor, TCP_KEEPCNT, keepAliveCount, "TCP_KEEPCNT") }
            return nil
        } catch {
            return error
        }
    }

    private func set(
        _ descriptor: Int32, _ name: Int32, _ value: Int32, _ what: String
    ) throws(SystemError) {
        try Socket.setOption(descriptor, Int32(IPPROTO_TCP), name, value, what)
    }
}
