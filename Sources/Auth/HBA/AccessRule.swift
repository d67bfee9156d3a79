import Base

/// How a rule has a client prove who it is.
public enum AccessMethod: String, Sendable, CaseIterable {
    case trust, reject, md5, password, peer, cert, ldap, pam
    case scramSHA256 = "scram-sha-256"
}

/// What a rule demands of the client's certificate besides its method.
public enum CertificateDemand: Sendable {
    /// That an authority of ours vouches for it.
    case verified
    /// And that it names the user, or somebody who is mapped to the user.
    case namesUser
}

/// A line of the rules file: who is meant, and how they prove who they are.
public struct AccessRule: Sendable {
    /// What kind of connection is meant.
    enum Connection: Sendable {
        case local, network, encrypted, plain
        /// Encrypted by GSSAPI, which nobody is here.
        case none
    }

    /// From where.
    enum Source: Sendable {
        case anywhere
        case network(Network)
        /// One of this machine's own addresses.
        case sameHost
        /// A network that this machine has an address in.
        case sameNetwork
    }

    let connection: Connection
    let databases: [AccessName]
    let users: [AccessName]
    let source: Source
    /// How they prove who they are.
    public let method: AccessMethod
    /// Who may log in as whom, with peer and certificates; `nil` when both must have the same name.
    public internal(set) var map: IdentityMap?
    /// What is demanded of the certificate besides.
    public internal(set) var certificate: CertificateDemand?
    /// How an LDAP server is asked, with the method ldap.
    public internal(set) var ldap: LDAPOptions?
    /// The PAM service, with the method pam.
    public internal(set) var pamService: String?

    /// Whether somebody of one of these names may log in as `user` by this rule.
    public func allows(_ names: [[UInt8]], as user: [UInt8]) -> Bool {
        map?.allows(names, as: user) ?? names.contains(user)
    }

    func matches(_ request: AccessRequest, _ networks: [Network]) -> Bool {
        guard isMeant(request), comes(request, networks) else { return false }
        guard users.contains(where: { $0.matches(user: request.user) }) else { return false }
        return databases.contains { $0.matches(databaseOf: request) }
    }

    private func isMeant(_ request: AccessRequest) -> Bool {
        switch connection {
        case .local: request.isLocal
        case .network: !request.isLocal
        case .encrypted: !request.isLocal && request.isEncrypted
        case .plain: !request.isLocal && !request.isEncrypted
        case .none: false
        }
    }

    private func comes(_ request: AccessRequest, _ networks: [Network]) -> Bool {
        if case .anywhere = source { return true }
        guard let address = request.address else { return false }
        switch source {
        case .anywhere: return true
        case .network(let network): return network.contains(address)
        case .sameHost: return networks.contains { $0.address == address }
        case .sameNetwork: return networks.contains { $0.contains(address) }
        }
    }
}

/// A database or user in a rule.
enum AccessName: Sendable {
    case all
    /// The database that is called like the user.
    case sameUser
    /// Not a database, but physical replication.
    case replication
    case name([UInt8])
    case pattern(TextPattern)

    func matches(user: [UInt8]) -> Bool {
        switch self {
        case .all: true
        case .name(let name): name == user
        case .pattern(let pattern): pattern.match(user) != nil
        case .sameUser, .replication: false
        }
    }

    func matches(databaseOf request: AccessRequest) -> Bool {
        // Physical replication is of no database, so nothing else means it.
        if request.isPhysicalReplication {
            if case .replication = self { return true }
            return false
        }
        switch self {
        case .all: return true
        case .replication: return false
        case .sameUser: return request.databases.contains(request.user)
        case .name(let name): return request.databases.contains(name)
        case .pattern(let pattern): return request.databases.contains { pattern.match($0) != nil }
        }
    }

    /// The expression that a word stands for; `nil` when it does not begin with a slash.
    static func pattern(
        of token: AccessToken, _ compile: (String) throws(TextPattern.Malformed) -> TextPattern
    ) throws(AccessLineError) -> TextPattern? {
        guard token.text.first == UInt8(ascii: "/") else { return nil }
        do throws(TextPattern.Malformed) { return try compile(String(token.name.dropFirst())) } catch {
            throw AccessLineError("the regular expression \(token.name) cannot be used: \(error.reason)")
        }
    }
}

/// Who wants to log in, and from where.
public struct AccessRequest: Sendable {
    /// The names of the database: the console has two.
    public var databases: [[UInt8]]
    /// The user.
    public var user: [UInt8]
    /// It wants to replicate the whole server, and so no database.
    public var isPhysicalReplication: Bool
    /// It came over a Unix socket.
    public var isLocal: Bool
    /// Its connection is encrypted with TLS.
    public var isEncrypted: Bool
    /// Where it comes from; `nil` for a Unix socket.
    public var address: NetworkAddress?

    /// A request with all its parts.
    public init(
        databases: [[UInt8]], user: [UInt8], isPhysicalReplication: Bool = false, isLocal: Bool = false,
        isEncrypted: Bool = false, address: NetworkAddress? = nil
    ) {
        self.databases = databases
        self.user = user
        self.isPhysicalReplication = isPhysicalReplication
        self.isLocal = isLocal
        self.isEncrypted = isEncrypted
        self.address = address
    }
}
