import CLinux
import Glibc

/// Sockets of any kind. A descriptor is a number; every one made here is close-on-exec and the caller's.
///
/// Connections are left in blocking mode: the event loop never waits in a call on them, and the mode would
/// travel with a descriptor that is passed to another process.
public enum Socket {
    /// How bytes travel.
    public enum Kind: Sendable {
        /// A stream of bytes without borders.
        case stream
        /// Single messages.
        case datagram
        /// Messages over a connection, so that the end of the other side is noticed.
        case sequencedPackets

        var number: Int32 {
            switch self {
            case .stream: Int32(CLINUX_STREAM.rawValue)
            case .datagram: Int32(CLINUX_DATAGRAM.rawValue)
            case .sequencedPackets: Int32(CLINUX_SEQPACKET.rawValue)
            }
        }
    }

    /// Who is at the other end of a Unix socket.
    public struct PeerCredentials: Equatable, Sendable {
        /// The process that connected, or that made the pair; 0 where it cannot be seen from here.
        public let processID: Int32
        public let userID: UInt32
        public let groupID: UInt32
    }

    /// Which directions of a connection are ended.
    public enum Direction: Sendable {
        case receiving
        case sending
        case both

        /// As shutdown(2) wants it.
        public var number: Int32 {
            switch self {
            case .receiving: Int32(SHUT_RD)
            case .sending: Int32(SHUT_WR)
            case .both: Int32(SHUT_RDWR)
            }
        }
    }

    /// A socket that is neither bound nor connected.
    public static func open(
        _ family: SocketAddress.Family, _ kind: Kind = .stream, nonBlocking: Bool = false
    ) throws(SystemError) -> Int32 {
        let descriptor = clinux_socket(number(of: family), kind.number, nonBlocking ? 1 : 0)
        guard descriptor >= 0 else { throw SystemError("open a socket") }
        return descriptor
    }

    /// Two Unix sockets connected to each other.
    public static func pair(
        _ kind: Kind, nonBlocking: Bool = false
    ) throws(SystemError) -> (first: Int32, second: Int32) {
        var first: Int32 = -1
        var second: Int32 = -1
        guard unsafe clinux_socket_pair(kind.number, nonBlocking ? 1 : 0, &first, &second) == 0 else {
            throw SystemError("open a pair of sockets")
        }
        return (first, second)
    }

    /// Connects and waits for the outcome; for tools and tests, never for a loop.
    public static func connect(_ descriptor: Int32, to address: SocketAddress) throws(SystemError) {
        let result = unsafe address.withBytes {
            unsafe clinux_connect(descriptor, $0.baseAddress, UInt32($0.count))
        }
        guard result == 0 else { throw SystemError("connect to \(address.text)") }
    }

    /// The next connection that waits at a non-blocking listener, or `nil` when there is none.
    public static func accept(_ listener: Int32) throws(SystemError) -> Int32? {
        while true {
            let descriptor = clinux_accept(listener)
            if descriptor >= 0 { return descriptor }
            let failure = Errno.last
            switch failure.code {
            case EAGAIN: return nil
            case EINTR, ECONNABORTED: continue
            case _: throw SystemError("accept a connection", failure)
            }
        }
    }

    /// Ends one or both directions for every holder of the connection; one that has already ended is fine.
    public static func shutdown(_ descriptor: Int32, _ direction: Direction) {
        _ = Glibc.shutdown(descriptor, direction.number)
    }

    /// The address of this end; `nil` when the descriptor is no socket.
    public static func localAddress(of descriptor: Int32) -> SocketAddress? {
        var address = SocketAddress()
        let found = unsafe address.fill { unsafe clinux_local_name(descriptor, $0, $1) }
        return found ? address : nil
    }

    /// The address of the other end; `nil` when there is none (any more).
    public static func peerAddress(of descriptor: Int32) -> SocketAddress? {
        var address = SocketAddress()
        let found = unsafe address.fill { unsafe clinux_peer_name(descriptor, $0, $1) }
        return found ? address : nil
    }

    /// Who is at the other end of a connected Unix socket; `nil` for other sockets.
    public static func peerCredentials(of descriptor: Int32) -> PeerCredentials? {
        var process: Int32 = 0
        var user: UInt32 = 0
        var group: UInt32 = 0
        // A process of another namespace has no number here; what is no Unix socket has no user.
        guard unsafe clinux_peer_credentials(descriptor, &process, &user, &group) == 0, user != .max
        else { return nil }
        return PeerCredentials(processID: process, userID: user, groupID: group)
    }

    /// Whether the socket listens, as one passed by a service manager must.
    public static func isListening(_ descriptor: Int32) -> Bool {
        var value: Int32 = 0
        return unsafe clinux_get_option(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &value) == 0 && value != 0
    }

    static func number(of family: SocketAddress.Family) -> Int32 {
        switch family {
        case .ipv4: AF_INET
        case .ipv6: AF_INET6
        case .unix: AF_UNIX
        }
    }

    static func setOption(
        _ descriptor: Int32, _ level: Int32, _ name: Int32, _ value: Int32, _ what: String
    ) throws(SystemError) {
        guard clinux_set_option(descriptor, level, name, value) == 0 else { throw SystemError("set \(what)") }
    }
}
