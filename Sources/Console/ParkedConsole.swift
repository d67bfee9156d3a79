public import SharedState

/// A console session on its way from one program to the one that takes over.
public struct ParkedConsole: Equatable, Sendable {
    /// What the session may do.
    public let role: ConsoleRole
    /// What its client must present to cancel.
    public let cancelKey: ConsoleCancelKey
    /// What the client has sent and nobody has served.
    public let input: [UInt8]
    /// What has not been sent to it yet.
    public let output: [UInt8]
    /// Whether it is owed the answer to RESTART.
    public let awaitsRestart: Bool

    /// A session from its parts.
    public init(
        role: ConsoleRole, cancelKey: ConsoleCancelKey, input: [UInt8], output: [UInt8], awaitsRestart: Bool
    ) {
        self.role = role
        self.cancelKey = cancelKey
        self.input = input
        self.output = output
        self.awaitsRestart = awaitsRestart
    }
}
