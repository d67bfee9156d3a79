import Auth
import Base
import Config
public import System
import TLS

/// Reads a whole configuration from this machine and checks it: in a child of the supervisor, or for
/// `--preflight`.
public enum Validator {
    /// The outcome of reading and checking what the request names.
    public static func check(_ request: ValidationRequest) -> ValidationOutcome {
        switch request.source {
        case .file(let path): checkFile(path, listenersArePassed: request.listenersArePassed)
        case .environment: checkEnvironment(listenersArePassed: request.listenersArePassed)
        }
    }

    private static func checkFile(_ path: String, listenersArePassed: Bool) -> ValidationOutcome {
        do throws(SystemError) { _ = try FileSystem.read(path) } catch {
            return ValidationOutcome(failure: "cannot \(error)")
        }
        let image = ConfigurationImage(path: path, listenersArePassed: listenersArePassed) { path in
            try? FileSystem.read(path)
        }
        return judge(image)
    }

    private static func checkEnvironment(listenersArePassed: Bool) -> ValidationOutcome {
        do throws(EnvironmentError) {
            let image = try ConfigurationImage(
                environment: Process.environment, listenersArePassed: listenersArePassed
            ) { path in
                try? FileSystem.read(path)
            }
            guard let image else {
                return ValidationOutcome(failure: "set DATABASE_URL or DB_HOST, or name a configuration file")
            }
            return judge(image)
        } catch {
            return ValidationOutcome(failure: error.description)
        }
    }

    private static func judge(_ image: ConfigurationImage) -> ValidationOutcome {
        let parsed = Configuration.parse(image)
        var lines = parsed.diagnostics.map {
            ValidationOutcome.Line(isError: $0.severity == .error, text: $0.description)
        }
        guard let configuration = parsed.configuration else {
            return ValidationOutcome(image: nil, lines: lines)
        }
        lines += userListLines(configuration.settings.authFile, image)
        var image = image
        let rules = readRules(configuration.settings, &image)
        if configuration.settings.authType == .hba {
            let texts = rules.diagnostics.map(\.description) + groupWarnings(configuration, rules.rules)
            lines += texts.map { ValidationOutcome.Line(isError: false, text: $0) }
        }
        lines += exposedFiles(configuration, image).map {
            ValidationOutcome.Line(
                isError: false,
                text: "\($0): everybody may read this file, which holds secrets (chmod o= FILE)")
        }
        let failures =
            machineFailures(configuration.settings) + tlsFailures(configuration)
            + outsideFailures(configuration.settings, rules.rules)
        lines += failures.map { ValidationOutcome.Line(isError: true, text: "\(image.path): \($0)") }
        return ValidationOutcome(image: failures.isEmpty ? image.encode() : nil, lines: lines)
    }

    /// What is the matter with the user list; a line with a fault is left out, as PgBouncer does, and said.
    private static func userListLines(
        _ path: String?, _ image: ConfigurationImage
    ) -> [ValidationOutcome.Line] {
        guard let path, let bytes = image.bytes(of: path) else { return [] }
        return UserList.parse(bytes).diagnostics.map {
            ValidationOutcome.Line(isError: false, text: "\(path):\($0.line): \($0.problem.text)")
        }
    }

    /// What is the matter with keys, certificates and the settings beside them.
    private static func tlsFailures(_ configuration: Configuration) -> [String] {
        var failures: [String] = []
        var all = configuration.allServerTLS.map { (TLSContext.Role.client, $0) }
        all.append((.server, configuration.settings.clientTLS))
        for (role, settings) in all where settings.mode != .disable {
            let prefix = role == .server ? "client_tls_" : "server_tls_"
            var isComplete = true
            for (setting, path) in settings.files {
                do throws(SystemError) { _ = try FileSystem.read(path) } catch {
                    failures.append("TLS setup failed: \(prefix)\(setting): cannot \(error)")
                    isComplete = false
                }
            }
            guard isComplete else { continue }
            do throws(TLSError) { _ = try TLSContext(role, settings) } catch {
                failures.append("TLS setup failed: \(prefix)sslmode = \(settings.mode.rawValue): \(error)")
            }
        }
        return failures
    }

    /// What those need who are to be asked about passwords, and is not there.
    private static func outsideFailures(_ settings: Settings, _ rules: AccessRules) -> [String] {
        var failures: [String] = []
        let isByRules = settings.authType == .hba
        if settings.authType == .ldap {
            do throws(LDAPOptions.Malformed) { _ = try LDAPOptions(text: settings.authLDAPOptions) } catch {
                failures.append("auth_ldap_options: \(error.reason)")
            }
        }
        if settings.authType == .ldap || isByRules && rules.contain(.ldap),
            let obstacle = PasswordCheck.ldapObstacle
        {
            failures.append("LDAP cannot be used: \(obstacle)")
        }
        if settings.authType == .pam || isByRules && rules.contain(.pam),
            let obstacle = PasswordCheck.pamObstacle
        {
            failures.append("PAM cannot be used: \(obstacle)")
        }
        return failures
    }

    /// The rules with groups that cannot be asked for, and where that is so.
    private static func groupWarnings(_ configuration: Configuration, _ rules: AccessRules) -> [String] {
        let settings = configuration.settings
        let hasUser = settings.authUser != nil
        let all = configuration.databases + [configuration.autoDatabase].compactMap(\.self)
        let without = hasUser ? [] : all.filter { $0.authUser == nil }.map(\.name)
        let isConsoleWithout = !hasUser || settings.authDatabaseName == nil
        return rules.rules.filter(\.namesGroups).compactMap { rule in
            // Which database is meant by the template is not known.
            var missing = without.filter { $0 == "*" || rule.mayMean(database: Array($0.utf8)) }
                .map { "database \"\($0)\": set auth_user" }
            if isConsoleWithout,
                ["pgbouncer", "pgsluice"].contains(where: { rule.names(database: Array($0.utf8)) })
            {
                missing.append("the console: set auth_user and auth_dbname")
            }
            guard let first = missing.first else { return nil }
            let rest = missing.count > 1 ? " (and \(missing.count - 1) more)" : ""
            return "\(rule.file):\(rule.line): who is in a group is asked of PostgreSQL, and cannot be for "
                + "\(first)\(rest); logins that this depends on are refused"
        }
    }

    /// Reads rules and maps, and all they name into the image: whatever `auth_type` is, because SET can
    /// change that.
    private static func readRules(
        _ settings: Settings, _ image: inout ConfigurationImage
    ) -> (rules: AccessRules, diagnostics: [AccessDiagnostic]) {
        var files = image.files
        func read(_ path: String) -> [UInt8]? {
            if let known = files.first(where: { $0.path.utf8.elementsEqual(path.utf8) }) {
                return known.bytes
            }
            guard let bytes = try? FileSystem.read(path) else { return nil }
            files.append(ConfigurationImage.File(path: path, bytes: bytes))
            return bytes
        }
        func list(_ folder: String) -> [String]? {
            guard let names = FileSystem.names(in: folder) else { return nil }
            files.append(ConfigurationImage.File(folder: folder, names: names))
            return names
        }
        let found = AccessRules.parse(
            settings.authHBAFile, maps: settings.authIdentFile,
            files: AccessFiles(read: read, list: list) { text throws(TextPattern.Malformed) in
                try TextPattern(compiling: text)
            })
        image.files = files
        return found
    }

    /// Files with secrets that everybody on this machine may read.
    private static func exposedFiles(_ configuration: Configuration, _ image: ConfigurationImage) -> [String]
    {
        let settings = configuration.settings
        let databases = configuration.databases + [configuration.autoDatabase].compactMap(\.self)
        let hasPasswords = databases.contains { $0.password != nil }
        let word = Array("password".utf8)
        var paths = image.files.filter { file in
            guard file.path != settings.authFile else {
                return UserList.parse(file.bytes).entries.contains { $0.secret != .none }
            }
            return hasPasswords && file.bytes.indices.contains { file.bytes[$0...].starts(with: word) }
        }.map(\.path)
        for tls in [settings.clientTLS] + configuration.allServerTLS {
            if !tls.keyFile.isEmpty, !paths.contains(tls.keyFile) { paths.append(tls.keyFile) }
        }
        return paths.filter { FileSystem.isReadableByOthers($0) }
    }

    /// What this machine does not have that the settings name.
    private static func machineFailures(_ settings: Settings) -> [String] {
        var failures: [String] = []
        if let user = settings.user, Accounts.user(named: user) == nil {
            failures.append("user: there is no user \(user)")
        }
        if !settings.unixSocketGroup.isEmpty, Accounts.group(named: settings.unixSocketGroup) == nil {
            failures.append("unix_socket_group: there is no group \(settings.unixSocketGroup)")
        }
        if settings.keepsClients, Process.environment("PGSLUICE_TEST") != "1" {
            failures.append("test_keep_clients is for the tests of this program: remove it")
        }
        return failures
    }
}
