import CLinux
import Glibc

/// The error number of a failed system call.
public struct Errno: Error, Equatable, Hashable, BitwiseCopyable, CustomStringConvertible {
    /// The number, as `errno(3)` lists them.
    public let code: Int32

    /// The error with this number.
    @inlinable
    public init(_ code: Int32) { self.code = code }

    /// What the last failed call of this thread left.
    public static var last: Errno { Errno(clinux_errno()) }

    /// Whether the same call may succeed a moment later: the other side is behind, or too many descriptors
    /// travel.
    public var isTemporary: Bool {
        [EAGAIN, EINTR, ETOOMANYREFS, ENOBUFS, ENOMEM].contains(code)
    }

    /// Nothing has this name.
    public static let noSuchFile = Errno(ENOENT)
    /// Nobody listens.
    public static let connectionRefused = Errno(ECONNREFUSED)
    /// Somebody else has the address.
    public static let addressInUse = Errno(EADDRINUSE)

    /// What the C library calls this error, in English.
    public var description: String {
        var text = [CChar](repeating: 0, count: 256)
        return unsafe text.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress, let found = unsafe strerror_r(code, base, buffer.count)
            else { return "error \(code)" }
            return unsafe String(cString: found)
        }
    }
}

/// A system call that failed: what was attempted, and why it failed.
public struct SystemError: Error, Equatable, CustomStringConvertible {
    /// What was attempted, in words that fit in front of a colon: "bind to 127.0.0.1:6432".
    public let attempt: String
    /// Why it failed.
    public let errno: Errno

    /// A failure with a known reason.
    public init(_ attempt: String, _ errno: Errno) {
        self.attempt = attempt
        self.errno = errno
    }

    /// A failure whose reason is what the last call left.
    public init(_ attempt: String) { self.init(attempt, Errno.last) }

    /// Both in one line.
    public var description: String { "\(attempt): \(errno)" }
}
