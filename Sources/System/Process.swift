import CLinux
import Glibc

/// This process and its children.
public enum Process {
    /// What `fork` returned: the same code goes on in two processes.
    public enum Fork: Equatable {
        case parent(child: Int32)
        case child
    }

    /// How a child ended.
    public enum Ending: Equatable, Sendable, CustomStringConvertible {
        /// It left by itself with this status.
        case exited(code: Int32)
        /// A signal ended it.
        case killed(signal: Int32, dumpedCore: Bool)

        /// Whether the child left by itself with status 0.
        public var isSuccess: Bool { self == .exited(code: 0) }

        /// "exited with status 1", "killed by signal 11 (SEGV), core dumped".
        public var description: String {
            switch self {
            case .exited(let code): "exited with status \(code)"
            case .killed(let signal, let dumpedCore):
                "killed by signal \(signal) (\(Signals.name(of: signal)))\(dumpedCore ? ", core dumped" : "")"
            }
        }
    }

    /// This process.
    public static var id: Int32 { getpid() }

    /// The parent: 1 or a subreaper's once the process that forked this one has ended.
    public static var parentID: Int32 { getppid() }

    /// Makes a second process like this one, which must have a single thread.
    public static func fork() throws(SystemError) -> Fork {
        let result = Glibc.fork()
        guard result >= 0 else { throw SystemError("fork") }
        return result == 0 ? .child : .parent(child: result)
    }

    /// Ends this process without running what the parent registered for its own end.
    public static func exitNow(_ status: Int32) -> Never { _exit(status) }

    /// The next child that has ended, or `nil` when none has; does not block.
    public static func reap() -> (id: Int32, ending: Ending)? { wait(for: -1, flags: WNOHANG) }

    /// Whether this child has ended, and how; does not block.
    public static func reap(_ child: Int32) -> Ending? { wait(for: child, flags: WNOHANG)?.ending }

    /// Waits until this child has ended; `nil` when it is no child of ours.
    public static func wait(for child: Int32) -> Ending? { wait(for: child, flags: 0)?.ending }

    private static func wait(for child: Int32, flags: Int32) -> (id: Int32, ending: Ending)? {
        var status: Int32 = 0
        var found: Int32
        repeat { unsafe found = waitpid(child, &status, flags) } while found < 0 && Errno.last.code == EINTR
        guard found > 0 else { return nil }
        if clinux_signaled(status) != 0 {
            let dumpedCore = clinux_core_dumped(status) != 0
            return (found, .killed(signal: clinux_term_signal(status), dumpedCore: dumpedCore))
        }
        return (found, .exited(code: clinux_exit_code(status)))
    }

    /// Sends a signal; `false` when there is no such process or it is not ours. Signal 0 only asks.
    @discardableResult
    public static func send(_ signal: Int32, to process: Int32) -> Bool { kill(process, signal) == 0 }

    /// Whether a process with this number runs, ours or another user's.
    public static func exists(_ process: Int32) -> Bool {
        kill(process, 0) == 0 || Errno.last.code == EPERM
    }

    /// The first steps of every child (signals blocked before the fork): ties it to its parent and names
    /// it.
    ///
    /// The signal comes when the parent ends; a parent that ended before this call is noticed here.
    /// - Returns: `false` when the parent is already gone, in which case the child must leave.
    public static func followParent(_ parent: Int32, signal: Int32) -> Bool {
        guard clinux_set_parent_death_signal(signal) == 0 else { return false }
        return getppid() == parent
    }

    /// Goes on in the background: a new session, no terminal, nothing on the standard descriptors.
    ///
    /// The calling process and one in between end with status 0.
    public static func daemonize() throws(SystemError) {
        if case .parent = try fork() { exitNow(0) }
        guard setsid() >= 0 else { throw SystemError("start a session") }
        if case .parent = try fork() { exitNow(0) }
        try Descriptors.pointStandardToNull()
    }

    /// Processor time that a process has used with all its threads; `nil` when it is gone.
    public static func processorNanoseconds(of process: Int32) -> UInt64? {
        UInt64(exactly: clinux_process_cpu_nanoseconds(process))
    }

    /// The path of the running executable, or `nil` when /proc does not tell.
    public static var executablePath: String? { FileSystem.linkTarget("/proc/self/exe") }

    /// The current folder, or `nil` when it is gone.
    public static var workingDirectory: String? { FileSystem.linkTarget("/proc/self/cwd") }

    /// The value of an environment variable.
    public static func environment(_ name: String) -> String? {
        guard let found = unsafe getenv(name) else { return nil }
        return unsafe String(cString: found)
    }

    /// All environment variables, in their order.
    public static var environment: [(name: String, value: String)] {
        var result: [(name: String, value: String)] = []
        guard var entry = unsafe clinux_environment() else { return [] }
        while let text = unsafe entry.pointee {
            let line = unsafe String(cString: text)
            if let equals = line.firstIndex(of: "=") {
                result.append((String(line[..<equals]), String(line[line.index(after: equals)...])))
            }
            unsafe entry += 1
        }
        return result
    }

    /// Removes a variable, so that children do not take it for theirs.
    public static func removeEnvironment(_ name: String) { unsafe unsetenv(name) }
}
