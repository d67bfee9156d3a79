/// What the exit status says. Scripts rely on the numbers; the manual lists them.
enum ExitStatus: Int32, CaseIterable {
    /// Done.
    case done = 0
    /// The instance refused, or the configuration that was checked has errors.
    case refused = 1
    /// The command line makes no sense.
    case usage = 2
    /// No instance is there.
    case noInstance = 3
    /// Something is there that must not be talked to, or that does not talk to us.
    case notTrusted = 4
    /// The instance did not answer in time, or ended before it had answered.
    case noAnswer = 5
    /// Ctrl-C.
    case interrupted = 130
}

/// Why a command did not do what it was to do.
struct Failure: Error, Equatable {
    /// What the program ends with.
    let status: ExitStatus
    /// What is wrong and what to do about it.
    let message: String

    init(_ status: ExitStatus, _ message: String) {
        self.status = status
        self.message = message
    }
}
