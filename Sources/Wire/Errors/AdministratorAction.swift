/// What an administrator did that ends a client's connection.
public enum AdministratorAction: Error, Equatable, Sendable {
    /// `KILL_CLIENT` on the console.
    case disconnect
    /// `KILL` on the console; the words are PgBouncer's.
    case killed
    /// The database is gone from the configuration.
    case databaseRemoved
    /// The pooler waits for servers to become free and closes the clients that need none.
    case shutdown

    var report: ErrorReport {
        switch self {
        case .disconnect: ErrorReport(.adminShutdown, "admin forced disconnect")
        case .killed: ErrorReport(.adminShutdown, "database removed")
        case .databaseRemoved: ErrorReport(.databaseDropped, "database removed")
        case .shutdown: ErrorReport(.adminShutdown, "server shutting down")
        }
    }
}
