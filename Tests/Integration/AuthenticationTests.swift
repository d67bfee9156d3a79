import CLibPQ
import Testing

/// Who may come in, and how we prove ourselves to PostgreSQL.
@Suite struct AuthenticationTests {
    /// What the user list may know of a user.
    enum Stored: String, CaseIterable, Sendable { case plain, md5, scram }

    /// The secret of `scram_user` (or of `md5_user`) in the user list, in a form.
    private func secret(_ stored: Stored, of user: String) throws -> String {
        switch stored {
        case .plain: Postgres.password
        case .md5: try md5(Postgres.password + user)
        case .scram: try Postgres.shared.storedSecret("scram_user")
        }
    }

    private func md5(_ text: String) throws -> String {
        let digest = try Postgres.shared.ask("select md5('\(text)')") ?? ""
        return "md5" + digest
    }

    /// A configuration whose servers are reached without a password, so that only the client's side counts.
    private func trusting(_ type: String, user: String, secret: String) -> Configuration {
        var configuration = Configuration(settings: ["auth_type": type], secrets: [user: secret])
        configuration.databases["test"] = "host=127.0.0.1 port=\(Postgres.shared.port) dbname=test user=app"
        return configuration
    }

    /// What opens PostgreSQL is learnt when a client logs in, by the worker it comes to; the worker that
    /// needs another server, at the home of the pool, has seen no login.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func aSecretLearntByOneWorkerIsThereForAll(setup: Setup) async throws {
        try await onThread {
            let secret = try Postgres.shared.storedSecret("scram_user")
            let configuration = Configuration(
                settings: ["auth_type": "scram-sha-256", "default_pool_size": "3"],
                secrets: ["scram_user": secret])
            try Pooler(setup, configuration).run { pooler in
                let clients = try (0..<8).map { _ in
                    try pooler.connect(user: "scram_user", password: Postgres.password)
                }
                for client in clients { try client.send("select pg_sleep(0.05)") }
                for client in clients { try client.finish() }
                #expect(try pooler.show("SERVERS").count == 3)
            }
        }
    }

    /// Which stored secrets go with which method, as in PgBouncer.
    @Test(arguments: Setup.once, ["plain", "md5", "scram-sha-256"])
    func clientsProveThemselves(setup: Setup, type: String) async throws {
        for stored in Stored.allCases {
            let configuration = try await onThreadValue {
                self.trusting(type, user: "person", secret: try self.secret(stored, of: "person"))
            }
            try await withPooler(setup, configuration) { pooler throws in
                let works = !(type == "scram-sha-256" && stored == .md5)
                guard works else {
                    #expect(throws: PostgresError.self) {
                        try pooler.connect(user: "person", password: Postgres.password)
                    }
                    return
                }
                let client = try pooler.connect(user: "person", password: Postgres.password)
                #expect(try client.query("select 1").value == "1", "\(type), \(stored)")
                for wrong in ["wrong", ""] {
                    let error = #expect(throws: PostgresError.self) {
                        try pooler.connect(user: "person", password: wrong)
                    }
                    let expected = [
                        "authentication failed", "empty password returned by client", "no password supplied",
                    ]
                    #expect(
                        expected.contains { error?.message.contains($0) == true },
                        "\(type), \(stored): \(String(describing: error))")
                }
            }
        }
    }

    /// The method asked for on the wire.
    @Test(arguments: Setup.once)
    func theMethodOnTheWireIsTheConfiguredOne(setup: Setup) async throws {
        for (type, code) in [("plain", 3), ("md5", 5), ("scram-sha-256", 10)] {
            let configuration = trusting(type, user: "person", secret: "pw")
            try await withPooler(setup, configuration) { pooler throws in
                let client = try pooler.raw()
                try client.send(Bytes.startup([("user", "person"), ("database", "test")]))
                let request = try client.receive()
                #expect(request?.type == "R")
                #expect(request.map { Array($0.body.prefix(4)) } == Bytes.int32(code))
            }
        }
    }

    /// An unknown user sees exactly what a known one with a wrong password sees.
    @Test(arguments: Setup.transaction, ["md5", "scram-sha-256"])
    func anUnknownUserCannotBeToldFromAWrongPassword(setup: Setup, type: String) async throws {
        let configuration = trusting(type, user: "person", secret: "pw")
        try await withPooler(setup, configuration) { pooler throws in
            var errors: [String] = []
            for user in ["person", "nobody_here"] {
                let error = #expect(throws: PostgresError.self) {
                    try pooler.connect(user: user, password: "no")
                }
                let text = (error?.message ?? "").replacing(user, with: "USER")
                errors.append(String(text.drop { $0 != ":" }))
            }
            #expect(errors[0] == errors[1])
            #expect(try pooler.show("USERS").allSatisfy { $0["name"] != "nobody_here" })
        }
    }

    /// The salt of a user that does not exist is the same each time, in every worker, or it would give it
    /// away.
    @Test(arguments: Setup.transaction)
    func theSaltOfAUserIsTheSameEachTime(setup: Setup) async throws {
        guard Options.isOurs else { return }
        let configuration = trusting("scram-sha-256", user: "person", secret: "pw")
        try await withPooler(setup, configuration) { pooler throws in
            for user in ["person", "nobody_here"] {
                let salts = try (0..<16).map { _ in
                    let client = try pooler.raw()
                    try client.send(Bytes.startup([("user", user), ("database", "test")]))
                    _ = try client.receive()
                    let first = Array("n,,n=,r=abcdefghijklmnopqrstuvwx".utf8)
                    try client.send(
                        Bytes.message("p", Bytes.text("SCRAM-SHA-256") + Bytes.int32(first.count) + first))
                    let answer = String(decoding: try client.receive()?.body ?? [], as: UTF8.self)
                    return answer.split(separator: ",").dropFirst().joined()
                }
                #expect(Set(salts).count == 1, "\(user): \(Set(salts))")
            }
        }
    }

    @Test(arguments: Setup.once)
    func trustAsksForNothingButKnowsItsUsers(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            #expect(try pooler.connect().query("select current_user").value == "app")
            let error = #expect(throws: PostgresError.self) { try pooler.connect(user: "nobody_here") }
            #expect(error?.message.contains("authentication failed") == true)
        }
    }

    @Test(arguments: Setup.once)
    func anyTakesEverybodyAsTheForcedUser(setup: Setup) async throws {
        var configuration = Configuration(settings: ["auth_type": "any"])
        configuration.databases["forced"] = "host=127.0.0.1 port=\(Postgres.shared.port) dbname=test user=app"
        try await withPooler(setup, configuration) { pooler throws in
            let client = try pooler.connect(database: "forced", user: "whoever")
            #expect(try client.query("select current_user").value == "app")
            #expect(throws: PostgresError.self) { try pooler.connect(database: "test", user: "whoever") }
        }
    }

    /// PostgreSQL asks for a password in each of its ways; the user list has it in plain.
    @Test(arguments: Setup.transaction)
    func weProveOurselvesToPostgres(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            for user in ["plain_user", "md5_user", "scram_user"] {
                let client = try pooler.connect(user: user)
                #expect(try client.query("select current_user").value == user)
            }
        }
    }

    @Test(arguments: Setup.once)
    func anMD5SecretIsEnoughForPostgresMD5(setup: Setup) async throws {
        let configuration = try await onThreadValue {
            Configuration(secrets: ["md5_user": try self.secret(.md5, of: "md5_user")])
        }
        try await withPooler(setup, configuration) { pooler throws in
            let client = try pooler.connect(user: "md5_user")
            #expect(try client.query("select current_user").value == "md5_user")
        }
    }

    /// The client proves itself by SCRAM against PostgreSQL's own secret, and the keys of that proof open
    /// the server.
    @Test(arguments: Setup.transaction)
    func scramKeysArePassedThrough(setup: Setup) async throws {
        let configuration = try await onThreadValue {
            Configuration(
                settings: ["auth_type": "scram-sha-256"],
                secrets: ["scram_user": try self.secret(.scram, of: "scram_user")])
        }
        try await withPooler(setup, configuration) { pooler throws in
            for _ in 0..<8 {
                let client = try pooler.connect(user: "scram_user", password: Postgres.password)
                #expect(try client.query("select current_user").value == "scram_user")
            }
            #expect(throws: PostgresError.self) { try pooler.connect(user: "scram_user", password: "wrong") }
        }
    }

    /// Without a proof by SCRAM there are no keys, and the error says what is wrong.
    @Test(arguments: Setup.once)
    func aScramSecretAloneDoesNotOpenTheServer(setup: Setup) async throws {
        let configuration = try await onThreadValue {
            Configuration(
                settings: ["query_wait_timeout": "5"],
                secrets: ["scram_user": try self.secret(.scram, of: "scram_user")])
        }
        try await withPooler(setup, configuration) { pooler throws in
            let error = #expect(throws: PostgresError.self) {
                try pooler.connect(user: "scram_user").query("select 1")
            }
            #expect(error?.message.contains("wrong password type") == true, "\(String(describing: error))")
        }
    }

    /// What PostgreSQL says about a wrong password of ours reaches the client.
    @Test(arguments: Setup.once)
    func postgresRefusalIsPassedOn(setup: Setup) async throws {
        let configuration = Configuration(secrets: ["scram_user": "not the password"])
        try await withPooler(setup, configuration) { pooler throws in
            let error = #expect(throws: PostgresError.self) {
                try pooler.connect(user: "scram_user").query("select 1")
            }
            #expect(error?.message.contains("password authentication failed for user") == true)
            #expect(try pooler.connect().query("select 1").value == "1")
        }
    }

    @Test(arguments: Setup.once)
    func aForcedUserHasItsOwnPassword(setup: Setup) async throws {
        var configuration = Configuration(settings: ["auth_type": "md5"], secrets: ["person": "pw"])
        let host = "host=127.0.0.1 port=\(Postgres.shared.port) dbname=test"
        configuration.databases["given"] = "\(host) user=scram_user password=secret"
        configuration.databases["listed"] = "\(host) user=plain_user"
        try await withPooler(setup, configuration) { pooler throws in
            let given = try pooler.connect(database: "given", user: "person", password: "pw")
            #expect(try given.query("select current_user").value == "scram_user")
            let listed = try pooler.connect(database: "listed", user: "person", password: "pw")
            #expect(try listed.query("select current_user").value == "plain_user")
        }
    }

    @Test(arguments: Setup.once)
    func anUnknownDatabaseIsNamedOnlyAfterAuthentication(setup: Setup) async throws {
        let configuration = Configuration(settings: ["auth_type": "md5"], secrets: ["person": "pw"])
        try await withPooler(setup, configuration) { pooler throws in
            let known = #expect(throws: PostgresError.self) {
                try pooler.connect(database: "nowhere", user: "person", password: "pw")
            }
            #expect(known?.message.contains("no such database: nowhere") == true)
            let unknown = #expect(throws: PostgresError.self) {
                try pooler.connect(database: "nowhere", user: "person", password: "wrong")
            }
            #expect(unknown?.message.contains("authentication failed") == true)
            #expect(unknown?.message.contains("nowhere\" ") != true)
        }
    }

    /// What is not built yet is refused at the start, never quietly left out.
    @Test(
        .enabled(if: Options.isOurs),
        arguments: [
            ["auth_type": "cert"], ["auth_type": "ldap"],
            ["client_tls_sslmode": "require"], ["client_tls_sslmode": "prefer"],
        ])
    func whatIsNotThereIsRefusedAtTheStart(settings: [String: String]) async throws {
        try await onThread {
            let error = #expect(throws: Failure.self) {
                let pooler = try Pooler(Setup.once[0], Configuration(settings: settings))
                try pooler.stop()
            }
            let text = error?.description ?? ""
            #expect(text.contains("exited(1)"), "\(text)")
            #expect(settings.keys.allSatisfy { text.contains($0) }, "the log names the setting: \(text)")
        }
    }
}

/// Runs the body on a thread that may block and returns its value.
func onThreadValue<Value: Sendable>(_ body: () throws -> Value) async throws -> Value {
    try await withTaskExecutorPreference(BlockingThreads.shared) { try body() }
}
