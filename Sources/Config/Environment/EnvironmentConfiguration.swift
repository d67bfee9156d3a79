/// Makes a configuration of environment variables, for containers that are given no file.
///
/// `DATABASE_URL`, or `DB_HOST DB_PORT DB_USER DB_PASSWORD DB_NAME`, say where servers are; every setting of
/// `[pgbouncer]` may be given by its name in capitals. The result is the text of a file and of a user list,
/// which are then read as if they were files. Variables that are empty count as unset.
struct EnvironmentConfiguration {
    /// Settings whose names in capitals mean something else to everybody.
    static let ignoredSettings = ["user", "conffile"]
    /// The path that stands for the user list made here.
    static let userListPath = ConfigurationImage.environmentPath + ":users"

    /// The text of the configuration file.
    private(set) var text = ""
    /// The user list; `nil` when users are in a file of their own, or nowhere.
    private(set) var userList: String?

    private let variables: [String: String]

    /// `nil` when the environment does not say where servers are.
    init?(_ environment: [(name: String, value: String)]) throws(EnvironmentError) {
        variables = Dictionary(
            environment.filter { !$0.value.isEmpty }.map { ($0.name, $0.value) },
            uniquingKeysWith: { first, _ in first }
        )
        guard variables["DATABASE_URL"] != nil || variables["DB_HOST"] != nil else { return nil }
        let server = try server()
        try writeDatabase(server)
        try writeSettings(server)
        try writeUserList(server)
    }

    /// What the URL says, completed by the single variables.
    private func server() throws(EnvironmentError) -> DatabaseURL {
        var server = DatabaseURL()
        if let url = variables["DATABASE_URL"] {
            do throws(DatabaseURL.Malformed) {
                server = try DatabaseURL(url)
            } catch {
                throw EnvironmentError(variable: "DATABASE_URL", reason: error.reason)
            }
        }
        if server.hosts.isEmpty, let host = variables["DB_HOST"] {
            server.hosts = host.split(separator: ",").map(String.init)
        }
        server.port = server.port ?? variables["DB_PORT"]
        server.user = server.user ?? variables["DB_USER"]
        server.password = server.password ?? variables["DB_PASSWORD"]
        server.database = server.database ?? variables["DB_NAME"]
        return server
    }

    /// Whether servers log in as the given user whoever the client is: when clients are known from elsewhere.
    private var forcesUser: Bool {
        variables["AUTH_FILE"] != nil || variables["AUTH_TYPE"].map(SettingKind.lowercased) == "any"
    }

    private mutating func writeDatabase(_ server: DatabaseURL) throws(EnvironmentError) {
        var entry: [String] = []
        func add(_ key: String, _ value: String?) {
            if let value { entry.append("\(key)=\(ConnectionString.quote(value))") }
        }
        if !server.hosts.isEmpty { add("host", server.hosts.joined(separator: ",")) }
        add("port", server.port)
        add("dbname", server.database)
        if forcesUser {
            add("user", server.user)
            add("password", server.password)
        }
        add("application_name", server.applicationName)
        add("client_encoding", server.clientEncoding)
        let name = server.database ?? "*"
        guard !name.utf8.contains(UInt8(ascii: "'")) else {
            throw EnvironmentError(variable: "DB_NAME", reason: "contains a single quote; use a file instead")
        }
        text += "[databases]\n"
        try writeLine("'\(name)'", entry.joined(separator: " "), from: "DATABASE_URL")
    }

    private mutating func writeSettings(_ server: DatabaseURL) throws(EnvironmentError) {
        text += "[pgbouncer]\n"
        // Nobody outside a container reaches its Unix socket.
        if variables["LISTEN_ADDR"] == nil { try writeLine("listen_addr", "*", from: "LISTEN_ADDR") }
        if let mode = server.tlsMode, variables["SERVER_TLS_SSLMODE"] == nil {
            try writeLine("server_tls_sslmode", mode, from: "DATABASE_URL")
        }
        for field in SettingTable.settings {
            let name = field.setting.name
            let variable = EnvironmentConfiguration.variable(for: name)
            guard let value = variables[variable], !EnvironmentConfiguration.ignoredSettings.contains(name)
            else { continue }
            try writeLine(name, value, from: variable)
        }
        if server.user != nil, !forcesUser {
            try writeLine("auth_file", EnvironmentConfiguration.userListPath, from: "DB_USER")
        }
    }

    private mutating func writeUserList(_ server: DatabaseURL) throws(EnvironmentError) {
        guard let user = server.user, !forcesUser else { return }
        let line = "\(quoteForUserList(user)) \(quoteForUserList(server.password ?? ""))\n"
        guard EnvironmentConfiguration.isOneLine(String(line.dropLast())) else {
            throw EnvironmentError(variable: "DB_PASSWORD", reason: "contains a line break or a zero byte")
        }
        userList = line
    }

    private func quoteForUserList(_ text: String) -> String {
        var bytes = [UInt8(ascii: "\"")]
        for byte in text.utf8 {
            if byte == UInt8(ascii: "\"") { bytes.append(byte) }
            bytes.append(byte)
        }
        return String(decoding: bytes + [UInt8(ascii: "\"")], as: UTF8.self)
    }

    private mutating func writeLine(
        _ key: String, _ value: String, from variable: String
    ) throws(EnvironmentError) {
        guard EnvironmentConfiguration.isOneLine(key), EnvironmentConfiguration.isOneLine(value) else {
            throw EnvironmentError(variable: variable, reason: "contains a line break or a zero byte")
        }
        text += "\(key) = \(value)\n"
    }

    private static func isOneLine(_ text: String) -> Bool {
        text.utf8.allSatisfy { $0 != 0x0A && $0 != 0x0D && $0 != 0 }
    }

    /// The variable that a setting may be given by.
    static func variable(for setting: String) -> String {
        String(
            decoding: setting.utf8.map { $0 >= 0x61 && $0 <= 0x7A ? $0 & 0xDF : $0 }, as: UTF8.self)
    }
}

/// An environment variable that cannot be used.
public struct EnvironmentError: Error, Equatable, CustomStringConvertible {
    /// The variable.
    public let variable: String
    /// What is wrong with it, to be read after its name.
    public let reason: String

    /// One line for the log.
    public var description: String { "the environment variable \(variable) \(reason)" }
}

extension ConfigurationImage {
    /// The configuration that environment variables describe, for a start without a configuration file;
    /// `nil` when they do not say where servers are (`DATABASE_URL` or `DB_HOST`).
    ///
    /// - Parameter read: gives the bytes of a file (`AUTH_FILE`), `nil` when it cannot be read.
    public init?(
        environment: [(name: String, value: String)], listenersArePassed: Bool = false,
        read: (String) -> [UInt8]?
    ) throws(EnvironmentError) {
        guard let made = try EnvironmentConfiguration(environment) else { return nil }
        self.init(path: ConfigurationImage.environmentPath, listenersArePassed: listenersArePassed) { path in
            if path == ConfigurationImage.environmentPath { return Array(made.text.utf8) }
            if path == EnvironmentConfiguration.userListPath { return made.userList.map { Array($0.utf8) } }
            return read(path)
        }
    }
}
