import CLibPQ
import Testing

/// Every mode of TLS on one side against every mode on the other: who gets through how, and what the others
/// are told.
@Suite(.enabled(if: Options.isOurs)) struct TLSModeTests {
    private static let world = MatrixPostgres.shared
    private static let files = Certificates.shared

    // MARK: - Clients

    /// Modes of `client_tls_sslmode`.
    private static let modes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

    // Columns are libpq's `sslmode`; the client shows no certificate, one of the authority in
    // `client_tls_ca_file`, or one of another.
    //
    // `plain`, `tls`: so it is connected. `none`: libpq will not go on where there is no TLS. `tls!`: the
    // pooler will not go on without TLS. `missing`, `strange`: it wants to see a certificate, or another
    // one.
    private static let clients = LoginTable(
        """
        mode        shown   | disable allow   prefer  require verify-ca verify-full
        disable     none    | plain   plain   plain   none    none      none
        disable     known   | plain   plain   plain   none    none      none
        allow       none    | plain   plain   tls     tls     tls       tls
        allow       known   | plain   plain   tls     tls     tls       tls
        allow       strange | plain   plain   strange strange strange   strange
        prefer      none    | plain   plain   tls     tls     tls       tls
        prefer      known   | plain   plain   tls     tls     tls       tls
        prefer      strange | plain   plain   strange strange strange   strange
        require     none    | tls!    tls     tls     tls     tls       tls
        require     known   | tls!    tls     tls     tls     tls       tls
        require     strange | tls!    strange strange strange strange   strange
        verify-ca   none    | tls!    missing missing missing missing   missing
        verify-ca   known   | tls!    tls     tls     tls     tls       tls
        verify-ca   strange | tls!    strange strange strange strange   strange
        verify-full none    | tls!    missing missing missing missing   missing
        verify-full known   | tls!    tls     tls     tls     tls       tls
        verify-full strange | tls!    strange strange strange strange   strange
        """)

    private static func expectedOfClient(_ cell: LoginTable.Cell) -> LoginOutcome {
        switch cell.outcome {
        case "none": .refused("", "server does not support SSL, but SSL was required")
        case "tls!": .refused("28000", "SSL required")
        // Where it comes in plain first it is told that too, with an SQLSTATE.
        case "missing": .refused(cell.column == "allow" ? "28000" : "", "certificate required")
        case "strange":
            .refused(cell.column == "allow" ? "28000" : "", "unknown ca")
        default: .works(cell.outcome)
        }
    }

    private static func configuration(client mode: String) -> Configuration {
        Configuration(
            settings: [
                "client_tls_sslmode": mode, "client_tls_key_file": files.pooler.key,
                "client_tls_cert_file": files.pooler.certificate, "client_tls_ca_file": files.authority,
            ])
    }

    @Test(arguments: Setup.once, modes)
    func clientModes(setup: Setup, mode: String) async throws {
        try await withPooler(setup, Self.configuration(client: mode)) { pooler throws in
            var table = Self.clients
            table.cells = table.cells.filter { $0.row[0] == mode }
            let failures = try table.failures(Self.expectedOfClient) { cell in
                var parameters = [
                    "host": "localhost", "hostaddr": "127.0.0.1", "sslmode": cell.column,
                    "sslrootcert": Self.files.authority,
                ]
                if cell.row[1] != "none" {
                    let shown = cell.row[1] == "known" ? Self.files.certUser : Self.files.foreignUser
                    parameters["sslcert"] = shown.certificate
                    parameters["sslkey"] = shown.key
                }
                let client = try pooler.connect(parameters)
                try client.query("select 1")
                return PQsslInUse(client.raw) == 1 ? "tls" : "plain"
            }
            #expect(failures == [])
            if mode.hasPrefix("verify") {
                #expect(pooler.log.contains("peer did not return a certificate"))
            }
            if mode != "disable" { #expect(pooler.log.contains("certificate verify failed")) }
            // Over the Unix socket there is no TLS, whatever the mode.
            let local = try pooler.connect(["host": pooler.folder])
            #expect(try local.query("select 1").value == "1")
            #expect(PQsslInUse(local.raw) == 0)
        }
    }

    // MARK: - Servers

    // Columns are PostgreSQL's lines for the role: `host`, `hostssl`, `hostnossl`; and a PostgreSQL without
    // TLS.
    //
    // `plain`, `tls`: so the pooler is connected. `no`: no line is for it. `refused`: there is no TLS.
    private static let servers = LoginTable(
        """
        mode        | host  hostssl hostnossl without
        disable     | plain no      plain     plain
        allow       | tls   tls     no        plain
        prefer      | tls   tls     no        plain
        require     | tls   tls     no        refused
        verify-ca   | tls   tls     no        refused
        verify-full | tls   tls     no        refused
        """)

    private static func expectedOfServer(_ cell: LoginTable.Cell) -> LoginOutcome {
        switch cell.outcome {
        case "no":
            .refused("28000", cell.row == ["disable"] ? "no encryption" : "SSL encryption")
        case "refused": .refused("08006", "server refused SSL")
        case "unverified": .refused("08006", "certificate verify failed")
        case "misnamed": .refused("08006", "certificate is not for \"127.0.0.2\"")
        default: .works(cell.outcome)
        }
    }

    private static func encryption(_ client: Connection) throws -> String {
        try client.query(
            "select case when ssl then 'tls' else 'plain' end from pg_stat_ssl where pid = pg_backend_pid()"
        ).value ?? ""
    }

    /// A database for each mode, whose entry has it; the general mode of the pooler is another.
    @Test(arguments: Setup.once)
    func serverModes(setup: Setup) async throws {
        var configuration = Configuration(
            settings: ["server_tls_sslmode": "require", "server_tls_ca_file": Self.files.authority],
            secrets: ["host": "", "hostssl": "", "hostnossl": ""], postgres: Self.world.postgres)
        for mode in Self.modes {
            configuration.databases[mode] =
                "host=localhost port=\(Self.world.postgres.port) dbname=test server_tls_sslmode=\(mode)"
            configuration.databases["\(mode)-without"] =
                "host=127.0.0.1 port=\(Postgres.shared.port) dbname=test server_tls_sslmode=\(mode)"
        }
        try await withPooler(setup, configuration) { pooler throws in
            let failures = try Self.servers.failures(Self.expectedOfServer) { cell in
                let isWithout = cell.column == "without"
                return try Self.encryption(
                    pooler.connect(
                        database: isWithout ? "\(cell.row[0])-without" : cell.row[0],
                        user: isWithout ? "app" : cell.column))
            }
            #expect(failures == [])
            // As in the table, when the mode is the general one.
            #expect(try Self.encryption(pooler.connect(database: "test", user: "host")) == "tls")
            for row in try pooler.show("SERVERS") {
                let isEncrypted = row["tls"]?.hasPrefix("TLSv1.3/") == true
                let database = row["database"] ?? ""
                #expect(isEncrypted == !(database.hasSuffix("-without") || database == "disable"), "\(row)")
            }
        }
    }

    /// Whose certificate is believed: only what verifies one can find anything wrong with it.
    @Test(arguments: Setup.once)
    func serversHaveToProveThemselves(setup: Setup) async throws {
        let table = LoginTable(
            """
            mode        | named address elsewhere foreign    socket
            prefer      | tls   tls     tls       tls        plain
            require     | tls   tls     tls       tls        plain
            verify-ca   | tls   tls     tls       unverified plain
            verify-full | tls   tls     misnamed  unverified plain
            """)
        let (postgres, files) = (Self.world.postgres, Self.files)
        var configuration = Configuration(
            settings: ["server_tls_ca_file": files.authority], secrets: ["host": ""], postgres: postgres)
        for mode in Set(table.cells.map { $0.row[0] }) {
            let end = "port=\(postgres.port) dbname=test server_tls_sslmode=\(mode)"
            configuration.databases.merge([
                "\(mode)-named": "host=localhost \(end)", "\(mode)-address": "host=127.0.0.1 \(end)",
                "\(mode)-elsewhere": "host=127.0.0.2 \(end)",
                "\(mode)-foreign": "host=localhost \(end) server_tls_ca_file=\(files.foreignAuthority)",
                "\(mode)-socket": "host=\(postgres.folder) \(end)",
            ]) { $1 }
        }
        try await withPooler(setup, configuration) { pooler throws in
            let failures = try table.failures(Self.expectedOfServer) { cell in
                try Self.encryption(pooler.connect(database: "\(cell.row[0])-\(cell.column)", user: "host"))
            }
            #expect(failures == [])
        }
    }
}
