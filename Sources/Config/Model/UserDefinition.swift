/// One entry of `[users]`: limits and times of one role. `nil` means the entry does not say.
public struct UserDefinition: Equatable, Sendable {
    /// The role.
    public var name: String
    /// When servers go back to the pool.
    public var poolMode: PoolMode?
    /// Servers per pool of this user; 0 for no limit.
    public var poolSize: UInt32?
    /// Servers a pool of this user may have beyond its size.
    public var reservePoolSize: UInt32?
    /// Server connections over all pools of the user; never 0.
    public var maxUserConnections: UInt32?
    /// Client connections of the user; never 0.
    public var maxUserClientConnections: UInt32?
    /// Longest transaction; never 0.
    public var transactionTimeoutNanoseconds: UInt64?
    /// Longest pause inside a transaction; never 0.
    public var idleTransactionTimeoutNanoseconds: UInt64?
    /// Longest query; never 0.
    public var queryTimeoutNanoseconds: UInt64?
    /// How long a client may wait for a server; 0 for ever.
    public var queryWaitTimeoutNanoseconds: UInt64?
    /// Longest idle time of a client outside a transaction; never 0.
    public var clientIdleTimeoutNanoseconds: UInt64?

    /// An entry that says nothing.
    public init(name: String) { self.name = name }
}
