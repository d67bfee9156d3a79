/// Why a login is refused.
///
/// What depends on the user's existence is worded alike for users that do not exist.
public enum LoginFault: Error, Equatable, Sendable {
    /// No such database, said only after the client has authenticated.
    case noSuchDatabase(name: String)
    /// The database is disabled on the console.
    case databaseDisabled(name: String)
    /// There are as many connections as a setting allows.
    case limit(ClientLimit)
    /// TLS is demanded, and the client has not asked for it.
    case tlsRequired
    /// The pooler is going down and takes nobody any more.
    case shuttingDown
    /// The proof is wrong, or there is no such user.
    case authentication(ProofKind, user: String)
    /// The peer of the Unix socket is somebody else.
    case peer
    /// A rule of the HBA file says `reject`.
    case rejected
    /// The console is for others.
    case notAllowed
    /// No rule of the HBA file matches.
    case noMethod
    /// The password is empty; PostgreSQL refuses those too.
    case emptyPassword
    /// A password before anybody asked for one.
    case passwordBeforeStartup
    /// A mechanism that was not offered.
    case invalidMechanism
    /// The query for the user's secret found nobody.
    case noSuchUser
    /// The pooler's configuration makes this login impossible; the log says why.
    case configuration
    /// The database that knows the secrets is disabled.
    case authenticationDatabaseDisabled(name: String)
    /// PostgreSQL refused a replication client's connection; the log says why.
    case serverLogin

    var report: ErrorReport {
        switch self {
        case .noSuchDatabase(let name): ErrorReport(.invalidCatalogName, "no such database: \(name)")
        case .databaseDisabled(let name):
            ErrorReport(.objectNotInPrerequisiteState, "database \"\(name)\" is disabled")
        case .limit(let limit): ErrorReport(.tooManyConnections, limit.message)
        case .shuttingDown: ErrorReport(.cannotConnectNow, "pooler is shutting down")
        case .authentication(let kind, let user):
            ErrorReport(kind.sqlState, "\(kind.name) authentication failed for user \"\(user)\"")
        case .tlsRequired: ErrorReport(.invalidAuthorization, "SSL required")
        case .peer: ErrorReport(.invalidAuthorization, "unix socket login rejected")
        case .rejected: ErrorReport(.invalidAuthorization, "login rejected")
        case .notAllowed: ErrorReport(.invalidAuthorization, "not allowed")
        case .noMethod: ErrorReport(.invalidAuthorization, "no authentication method is found")
        case .emptyPassword: ErrorReport(.invalidPassword, "empty password returned by client")
        case .passwordBeforeStartup:
            ErrorReport(.protocolViolation, "client password pkt before startup packet")
        case .invalidMechanism:
            ErrorReport(
                .protocolViolation, "client selected an invalid SASL authentication mechanism")
        case .noSuchUser: ErrorReport(.invalidPassword, "no such user")
        case .configuration: ErrorReport(.configurationFileError, "bouncer config error")
        case .authenticationDatabaseDisabled(let name):
            ErrorReport(.objectNotInPrerequisiteState, "authentication database \"\(name)\" is disabled")
        case .serverLogin: ErrorReport(.connectionFailure, "login failed")
        }
    }
}

/// The setting that allows no more clients.
public enum ClientLimit: Equatable, Sendable {
    /// `max_client_conn`.
    case instance(limit: Int)
    /// `max_login_conn`: who had not logged in for longest gives way.
    case logins(limit: Int)
    /// `max_login_conn_per_address`, likewise.
    case loginsOfAddress(limit: Int)
    /// `max_login_failures_per_address`.
    case failuresOfAddress(limit: Int)
    /// `max_login_failures_per_user`.
    case failuresOfUser(limit: Int)
    /// `max_db_client_connections`.
    case database(name: String, limit: Int)
    /// `max_user_client_connections`.
    case user(name: String, limit: Int)
    /// There is no room for another pair of database and user; the log says more.
    case pools

    var message: String {
        switch self {
        case .instance(let limit): "no more connections allowed (max_client_conn); the limit is \(limit)"
        case .logins(let limit):
            "too many connections that have not logged in (max_login_conn); the limit is \(limit)"
        case .loginsOfAddress(let limit):
            "too many connections from this address that have not logged in (max_login_conn_per_address); "
                + "the limit is \(limit)"
        case .failuresOfAddress(let limit):
            "too many failed logins from this address (max_login_failures_per_address); "
                + "the limit is \(limit) a minute"
        case .failuresOfUser(let limit):
            "too many failed logins of this user (max_login_failures_per_user); "
                + "the limit is \(limit) a minute"
        case .database(let name, let limit):
            "client connections exceeded (max_db_client_connections); "
                + "the limit of database \"\(name)\" is \(limit)"
        case .user(let name, let limit):
            "client connections exceeded (max_user_client_connections); "
                + "the limit of user \"\(name)\" is \(limit)"
        case .pools: "no room for another pool of database and user: raise max_pools"
        }
    }
}

/// How a client was to prove who it is.
public enum ProofKind: Equatable, Sendable {
    /// A password, in clear or as md5.
    case password
    /// A SASL exchange.
    case sasl
    /// Nothing but the existence of the user.
    case trust
    /// A TLS certificate.
    case certificate
    /// PAM.
    case pam
    /// LDAP.
    case ldap

    var name: String {
        switch self {
        case .password: "password"
        case .sasl: "SASL"
        case .trust: "\"trust\""
        case .certificate: "certificate"
        case .pam: "PAM"
        case .ldap: "LDAP"
        }
    }

    var sqlState: SQLState {
        switch self {
        case .password, .sasl, .pam, .ldap: .invalidPassword
        case .trust, .certificate: .invalidAuthorization
        }
    }
}
