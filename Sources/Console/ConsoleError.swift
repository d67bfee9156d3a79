public import Wire

/// An error a console command answers with. The session goes on.
public struct ConsoleError: Error, Equatable, Sendable {
    /// The kind of error; PgBouncer's console knows hardly any but 08P01.
    public let sqlState: SQLState
    /// The text. Clients and tests compare it.
    public let message: String

    /// An error of any kind.
    public init(_ sqlState: SQLState, _ message: String) {
        self.sqlState = sqlState
        self.message = message
    }

    /// An error of the kind PgBouncer reports.
    public init(_ message: String) {
        self.init(.protocolViolation, message)
    }

    /// The query is no command.
    public static func invalidCommand(_ query: [UInt8]) -> ConsoleError {
        ConsoleError("invalid command '\(String(decoding: query, as: UTF8.self))', use SHOW HELP;")
    }

    /// A message does not hold what its type says.
    static let badPacket = ConsoleError("bad packet")

    /// A driver sent a statement with places for values.
    static let parametersNotSupported = ConsoleError(
        .featureNotSupported,
        "commands of the console take no parameters: write the values into the command itself")

    /// A word is longer than any that means something.
    public static let badArguments = ConsoleError("bad arguments")

    /// The session may only look.
    public static let adminAccessNeeded = ConsoleError("admin access needed")

    /// A command of PgBouncer's that is not here yet.
    public static func notAvailable(_ command: String) -> ConsoleError {
        ConsoleError(.featureNotSupported, "\(command) is not available in this version yet")
    }

    /// The database is the console itself.
    public static func adminDatabase(_ verb: String) -> ConsoleError {
        ConsoleError("cannot \(verb) admin db: \(ConsoleSession.databaseName)")
    }

    /// A command names a database that is not configured.
    public static func noSuchDatabase(_ name: [UInt8]) -> ConsoleError {
        ConsoleError("no such database: \(String(decoding: name, as: UTF8.self))")
    }

    /// RESUME of a database that is not paused.
    public static func databaseNotPaused(_ name: [UInt8]) -> ConsoleError {
        ConsoleError("database \(String(decoding: name, as: UTF8.self)) is not paused")
    }

    /// RESUME while nothing is paused.
    public static let notPaused = ConsoleError("pooler is not paused/suspended")

    /// RESTART by the extended protocol: what is prepared does not outlive it.
    static let simpleQueryNeeded = ConsoleError(
        .featureNotSupported, "RESTART has to come as a simple query")

    /// PAUSE while everything is.
    public static let alreadyPaused = ConsoleError("already suspended/paused")

    /// What KILL_CLIENT tells its victim.
    public static let adminDisconnect = ConsoleError(.adminShutdown, "admin forced disconnect")

    /// KILL_CLIENT of a number that no client has.
    public static let clientNotFound = ConsoleError("client not found")

    /// Somebody else resumed what a PAUSE was still waiting for.
    public static let pauseEnded = ConsoleError(
        .queryCanceled, "the pause was ended by RESUME before all transactions had ended")

    /// A PAUSE took longer than its own limit.
    public static func pauseUndone(limitSeconds: UInt64) -> ConsoleError {
        ConsoleError(
            .queryCanceled,
            "not all transactions have ended in \(limitSeconds) s: the pause has been undone")
    }

    /// A setting could not be changed.
    public static func setFailed(_ reason: String) -> ConsoleError { ConsoleError("SET failed: \(reason)") }

    /// A command during a shutdown.
    public static let shuttingDown = ConsoleError("pooler is shutting down")

    /// RELOAD found a fault; psycopg maps this SQLSTATE to an exception of its own.
    public static let reloadFailed = ConsoleError(
        .configurationFileError, "RELOAD failed, see logs for additional details")
}
