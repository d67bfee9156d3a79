/// The rules of `auth_hba_file`: the first that matches a login says how the client proves who it is.
public struct AccessRules: Sendable {
    /// The rules, in the order of the file.
    public private(set) var rules: [AccessRule] = []
    /// The addresses of this machine, each with its network.
    private let networks: [Network]

    /// No rules, by which nobody is let in.
    public init(networks: [Network] = []) { self.networks = networks }

    /// What they say about a login.
    public enum Verdict: Sendable {
        /// The first rule that matches it.
        case rule(AccessRule)
        /// No rule matches it.
        case none
        /// Whether this rule matches depends on groups that are not known.
        case undecided(AccessRule)
    }

    /// What the rules say about a login.
    public func judge(_ request: AccessRequest) -> Verdict {
        for rule in rules {
            switch rule.matches(request, networks) {
            case true: return .rule(rule)
            case false: continue
            case nil: return .undecided(rule)
            }
        }
        return .none
    }

    /// Whether the groups of whoever logs in like this have to be known. Who that is does not count, so
    /// nobody can tell from the time it takes whom rules name.
    public func needGroups(for request: AccessRequest) -> Bool {
        for rule in rules {
            let isMeant = rule.matchesAnybody(like: request, networks)
            if isMeant != false, rule.namesGroups { return true }
            if isMeant == true { return false }
        }
        return false
    }

    /// Whether any rule wants the name of who is at the other end of a Unix socket.
    public var needPeerNames: Bool { rules.contains { $0.method == .peer } }

    /// Whether any rule has this method.
    public func contain(_ method: AccessMethod) -> Bool { rules.contains { $0.method == method } }

    // MARK: Reading

    /// Reads the rules of a file, and the maps they name.
    ///
    /// A line that cannot be used is left out, and said. A file that cannot be read has no rules.
    /// - Parameters:
    ///   - path: `auth_hba_file`.
    ///   - maps: `auth_ident_file`.
    ///   - networks: the addresses of this machine, each with its network; read now, not at each login.
    public static func parse(
        _ path: String?, maps: String?, networks: [Network] = [], files: AccessFiles
    ) -> (rules: AccessRules, diagnostics: [AccessDiagnostic]) {
        var reader = AccessFileReader(files)
        let known = maps.map { IdentityMap.parse($0, &reader) } ?? [:]
        var result = AccessRules(networks: networks)
        guard let path else { return (result, reader.diagnostics) }
        reader.read(path) { (reader, file, line) throws(AccessLineError) in
            do throws(AccessLineError) {
                result.rules.append(try AccessRuleParser(file: file, maps: known).rule(line, &reader))
            } catch {
                let isRejection = line.fields.contains { $0.contains { $0.isKeyword("reject") } }
                throw isRejection
                    ? AccessLineError("\(error.reason); whom it was to reject a later line may let in")
                    : error
            }
        }
        return (result, reader.diagnostics)
    }
}

/// Reads one line.
private struct AccessRuleParser {
    let file: String
    let maps: [[UInt8]: IdentityMap]

    func rule(_ line: AccessLine, _ reader: inout AccessFileReader) throws(AccessLineError) -> AccessRule {
        var fields = line.fields[...]
        let connection = try connection(try single(&fields, "the kind of connection"))
        guard let databases = fields.popFirst(), let users = fields.popFirst() else {
            throw AccessLineError("expected a database and a user")
        }
        let databaseNames = try names(reader.expand(databases, namedIn: file), areDatabases: true, reader)
        let userNames = try names(reader.expand(users, namedIn: file), areDatabases: false, reader)
        let source = connection == .local ? .anywhere : try source(&fields)
        let method = try method(&fields, connection)
        var rule = AccessRule(
            file: file, line: line.number, connection: connection, databases: databaseNames, users: userNames,
            source: source, method: method)
        try readOptions(fields, of: &rule)
        return rule
    }

    private func single(
        _ fields: inout ArraySlice<[AccessToken]>, _ what: String
    ) throws(AccessLineError) -> AccessToken {
        guard let field = fields.popFirst() else { throw AccessLineError("expected \(what)") }
        guard field.count == 1, let token = field.first else {
            throw AccessLineError("there can be only one of \(what)")
        }
        return token
    }

    private func connection(_ word: AccessToken) throws(AccessLineError) -> AccessRule.Connection {
        for (name, connection): (StaticString, AccessRule.Connection) in [
            ("local", .local), ("host", .network), ("hostssl", .encrypted), ("hostnossl", .plain),
            ("hostgssenc", .none), ("hostnogssenc", .network),
        ] where word.isKeyword(name) { return connection }
        throw AccessLineError(
            "\"\(word.shown)\" is no kind of connection: those are local, host, hostssl and hostnossl")
    }

    // MARK: Names

    private func names(
        _ tokens: [AccessToken], areDatabases: Bool, _ reader: AccessFileReader
    ) throws(AccessLineError) -> [AccessName] {
        var names: [AccessName] = []
        for token in tokens {
            if token.isKeyword("all") {
                names.append(.all)
            } else if areDatabases, token.isKeyword("sameuser") {
                names.append(.sameUser)
            } else if areDatabases, token.isKeyword("replication") {
                names.append(.replication)
            } else if areDatabases, token.isKeyword("samerole") || token.isKeyword("samegroup") {
                names.append(.sameGroup)
            } else if !areDatabases, let group = token.group {
                names.append(.group(group))
            } else if let pattern = try AccessName.pattern(of: token, reader.files.compile) {
                names.append(.pattern(pattern))
            } else {
                names.append(.name(token.text))
            }
        }
        return names
    }

    // MARK: Addresses

    private func source(
        _ fields: inout ArraySlice<[AccessToken]>
    ) throws(AccessLineError) -> AccessRule.Source {
        let word = try single(&fields, "the address")
        if word.isKeyword("all") { return .anywhere }
        if word.isKeyword("samehost") { return .sameHost }
        if word.isKeyword("samenet") { return .sameNetwork }
        let parts = word.name.split(separator: "/", omittingEmptySubsequences: false)
        guard let address = NetworkAddress(String(parts[0])) else {
            throw AccessLineError(
                "\"\(word.shown)\" is no IP address: host names are not looked up here, write the addresses")
        }
        var network: Network?
        if parts.count == 2 {
            let isNumber =
                (1...3).contains(parts[1].utf8.count)
                && parts[1].utf8.allSatisfy { (0x30...0x39).contains($0) }
            network = isNumber ? Int(parts[1]).flatMap { Network(address, bitCount: $0) } : nil
        } else if parts.count == 1 {
            let mask = try single(&fields, "a mask behind an address without /bits")
            network = NetworkAddress(mask.name).flatMap { Network(address, mask: $0) }
        }
        guard let network else {
            throw AccessLineError("\"\(word.shown)\" has no mask that fits the address")
        }
        guard !network.isAmbiguous else {
            throw AccessLineError(
                "\"\(word.shown)\" has bits set that the mask leaves out, so nobody is meant")
        }
        return .network(network)
    }

    // MARK: Method

    private func method(
        _ fields: inout ArraySlice<[AccessToken]>, _ connection: AccessRule.Connection
    ) throws(AccessLineError) -> AccessMethod {
        // What follows the method may be set off by a comma.
        guard var field = fields.popFirst() else { throw AccessLineError("expected the method") }
        let word = field.removeFirst()
        if !field.isEmpty { fields = [field] + fields }
        guard !word.isQuoted, let method = AccessMethod(rawValue: word.name) else {
            let all = AccessMethod.allCases.map(\.rawValue).joined(separator: ", ")
            throw AccessLineError("\"\(word.shown)\" is no method: those are \(all)")
        }
        if method == .peer, connection != .local {
            throw AccessLineError("peer is for lines that begin with local")
        }
        if method == .cert, connection == .local {
            throw AccessLineError("cert is for lines that begin with hostssl")
        }
        return method
    }

    private func readOptions(
        _ fields: ArraySlice<[AccessToken]>, of rule: inout AccessRule
    ) throws(AccessLineError) {
        var ldap: [LDAPOptions.Pair] = []
        for token in fields.joined() {
            guard let equals = token.text.firstIndex(of: UInt8(ascii: "=")) else {
                throw AccessLineError("an option behind the method is no name=value")
            }
            let name = String(decoding: token.text[..<equals], as: UTF8.self)
            let value = String(decoding: token.text[(equals + 1)...], as: UTF8.self)
            if rule.method == .ldap, name.hasPrefix("ldap") {
                ldap.append(LDAPOptions.Pair(name: name, value: value))
            } else {
                try readOption(name, value, of: &rule)
            }
        }
        guard rule.method == .ldap else { return }
        do throws(LDAPOptions.Malformed) { rule.ldap = try LDAPOptions(ldap) } catch {
            throw AccessLineError(error.reason)
        }
    }

    private func readOption(
        _ name: String, _ value: String, of rule: inout AccessRule
    ) throws(AccessLineError) {
        switch name {
        case "map":
            guard rule.method == .peer || rule.method == .cert || rule.certificate != nil else {
                throw AccessLineError("map is an option of peer and cert")
            }
            guard let map = maps[Array(value.utf8)] else {
                throw AccessLineError("there is no map \"\(value)\" in auth_ident_file")
            }
            rule.map = map
        case "clientcert":
            guard rule.connection == .encrypted else {
                throw AccessLineError("clientcert is for lines that begin with hostssl")
            }
            switch value {
            case "verify-ca" where rule.method != .cert: rule.certificate = .verified
            case "verify-full": rule.certificate = .namesUser
            default: throw AccessLineError("clientcert is verify-ca or verify-full, and the latter for cert")
            }
        case "clientname":
            guard rule.connection == .encrypted, value == "CN" else {
                throw AccessLineError("clientname is for hostssl and can only be CN here, the default")
            }
        case "pamservice" where rule.method == .pam && !value.isEmpty:
            rule.pamService = value
        case "pam_use_hostname" where rule.method == .pam && value == "0":
            break
        default:
            throw AccessLineError("\(rule.method.rawValue) has no option \"\(name)\" with that value")
        }
    }
}
