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

    /// The file it stands in, as its path was written.
    public let file: String
    /// Its line, from 1.
    public let line: Int
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

    /// Whether somebody of one of these names may log in as `user`, a member of these groups, by this rule;
    /// `nil` when groups decide that are not known.
    public func allows(_ names: [[UInt8]], as user: [UInt8], memberOf groups: Set<[UInt8]>?) -> Bool? {
        guard let map else { return names.contains(user) }
        return map.allows(names, as: user, memberOf: groups)
    }

    /// Whether the rule is for a login; `nil` when groups decide that are not known.
    func matches(_ request: AccessRequest, _ networks: [Network]) -> Bool? {
        guard isMeant(request), comes(request, networks) else { return false }
        let isUser = Bool?.any(users) { $0.matches(userOf: request) }
        guard isUser != false else { return false }
        let isDatabase = Bool?.any(databases) { $0.matches(databaseOf: request) }
        guard isDatabase != false else { return false }
        return isUser == true && isDatabase == true ? true : nil
    }

    // MARK: Groups

    /// Whether somebody's groups say whether he is meant, or who he may be.
    public var namesGroups: Bool {
        users.contains { $0.isGroup } || databases.contains { $0.isGroup } || map?.namesGroups == true
    }

    /// Whether logins to a database may be meant, whoever wants to log in.
    public func mayMean(database: [UInt8]) -> Bool {
        databases.contains { $0.matches(database) != false }
    }

    /// Whether a database is meant that is named, and not every one.
    public func names(database: [UInt8]) -> Bool {
        databases.contains { $0.isSingle && $0.matches(database) == true }
    }

    /// Whether the rule is for logins like this, whoever wants to log in: `true` when it is for everybody,
    /// `nil` when it depends on who that is.
    func matchesAnybody(like request: AccessRequest, _ networks: [Network]) -> Bool? {
        guard isMeant(request), comes(request, networks) else { return false }
        let isDatabase =
            request.isPhysicalReplication
            ? databases.contains { $0.isReplication }
            : Bool?.any(request.databases) { name in Bool?.any(databases) { $0.matches(name) } }
        guard isDatabase != false else { return false }
        return isDatabase == true && users.contains { $0.isEverybody } ? true : nil
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

extension Bool? {
    /// Whether something is true of any element; `nil` when it is of none, and it is not known of all.
    static func any<Elements: Sequence>(_ elements: Elements, _ body: (Elements.Element) -> Bool?) -> Bool? {
        var result: Bool? = false
        for element in elements {
            switch body(element) {
            case true: return true
            case false: continue
            case nil: result = nil
            }
        }
        return result
    }
}

/// A database or user in a rule.
enum AccessName: Sendable {
    case all
    /// The database that is called like the user.
    case sameUser
    /// The database that is called like a group of the user, or like the user.
    case sameGroup
    /// Not a database, but physical replication.
    case replication
    /// The members of a group.
    case group([UInt8])
    case name([UInt8])
    case pattern(TextPattern)

    /// Whether it depends on groups.
    var isGroup: Bool {
        switch self {
        case .group, .sameGroup: true
        case .all, .sameUser, .replication, .name, .pattern: false
        }
    }

    var isEverybody: Bool { if case .all = self { true } else { false } }
    var isReplication: Bool { if case .replication = self { true } else { false } }
    var isSingle: Bool { if case .name = self { true } else { false } }

    /// Whether the user is meant; `nil` when that depends on groups that are not known.
    func matches(userOf request: AccessRequest) -> Bool? {
        switch self {
        case .all: true
        case .group(let group): request.isMember(of: group)
        case .name(let name): name == request.user
        case .pattern(let pattern): pattern.match(request.user) != nil
        case .sameUser, .sameGroup, .replication: false
        }
    }

    /// Whether what is asked for is meant; `nil` when that depends on groups that are not known.
    func matches(databaseOf request: AccessRequest) -> Bool? {
        // Physical replication is of no database, so nothing else means it.
        if request.isPhysicalReplication { return isReplication }
        switch self {
        case .sameUser: return request.databases.contains(request.user)
        case .sameGroup: return Bool?.any(request.databases) { request.isMember(of: $0) }
        case .all, .replication, .group, .name, .pattern:
            return request.databases.contains { matches($0) == true }
        }
    }

    /// Whether a database is meant; `nil` when that depends on the user.
    func matches(_ database: [UInt8]) -> Bool? {
        switch self {
        case .all: true
        case .sameUser, .sameGroup: nil
        case .replication, .group: false
        case .name(let name): name == database
        case .pattern(let pattern): pattern.match(database) != nil
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
    /// The names of all roles that the user is a member of, itself included; `nil` when they are not known.
    public var groups: Set<[UInt8]>?

    /// A request with all its parts.
    public init(
        databases: [[UInt8]], user: [UInt8], isPhysicalReplication: Bool = false, isLocal: Bool = false,
        isEncrypted: Bool = false, address: NetworkAddress? = nil, groups: Set<[UInt8]>? = nil
    ) {
        self.databases = databases
        self.user = user
        self.isPhysicalReplication = isPhysicalReplication
        self.isLocal = isLocal
        self.isEncrypted = isEncrypted
        self.address = address
        self.groups = groups
    }

    /// Whether the user is a member; `nil` when that is not known.
    func isMember(of group: [UInt8]) -> Bool? { groups.map { $0.contains(group) } }
}
