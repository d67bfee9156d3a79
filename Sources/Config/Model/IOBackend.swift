/// Which kernel interface a worker's event loop uses (`io_backend`).
public enum IOBackend: String, NamedChoice, BitwiseCopyable {
    /// io_uring where the kernel allows it, epoll elsewhere.
    case auto
    case ioUring = "io_uring"
    case epoll
}
