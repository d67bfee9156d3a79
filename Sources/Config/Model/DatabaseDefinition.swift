/// One entry of `[databases]`: a name clients connect to and where its servers are.
///
/// `nil` means the entry does not say, and the value of the user or of `[pgbouncer]` holds.
public struct DatabaseDefinition: Equatable, Sendable {
    /// What clients ask for; `*` for the template of databases that are not listed.
    public var name: String
    /// The database on the server; `nil` for the same name as clients ask for.
    public var databaseName: String?
    /// Where servers are; empty for a Unix socket in `unix_socket_dir`.
    public var hosts: [Host] = []
    /// TCP port, or suffix of the Unix socket, of every host.
    public var port: UInt16 = 5432
    /// The user all servers log in as, whoever the client is.
    public var user: String?
    /// The password of `user`; without it the user list is asked.
    public var password: String?
    /// A query run on every new server; its failure is only logged.
    public var connectQuery: String?

    /// TLS towards the servers, where it differs from the general settings.
    public var serverTLS = TLSOverrides()

    /// The user that runs the password query.
    public var authUser: String?
    /// The password query for logins to this database.
    public var authQuery: String?
    /// Where the password query runs.
    public var authDatabaseName: String?

    /// Goes into the startup packet of servers.
    public var clientEncoding: String?
    /// Goes into the startup packet of servers.
    public var dateStyle: String?
    /// Goes into the startup packet of servers.
    public var timeZone: String?
    /// Goes into the startup packet of servers.
    public var applicationName: String?

    /// When servers go back to the pool.
    public var poolMode: PoolMode?
    /// How a list of hosts is used.
    public var loadBalanceHosts: LoadBalanceHosts = .roundRobin
    /// Servers per pool; 0 for no limit.
    public var poolSize: UInt32?
    /// Servers that a pool keeps.
    public var minPoolSize: UInt32?
    /// Servers a pool may have beyond its size.
    public var reservePoolSize: UInt32?
    /// How long a client may wait for a server; 0 for ever.
    public var queryWaitTimeoutNanoseconds: UInt64?
    /// Server connections over all pools of the entry; never 0.
    public var maxDatabaseConnections: UInt32?
    /// Client connections of the entry; never 0.
    public var maxDatabaseClientConnections: UInt32?
    /// Oldest age of a server that is used again; never 0.
    public var serverLifetimeNanoseconds: UInt64?

    /// An entry that says nothing.
    public init(name: String) { self.name = name }

    /// What servers call the database.
    public var serverDatabaseName: String { databaseName ?? name }

    /// The database that a template (`*`) makes for a client that asks for `name`.
    public func instantiated(as name: String) -> DatabaseDefinition {
        var definition = self
        definition.databaseName = databaseName ?? name
        definition.name = name
        return definition
    }
}
