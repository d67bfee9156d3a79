import CLibPQ
import Glibc
import Testing

/// Passwords that an LDAP server judges.
@Suite(
    .enabled(if: Options.isOurs && LDAPDirectory.isInstalled, "needs pgsluice and Debian's package slapd"))
struct LDAPTests {
    private static let search =
        "ldapbasedn=\"dc=example,dc=net\" ldapbinddn=\"cn=admin,dc=example,dc=net\" "
        + "ldapbindpasswd=\"search me\""

    private func message(_ body: () throws -> Void) -> String {
        do { try body() } catch { return (error as? PostgresError)?.message ?? "\(error)" }
        return "in"
    }

    /// A configuration with a rule for each database, and options behind its method.
    private func configuration(
        _ directory: LDAPDirectory, _ options: [(database: String, text: String)], authority: String? = nil
    ) throws -> Configuration {
        let folder = try Folder.shared.make("rules")
        let rules = options.map { "host \($0.database) all all ldap \($0.text)\n" }.joined()
        try writeFile("\(folder)/hba.conf", rules + "host all admin all md5\n")
        var configuration = Configuration(
            settings: ["auth_type": "hba", "auth_hba_file": "\(folder)/hba.conf"],
            environment: ["LDAPTLS_CACERT": authority ?? directory.certificate])
        for (database, _) in options {
            configuration.databases[database] =
                "host=127.0.0.1 port=\(Postgres.shared.port) dbname=test user=app"
        }
        return configuration
    }

    @Test(arguments: Setup.once)
    func anLDAPServerJudges(setup: Setup) async throws {
        try await onThread {
            let directory = try LDAPDirectory()
            let server = "ldapserver=127.0.0.1 ldapport=\(directory.port)"
            let name = "ldapprefix=\"uid=\" ldapsuffix=\",ou=people,dc=example,dc=net\""
            let encrypted = "ldapscheme=ldaps ldapserver=127.0.0.1 ldapport=\(directory.encryptedPort)"
            let ways = [
                ("named", "\(server) \(name)"), ("found", "\(server) \(Self.search)"),
                ("mail", "\(server), \(Self.search), ldapsearchfilter=\"(mail=$username@example.net)\""),
                ("tls", "\(server) ldaptls=1 \(Self.search)"), ("ldaps", "\(encrypted) \(name)"),
                ("second", "ldapserver=\"127.0.0.1:1 127.0.0.1:\(directory.port)\" \(name)"),
                (
                    "url",
                    "ldapurl=\"ldap://127.0.0.1:\(directory.port)/dc=example,dc=net?uid?sub\" "
                        + "ldapbinddn=\"cn=admin,dc=example,dc=net\" ldapbindpasswd=\"search me\""
                ),
            ]
            try Pooler(setup, try configuration(directory, ways)).run { pooler in
                for (database, _) in ways {
                    let right = message {
                        let client = try pooler.connect(
                            database: database, user: "person", password: "letter")
                        #expect(try client.query("select current_user").value == "app")
                    }
                    #expect(right == "in", "\(database): \(pooler.log.suffix(500))")
                    for (user, password) in [
                        ("person", "wrong"), ("nobody_here", "letter"), ("person*", "letter"),
                    ] {
                        let wrong = message {
                            _ = try pooler.connect(database: database, user: user, password: password)
                        }
                        #expect(wrong.contains("LDAP authentication failed"), "\(database) \(user): \(wrong)")
                    }
                }
                #expect(!pooler.log.contains("letter") && !pooler.log.contains("search me"))
            }
            try directory.stop()
        }
    }

    /// A server for which no authority vouches that we trust gets no password, and the log says what is
    /// wrong.
    @Test(arguments: Setup.once)
    func anLDAPServerHasToProveItself(setup: Setup) async throws {
        try await onThread {
            let directory = try LDAPDirectory()
            let server = "ldapserver=127.0.0.1 ldapport=\(directory.port)"
            let encrypted = "ldapscheme=ldaps ldapserver=127.0.0.1 ldapport=\(directory.encryptedPort)"
            let ways = [
                ("tls", "\(server) ldaptls=1 \(Self.search)"), ("ldaps", "\(encrypted) \(Self.search)"),
                ("plain", "\(server) \(Self.search)"),
            ]
            let configuration = try configuration(
                directory, ways, authority: Certificates.shared.foreignAuthority)
            try Pooler(setup, configuration).run { pooler in
                for (database, _) in ways {
                    let length = pooler.log.utf8.count
                    let found = message {
                        _ = try pooler.connect(database: database, user: "person", password: "letter")
                    }
                    guard database != "plain" else {
                        #expect(found == "in")
                        continue
                    }
                    #expect(found.contains("LDAP authentication failed"), "\(database): \(found)")
                    try eventually("the log says why") {
                        String(decoding: pooler.log.utf8.dropFirst(length), as: UTF8.self)
                            .contains("certificate")
                    }
                }
                #expect(!pooler.log.contains("letter") && !pooler.log.contains("search me"))
            }
            try directory.stop()
        }
    }

    /// With `auth_user`, whose secrets an LDAP server judges is not looked up: what PostgreSQL has stored
    /// would not open it, the password that was found right does.
    @Test(arguments: Setup.transaction, ["hba", "ldap"])
    func nobodyIsLookedUpWhomLDAPJudges(setup: Setup, type: String) async throws {
        try await onThread {
            let directory = try LDAPDirectory()
            let options =
                "ldapserver=127.0.0.1 ldapport=\(directory.port) ldapprefix=\"uid=\" "
                + "ldapsuffix=\",ou=people,dc=example,dc=net\""
            var configuration = try configuration(directory, [("test", options), ("lost", options)])
            configuration.settings["auth_type"] = type
            configuration.settings["auth_user"] = "postgres"
            configuration.secrets["scram_user"] = ""
            let server = "host=127.0.0.1 port=\(Postgres.shared.port) dbname=test"
            configuration.databases["test"] = server
            // Nobody could be looked up there.
            configuration.databases["lost"] = "\(server) user=app auth_dbname=nowhere"
            configuration.databases["nowhere"] = "host=127.0.0.1 port=1"
            if type == "ldap" {
                configuration.settings["auth_ldap_options"] = options
                configuration.settings["admin_users"] = "nobody"
            }
            try Pooler(setup, configuration).run { pooler in
                for (database, user, role, password) in [
                    ("test", "scram_user", "scram_user", Postgres.password),
                    ("lost", "person", "app", "letter"),
                ] {
                    let clients = try (0..<4).map { _ in
                        try pooler.connect(database: database, user: user, password: password)
                    }
                    for client in clients {
                        #expect(try client.query("select current_user").value == role)
                    }
                    let wrong = message {
                        _ = try pooler.connect(database: database, user: user, password: "wrong")
                    }
                    #expect(wrong.contains("LDAP authentication failed"), "\(wrong)")
                }
                #expect(!pooler.log.contains("auth_query"))
            }
            try directory.stop()
        }
    }

    /// One server that is silent holds up neither other logins nor queries.
    @Test(arguments: Setup.once)
    func aSilentServerHoldsUpNobodyElse(setup: Setup) async throws {
        try await onThread {
            let directory = try LDAPDirectory()
            let options =
                "ldapserver=127.0.0.1 ldapport=\(directory.port) ldapprefix=\"uid=\" "
                + "ldapsuffix=\",ou=people,dc=example,dc=net\""
            try Pooler(setup, try configuration(directory, [("silent", options)])).run { pooler in
                directory.signal(SIGSTOP)
                let waiting = try (0..<3).map { _ in
                    let client = try pooler.raw()
                    try client.send(Bytes.startup([("user", "person"), ("database", "silent")]))
                    _ = try client.receive()
                    try client.send(Bytes.message("p", Bytes.text("letter")))
                    return client
                }
                #expect(try pooler.show("VERSION").count == 1)
                for client in waiting {
                    let error = try client.receive()
                    #expect(error?.fields["M"] == "LDAP authentication failed for user \"person\"")
                }
                directory.signal(SIGCONT)
                let client = try pooler.connect(database: "silent", user: "person", password: "letter")
                #expect(try client.query("select 1").value == "1")
            }
            try directory.stop()
        }
    }

    /// `auth_type` itself, and a server that asks for the password that LDAP has found right.
    @Test(arguments: Setup.transaction)
    func theProvenPasswordOpensPostgres(setup: Setup) async throws {
        try await onThread {
            let directory = try LDAPDirectory()
            let configuration = Configuration(
                settings: [
                    "auth_type": "ldap", "admin_users": "scram_user",
                    "auth_ldap_options": "ldapserver=127.0.0.1 ldapport=\(directory.port) "
                        + "ldapprefix=uid= ldapsuffix=\",ou=people,dc=example,dc=net\"",
                ], secrets: ["scram_user": ""])
            try Pooler(setup, configuration).run { pooler in
                func connect(_ database: String, _ password: String) throws -> Connection {
                    try pooler.connect(database: database, user: "scram_user", password: password)
                }
                let clients = try (0..<6).map { _ in try connect("test", Postgres.password) }
                for client in clients {
                    #expect(try client.query("select current_user").value == "scram_user")
                }
                let console = try connect("pgbouncer", Postgres.password)
                #expect(try console.query("SHOW VERSION").rows.count == 1)
                #expect(message { _ = try connect("test", "wrong") } != "in")
                #expect(message { _ = try connect("pgbouncer", "wrong") } != "in")
            }
            try directory.stop()
        }
    }

    @Test(arguments: Setup.once, ["ldapserver=h", "ldapserver=h ldapbasedn=b ldapbindpasswd=hidden what=1"])
    func optionsThatCannotBeUsedEndTheStart(setup: Setup, options: String) async throws {
        try await onThread {
            let error = #expect(throws: Failure.self) {
                let settings = ["auth_type": "ldap", "auth_ldap_options": options]
                try Pooler(setup, Configuration(settings: settings)).stop()
            }
            #expect(error?.description.contains("auth_ldap_options: ") == true)
            #expect(error?.description.contains("hidden") != true)
        }
    }
}
