import Glibc
import Testing

/// Rules and maps that name groups, of roles that a real PostgreSQL has.
@Suite(.enabled(if: Options.isOurs)) struct GroupRuleTests {
    /// Roles of PostgreSQL with names that no other test has, by what they are called here.
    private struct Roles {
        private let suffix = "_g\(unique())"

        /// Makes these, with their memberships.
        init(_ statements: [String]) throws {
            let connection = try Postgres.shared.connect(user: "postgres")
            for statement in statements { try connection.query(named(statement)) }
        }

        /// A text in which roles are written as `$name`.
        func named(_ text: String) -> String {
            text.replacing(/\$(\w+)/) { "\($0.output.1)\(suffix)" }
        }
    }

    private static let roles = [
        "create role $asker login", "create role $staff", "create role $juniors in role $staff",
        "create role $banned", "create role $ann login in role $staff",
        "create role $bob login in role $juniors",
        "create role $eve login in role $staff, $banned", "create role $dan login",
        "create role $sue login superuser",
    ]

    /// What stands in front of all rules, so that the tests themselves get in.
    private static let start = "local all all trust\nhost pgbouncer admin 127.0.0.1/32 md5\n"

    /// A configuration with these rules, and the file they are in; `asker` asks, who may do nothing else.
    private func configuration(
        _ rules: String, _ roles: Roles, _ settings: [String: String] = [:], databases: [String] = [],
        maps: String = ""
    ) throws -> (Configuration, file: String) {
        let folder = try Folder.shared.make("groups")
        try writeFile("\(folder)/hba.conf", roles.named(GroupRuleTests.start + rules))
        try writeFile("\(folder)/ident.conf", roles.named(maps))
        var all = [
            "auth_type": "hba", "auth_hba_file": "\(folder)/hba.conf",
            "auth_ident_file": "\(folder)/ident.conf", "auth_user": roles.named("$asker"),
            "auth_dbname": "test", "auth_query": "",
        ]
        all.merge(settings) { _, new in new }
        var configuration = Configuration(settings: all)
        for name in ["$ann", "$bob", "$eve", "$dan", "$sue"] {
            configuration.secrets[roles.named(name)] = "pw"
        }
        configuration.secrets[roles.named("$asker")] = ""
        for name in databases {
            configuration.databases[roles.named(name)] =
                "host=127.0.0.1 port=\(Postgres.shared.port) dbname=test"
        }
        return (configuration, "\(folder)/hba.conf")
    }

    /// How a login ends.
    private func attempt(
        _ pooler: Pooler, _ roles: Roles, _ user: String, database: String = "test", password: String = "pw"
    ) -> String {
        let name = roles.named(user)
        do {
            let client = try pooler.connect(
                database: roles.named(database), user: name, password: password)
            return try client.query("select current_user").value == name ? "in" : "in as somebody else"
        } catch {
            return (error as? PostgresError)?.message ?? "\(error)"
        }
    }

    @Test(arguments: Setup.transaction)
    func rulesKnowWhoIsInAGroup(setup: Setup) async throws {
        try await onThread {
            let roles = try Roles(GroupRuleTests.roles)
            let (configuration, _) = try configuration(
                """
                host all +$banned all reject
                host test +$staff,+nowhere all password
                host samerole all all scram-sha-256
                """, roles, databases: ["$staff", "$dan"])
            try Pooler(setup, configuration).run { pooler in
                // Directly, by another group, and itself.
                for (user, database) in [
                    ("$ann", "test"), ("$bob", "test"), ("$ann", "$staff"), ("$bob", "$staff"),
                    ("$dan", "$dan"),
                ] {
                    #expect(attempt(pooler, roles, user, database: database) == "in")
                    let wrong = attempt(pooler, roles, user, database: database, password: "wrong")
                    #expect(wrong.contains("authentication failed"))
                }
                #expect(attempt(pooler, roles, "$eve").contains("login rejected"))
                // A superuser is in no group because of that, and nobody is in none.
                for (user, database) in [
                    ("$dan", "test"), ("$sue", "test"), ("nobody", "test"), ("$dan", "$staff"),
                    ("$sue", "$staff"), ("nobody", "$staff"), ("$ann", "second"),
                ] {
                    let error = attempt(pooler, roles, user, database: database)
                    #expect(error.contains("no authentication method is found"), "\(user) \(database)")
                }
                #expect(!pooler.log.contains("hba.conf:"))
            }
        }
    }

    @Test(arguments: Setup.transaction)
    func aGrantAndItsEndAreSeenAtTheNextLogin(setup: Setup) async throws {
        try await onThread {
            let roles = try Roles(GroupRuleTests.roles)
            let (configuration, _) = try configuration("host all +$staff all password", roles)
            try Pooler(setup, configuration).run { pooler in
                for _ in 0..<2 {
                    #expect(attempt(pooler, roles, "$dan").contains("no authentication method"))
                    try Postgres.shared.ask(roles.named("grant $juniors to $dan"))
                    #expect(attempt(pooler, roles, "$dan") == "in")
                    try Postgres.shared.ask(roles.named("revoke $juniors from $dan"))
                }
            }
        }
    }

    @Test(arguments: Setup.single)
    func theCacheRemembersThemUntilTheReload(setup: Setup) async throws {
        try await onThread {
            let roles = try Roles(GroupRuleTests.roles)
            let (configuration, file) = try configuration(
                "host all +$staff all password", roles, ["auth_query_cache": "1000"])
            try Pooler(setup, configuration).run { pooler in
                #expect(attempt(pooler, roles, "$ann") == "in")
                try Postgres.shared.ask(roles.named("revoke $staff from $ann"))
                #expect(attempt(pooler, roles, "$ann") == "in")
                // Rules that are read anew are rules of now.
                let rules = "host all +$banned all reject\nhost all +$staff all password"
                try writeFile(file, roles.named(GroupRuleTests.start + rules))
                pooler.reload()
                try eventually("the new rules hold") {
                    attempt(pooler, roles, "$eve").contains("login rejected")
                }
                #expect(attempt(pooler, roles, "$ann").contains("no authentication method"))
            }
        }
    }

    /// What the one who asks has done on the connection before changes nothing.
    @Test(arguments: Setup.single)
    func anEarlierUseOfTheConnectionDoesNotMatter(setup: Setup) async throws {
        try await onThread {
            let roles = try Roles(
                GroupRuleTests.roles + [
                    "create role \"gäste$x\"", "grant \"gäste$x\" to $ann",
                    "create schema $evil authorization $asker",
                    "create view $evil.pg_roles as select 0::oid as oid, ''::name as rolname",
                    "create view $evil.pg_auth_members as select 0::oid as roleid, 0::oid as member",
                    "grant select on all tables in schema $evil to public",
                ])
            let (configuration, _) = try configuration(
                "host all $asker all trust\nhost all \"+gäste$x\",+\"gäste$x\" all password", roles,
                ["default_pool_size": "1"])
            try Pooler(setup, configuration).run { pooler in
                let asker = try pooler.connect(user: roles.named("$asker"))
                let own = try asker.query("select pg_backend_pid()").value
                try asker.query("set client_encoding to latin1")
                try asker.query(roles.named("set search_path to $evil, pg_catalog"))
                #expect(try asker.query("select count(*) from pg_roles").value == "1")
                #expect(attempt(pooler, roles, "$ann") == "in")
                #expect(attempt(pooler, roles, "$dan").contains("no authentication method"))
                #expect(try asker.query("select pg_backend_pid()").value == own)
            }
        }
    }

    @Test(arguments: Setup.once)
    func whoIsNotInTheUserListIsLookedUpToo(setup: Setup) async throws {
        try await onThread {
            let roles = try Roles(
                GroupRuleTests.roles + [
                    "create role $carol login password 'hers' in role $juniors",
                    "create role $carl login password 'his'",
                ])
            // By the query that is there by default, which a superuser may run.
            var (configuration, _) = try configuration(
                "host all +$staff all scram-sha-256", roles, ["auth_user": "postgres"])
            configuration.settings["auth_query"] = nil
            try Pooler(setup, configuration).run { pooler in
                #expect(attempt(pooler, roles, "$carol", password: "hers") == "in")
                let wrong = attempt(pooler, roles, "$carol", password: "his")
                #expect(wrong.contains("SASL authentication failed"))
                let other = attempt(pooler, roles, "$carl", password: "his")
                #expect(other.contains("no authentication method"))
            }
        }
    }

    @Test(arguments: Setup.once)
    func mapsKnowWhoIsInAGroup(setup: Setup) async throws {
        try await onThread {
            let own = getpwuid(geteuid()).map { String(cString: $0.pointee.pw_name) } ?? ""
            let roles = try Roles(GroupRuleTests.roles)
            let (configuration, file) = try configuration("", roles, maps: "m \(own) +$staff")
            let rules = "local test all peer map=m\nlocal all all trust\nhost pgbouncer admin all md5"
            try writeFile(file, rules)
            try Pooler(setup, configuration).run { pooler in
                for (user, isIn) in [("$ann", true), ("$bob", true), ("$dan", false)] {
                    var said = ""
                    do {
                        _ = try pooler.connect(
                            user: roles.named(user), ["host": pooler.folder, "password": ""])
                    } catch { said = "\(error)" }
                    #expect(isIn ? said.isEmpty : said.contains("unix socket login rejected"))
                }
            }
        }
    }

    /// Nobody gets past a rule that cannot be judged, and the log says what is missing.
    @Test(arguments: Setup.once)
    func withoutAuthUserWhatGroupsDecideIsRefused(setup: Setup) async throws {
        try await onThread {
            let roles = try Roles(GroupRuleTests.roles)
            var (configuration, _) = try configuration(
                "host all $ann all password\nhost all +$banned all reject\nhost all all all trust", roles)
            configuration.settings["auth_user"] = nil
            try Pooler(setup, configuration).run { pooler in
                #expect(attempt(pooler, roles, "$ann") == "in")
                for user in ["$bob", "$eve", "nobody"] {
                    #expect(attempt(pooler, roles, user).contains("bouncer config error"))
                }
                let log = pooler.log
                #expect(log.contains("hba.conf:4: who is in a group is asked of PostgreSQL, and cannot be"))
                #expect(log.contains("hba.conf:4: who is in a group cannot be asked for: set auth_user"))
            }
        }
    }

    /// As long as PostgreSQL is not there, nobody is let in by rules that it has to be asked for.
    @Test(arguments: Setup.once)
    func aPostgreSQLThatIsDownLetsNobodyIn(setup: Setup) async throws {
        try await onThread {
            let roles = try Roles(GroupRuleTests.roles)
            var (configuration, _) = try configuration(
                "host all +$banned all reject\nhost all all all trust", roles,
                ["auth_dbname": "away", "query_wait_timeout": "1"])
            configuration.databases["away"] = "host=127.0.0.1 port=\(try freePort())"
            try Pooler(setup, configuration).run { pooler in
                for user in ["$ann", "$eve"] {
                    // Who comes first waits for it to come back.
                    let error = attempt(pooler, roles, user)
                    let isRefused = ["bouncer config error", "query_wait_timeout"].contains {
                        error.contains($0)
                    }
                    #expect(isRefused, "\(error)")
                }
            }
        }
    }
}
