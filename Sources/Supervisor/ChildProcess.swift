import System

/// How the supervisor makes processes: a copy of itself that keeps what it was given and nothing else.
enum ChildProcess {
    /// Signals that an operator may send to the whole group and that mean something to the supervisor only.
    private static var ignoredSignals: [Int32] {
        Signals.ofSupervisor.filter { $0 != Signals.childEnded } + [Signals.brokenPipe]
    }

    /// Forks a child that runs `body`. All signals must be blocked already.
    ///
    /// - Parameters:
    ///   - shortName: at most 15 bytes, for `ps -o comm`.
    ///   - description: what the process title says.
    ///   - kept: descriptors the child keeps besides the standard three.
    /// - Returns: the child's number.
    static func start(
        shortName: String, description: String, title: ProcessTitle?, keeping kept: [Int32],
        _ body: () -> Never
    ) throws(SystemError) -> Int32 {
        let supervisor = Process.id
        switch try Process.fork() {
        case .parent(let child):
            return child
        case .child:
            Descriptors.closeAll(except: kept)
            // The way back to another program is the supervisor's alone.
            Program.disarmGuard()
            // The signal tells of a supervisor that ends from now on; the comparison, of one that already
            // has.
            guard Process.followParent(supervisor, signal: Signals.supervisorLost) else {
                Process.exitNow(1)
            }
            Signals.ignore(ignoredSignals)
            Signals.unblockFaults()
            // The language's own handler would take the first fault that another process sends for its own,
            // say so and go on; who wants its reports asks for them.
            if Process.environment("SWIFT_BACKTRACE") == nil { Signals.restoreFaults() }
            ProcessTitle.setShortName(shortName)
            title?.set("pgsluice: \(description)")
            body()
        }
    }
}
