import Glibc

/// Error numbers that code asks for by name.
extension Errno {
    /// No buffer space available (ENOBUFS).
    public static var noBuffers: Errno { Errno(ENOBUFS) }
    /// The operation was cancelled (ECANCELED).
    public static var cancelled: Errno { Errno(ECANCELED) }
    /// A signal came first (EINTR).
    public static var interrupted: Errno { Errno(EINTR) }

    /// Whether accepting may simply be tried again: the connection went away by itself, or accepting was
    /// stopped.
    public var isTransient: Bool {
        code == ECONNABORTED || code == EAGAIN || code == EINTR || code == ECANCELED || code == EINVAL
    }
}
