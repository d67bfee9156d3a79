import CLibPQ
import Glibc
import Testing

/// Users that only PostgreSQL knows: `auth_query`.
@Suite struct AuthQueryTests {
    /// A PostgreSQL as the tutorials make it: a function that may read the secrets, and a role that may call
    /// it. Everybody but `postgres` and `app` needs a password.
    private static let postgres: Postgres = {
        do {
            let postgres = try Postgres()
            try writeFile("\(postgres.folder)/data/pg_hba.conf", accessRules)
            let connection = try postgres.connect(user: "postgres")
            for statement in statements { try connection.query(statement) }
            return postgres
        } catch {
            preconditionFailure("\(error)")
        }
    }()

    private static let accessRules = """
        local all all trust
        host all postgres,app 127.0.0.1/32 trust
        host all all 127.0.0.1/32 md5

        """

    private static let statements = [
        "select pg_reload_conf()", "create role asker login password 'asks'",
        "create role carol login password 'secret'", "create role without login",
        "set password_encryption = 'md5'", "create role dave login password 'secret'",
        """
        create function user_lookup(in i_username text, out uname text, out phash text) returns record as $$
        begin
            select usename, passwd from pg_catalog.pg_shadow where usename = i_username into uname, phash;
            return;
        end;
        $$ language plpgsql security definer
        """,
        "revoke all on function user_lookup(text) from public",
        "grant execute on function user_lookup(text) to asker",
    ]

    private func configuration(_ settings: [String: String] = [:]) -> Configuration {
        var all = [
            "auth_type": "scram-sha-256", "auth_user": "asker",
            "auth_query": "SELECT uname, phash FROM user_lookup($1)", "auth_dbname": "test",
        ]
        all.merge(settings) { _, new in new }
        return Configuration(settings: all, secrets: ["asker": "asks"], postgres: Self.postgres)
    }

    private func error(_ pooler: Pooler, _ user: String, _ password: String) -> String {
        let error = #expect(throws: PostgresError.self) {
            try pooler.connect(user: user, password: password)
        }
        let text = (error?.message ?? "").replacing(user, with: "USER")
        return String(text.drop { $0 != ":" })
    }

    /// The passwords that clients give open PostgreSQL too, in whichever worker.
    @Test(arguments: Setup.all)
    func whoeverPostgreSQLKnowsGetsInAndNobodyElse(setup: Setup) async throws {
        try await withPooler(setup, configuration(["default_pool_size": "3"])) { pooler throws in
            let clients = try (0..<8).map { _ in try pooler.connect(user: "carol", password: "secret") }
            if setup.mode == .transaction {
                for client in clients { try client.send("select pg_sleep(0.05)") }
                for client in clients { try client.finish() }
            }
            #expect(try clients[0].query("select current_user").value == "carol")
            let wrong = error(pooler, "carol", "wrong")
            #expect(wrong.contains("SASL authentication failed for user \"USER\""))
            for stranger in ["nobody", "without"] { #expect(error(pooler, stranger, "secret") == wrong) }
            // Of what was in the file nothing has changed.
            #expect(try pooler.connect(user: "asker", password: "asks").query("select 1").value == "1")
            #expect(try pooler.show("USERS").allSatisfy { $0["name"] != "nobody" })
        }
    }

    /// With md5 each gets what its secret is made for.
    @Test(arguments: Setup.transaction)
    func bothFormsOfSecretsWork(setup: Setup) async throws {
        try await withPooler(setup, configuration(["auth_type": "md5"])) { pooler throws in
            for user in ["carol", "dave"] {
                let client = try pooler.connect(user: user, password: "secret")
                #expect(try client.query("select current_user").value == user)
                #expect(error(pooler, user, "wrong").contains("authentication failed"))
            }
        }
    }

    /// The query that is there by default reads pg_authid, so its user has to be a superuser.
    @Test(arguments: Setup.once)
    func theDefaultQueryWorks(setup: Setup) async throws {
        var configuration = configuration(["auth_user": "postgres"])
        configuration.settings["auth_query"] = nil
        configuration.settings["auth_dbname"] = nil
        configuration.databases["*"] = "host=127.0.0.1 port=\(Self.postgres.port)"
        try await withPooler(setup, configuration) { pooler throws in
            for database in ["test", "second", "postgres"] {
                let client = try pooler.connect(database: database, user: "carol", password: "secret")
                #expect(try client.query("select current_database()").value == database)
            }
            #expect(error(pooler, "nobody", "secret").contains("SASL authentication failed"))
        }
    }

    @Test(arguments: Setup.transaction, ["0", "100"])
    func aChangedPasswordWorksAtOnce(setup: Setup, cache: String) async throws {
        let role = "changing\(unique())"
        // What is given in clear can be held against the new secret, too.
        let changes = configuration(["auth_type": "plain", "auth_query_cache": cache])
        try await withPooler(setup, changes) { pooler throws in
            try Self.postgres.ask("set password_encryption = 'md5'; create role \(role) login password 'old'")
            for _ in 0..<4 {
                let client = try pooler.connect(user: role, password: "old")
                #expect(try client.query("select 1").value == "1")
            }
            try Self.postgres.ask("set password_encryption = 'md5'; alter role \(role) password 'new'")
            for _ in 0..<4 {
                let client = try pooler.connect(user: role, password: "new")
                #expect(try client.query("select 1").value == "1")
            }
            if cache == "0" { #expect(error(pooler, role, "old").contains("authentication failed")) }
        }
    }

    @Test(arguments: Setup.transaction)
    func aReloadTurnsItOnAndOff(setup: Setup) async throws {
        var without = configuration()
        without.settings["auth_user"] = nil
        try await withPooler(setup, without) { pooler throws in
            #expect(error(pooler, "carol", "secret").contains("authentication failed"))
            try pooler.rewrite { $0.settings["auth_user"] = "asker" }
            pooler.reload()
            try eventually("carol gets in") {
                (try? pooler.connect(user: "carol", password: "secret").query("select 1").value) == "1"
            }
            try pooler.rewrite { $0.settings["auth_user"] = nil }
            pooler.reload()
            try eventually("carol does not get in any more") {
                (try? pooler.connect(user: "carol", password: "secret")) == nil
            }
        }
    }

    @Test(arguments: Setup.once)
    func aQueryThatFailsIsExplainedInTheLogAlone(setup: Setup) async throws {
        let broken = configuration(["auth_query": "select a, b from nowhere where c = $1"])
        try await withPooler(setup, broken) { pooler throws in
            #expect(error(pooler, "carol", "secret").contains("bouncer config error"))
            try eventually("the log has PostgreSQL's text") {
                pooler.log.contains("auth_query failed: relation \"nowhere\" does not exist")
            }
            #expect(!pooler.log.contains("asks"))
        }
    }

    @Test(arguments: Setup.transaction)
    func clientsOfAForcedUserProveTheirOwn(setup: Setup) async throws {
        var forced = configuration()
        let place = "host=127.0.0.1 port=\(Self.postgres.port) dbname=test"
        forced.databases["forced"] = "\(place) user=dave password=secret"
        forced.databases["own"] = "\(place) auth_query='select uname, phash from user_lookup(lower($1))'"
        try await withPooler(setup, forced) { pooler throws in
            let client = try pooler.connect(database: "forced", user: "carol", password: "secret")
            #expect(try client.query("select current_user").value == "dave")
            // The query may say that somebody else is meant.
            let named = try pooler.connect(database: "own", user: "CAROL", password: "secret")
            #expect(try named.query("select current_user").value == "carol")
        }
    }

    /// What the connections of the query have died of is none of the next client's business.
    @Test(arguments: Setup.transaction)
    func lostConnectionsAreReplaced(setup: Setup) async throws {
        try await withPooler(setup, configuration()) { pooler throws in
            for _ in 0..<3 {
                let client = try pooler.connect(user: "carol", password: "secret")
                #expect(try client.query("select 1").value == "1")
                try Self.postgres.ask(
                    "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'asker'")
            }
        }
    }

    @Test(arguments: Setup.once)
    func administratorsAreLookedUpToo(setup: Setup) async throws {
        try await withPooler(setup, configuration(["admin_users": "admin, carol"])) { pooler throws in
            let console = try pooler.connect(database: "pgbouncer", user: "carol", password: "secret")
            #expect(try console.query("SHOW VERSION").records.count == 1)
            #expect(throws: PostgresError.self) {
                try pooler.connect(database: "pgbouncer", user: "carol", password: "wrong")
            }
        }
    }
}
