/// Checks a configuration that was read: what needs more than one setting to judge, and what this release
/// must refuse rather than do less than it was told.
struct ConfigurationValidation {
    /// Longest name of a Unix socket, by the kernel's `sun_path` less the zero at its end.
    private static let socketPathLimit = 107

    /// What was read.
    private(set) var configuration: Configuration
    /// What there is to say, the parser's first.
    private(set) var diagnostics: [Diagnostic]
    private let parser: ConfigurationParser

    /// A check of what `parser` has read.
    init(parser: ConfigurationParser) {
        self.parser = parser
        configuration = parser.configuration
        diagnostics = parser.diagnostics
    }

    /// Checks everything.
    ///
    /// - Parameters:
    ///   - listenersArePassed: listening sockets come from the service manager, so none need be configured.
    ///   - canRead: whether a file can be read.
    mutating func check(listenersArePassed: Bool, canRead: (String) -> Bool) {
        checkListening(listenersArePassed: listenersArePassed)
        checkAuthentication(canRead: canRead)
        checkTLS()
        configuration.databases.forEach { check($0) }
        if let database = configuration.autoDatabase { check(database) }
        configuration.users.forEach { check($0) }
        checkPeers()
        warnOfSettingsWithoutEffect()
        if !parser.hasMainSection, !diagnostics.contains(where: { $0.severity == .error }) {
            diagnostics.append(
                Diagnostic(
                    .warning, file: parser.path, line: 0, "there is no [pgbouncer] section; all defaults hold"
                ))
        }
    }

    private mutating func checkListening(listenersArePassed: Bool) {
        let settings = configuration.settings
        if settings.listenAddresses.isEmpty, settings.unixSocketDirectory.isEmpty, !listenersArePassed {
            error(
                "unix_socket_dir",
                "listen_addr and unix_socket_dir are both empty: there is nowhere to listen")
        }
        let socketName = "/.s.PGSQL.\(settings.listenPort)"
        let length = settings.unixSocketDirectory.utf8.count + socketName.utf8.count
        if length > ConfigurationValidation.socketPathLimit {
            error(
                "unix_socket_dir",
                "unix_socket_dir is too long: with \(socketName) it has \(length) bytes, "
                    + "and \(ConfigurationValidation.socketPathLimit) are possible")
        }
        let controlLength = settings.controlDirectory.utf8.count + socketName.utf8.count
        if controlLength > ConfigurationValidation.socketPathLimit {
            error(
                "control_dir",
                "control_dir is too long: with \(socketName) it has \(controlLength) bytes, "
                    + "and \(ConfigurationValidation.socketPathLimit) are possible")
        }
        if settings.controlDirectory.hasPrefix("@") {
            error("control_dir", "control_dir has to be a directory: an abstract socket has no permissions")
        }
        checkProxies()
        if !settings.metricsListen.isEmpty, !ConfigurationValidation.isAddress(settings.metricsListen) {
            error(
                "metrics_listen",
                "metrics_listen = \(settings.metricsListen) is no address and port, such as 127.0.0.1:9127, "
                    + "[::1]:9127 or *:9127")
        }
    }

    private mutating func checkProxies() {
        let words = (configuration.settings.text(of: "proxy_protocol_from") ?? "").split(separator: ",")
        for word in words where ProxyOrigin(word.trimmingBlanks()) == nil {
            error(
                "proxy_protocol_from",
                "proxy_protocol_from: \"\(word.trimmingBlanks())\" is no address, no range such as "
                    + "10.0.0.0/8, and not unix")
        }
    }

    /// Whether a text is a host, `*` for all addresses, and a port.
    private static func isAddress(_ text: String) -> Bool {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]),
            port > 0
        else { return false }
        let host = text[..<colon]
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        return !host.isEmpty && !host.contains(" ") && (isBracketed || !host.contains(":"))
    }

    private mutating func checkAuthentication(canRead: (String) -> Bool) {
        let settings = configuration.settings
        switch settings.authType {
        case .ldap where settings.authLDAPOptions.isEmpty:
            error("auth_type", "auth_type = ldap needs auth_ldap_options")
        case .ldap, .pam:
            break
        case .cert where settings.clientTLS.mode != .verifyFull:
            error("auth_type", "auth_type = cert needs client_tls_sslmode = verify-full")
        case .hba:
            checkRules(canRead: canRead)
        case .cert:
            if settings.authFile == nil, !hasAuthUser {
                warn("auth_type", "auth_type = cert without auth_file: nobody can log in")
            }
        case .trust, .plain, .md5, .scramSHA256:
            if settings.authFile == nil, !hasAuthUser {
                warn(
                    "auth_type",
                    "auth_type = \(settings.authType.rawValue) without auth_file: nobody can log in")
            }
        case .any:
            break
        }
        if let name = settings.authDatabaseName {
            if ConfigurationValidation.isReserved(name) {
                error("auth_dbname", "auth_dbname cannot be \"\(name)\", which is the console")
            } else if !isServed(name) {
                warn(
                    "auth_dbname", "auth_dbname = \(name) is no entry of [databases]: no query can run there")
            }
        }
        if let file = settings.authFile, !canRead(file) {
            warn("auth_file", "auth_file \"\(file)\" cannot be read: no user has a password")
        }
    }

    /// Whether somebody looks up users that are not in `auth_file`.
    private var hasAuthUser: Bool {
        configuration.settings.authUser != nil || configuration.autoDatabase?.authUser != nil
            || configuration.databases.contains { $0.authUser != nil }
    }

    /// Whether clients can ask for a database of this name.
    private func isServed(_ name: String) -> Bool {
        configuration.autoDatabase != nil || configuration.databases.contains { $0.name == name }
    }

    private mutating func checkRules(canRead: (String) -> Bool) {
        let settings = configuration.settings
        if let file = settings.authHBAFile {
            if !canRead(file) {
                warn("auth_hba_file", "auth_hba_file \"\(file)\" cannot be read: nobody can log in")
            }
        } else {
            warn("auth_type", "auth_type = hba without auth_hba_file: nobody can log in")
        }
        if settings.authFile == nil, !hasAuthUser {
            warn("auth_type", "auth_type = hba without auth_file: no rule lets a user in that is not listed")
        }
        if let file = settings.authIdentFile, !canRead(file) {
            warn("auth_ident_file", "auth_ident_file \"\(file)\" cannot be read: it has no maps")
        }
    }

    private mutating func checkTLS() {
        let client = configuration.settings.clientTLS
        if client.mode != .disable, client.keyFile.isEmpty || client.certificateFile.isEmpty {
            error(
                "client_tls_sslmode",
                "client_tls_sslmode = \(client.mode.rawValue) needs client_tls_key_file and "
                    + "client_tls_cert_file")
        }
        let needsAuthority = client.mode == .verifyFull || configuration.settings.authType == .cert
        if needsAuthority, client.authorityFile.isEmpty {
            error(
                "client_tls_sslmode",
                "client_tls_ca_file is needed where clients have to show certificates: name the file with "
                    + "the authorities that vouch for them")
        }
    }

    private mutating func check(_ database: DatabaseDefinition) {
        let name = database.name
        func report(_ message: String) { error(.databases, name, "database \"\(name)\" \(message)") }
        if ConfigurationValidation.isReserved(name) { report("is reserved for the console") }
        if name.isEmpty { report("has no name") }
        if name.utf8.count > 63 { report("has a name longer than 63 bytes") }
        if let other = database.databaseName, other.utf8.count > 63 {
            report("has a dbname longer than 63 bytes")
        }
        if let user = database.user, user.utf8.count > 127 { report("has a user longer than 127 bytes") }
        if let password = database.password, password.utf8.count > 65530 {
            report("has a password longer than 65530 bytes")
        }
        if let other = database.authDatabaseName {
            if ConfigurationValidation.isReserved(other) {
                report("cannot have auth_dbname=\(other), which is the console")
            } else if !isServed(other) {
                self.report(
                    .warning, .databases, name,
                    "auth_dbname=\(other) of \"\(name)\" is no entry of [databases]: no query can run there")
            }
        }
        for host in database.hosts {
            if ConfigurationValidation.isTooLong(host, port: database.port) {
                report("has a directory as host that is too long")
            }
        }
    }

    private mutating func check(_ user: UserDefinition) {
        if user.name.isEmpty { error(.users, user.name, "a user has no name") }
        if user.name.utf8.count > 127 {
            error(.users, user.name, "user \"\(user.name)\" has a name longer than 127 bytes")
        }
    }

    private mutating func checkPeers() {
        configuration.peers.forEach { check($0) }
        guard let first = configuration.peers.first, configuration.settings.peerID == 0 else { return }
        report(
            .warning, .peers, String(first.id),
            "[peers] has no effect without peer_id, a number of our own that no other peer has")
    }

    private mutating func check(_ peer: PeerDefinition) {
        let entry = String(peer.id)
        guard let host = peer.host else {
            return error(
                .peers, entry,
                "peer \(entry) has no host: add host=, its address or the directory of its Unix socket")
        }
        if host.text.utf8.contains(UInt8(ascii: ",")) {
            error(.peers, entry, "peer \(entry) has several hosts; it can have one")
        }
        if ConfigurationValidation.isTooLong(host, port: peer.port) {
            error(.peers, entry, "peer \(entry) has a directory as host that is too long")
        }
        let settings = configuration.settings
        guard Int(peer.id) == settings.peerID else { return }
        // All peers may share one list; but an entry that looks like somebody else is the sign of a wrong
        // peer_id, with which no cancel request would find its way.
        var isElsewhere = Int(peer.port) != settings.listenPort
        if case .unixDirectory(let directory) = host, directory != settings.unixSocketDirectory {
            isElsewhere = true
        }
        guard isElsewhere else { return }
        report(
            .warning, .peers, entry,
            "peer \(entry) is ourselves (peer_id = \(entry)), but we do not listen there: "
                + "if this is another pooler, it needs another number")
    }

    /// Whether a host is a directory so long that a socket in it cannot be reached.
    private static func isTooLong(_ host: Host, port: UInt16) -> Bool {
        guard case .unixDirectory(let directory) = host else { return false }
        return directory.utf8.count + "/.s.PGSQL.\(port)".utf8.count > socketPathLimit
    }

    /// Warns, once each, of settings that were given another value than their default and do nothing yet.
    private mutating func warnOfSettingsWithoutEffect() {
        for (index, field) in SettingTable.settings.enumerated() where field.setting.support == .notYet {
            let setting = field.setting
            guard parser.settingPlaces[index] != nil else { continue }
            let text = configuration.settings.texts[index]
            guard text ?? "" != setting.defaultText ?? "" else { continue }
            warn(setting.name, "\(setting.name) has no effect in this release")
        }
    }

    /// Whether a database's name is taken by the console.
    static func isReserved(_ name: String) -> Bool { name == "pgbouncer" || name == "pgsluice" }

    private mutating func error(_ setting: String, _ message: String) {
        report(.error, setting, message)
    }

    private mutating func warn(_ setting: String, _ message: String) {
        report(.warning, setting, message)
    }

    private mutating func report(_ severity: Diagnostic.Severity, _ setting: String, _ message: String) {
        let place = SettingTable.settingIndex(setting).flatMap { parser.settingPlaces[$0] }
        diagnostics.append(
            Diagnostic(severity, file: place?.file ?? parser.path, line: place?.line ?? 0, message))
    }

    private mutating func error(_ section: Setting.Section, _ entry: String, _ message: String) {
        report(.error, section, entry, message)
    }

    private mutating func report(
        _ severity: Diagnostic.Severity, _ section: Setting.Section, _ entry: String, _ message: String
    ) {
        let place = parser.entryPlaces[section]?[Array(entry.utf8)]
        diagnostics.append(
            Diagnostic(severity, file: place?.file ?? parser.path, line: place?.line ?? 0, message))
    }
}
