import CLibPQ
import Testing

/// TLS on both sides of the pooler, against a PostgreSQL with TLS.
@Suite(.enabled(if: Options.isOurs)) struct TLSTests {
    private static let files = Certificates.shared

    /// A pooler with a certificate, whose servers are at the PostgreSQL with TLS.
    private static func configuration(
        client: String = "prefer", server: String = "prefer", _ more: [String: String] = [:],
        database: String = ""
    ) -> Configuration {
        var configuration = Configuration(
            settings: [
                "auth_type": "scram-sha-256", "client_tls_sslmode": client,
                "client_tls_key_file": files.pooler.key, "client_tls_cert_file": files.pooler.certificate,
                "server_tls_sslmode": server, "server_tls_ca_file": files.authority,
            ], postgres: .encrypted)
        configuration.settings.merge(more) { _, new in new }
        configuration.databases["test"] =
            "host=localhost port=\(Postgres.encrypted.port) dbname=test \(database)"
        return configuration
    }

    private static func connect(
        _ pooler: Pooler, _ mode: String, user: String = "scram_user", _ more: [String: String] = [:],
        afterAnswer: (() throws -> Void)? = nil
    ) throws -> Connection {
        var parameters = ["host": "localhost", "sslmode": mode, "sslrootcert": files.authority]
        parameters.merge(more) { _, new in new }
        return try pooler.connect(
            user: user, password: Postgres.password, parameters, afterAnswer: afterAnswer)
    }

    private static let isServerEncrypted = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"

    // MARK: - Certificates

    /// A client that has to show a certificate, to us and we to PostgreSQL.
    @Test(arguments: Setup.once)
    func certificatesOfClients(setup: Setup) async throws {
        let (files, user) = (Self.files, Self.files.certUser)
        let settings = [
            "auth_type": "trust", "client_tls_ca_file": files.authority,
            "server_tls_cert_file": user.certificate, "server_tls_key_file": user.key,
        ]
        var configuration = Self.configuration(client: "verify-ca", server: "require", settings)
        configuration.secrets["cert_user"] = ""
        try await withPooler(setup, configuration) { pooler throws in
            #expect(throws: PostgresError.self) { try Self.connect(pooler, "require", user: "cert_user") }
            try eventually("the log says why") { pooler.log.contains("peer did not return a certificate") }
            let client = try Self.connect(
                pooler, "verify-full", user: "cert_user",
                ["sslcert": user.certificate, "sslkey": user.key])
            #expect(try client.query("select current_user").value == "cert_user")
        }
    }

    /// A reload takes another certificate into use without ending anybody, and a broken one not at all.
    @Test(arguments: Setup.transaction)
    func certificatesAreReloaded(setup: Setup) async throws {
        try await onThread {
            let pair = try Self.files.make(
                "rotated-\(setup.backend)-\(setup.workers)", common: "localhost", names: "DNS:localhost")
            let folder = try Folder.shared.make("rotation")
            let (key, certificate) = ("\(folder)/key", "\(folder)/certificate")
            try writeFile(key, try readFile(Self.files.pooler.key))
            try writeFile(certificate, try readFile(Self.files.pooler.certificate))
            let configuration = Self.configuration(
                client: "require", ["client_tls_key_file": key, "client_tls_cert_file": certificate])
            try Pooler(setup, configuration).run { pooler in
                let before = try Self.connect(pooler, "verify-full")
                #expect(try before.query("select 1").value == "1")
                let server = try pooler.show("SERVERS", tls: true).first?["id"]
                try writeFile(certificate, "nonsense")
                let error = #expect(throws: PostgresError.self) {
                    try pooler.console(tls: true).query("RELOAD")
                }
                #expect(error?.message.contains("TLS setup failed") == true, "\(String(describing: error))")
                #expect(try Self.serial(pooler) == Self.serial(of: Self.files.pooler.certificate))
                try writeFile(certificate, try readFile(pair.certificate))
                try writeFile(key, try readFile(pair.key))
                try pooler.console(tls: true).query("RELOAD")
                for _ in 0..<8 { #expect(try Self.serial(pooler) == Self.serial(of: pair.certificate)) }
                #expect(try before.query("select 2").value == "2")
                #expect(try Self.connect(pooler, "verify-full").query("select 3").value == "3")
                #expect(try pooler.show("SERVERS", tls: true).contains { $0["id"] == server })
            }
        }
    }

    private static func serial(_ pooler: Pooler) throws -> String {
        try serial(
            fromShell:
                "openssl s_client -connect 127.0.0.1:\(pooler.port) -starttls postgres </dev/null 2>/dev/null"
        )
    }

    private static func serial(of certificate: String) throws -> String {
        try serial(fromShell: "cat \(certificate)")
    }

    private static func serial(fromShell source: String) throws -> String {
        try Child.output(of: ["sh", "-c", "\(source) | openssl x509 -noout -serial"])
    }

    // MARK: - Channel binding

    /// A login is bound to the certificate that the client has been shown, not to one that has come into use
    /// meanwhile.
    @Test(arguments: Setup.transaction)
    func aCertificateIsReloadedDuringALogin(setup: Setup) async throws {
        try await onThread {
            let folder = try Folder.shared.make("binding")
            let (key, certificate) = ("\(folder)/key", "\(folder)/certificate")
            try writeFile(key, try readFile(Self.files.pooler.key))
            try writeFile(certificate, try readFile(Self.files.pooler.certificate))
            let pair = try Self.files.make(
                "binding-\(setup.backend)-\(setup.workers)", common: "localhost", names: "DNS:localhost")
            let configuration = Self.configuration(
                client: "require", ["client_tls_key_file": key, "client_tls_cert_file": certificate])
            try Pooler(setup, configuration).run { pooler in
                let client = try Self.connect(pooler, "require", ["channel_binding": "require"]) {
                    try writeFile(certificate, try readFile(pair.certificate))
                    try writeFile(key, try readFile(pair.key))
                    try pooler.console(tls: true).query("RELOAD")
                }
                #expect(try client.query("select 1").value == "1")
                let other = try Self.connect(pooler, "require", ["channel_binding": "require"])
                #expect(try other.query("select 1").value == "1")
            }
        }
    }

    // MARK: - Data

    /// Large results and large queries, in pieces that are no records, through both sessions.
    @Test(arguments: Setup.all)
    func bulk(setup: Setup) async throws {
        let configuration = Self.configuration(client: "require", server: "require")
        try await withPooler(setup, configuration) { pooler throws in
            let client = try Self.connect(pooler, "require")
            for size in [1, 1_000, 16_383, 16_384, 100_000, 20_000_000] {
                let text = String(repeating: "y", count: size)
                #expect(try client.query("select length('\(text)')").value == "\(size)")
                let back = try client.query("select repeat('z', \(size))").value
                #expect(back?.utf8.count == size)
            }
        }
    }

    /// One server serves the clients of all workers through its own TLS session: no other is opened.
    @Test(arguments: Setup.transaction)
    func oneEncryptedServerServesAllWorkers(setup: Setup) async throws {
        let configuration = Self.configuration(
            client: "require", server: "require", ["default_pool_size": "1", "test_keep_clients": "1"])
        try await withPooler(setup, configuration) { pooler throws in
            let clients = try (0..<12).map { _ in try Self.connect(pooler, "require") }
            let pids = try (0..<60).map { turn in
                try clients[turn % 12].query("select pg_backend_pid()").value
            }
            #expect(Set(pids).count == 1)
            let rows = try pooler.show("SERVERS", tls: true)
            #expect(rows.count == 1)
            #expect(rows.first?["tls"]?.hasPrefix("TLSv1.3/") == true)
        }
    }

    /// Restarts while encrypted clients are busy: they stay with their workers, and go on. Servers whose
    /// sessions are other workers' come and go all the while.
    @Test(arguments: Setup.transaction.filter { $0.workers > 1 })
    func encryptedClientsStayOverRestarts(setup: Setup) async throws {
        let configuration = Self.configuration(
            client: "require", server: "require", ["default_pool_size": "3"])
        try await withPooler(setup, configuration) { pooler throws in
            let clients = try (0..<6).map { _ in try Self.connect(pooler, "require") }
            for round in 0..<4 {
                if round > 0 { try pooler.console(tls: true).query("RESTART FORCE") }
                for turn in 0..<40 {
                    for client in clients { try client.send("select \(turn)") }
                    for client in clients { #expect(try client.finish().value == "\(turn)") }
                }
            }
        }
    }

    // MARK: - Certificates and rules

    /// `auth_type = cert`, and a rule that asks for a certificate under another name.
    @Test(arguments: Setup.once)
    func certificatesInsteadOfPasswords(setup: Setup) async throws {
        let (files, user) = (Self.files, Self.files.certUser)
        let own = ["sslcert": user.certificate, "sslkey": user.key]
        let settings = ["auth_type": "cert", "client_tls_ca_file": files.authority]
        var configuration = Self.configuration(client: "verify-full", server: "disable", settings)
        configuration.secrets["cert_user"] = ""
        configuration.databases["test"] =
            "host=127.0.0.1 port=\(Postgres.encrypted.port) dbname=test user=app"
        try await withPooler(setup, configuration) { pooler throws in
            let client = try Self.connect(pooler, "verify-full", user: "cert_user", own)
            #expect(try client.query("select 1").value == "1")
            let error = #expect(throws: PostgresError.self) {
                try Self.connect(pooler, "verify-full", user: "scram_user", own)
            }
            #expect(error?.message.contains("certificate authentication failed") == true)
        }
    }

    // MARK: - What else may come

    @Test(arguments: Setup.transaction)
    func strangers(setup: Setup) async throws {
        try await withPooler(setup, Self.configuration(client: "require")) { pooler throws in
            let address = "127.0.0.1:\(pooler.port)"
            func ask(_ options: String) throws -> String {
                try Child.output(of: [
                    "sh", "-c",
                    "openssl s_client -connect \(address) \(options) </dev/null 2>&1 || true",
                ])
            }
            #expect(try ask("-alpn postgresql").contains("ALPN protocol: postgresql"))
            #expect(try ask("-alpn h2").contains("no application protocol"))
            #expect(try ask("-quiet -tls1_1 -cipher ALL@SECLEVEL=0").contains("protocol version"))
            let session = try ask("-starttls postgres -tls1_2")
            #expect(session.contains("Protocol  : TLSv1.2"))
            #expect(session.contains("Secure Renegotiation IS supported"))
            #expect(!session.contains("TLS session ticket"))
            #expect(!(try ask("-starttls postgres -tls1_3")).contains("New Session Ticket"))

            // What is put behind the request in plain is not taken for encrypted.
            let raw = try pooler.raw()
            try raw.send([0, 0, 0, 8, 4, 210, 22, 47, 0, 0, 0, 9])
            let answer = try raw.receiveToEnd().first
            #expect(
                answer.map { String(decoding: $0.body, as: UTF8.self) }?
                    .contains("received unencrypted data after SSL request") == true)
            // No TLS at all where a handshake is due.
            let noise = try pooler.raw()
            try noise.send([0, 0, 0, 8, 4, 210, 22, 47])
            #expect(try noise.receiveByte() == "S")
            try noise.send(Array("GET / HTTP/1.1\r\n\r\n".utf8))
            while try noise.receiveByte() != nil {}
            #expect(try Self.connect(pooler, "require").query("select 1").value == "1")
        }
    }

    /// What is the matter is said at the start and by a reload, with the name of the setting.
    @Test(arguments: [
        (["client_tls_sslmode": "require"], "client_tls_key_file"),
        (["client_tls_cert_file": "/nowhere"], "TLS setup failed: client_tls_cert_file"),
        (["client_tls_ciphers": "nonsense"], "no cipher of"),
        (["client_tls_protocols": "sslv2"], "unknown TLS version"),
        (["server_tls_sslmode": "verify-ca", "server_tls_ca_file": "/nowhere"], "server_tls_ca_file"),
        (["client_tls_sslmode": "verify-ca", "client_tls_ca_file": ""], "no authorities"),
        (["server_tls_sslmode": "verify-ca", "server_tls_ca_file": "/dev/null"], "/dev/null is empty"),
    ])
    func mistakes(settings: [String: String], text: String) async throws {
        try await onThread {
            var configuration = Self.configuration(client: "require", settings)
            if settings["client_tls_sslmode"] == "require" {
                configuration.settings["client_tls_key_file"] = ""
            }
            let error = #expect(throws: Failure.self) {
                try Pooler(Setup.once[0], configuration).stop()
            }
            #expect(error?.description.contains(text) == true, "\(String(describing: error))")
        }
    }
}
