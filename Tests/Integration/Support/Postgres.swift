import Glibc

/// A PostgreSQL of the tests: a cluster in a temporary folder, on the loopback interface and a Unix socket.
///
/// Roles: `postgres` (superuser), `app` and `other` (no password asked), and `plain_user`, `md5_user`,
/// `scram_user` (asked for theirs in the way their name says; password `secret`). Databases: `test`,
/// `second`.
final class Postgres: @unchecked Sendable {
    /// One that the tests share. It is never stopped or reconfigured.
    static let shared: Postgres = {
        do { return try Postgres() } catch { preconditionFailure("\(error)") }
    }()

    let port: Int
    let folder: String
    private var process: Child?
    private let extraSettings: [String: String]
    private let accessRules: String
    /// One with TLS, which the tests of TLS share: `md5_user` and `scram_user` are let in with TLS alone, and
    /// `cert_user` with a certificate of the tests' authority.
    static let encrypted: Postgres = {
        do {
            let files = Certificates.shared
            return try Postgres(
                settings: [
                    "ssl": "on", "ssl_cert_file": files.server.certificate, "ssl_key_file": files.server.key,
                    "ssl_ca_file": files.authority,
                ],
                accessRules: """
                    local all all trust
                    hostssl all md5_user 127.0.0.1/32 md5
                    hostssl all scram_user 127.0.0.1/32 scram-sha-256
                    hostssl all cert_user 127.0.0.1/32 cert
                    host all md5_user,scram_user,cert_user 127.0.0.1/32 reject
                    host all plain_user 127.0.0.1/32 password
                    host all,replication all 127.0.0.1/32 trust

                    """)
        } catch { preconditionFailure("\(error)") }
    }()

    static let tools: String = {
        if let configured = getenv("PG_BIN") { return String(cString: configured) }
        let found = try? Child.output(of: [
            "sh", "-c", "ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1",
        ])
        return found?.split(separator: "\n").last.map(String.init) ?? "/usr/lib/postgresql/15/bin"
    }()

    static let password = "secret"

    /// Makes a cluster and starts it.
    init(settings: [String: String] = [:], accessRules: String = Postgres.accessRules) throws {
        self.accessRules = accessRules
        port = try freePort()
        folder = try Folder.shared.make("postgres")
        extraSettings = settings
        try Child.run([
            "\(Self.tools)/initdb", "--pgdata=\(folder)/data", "--username=postgres", "--auth=trust",
            "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8",
        ])
        try writeFile("\(folder)/data/pg_hba.conf", accessRules)
        try start()
        try prepare()
    }

    static let accessRules = """
        local all all trust
        host all plain_user 127.0.0.1/32 password
        host all md5_user 127.0.0.1/32 md5
        host all scram_user 127.0.0.1/32 scram-sha-256
        host replication scram_user 127.0.0.1/32 scram-sha-256
        host all,replication all 127.0.0.1/32 trust

        """

    private func prepare() throws {
        let connection = try connect(database: "postgres", user: "postgres")
        for statement in [
            "create role app login", "create role other login", "create role replicator login replication",
            "create role cert_user login",
            "create role plain_user login password '\(Self.password)'",
            "set password_encryption = 'md5'", "create role md5_user login password '\(Self.password)'",
            "set password_encryption = 'scram-sha-256'",
            "create role scram_user login password '\(Self.password)'",
            "create database test owner app", "create database second owner app",
            "grant pg_signal_backend, pg_monitor to app",
        ] {
            try connection.query(statement)
        }
        let test = try connect(database: "test", user: "postgres")
        try test.query("grant all on schema public to public")
    }

    /// Starts the server and waits until it accepts connections.
    func start() throws {
        var arguments = ["\(Self.tools)/postgres", "-D", "\(folder)/data"]
        var settings = [
            "port": "\(port)", "listen_addresses": "127.0.0.1", "unix_socket_directories": folder,
            "fsync": "off", "synchronous_commit": "off", "max_connections": "300", "wal_level": "logical",
            "shared_buffers": "64MB", "max_wal_size": "4GB", "autovacuum": "off", "log_connections": "off",
        ]
        settings.merge(extraSettings) { _, new in new }
        for (name, value) in settings { arguments += ["-c", "\(name)=\(value)"] }
        let process = try Child(arguments, output: "\(folder)/log")
        self.process = process
        try eventually("PostgreSQL accepts connections") {
            if let ending = process.ending() {
                throw Failure("PostgreSQL \(ending): \(try readFile("\(folder)/log"))")
            }
            return (try? connect(database: "postgres", user: "postgres")) != nil
        }
    }

    /// How PostgreSQL is told to stop.
    enum Shutdown { case smart, fast, immediate }

    func stop(_ shutdown: Shutdown = .fast) throws {
        guard let process else { return }
        switch shutdown {
        case .smart: process.signal(SIGTERM)
        case .fast: process.signal(SIGINT)
        case .immediate: process.signal(SIGQUIT)
        }
        try process.wait(60)
        self.process = nil
    }

    /// A connection around the pooler.
    func connect(database: String = "test", user: String = "app") throws -> Connection {
        try Connection([
            "host": folder, "port": "\(port)", "dbname": database, "user": user,
            "application_name": "direct",
        ])
    }

    /// What a superuser sees in a query, around the pooler.
    @discardableResult
    func ask(_ query: String, database: String = "test") throws -> String? {
        try connect(database: database, user: "postgres").query(query).value
    }

    /// The secret that PostgreSQL stores for a role.
    func storedSecret(_ role: String) throws -> String {
        let secret = try ask("select rolpassword from pg_authid where rolname = '\(role)'")
        guard let secret else { throw Failure("\(role) has no password") }
        return secret
    }
}
