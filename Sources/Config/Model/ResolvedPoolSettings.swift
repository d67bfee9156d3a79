/// The limits and times of one pool and of the clients that use it, after the precedence of user, database
/// and general settings has been worked out. Plain numbers, for copying into records.
///
/// A limit or time of 0 means none, except where a field says otherwise.
public struct ResolvedPoolSettings: BitwiseCopyable, Equatable, Sendable {
    /// When servers go back. User, database, general.
    public var poolMode: PoolMode
    /// How a list of hosts is used.
    public var loadBalanceHosts: LoadBalanceHosts
    /// Servers per pool. User, database, general.
    public var poolSize: UInt32
    /// Servers that the pool keeps. Database, general.
    public var minPoolSize: UInt32
    /// Servers beyond the size; 0 is really none. User, database, general.
    public var reservePoolSize: UInt32
    /// Server connections of the database. Database, general.
    public var maxDatabaseConnections: UInt32
    /// Server connections of the pool's user. User, general.
    public var maxUserConnections: UInt32
    /// Client connections of the database. Database, general.
    public var maxDatabaseClientConnections: UInt32
    /// Client connections of the login user. User, general.
    public var maxUserClientConnections: UInt32

    /// Wait before the reserve is used; 0 turns the reserve off.
    public var reservePoolTimeoutNanoseconds: UInt64
    /// Longest query. Pool user, general.
    public var queryTimeoutNanoseconds: UInt64
    /// Longest transaction. Pool user, general.
    public var transactionTimeoutNanoseconds: UInt64
    /// Longest pause in a transaction. Pool user, general.
    public var idleTransactionTimeoutNanoseconds: UInt64
    /// Longest wait for a server. Login user, database, general.
    public var queryWaitTimeoutNanoseconds: UInt64
    /// Longest idle time of a client. Login user, general.
    public var clientIdleTimeoutNanoseconds: UInt64
    /// Oldest age of a server that is used again; 0 uses each server once. Database, general.
    public var serverLifetimeNanoseconds: UInt64

    /// Works out the precedence.
    ///
    /// - Parameters:
    ///   - poolUser: the `[users]` entry of whom servers log in as, if there is one.
    ///   - loginUser: the `[users]` entry of who the client is, if there is one.
    public init(
        settings: Settings, database: DatabaseDefinition, poolUser: UserDefinition?,
        loginUser: UserDefinition?
    ) {
        poolMode = poolUser?.poolMode ?? database.poolMode ?? settings.poolMode
        loadBalanceHosts = database.loadBalanceHosts
        poolSize = poolUser?.poolSize ?? database.poolSize ?? UInt32(settings.defaultPoolSize)
        minPoolSize = database.minPoolSize ?? UInt32(settings.minPoolSize)
        reservePoolSize =
            poolUser?.reservePoolSize ?? database.reservePoolSize ?? UInt32(settings.reservePoolSize)
        maxDatabaseConnections = database.maxDatabaseConnections ?? UInt32(settings.maxDatabaseConnections)
        maxUserConnections = poolUser?.maxUserConnections ?? UInt32(settings.maxUserConnections)
        maxDatabaseClientConnections =
            database.maxDatabaseClientConnections ?? UInt32(settings.maxDatabaseClientConnections)
        maxUserClientConnections =
            loginUser?.maxUserClientConnections ?? UInt32(settings.maxUserClientConnections)

        reservePoolTimeoutNanoseconds = settings.reservePoolTimeoutNanoseconds
        queryTimeoutNanoseconds = poolUser?.queryTimeoutNanoseconds ?? settings.queryTimeoutNanoseconds
        transactionTimeoutNanoseconds =
            poolUser?.transactionTimeoutNanoseconds ?? settings.transactionTimeoutNanoseconds
        idleTransactionTimeoutNanoseconds =
            poolUser?.idleTransactionTimeoutNanoseconds ?? settings.idleTransactionTimeoutNanoseconds
        queryWaitTimeoutNanoseconds =
            loginUser?.queryWaitTimeoutNanoseconds ?? database.queryWaitTimeoutNanoseconds
            ?? settings.queryWaitTimeoutNanoseconds
        clientIdleTimeoutNanoseconds =
            loginUser?.clientIdleTimeoutNanoseconds ?? settings.clientIdleTimeoutNanoseconds
        serverLifetimeNanoseconds =
            database.serverLifetimeNanoseconds ?? settings.serverLifetimeNanoseconds
    }
}
