import CLibPQ
import Glibc
import Testing

/// Rules (`auth_type = hba`) in the built program.
@Suite(.enabled(if: Options.isOurs)) struct HBATests {
    /// A configuration whose rules and maps are files in a folder of their own, and that folder.
    private func configuration(
        _ rules: String, maps: String = "", others: [String: String] = [:]
    ) throws -> (Configuration, folder: String) {
        let folder = try Folder.shared.make("hba")
        try writeFile("\(folder)/hba.conf", rules)
        try writeFile("\(folder)/ident.conf", maps)
        for (name, text) in others { try writeFile("\(folder)/\(name)", text) }
        var configuration = Configuration(
            settings: [
                "auth_type": "hba", "auth_hba_file": "\(folder)/hba.conf",
                "auth_ident_file": "\(folder)/ident.conf",
            ], secrets: ["person": "pw", "reader": "pw"])
        let host = "host=127.0.0.1 port=\(Postgres.shared.port) dbname=test user=app"
        for name in ["one", "two", "three"] { configuration.databases[name] = host }
        return (configuration, folder)
    }

    private func message(_ body: () throws -> Void) -> String {
        do { try body() } catch { return (error as? PostgresError)?.message ?? "\(error)" }
        return "in"
    }

    @Test(arguments: Setup.transaction)
    func rulesChooseByAddressDatabaseAndUser(setup: Setup) async throws {
        try await onThread {
            let (configuration, _) = try configuration(
                """
                # who may come from where
                local all       all                     trust
                host  pgbouncer admin   127.0.0.1/32    md5
                host  one       @people 127.0.0.0/8     scram-sha-256
                host  two       person  samehost        md5
                host  two       /^read  127.0.0.0 255.0.0.0 password
                host  two       all     all             reject
                host  three     all     10.0.0.0/8      trust
                what is this
                """, others: ["people": "person,\nreader"])
            try Pooler(setup, configuration).run { pooler in
                func attempt(_ database: String, _ user: String, _ password: String = "pw") -> String {
                    message {
                        let client = try pooler.connect(database: database, user: user, password: password)
                        #expect(try client.query("select current_user").value == "app")
                    }
                }
                for (database, user) in [
                    ("one", "person"), ("one", "reader"), ("two", "person"), ("two", "reader"),
                ] {
                    #expect(attempt(database, user) == "in")
                    #expect(attempt(database, user, "wrong").contains("authentication failed"))
                }
                #expect(attempt("two", "other").contains("login rejected"))
                #expect(attempt("one", "other").contains("no authentication method is found"))
                #expect(attempt("three", "person").contains("no authentication method is found"))
                let local = try pooler.connect(
                    database: "three", user: "other", ["host": pooler.folder, "password": ""])
                #expect(try local.query("select 1").value == "1")
                #expect(try pooler.show("VERSION").count == 1)
                #expect(pooler.log.contains("hba.conf:9: \"what\" is no kind of connection"))
                #expect(!pooler.log.contains("hba.conf:8"))
            }
        }
    }

    /// What a client is asked for on the wire.
    @Test(arguments: Setup.once)
    func theMethodOnTheWireIsThatOfTheRule(setup: Setup) async throws {
        try await onThread {
            let (configuration, _) = try configuration(
                "host one all all password\nhost two all all md5\nhost three all all scram-sha-256")
            try Pooler(setup, configuration).run { pooler in
                for (database, code) in [("one", 3), ("two", 5), ("three", 10)] {
                    let client = try pooler.raw()
                    try client.send(Bytes.startup([("user", "person"), ("database", database)]))
                    let request = try client.receive()
                    #expect(request.map { Array($0.body.prefix(4)) } == Bytes.int32(code))
                }
            }
        }
    }

    @Test(arguments: Setup.once)
    func theKernelSaysWhoIsAtTheOtherEnd(setup: Setup) async throws {
        try await onThread {
            let own = getpwuid(geteuid()).map { String(cString: $0.pointee.pw_name) } ?? ""
            var (configuration, folder) = try configuration(
                "local one all peer\nlocal two all peer map=m\nlocal three all peer map=p",
                maps: "m \(own) person\np /^(.)(.*)$ \"\\1eader\"")
            configuration.secrets[own] = ""
            try Pooler(setup, configuration).run { pooler in
                func attempt(_ database: String, _ user: String) -> String {
                    message {
                        _ = try pooler.connect(
                            database: database, user: user, ["host": pooler.folder, "password": ""])
                    }
                }
                #expect(attempt("one", own) == "in")
                #expect(attempt("one", "person").contains("unix socket login rejected"))
                #expect(attempt("two", "person") == "in")
                #expect(attempt("two", own).contains("unix socket login rejected"))
                #expect((attempt("three", "reader") == "in") == own.hasPrefix("r"))
                let overTCP = message { _ = try pooler.connect(database: "one", user: own) }
                #expect(overTCP.contains("no authentication method is found"))
                _ = folder
            }
        }
    }

    @Test(arguments: Setup.transaction)
    func aReloadBringsNewRules(setup: Setup) async throws {
        try await onThread {
            let (configuration, folder) = try configuration(
                "include more.conf", others: ["more.conf": "host all all all trust"])
            try Pooler(setup, configuration).run { pooler in
                let first = try pooler.connect(database: "one", user: "person")
                #expect(try first.query("select 1").value == "1")
                try writeFile("\(folder)/more.conf", "host one all all reject\nhost all all all trust")
                pooler.reload()
                try eventually("the new rule holds") {
                    message { _ = try pooler.connect(database: "one", user: "person") }.contains(
                        "login rejected")
                }
                #expect(try pooler.connect(database: "two", user: "person").query("select 1").value == "1")
                #expect(try first.query("select 1").value == "1")
                // A configuration that is refused leaves the rules as they are, too.
                try writeFile("\(folder)/more.conf", "host all all all trust")
                try pooler.rewrite { $0.settings["workers"] = "none" }
                pooler.reload()
                try eventually("the reload has failed") { pooler.log.contains("reload failed") }
                #expect(message { _ = try pooler.connect(database: "one", user: "person") } != "in")
            }
        }
    }

    @Test(arguments: Setup.once)
    func withoutTheFileNobodyIsLetIn(setup: Setup) async throws {
        try await onThread {
            let (configuration, folder) = try configuration("")
            unlink("\(folder)/hba.conf")
            try Pooler(setup, configuration).run { pooler in
                #expect(pooler.log.contains("cannot be read: nobody can log in"))
                let error = message { _ = try pooler.connect(database: "one", user: "person") }
                #expect(error.contains("no authentication method is found"))
            }
        }
    }
}
