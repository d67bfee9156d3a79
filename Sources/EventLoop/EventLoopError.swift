public import System

/// Why a loop cannot be made.
public enum EventLoopError: Error, Equatable, CustomStringConvertible {
    /// The kernel refuses to make a ring; the reason is for people.
    case noRing(reason: String)
    /// The kernel refuses to make an epoll descriptor.
    case noEpoll(Errno)
    /// There is no memory for the named thing.
    case noMemory(String)

    /// One line for the log.
    public var description: String {
        switch self {
        case .noRing(let reason): "io_uring cannot be used: \(reason)"
        case .noEpoll(let errno): "epoll cannot be used: \(errno)"
        case .noMemory(let what): "no memory for \(what)"
        }
    }
}
