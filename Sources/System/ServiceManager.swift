import CLinux
import Glibc

/// What a service manager such as systemd is told, and what it hands over, by the protocols of sd_notify(3)
/// and sd_listen_fds(3).
public struct ServiceManager: Equatable, Sendable {
    /// The socket that states go to; `nil` when nobody listens.
    public let socket: String?

    /// The manager that this process's environment names. The variables are removed: they are not for
    /// children.
    public static func fromEnvironment() -> ServiceManager {
        let socket = Process.environment("NOTIFY_SOCKET")
        Process.removeEnvironment("NOTIFY_SOCKET")
        guard let socket, socket.hasPrefix("/") || socket.hasPrefix("@") else {
            return ServiceManager(socket: nil)
        }
        return ServiceManager(socket: socket)
    }

    /// A manager that listens on this socket.
    public init(socket: String?) { self.socket = socket }

    /// We serve.
    public func ready(status: String) {
        send(["READY=1", "MAINPID=\(Process.id)", "STATUS=\(status)"])
    }

    /// We read our configuration again; `ready` ends that.
    public func reloading() {
        send(["RELOADING=1", "MONOTONIC_USEC=\(Clock.monotonicNanoseconds / 1000)"])
    }

    /// We are ending.
    public func stopping(status: String) { send(["STOPPING=1", "STATUS=\(status)"]) }

    /// One line for `systemctl status`.
    public func status(_ text: String) { send(["STATUS=\(text)"]) }

    /// A manager that does not read must not stop us, so a failure is nobody's business.
    private func send(_ lines: [String]) {
        guard let socket else { return }
        let bytes = Array(lines.joined(separator: "\n").utf8)
        _ = unsafe bytes.withUnsafeBytes { unsafe clinux_send_datagram(socket, $0.baseAddress, $0.count) }
    }

    /// Hands a line to the system's log, if there is one.
    ///
    /// - Parameter line: priority in angle brackets, name, text, as syslog(3) sends it.
    public static func sendToSystemLog(_ line: [UInt8]) {
        _ = unsafe line.withUnsafeBytes { unsafe clinux_send_datagram("/dev/log", $0.baseAddress, $0.count) }
    }

    /// Whether our standard error is a stream of the journal, by its rules for `JOURNAL_STREAM`.
    public static func readsStandardError() -> Bool {
        guard let stream = Process.environment("JOURNAL_STREAM") else { return false }
        var status = stat()
        guard unsafe fstat(2, &status) == 0 else { return false }
        return stream == "\(status.st_dev):\(status.st_ino)"
    }

    /// The listening sockets that the manager opened for us, which begin at descriptor 3; empty when there
    /// are none.
    ///
    /// The variables are removed.
    public static func takeListeners() -> [Int32] {
        let process = Process.environment("LISTEN_PID")
        let count = Process.environment("LISTEN_FDS")
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { Process.removeEnvironment(name) }
        guard let process, let count, Int32(process) == Process.id, let number = Int32(count), number > 0,
            number < 1024
        else { return [] }
        let descriptors = Array(3..<(3 + number))
        for descriptor in descriptors { try? Descriptors.setCloseOnExec(descriptor, true) }
        return descriptors
    }
}
