import CLinux
import Glibc

/// Signals as values read from a descriptor: nothing of ours runs in a handler.
public enum Signals {
    /// What tells a child that its parent has ended; no operator sends it.
    public static let supervisorLost: Int32 = SIGPWR
    /// What tells a child that another one has taken its place.
    public static let succeeded: Int32 = SIGALRM

    /// Read the configuration again.
    public static let reload: Int32 = SIGHUP
    /// End when the last client has gone.
    public static let endAfterClients: Int32 = SIGTERM
    /// End when the last server is free.
    public static let endAfterServers: Int32 = SIGINT
    /// End at once.
    public static let endNow: Int32 = SIGQUIT
    /// Pause.
    public static let pause: Int32 = SIGUSR1
    /// Go on after a pause.
    public static let resume: Int32 = SIGUSR2
    /// A child has ended.
    public static let childEnded: Int32 = SIGCHLD
    /// Somebody wrote to a pipe that nobody reads.
    public static let brokenPipe: Int32 = SIGPIPE
    /// Ends a process that does not listen.
    public static let kill: Int32 = SIGKILL
    /// Ends a process with a core file.
    public static let abort: Int32 = SIGABRT

    /// What an operator sends to the supervisor, plus the end of a child.
    public static let ofSupervisor: [Int32] = [
        SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD,
    ]

    /// Blocks every signal that can be blocked, for this process and what it forks.
    public static func blockAll() {
        var all = sigset_t()
        unsafe sigfillset(&all)
        unsafe sigprocmask(SIG_BLOCK, &all, nil)
    }

    /// Makes these signals have no effect, blocked or not, here and after exec.
    public static func ignore(_ signals: [Int32]) {
        for signal in signals { clinux_ignore_signal(signal) }
    }

    /// Lets the faults of a program (SIGSEGV, SIGABRT, …) through again: blocked, they would still end the
    /// process, but one that another process sends (`kill -ABRT` of a hung worker) would wait for ever.
    public static func unblockFaults() {
        var faults = sigset_t()
        unsafe sigemptyset(&faults)
        for signal in ofFaults { unsafe sigaddset(&faults, signal) }
        unsafe sigprocmask(SIG_UNBLOCK, &faults, nil)
    }

    /// Lets the faults of a program end it, whoever has installed a handler.
    public static func restoreFaults() {
        for signal in ofFaults { clinux_default_signal(signal) }
    }

    private static let ofFaults: [Int32] = [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS]

    /// Unblocks everything, for a child that runs code of others.
    public static func unblockAll() {
        var all = sigset_t()
        unsafe sigfillset(&all)
        unsafe sigprocmask(SIG_UNBLOCK, &all, nil)
    }

    /// A descriptor that these signals, which must be blocked, are read from. The caller owns it.
    public static func descriptor(for signals: [Int32]) throws(SystemError) -> Int32 {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for signal in signals { unsafe sigaddset(&set, signal) }
        let descriptor = unsafe clinux_signalfd(&set)
        guard descriptor >= 0 else { throw SystemError("open a signal descriptor") }
        return descriptor
    }

    /// The next signal that arrived at the descriptor, and who sent it (0 for the kernel); `nil` when there
    /// is none.
    public static func next(from descriptor: Int32) -> (signal: Int32, sender: Int32)? {
        var sender: Int32 = 0
        let signal = unsafe clinux_read_signal(descriptor, &sender)
        return signal > 0 ? (signal, sender) : nil
    }

    /// "TERM" for SIGTERM; the number for one without a name here.
    public static func name(of signal: Int32) -> String {
        switch signal {
        case SIGHUP: "HUP"
        case SIGINT: "INT"
        case SIGQUIT: "QUIT"
        case SIGILL: "ILL"
        case SIGTRAP: "TRAP"
        case SIGABRT: "ABRT"
        case SIGBUS: "BUS"
        case SIGFPE: "FPE"
        case SIGKILL: "KILL"
        case SIGUSR1: "USR1"
        case SIGSEGV: "SEGV"
        case SIGUSR2: "USR2"
        case SIGPIPE: "PIPE"
        case SIGALRM: "ALRM"
        case SIGTERM: "TERM"
        case SIGCHLD: "CHLD"
        case SIGPWR: "PWR"
        case SIGSYS: "SYS"
        default: "\(signal)"
        }
    }
}
