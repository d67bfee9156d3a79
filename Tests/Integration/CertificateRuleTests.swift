import CLibPQ
import Testing

/// Rules that ask for certificates: by `cert`, and with `clientcert` beside another method.
@Suite(.enabled(if: Options.isOurs)) struct CertificateRuleTests {
    private static let files = Certificates.shared
    /// Of our authority, with the name of somebody whom nobody knows.
    private static let somebody: Certificates.Pair = {
        do { return try files.make("somebody", common: "somebody", names: "DNS:somebody.test") } catch {
            preconditionFailure("\(error)")
        }
    }()

    private static let rules = """
        host      pgbouncer all all md5
        hostssl   cert      all all cert
        hostssl   mapped    all all cert map=m
        hostssl   pattern   all all cert map=p
        hostssl   vouched   all all scram-sha-256 clientcert=verify-ca
        hostssl   named     all all scram-sha-256 clientcert=verify-full
        hostssl   both      all all md5 clientcert=verify-full map=m
        hostssl   trusted   all all trust clientcert=verify-ca
        hostssl   stated    all all cert clientcert=verify-full
        hostnossl rest      all all md5
        hostssl   rest      all all reject
        """

    private static let maps = """
        m cert_user person
        p /^(.*)\\.test$ \\1
        """

    // Columns are the certificate that the client shows: its own (`cert_user`), that of somebody else, one of
    // another authority; none; and no TLS at all.
    //
    // `ok`: it is let in. `cert`: its certificate is not the right one. `alien`: the handshake fails. `rule`:
    // no rule is for it. `hba`: one says reject.
    private static let table = LoginTable(
        """
        database user      | own  somebody foreign none plain
        cert     cert_user | ok   cert     alien   cert rule
        cert     person    | cert cert     alien   cert rule
        mapped   person    | ok   cert     alien   cert rule
        mapped   cert_user | cert cert     alien   cert rule
        mapped   nobody    | cert cert     alien   cert rule
        pattern  cert_user | ok   cert     alien   cert rule
        pattern  somebody  | cert ok       alien   cert rule
        pattern  person    | cert cert     alien   cert rule
        vouched  cert_user | ok   ok       alien   cert rule
        vouched  person    | ok   ok       alien   cert rule
        named    cert_user | ok   cert     alien   cert rule
        named    person    | cert cert     alien   cert rule
        both     person    | ok   cert     alien   cert rule
        both     cert_user | cert cert     alien   cert rule
        trusted  person    | ok   ok       alien   cert rule
        stated   cert_user | ok   cert     alien   cert rule
        rest     person    | hba  hba      alien   hba  ok
        """)

    private static func configuration() throws -> Configuration {
        let folder = try Folder.shared.make("certificates")
        try writeFile("\(folder)/hba.conf", rules)
        try writeFile("\(folder)/ident.conf", maps)
        var configuration = Configuration(
            settings: [
                "auth_type": "hba", "auth_hba_file": "\(folder)/hba.conf",
                "auth_ident_file": "\(folder)/ident.conf", "client_tls_sslmode": "prefer",
                "client_tls_key_file": files.pooler.key, "client_tls_cert_file": files.pooler.certificate,
                "client_tls_ca_file": files.authority,
            ], secrets: ["cert_user": "pw", "person": "pw", "somebody": "pw"])
        let server = "host=127.0.0.1 port=\(Postgres.shared.port) dbname=test user=app"
        for name in Set(table.cells.map { $0.row[0] }) { configuration.databases[name] = server }
        return configuration
    }

    private static func connect(
        _ pooler: Pooler, _ database: String, _ user: String, _ shown: String, password: String = "pw"
    ) throws -> Connection {
        var parameters = ["host": "127.0.0.1", "sslmode": shown == "plain" ? "disable" : "require"]
        let pair: Certificates.Pair? =
            switch shown {
            case "own": files.certUser
            case "somebody": somebody
            case "foreign": files.foreignUser
            default: nil
            }
        parameters["sslcert"] = pair?.certificate
        parameters["sslkey"] = pair?.key
        return try pooler.connect(database: database, user: user, password: password, parameters)
    }

    @Test(arguments: Setup.once)
    func whoMayComeInWithWhichCertificate(setup: Setup) async throws {
        try await withPooler(setup, try await onThreadValue { try Self.configuration() }) { pooler throws in
            let failures = try Self.table.failures { cell in
                switch cell.outcome {
                case "cert":
                    .refused("28000", "certificate authentication failed for user \"\(cell.row[1])\"")
                case "alien": .refused("", "unknown ca")
                case "rule": .refused("28000", "no authentication method is found")
                case "hba": .refused("28000", "login rejected")
                default: .works("app")
                }
            } _: { cell in
                try Self.connect(pooler, cell.row[0], cell.row[1], cell.column)
                    .query("select current_user").value ?? ""
            }
            #expect(failures == [])
        }
    }

    /// Beside `clientcert` the method stays what it is.
    @Test(arguments: Setup.once)
    func aCertificateIsNoPassword(setup: Setup) async throws {
        try await withPooler(setup, try await onThreadValue { try Self.configuration() }) { pooler throws in
            for (database, user, text) in [
                ("vouched", "cert_user", "SASL authentication failed for user"),
                ("named", "cert_user", "SASL authentication failed for user"),
                ("both", "person", "password authentication failed for user"),
                ("trusted", "nobody", "\"trust\" authentication failed for user"),
            ] {
                let found = try LoginOutcome.text {
                    _ = try Self.connect(pooler, database, user, "own", password: "wrong")
                    return "in"
                }
                #expect(found.contains(text), "\(database): \(found)")
            }
        }
    }

    /// Where clients are asked for no certificate none can be shown, whatever a rule says.
    @Test(arguments: Setup.once)
    func withoutAuthoritiesNoCertificateCounts(setup: Setup) async throws {
        var configuration = try await onThreadValue { try Self.configuration() }
        configuration.settings["client_tls_ca_file"] = ""
        try await withPooler(setup, configuration) { pooler throws in
            for (database, user) in [("cert", "cert_user"), ("vouched", "person"), ("trusted", "person")] {
                let found = try LoginOutcome.text {
                    _ = try Self.connect(pooler, database, user, "own")
                    return "in"
                }
                #expect(found.contains("certificate authentication failed"), "\(database): \(found)")
            }
        }
    }
}
