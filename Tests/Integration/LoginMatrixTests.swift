import CLibPQ
import Glibc
import Testing

/// Every way in which a client proves itself to the pooler, with every form of its secret in the user list,
/// against every way in which PostgreSQL has the pooler prove itself: what can work does, and what cannot
/// is refused with a message that says why.
@Suite(.enabled(if: Options.isOurs)) struct LoginMatrixTests {
    private static let world = MatrixPostgres.shared
    private static let files = Certificates.shared

    /// How clients and servers are connected, and who says how a client proves itself.
    enum Way: CaseIterable {
        case rulesWithTLS, rulesInPlain, typeTrust, typePlain, typeMD5, typeSCRAM

        /// The value of `auth_type`, and its name in the table; `nil` with rules.
        var type: (value: String, name: String)? {
            switch self {
            case .rulesWithTLS, .rulesInPlain: nil
            case .typeTrust: ("trust", "trust")
            case .typePlain: ("plain", "plain")
            case .typeMD5: ("md5", "md5")
            case .typeSCRAM: ("scram-sha-256", "scram")
            }
        }
    }

    // `ok`: it works. `type`: the pooler has nothing that proves the user to PostgreSQL. `hba`:
    // PostgreSQL's rule says reject. `user`, `sasl`: the client cannot prove who it is.
    //
    // A SCRAM secret opens a server that asks by SCRAM only when a client has proved itself by SCRAM
    // against it, which with md5 one with such a secret does too.
    private static let table = LoginTable(
        """
        client stored | trust password md5  md5scram scram cert reject
        trust  none   | ok    type     type type     type  ok   hba
        trust  plain  | ok    ok       ok   ok       ok    ok   hba
        trust  md5    | ok    type     ok   type     type  ok   hba
        trust  scram  | ok    type     type type     type  ok   hba
        plain  none   | user  user     user user     user  user user
        plain  plain  | ok    ok       ok   ok       ok    ok   hba
        plain  md5    | ok    type     ok   type     type  ok   hba
        plain  scram  | ok    type     type type     type  ok   hba
        md5    none   | user  user     user user     user  user user
        md5    plain  | ok    ok       ok   ok       ok    ok   hba
        md5    md5    | ok    type     ok   type     type  ok   hba
        md5    scram  | ok    type     type ok       ok    ok   hba
        scram  none   | sasl  sasl     sasl sasl     sasl  sasl sasl
        scram  plain  | ok    ok       ok   ok       ok    ok   hba
        scram  md5    | sasl  sasl     sasl sasl     sasl  sasl sasl
        scram  scram  | ok    type     type ok       ok    ok   hba
        cert   none   | ok    type     type type     type  ok   hba
        cert   plain  | ok    ok       ok   ok       ok    ok   hba
        cert   md5    | ok    type     ok   type     type  ok   hba
        cert   scram  | ok    type     type type     type  ok   hba
        """)

    private static func expected(_ cell: LoginTable.Cell, isEncrypted: Bool) -> LoginOutcome {
        if cell.row[0] == "cert", !isEncrypted {
            return .refused("28000", "no authentication method is found")
        }
        switch cell.outcome {
        case "user": return .refused("28P01", "authentication failed for user \"\(name(cell))\"")
        case "sasl": return .refused("28P01", "SASL authentication failed for user \"\(name(cell))\"")
        case _ where cell.column == "cert" && !isEncrypted:
            return .refused("28000", "no pg_hba.conf entry for host")
        case "type": return .refused("28P01", "server login failed: wrong password type")
        case "hba": return .refused("28000", "pg_hba.conf rejects connection for host")
        default: return .works(name(cell))
        }
    }

    /// The role that is there for one cell.
    private static func name(_ cell: LoginTable.Cell) -> String {
        (cell.row + [cell.column]).joined(separator: "_")
    }

    /// A pooler with a rule for each database, which is called as the method is in the table.
    private static func configuration(isEncrypted: Bool = true, rules: String = "") throws -> Configuration {
        let folder = try Folder.shared.make("matrix")
        let own = getpwuid(geteuid()).map { String(cString: $0.pointee.pw_name) } ?? ""
        try writeFile("\(folder)/ident.conf", "any cert_user all\nany \(own) all\n")
        try writeFile(
            "\(folder)/hba.conf",
            rules + """

                host    pgbouncer all all md5
                host    trust     all all trust
                host    plain     all all password
                host    md5       all all md5
                host    scram     all all scram-sha-256
                hostssl cert      all all cert map=any
                local   peer      all     peer map=any

                """)
        var configuration = Configuration(
            settings: [
                "auth_type": "hba", "auth_hba_file": "\(folder)/hba.conf",
                "auth_ident_file": "\(folder)/ident.conf", "default_pool_size": "1",
                "client_tls_sslmode": isEncrypted ? "allow" : "disable",
                "client_tls_key_file": files.pooler.key, "client_tls_cert_file": files.pooler.certificate,
                "client_tls_ca_file": files.authority,
                "server_tls_sslmode": isEncrypted ? "verify-full" : "disable",
                "server_tls_ca_file": files.authority, "server_tls_key_file": world.certificate.key,
                "server_tls_cert_file": world.certificate.certificate,
            ], secrets: world.secrets, postgres: world.postgres)
        let server = "host=127.0.0.1 port=\(world.postgres.port) dbname=test"
        for name in MatrixPostgres.clients + ["peer"] { configuration.databases[name] = server }
        return configuration
    }

    /// Logs in and says who PostgreSQL takes the client for.
    private static func logIn(
        _ pooler: Pooler, _ database: String, _ user: String, isEncrypted: Bool = true,
        _ parameters: [String: String] = [:]
    ) throws -> String {
        try connect(pooler, database, user, isEncrypted: isEncrypted, parameters)
            .query("select current_user").value ?? ""
    }

    private static func connect(
        _ pooler: Pooler, _ database: String, _ user: String, isEncrypted: Bool = true,
        _ parameters: [String: String] = [:]
    ) throws -> Connection {
        var all = [
            "host": "localhost", "hostaddr": "127.0.0.1", "sslmode": isEncrypted ? "verify-full" : "disable",
            "sslrootcert": files.authority,
        ]
        if isEncrypted, database == "cert" {
            all["sslcert"] = files.certUser.certificate
            all["sslkey"] = files.certUser.key
        }
        all.merge(parameters) { _, new in new }
        return try pooler.connect(database: database, user: user, password: MatrixPostgres.password, all)
    }

    private static func checkLog(_ pooler: Pooler) {
        for secret in [MatrixPostgres.password, "SCRAM-SHA-256$"] {
            #expect(!pooler.log.contains(secret), "the log has a secret")
        }
    }

    @Test(arguments: Setup.once, Way.allCases)
    func methodByMethod(setup: Setup, way: Way) async throws {
        try await onThread {
            let isEncrypted = way != .rulesInPlain
            var configuration = try Self.configuration(isEncrypted: isEncrypted)
            var table = Self.table
            if let type = way.type {
                configuration.settings["auth_type"] = type.value
                table.cells = table.cells.filter {
                    $0.row[0] == type.name && ["trust", "scram"].contains($0.column)
                }
            }
            try Pooler(setup, configuration).run { pooler in
                let failures = try table.failures {
                    Self.expected($0, isEncrypted: isEncrypted)
                } _: { cell in
                    try Self.logIn(pooler, cell.row[0], Self.name(cell), isEncrypted: isEncrypted)
                }
                #expect(failures == [])
                Self.checkLog(pooler)
            }
        }
    }

    // MARK: - What goes together

    /// Clients that insist on channel binding get it where they prove themselves by SCRAM, and with the
    /// keys of such a proof the server is logged in to with channel binding too. Elsewhere their own
    /// library refuses.
    @Test(arguments: Setup.transaction)
    func channelBinding(setup: Setup) async throws {
        let table = LoginTable(
            """
            client stored server | require prefer disable inPlain
            scram  scram  scram  | ok      ok     ok      no
            scram  plain  scram  | ok      ok     ok      no
            scram  plain  md5    | ok      ok     ok      no
            md5    scram  scram  | ok      ok     ok      no
            md5    plain  scram  | no      ok     ok      no
            plain  plain  scram  | no      ok     ok      no
            trust  plain  scram  | no      ok     ok      no
            cert   plain  scram  | no      ok     ok      rule
            """)
        try await onThread {
            try Pooler(setup, try Self.configuration()).run { pooler in
                let failures = try table.failures { cell in
                    switch cell.outcome {
                    case "no": .refused("", "channel binding")
                    case "rule": .refused("28000", "no authentication method is found")
                    default: .works(cell.row.joined(separator: "_"))
                    }
                } _: { cell in
                    let isInPlain = cell.column == "inPlain"
                    return try Self.logIn(
                        pooler, cell.row[0], cell.row.joined(separator: "_"), isEncrypted: !isInPlain,
                        ["channel_binding": isInPlain ? "require" : cell.column])
                }
                #expect(failures == [])
            }
        }
    }

    /// Whose secret opens PostgreSQL where the database names its user or its password.
    @Test(arguments: Setup.transaction)
    func forcedUsers(setup: Setup) async throws {
        try await onThread {
            let rules = "host /^forced all all scram-sha-256\nhost /^given all all trust"
            var configuration = try Self.configuration(rules: rules)
            let server = "host=127.0.0.1 port=\(Self.world.postgres.port) dbname=test"
            let word = "password='\(MatrixPostgres.password)'"
            for (name, more) in [
                ("forced_keys", "user=scram_scram_scram"), ("forced_plain", "user=scram_plain_scram"),
                ("forced_md5", "user=scram_md5_md5"), ("forced_wrong", "user=scram_md5_scram"),
                ("forced_word", "user=trust_md5_scram \(word)"), ("forced_cert", "user=scram_none_cert"),
                ("given_word", word), ("given_nothing", ""),
            ] { configuration.databases[name] = "\(server) \(more)" }
            try Pooler(setup, configuration).run { pooler in
                func attempt(_ database: String, _ user: String = "scram_scram_trust") throws -> String {
                    try LoginOutcome.text { try Self.logIn(pooler, database, user) }
                }
                let wrong = LoginOutcome.refused("28P01", "server login failed: wrong password type")
                #expect(try attempt("forced_plain") == "scram_plain_scram")
                #expect(try attempt("forced_md5") == "scram_md5_md5")
                #expect(try attempt("forced_word") == "trust_md5_scram")
                #expect(try attempt("forced_cert") == "scram_none_cert")
                #expect(wrong.fits(try attempt("forced_wrong")))
                // The client's own keys are not those of the forced user, who has to show his somewhere.
                #expect(wrong.fits(try attempt("forced_keys")))
                let himself = try Self.connect(pooler, "scram", "scram_scram_scram")
                #expect(try attempt("forced_keys") == "scram_scram_scram")
                #expect(try himself.query("select current_user").value == "scram_scram_scram")
                // A password without a user is that of whoever logs in.
                #expect(try attempt("given_word", "trust_scram_scram") == "trust_scram_scram")
                #expect(wrong.fits(try attempt("given_nothing", "trust_scram_scram")))
                Self.checkLog(pooler)
            }
        }
    }

    /// Who is known by the kernel has given no password: what the user list has is all there is.
    @Test(arguments: Setup.once)
    func peers(setup: Setup) async throws {
        let table = LoginTable(
            """
            stored | trust password md5  scram cert reject
            none   | ok    type     type type  ok   hba
            plain  | ok    ok       ok   ok    ok   hba
            md5    | ok    type     ok   type  ok   hba
            scram  | ok    type     type type  ok   hba
            """)
        try await onThread {
            try Pooler(setup, try Self.configuration()).run { pooler in
                let failures = try table.failures {
                    Self.expected($0.prefixed("trust"), isEncrypted: true)
                } _: { cell in
                    let user = Self.name(cell.prefixed("trust"))
                    return try pooler.connect(database: "peer", user: user, ["host": pooler.folder])
                        .query("select current_user").value ?? ""
                }
                #expect(failures == [])
            }
        }
    }

    // MARK: - auth_query

    /// Of these users the list knows nothing: what opens PostgreSQL is what PostgreSQL itself has told.
    @Test(arguments: Setup.transaction)
    func whoIsLookedUp(setup: Setup) async throws {
        let table = LoginTable(
            """
            client | trust password md5  md5scram scram cert reject
            trust  | ok    type     ok   type     type  ok   hba
            plain  | ok    type     ok   type     type  ok   hba
            md5    | ok    type     ok   ok       ok    ok   hba
            scram  | ok    type     sasl ok       ok    ok   hba
            cert   | ok    type     ok   type     type  ok   hba
            """)
        try await onThread {
            var configuration = try Self.configuration()
            configuration.secrets = [:]
            configuration.settings["auth_user"] = "postgres"
            try Pooler(setup, configuration).run { pooler in
                let failures = try table.failures {
                    Self.expected($0.followed(by: "none"), isEncrypted: true)
                } _: { cell in
                    try Self.logIn(pooler, cell.row[0], Self.name(cell.followed(by: "none")))
                }
                #expect(failures == [])
                for (database, text) in [
                    ("trust", "28000 .*\"trust\" authentication failed"), ("plain", "28P01"),
                    ("md5", "28P01"),
                    ("scram", "28P01"), ("cert", "28000 .*certificate authentication failed"),
                ] {
                    let found = try LoginOutcome.text { try Self.logIn(pooler, database, "nobody_here") }
                    #expect(try found.contains(Regex(text)), "\(database): \(found)")
                }
                Self.checkLog(pooler)
            }
        }
    }
}

extension LoginTable.Cell {
    /// The cell of a larger table, in whose rows this word comes first.
    fileprivate func prefixed(_ word: String) -> Self {
        Self(row: [word] + row, column: column, outcome: outcome)
    }

    /// The same with a word that comes last.
    fileprivate func followed(by word: String) -> Self {
        Self(row: row + [word], column: column, outcome: outcome)
    }
}
