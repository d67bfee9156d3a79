/// Why the program does not start: one line for standard error that says what to do.
struct StartupFailure: Error, Equatable {
    /// The line.
    let message: String

    init(_ message: String) { self.message = message }
}
