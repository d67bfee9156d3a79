/// Why a client has no server, or has it no longer.
public enum ServerFault: Error, Equatable, Sendable {
    /// The connection to PostgreSQL broke while the client was linked to it.
    case connectionLost
    /// PostgreSQL refused to apply a parameter of the client, such as an unknown time zone.
    case invalidParameter(SQLState, String)
    /// PostgreSQL refused the login of the server that the client waited for, with this reason.
    case refused(SQLState, String)
    /// PostgreSQL sent a message of a type that does not exist.
    case unknownMessage(type: UInt8)
    /// PostgreSQL sent an answer that no request asked for; both ends are closed.
    case unexpectedReply(type: UInt8)
    /// The stored secret cannot be used for what PostgreSQL asks for.
    case wrongPasswordType
    /// The last attempts to log in failed: `lastError` is PostgreSQL's message, or what became of the
    /// connection.
    case loginFailing(lastError: String)
    /// The settings of the database changed under the connection.
    case configurationChanged
    /// A transaction block in statement pooling mode.
    case transactionBlockInStatementMode

    var report: ErrorReport {
        switch self {
        case .connectionLost: ErrorReport(.connectionFailure, "server conn crashed?")
        case .invalidParameter(let state, let text): ErrorReport(state, "invalid server parameter: \(text)")
        case .refused(let state, let text): ErrorReport(state, text)
        case .unknownMessage(let type):
            ErrorReport(.protocolViolation, "unknown pkt (type \(typeName(type)) from the server)")
        case .unexpectedReply(let type):
            ErrorReport(
                .internalError, "server sent a reply that nobody asked for (type \(typeName(type)))")
        case .wrongPasswordType:
            ErrorReport(.invalidAuthorization, "server login failed: wrong password type")
        case .loginFailing(let lastError):
            ErrorReport(
                .connectionFailure,
                "server login has been failing, cached error: \(lastError) (server_login_retry)")
        case .configurationChanged: ErrorReport(.adminShutdown, "database configuration changed")
        case .transactionBlockInStatementMode:
            ErrorReport(
                .featureNotSupported, "transaction blocks not allowed in statement pooling mode")
        }
    }
}

/// A message type for people: the character when it can be printed, else the number.
func typeName(_ type: UInt8) -> String {
    (0x21...0x7E).contains(type) ? "'\(Character(Unicode.Scalar(type)))'" : "\(type)"
}
