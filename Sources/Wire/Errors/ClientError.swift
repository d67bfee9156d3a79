/// An error that we ourselves report to a client.
///
/// Values, not texts: the text is made when the message is written. Texts begin as PgBouncer's do, because
/// people search logs and match messages for them; what helps to find the cause follows. States are
/// those PostgreSQL uses for the like, where PgBouncer says 08P01 for everything.
public enum ClientError: Error, Equatable, Sendable {
    /// The startup packet is refused.
    case startup(StartupFault)
    /// The login is refused.
    case login(LoginFault)
    /// Something took longer than a setting allows.
    case timeout(TimeoutFault)
    /// There is no server, or no longer.
    case server(ServerFault)
    /// An administrator ends the connection.
    case administrator(AdministratorAction)
    /// What the client sent is not what the protocol allows.
    case violation(ProtocolFault)
    /// One statement fails; the connection goes on.
    case statement(StatementFault)

    /// The kind of error, for programs.
    public var sqlState: SQLState { report.sqlState }

    /// The text, in English, in one line.
    public var message: String { report.message }

    /// Whether the message is FATAL and the connection ends with it.
    public var closesConnection: Bool {
        switch self {
        case .startup, .login, .timeout, .server, .administrator, .violation: true
        case .statement: false
        }
    }

    private var report: ErrorReport {
        switch self {
        case .startup(let fault): fault.report
        case .login(let fault): fault.report
        case .timeout(let fault): fault.report
        case .server(let fault): fault.report
        case .administrator(let action): action.report
        case .violation(let fault): fault.report
        case .statement(let fault): fault.report
        }
    }
}

/// State and text of an error, side by side.
struct ErrorReport {
    let sqlState: SQLState
    let message: String

    init(_ sqlState: SQLState, _ message: String) {
        self.sqlState = sqlState
        self.message = message
    }
}
