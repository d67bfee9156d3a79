import Testing

@testable import Config

@Suite struct EnvironmentTests {
    private func image(_ environment: KeyValuePairs<String, String>) throws -> ConfigurationImage? {
        try ConfigurationImage(environment: environment.map { ($0.key, $0.value) }) { path in
            path == "/users" ? Array("\"a\" \"b\"\n".utf8) : nil
        }
    }

    private func parsed(_ environment: KeyValuePairs<String, String>) throws -> ParsedConfiguration {
        Configuration.parse(try image(environment).unwrapped())
    }

    @Test func aURLSaysWhereServersAreAndWhoTheUserIs() throws {
        let environment: KeyValuePairs = [
            "DATABASE_URL": "postgres://us%40er:p%22w%3A@db:5433/na%20me", "POOL_MODE": "transaction",
            "MAX_DB_CONNECTIONS": "30", "DEFAULT_POOL_SIZE": "7", "AUTH_TYPE": "scram-sha-256",
            "ADMIN_USERS": "a,b",
            "USER": "root", "PATH": "/bin", "STATS_USERS": "",
        ]
        let image = try image(environment).unwrapped()
        let parsed = Configuration.parse(image)
        #expect(parsed.errors == [])
        let configuration = try #require(parsed.configuration)
        let database = try #require(configuration.database(named: "na me"))
        #expect(database.hosts == [.name("db")])
        #expect(database.port == 5433)
        #expect(database.serverDatabaseName == "na me")
        #expect(database.user == nil)
        #expect(configuration.settings.poolMode == .transaction)
        #expect(configuration.settings.maxDatabaseConnections == 30)
        #expect(configuration.settings.defaultPoolSize == 7)
        #expect(configuration.settings.adminUsers == ["a", "b"])
        #expect(configuration.settings.listenAddresses == ["*"])
        #expect(configuration.settings.user == nil)
        #expect(configuration.settings.configurationFile == nil)
        let users = try #require(image.bytes(of: configuration.settings.authFile.unwrapped()))
        #expect(users == Array("\"us@er\" \"p\"\"w:\"\n".utf8))
        #expect(try ConfigurationImage(decoding: image.encode()) == image)
    }

    @Test func singleVariablesDoTheSame() throws {
        let one = try parsed([
            "DB_HOST": "db", "DB_PORT": "5433", "DB_USER": "u", "DB_PASSWORD": "p'w", "DB_NAME": "name",
        ])
        let other = try parsed(["DATABASE_URL": "postgresql://u:p'w@db:5433/name"])
        #expect(one.configuration != nil)
        #expect(one.configuration == other.configuration)
    }

    @Test func withoutANameEveryDatabaseCanBeAskedFor() throws {
        let configuration = try parsed(["DB_HOST": "::1"]).configuration.unwrapped()
        #expect(configuration.autoDatabase?.hosts == [.address("::1")])
        #expect(configuration.databases.isEmpty)
    }

    @Test func withAUserListOfItsOwnServersLogInAsTheUserGiven() throws {
        let configuration = try parsed(["DATABASE_URL": "postgres://u:p@h/d", "AUTH_FILE": "/users"])
            .configuration.unwrapped()
        #expect(configuration.settings.authFile == "/users")
        #expect(configuration.database(named: "d")?.user == "u")
        #expect(configuration.database(named: "d")?.password == "p")
        let open = try parsed(["DATABASE_URL": "postgres://u:p@h/d", "AUTH_TYPE": "any"]).configuration
            .unwrapped()
        #expect(open.database(named: "d")?.user == "u")
    }

    @Test func withoutAServerThereIsNoConfiguration() throws {
        #expect(try image(["LISTEN_PORT": "7000", "DATABASE_URL": ""]) == nil)
    }

    @Test func whatCannotStandInAFileIsAnErrorThatNamesTheVariable() {
        #expect(throws: EnvironmentError(variable: "LOGFILE", reason: "contains a line break or a zero byte"))
        {
            try image(["DB_HOST": "h", "LOGFILE": "a\nuser = root"])
        }
        #expect(throws: EnvironmentError.self) { try image(["DB_HOST": "h", "DB_NAME": "a'b"]) }
        #expect(throws: EnvironmentError.self) {
            try image(["DB_HOST": "h", "DB_USER": "u", "DB_PASSWORD": "\n"])
        }
    }

    @Test func faultsInValuesAreFoundByReading() throws {
        let errors = try parsed(["DB_HOST": "h", "POOL_MODE": "trans"]).errors
        #expect(errors.count == 1)
        #expect(errors.first?.file == "environment")
        let url = try parsed(["DATABASE_URL": "postgres://h/d?sslmode=require"])
        #expect(url.configuration?.settings.serverTLS.mode == .require)
        let other = try parsed([
            "DATABASE_URL": "postgres://h/d?sslmode=require", "SERVER_TLS_SSLMODE": "disable",
        ])
        #expect(other.configuration?.settings.serverTLS.mode == .disable)
    }

    @Test func partsOfAURLAreOptional() throws {
        let cases: KeyValuePairs<String, String> = [
            "postgres://": "--[]----", "postgres://h": "--[h]----", "postgres:///d": "--[]-d--",
            "postgres://u@h": "u-[h]----", "POSTGRESQL://u:@h:1/": "u-[h]1---",
            "postgres://[::1]:5/d": "--[::1]5d--",
            "postgres://a:1,b:1/d?sslmode=disable": "--[a,b]1d-disable", "postgres://a,b:2": "--[a,b]2---",
            "postgres://%2Frun%2Fpg/d?x=1": "--[/run/pg]-d--", "postgres://u:a@b@h/d": "ua@b[h]-d--",
            "postgres://?host=/tmp&port=7&user=u&password=p%26&dbname=d&application_name=n": "up&[/tmp]7dn-",
            "postgresql+asyncpg://h": "--[h]----",
        ]
        for (text, wanted) in cases {
            let url = try DatabaseURL(text)
            let found = [
                url.user ?? "-", url.password ?? "-", "[" + url.hosts.joined(separator: ",") + "]",
                url.port ?? "-",
                url.database ?? "-", url.applicationName ?? "-", url.tlsMode ?? "-",
            ].joined()
            #expect(found == wanted || found + "-" == wanted, "\(text)")
        }
    }

    @Test(arguments: [
        "", "h:5432", "mysql://h", "postgres://h/%", "postgres://h/%4", "postgres://h/%zz", "postgres://%FF",
        "postgres://a:1,b:2/d", "postgres://[::1]x/d",
    ])
    func otherURLsAreErrors(text: String) {
        #expect(throws: DatabaseURL.Malformed.self) { try DatabaseURL(text) }
    }
}
