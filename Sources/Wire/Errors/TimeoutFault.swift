/// What took longer than a setting allows. Times are in whole seconds.
public enum TimeoutFault: Error, Equatable, Sendable {
    /// `query_wait_timeout`: no server became free.
    case queryWait(waitedSeconds: Int, database: String, user: String, poolSize: Int)
    /// `query_wait_timeout` during a login that waits for the first server of its pool.
    case loginWait(waitedSeconds: Int, database: String, user: String)
    /// `query_timeout` while the server was at work.
    case query(limitSeconds: Int)
    /// `query_timeout` while still waiting for a server.
    case queryWhileWaiting(limitSeconds: Int)
    /// `idle_transaction_timeout`.
    case idleTransaction(limitSeconds: Int)
    /// `transaction_timeout`.
    case transaction(limitSeconds: Int)
    /// `client_idle_timeout`.
    case clientIdle(limitSeconds: Int)
    /// `client_login_timeout`; the client did not finish.
    case clientLogin(limitSeconds: Int)
    /// `client_login_step_timeout`.
    case clientLoginStep(limitSeconds: Int)
    /// `client_login_timeout`; the client was ready, the server was not.
    case clientLoginServerDown(limitSeconds: Int)
    /// `suspend_timeout`.
    case suspend

    var report: ErrorReport {
        switch self {
        case .queryWait(let waitedSeconds, let database, let user, let poolSize):
            ErrorReport(
                .queryCanceled,
                "query_wait_timeout (waited \(waitedSeconds) s for a server of database \"\(database)\" "
                    + "user \"\(user)\"; pool_size is \(poolSize))")
        case .loginWait(let waitedSeconds, let database, let user):
            ErrorReport(
                .cannotConnectNow,
                "query_wait_timeout (waited \(waitedSeconds) s for a first server of database "
                    + "\"\(database)\" user \"\(user)\")")
        case .query(let seconds):
            ErrorReport(.queryCanceled, "query timeout (query_timeout is \(seconds) s)")
        case .queryWhileWaiting(let seconds):
            ErrorReport(
                .queryCanceled, "query_timeout (still waiting for a server; the limit is \(seconds) s)")
        case .idleTransaction(let seconds):
            ErrorReport(
                .idleInTransactionTimeout,
                "idle transaction timeout (idle_transaction_timeout is \(seconds) s)")
        case .transaction(let seconds):
            ErrorReport(.transactionTimeout, "transaction timeout (transaction_timeout is \(seconds) s)")
        case .clientIdle(let seconds):
            ErrorReport(.idleSessionTimeout, "client_idle_timeout (the limit is \(seconds) s)")
        case .clientLogin(let seconds):
            ErrorReport(.queryCanceled, "client_login_timeout (the limit is \(seconds) s)")
        case .clientLoginStep(let seconds):
            ErrorReport(.queryCanceled, "client_login_step_timeout (the limit is \(seconds) s)")
        case .clientLoginServerDown(let seconds):
            ErrorReport(
                .cannotConnectNow, "client_login_timeout (server down) (the limit is \(seconds) s)")
        case .suspend: ErrorReport(.adminShutdown, "suspend_timeout")
        }
    }
}
