import Testing

@testable import Config

@Suite struct ParserTests {
    /// The configuration that tutorials tell people to paste.
    static let pasted = """
        [databases]
        myapp = host=localhost port=5432 dbname=myapp_production

        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = 6432
        auth_type = md5
        auth_file = /etc/pgbouncer/userlist.txt
        pool_mode = transaction ; the key setting
        max_client_conn = 1000 ; from clients
        default_pool_size = 20 ; to PostgreSQL, per database
        min_pool_size = 5
        reserve_pool_size = 5
        reserve_pool_timeout = 3
        server_idle_timeout = 600
        client_idle_timeout = 0
        server_connect_timeout = 15
        server_login_retry = 15
        log_connections = 1
        log_disconnections = 1
        log_pooler_errors = 1
        stats_period = 60
        admin_users = pgbouncer_admin
        """

    @Test func whatTutorialsTellPeopleToPasteIsAccepted() throws {
        let parsed = parse(Self.pasted, files: ["/etc/pgbouncer/userlist.txt": ""])
        #expect(parsed.errors == [])
        #expect(parsed.warnings.map(\.message).allSatisfy { $0.hasPrefix("server_tls_sslmode = prefer") })
        let configuration = try #require(parsed.configuration)
        #expect(configuration.settings.poolMode == .transaction)
        #expect(configuration.settings.maxClientConnections == 1000)
        #expect(configuration.settings.defaultPoolSize == 20)
        #expect(configuration.settings.reservePoolTimeoutNanoseconds == 3_000_000_000)
        #expect(configuration.settings.adminUsers == ["pgbouncer_admin"])
        let database = try #require(configuration.database(named: "myapp"))
        #expect(database.hosts == [.name("localhost")])
        #expect(database.serverDatabaseName == "myapp_production")
    }

    @Test func aTypoIsAnErrorWithFileLineAndTheNearestName() {
        #expect(
            told("[pgbouncer]\n\npool_mod = session")
                == ["test.ini:3: unknown setting \"pool_mod\" in [pgbouncer]; did you mean \"pool_mode\"?"])
        #expect(
            told("[databases]\na = prot=1")
                == ["test.ini:2: unknown setting \"prot\" in [databases]; did you mean \"port\"?"])
        #expect(
            told("[database]\na = port=1")
                == ["test.ini:1: unknown section [database]; did you mean \"databases\"?"])
        #expect(
            told("[pgbouncer]\npool_mode = transction")
                == [
                    "test.ini:2: pool_mode is \"transction\", not one of session, transaction, statement; "
                        + "did you mean \"transaction\"?"
                ])
        #expect(
            told("[pgbouncer]\nhost = x")
                == ["test.ini:2: unknown setting \"host\" in [pgbouncer]; it belongs to [databases]"])
        #expect(
            told("[pgbouncer]\nxyzzy = x") == ["test.ini:2: unknown setting \"xyzzy\" in [pgbouncer]"])
    }

    /// What stands after an unquoted password with a blank in it may be the rest of the password.
    @Test func noPieceOfAPasswordIsToldAgain() {
        let told = told("[databases]\na = password=open sesame\nb = ; c").filter {
            !$0.contains("[pgbouncer]")
        }
        #expect(
            told == [
                "test.ini:2: \"a\" has something after the value of password that is no key=value; "
                    + "a value with spaces needs single quotes",
                "test.ini:3: \"b\" has a comment after it, which needs a line of its own",
            ])
    }

    @Test func allFaultsAreToldAtOnceAndNothingIsApplied() {
        let parsed = parse("[pgbouncer]\nlisten_port = x\nbad\n[databases]\na = port=0\nb = what=1\n")
        #expect(parsed.configuration == nil)
        #expect(parsed.errors.map(\.line) == [2, 3, 5, 6])
    }

    @Test(arguments: [
        ("default_pool_size = 7 ; c", 7), ("default_pool_size = 7 # c", 7), ("default_pool_size = 7\t;c", 7),
        ("default_pool_size = 0x1f", 31), ("default_pool_size = 017", 15), ("default_pool_size = +3", 3),
    ])
    func wholeNumbersAreReadAsByCAndMayHaveAComment(line: String, expected: Int) throws {
        #expect(try configuration("[pgbouncer]\n" + line).settings.defaultPoolSize == expected)
    }

    @Test(arguments: ["7;c", "7 c", "x", "", "; c", "08", "0x", "1.5", "--1", "99999999999999999999", "-1"])
    func otherWholeNumbersAreErrors(text: String) {
        #expect(parse("[pgbouncer]\ndefault_pool_size = \(text)").errors.count == 1)
    }

    @Test(arguments: [
        ("1", true), ("0", false), ("-5", true), ("yes", true), ("No", false), ("ON", true),
        ("off ; c", false),
        ("true", true), ("FALSE # c", false), ("0x0", false),
    ])
    func booleansAreNumbersOrWords(text: String, expected: Bool) throws {
        #expect(
            try configuration("[pgbouncer]\nlog_connections = \(text)").settings.logConnections == expected)
    }

    @Test(arguments: [
        ("1", 1_000_000_000 as UInt64), ("0.5 ; half", 500_000_000), ("1e2", 100_000_000_000),
        ("0.0000014", 1000), ("0", 0), (".25", 250_000_000), ("3155760000", 3_155_760_000_000_000_000),
    ])
    func timesAreSecondsWithFractions(text: String, expected: UInt64) throws {
        #expect(
            try configuration("[pgbouncer]\nquery_timeout = \(text)").settings.queryTimeoutNanoseconds
                == expected)
    }

    @Test(arguments: ["-1", "nan", "inf", "1s", "", "0x10", "1e300", "3155760001", "1 2"])
    func otherTimesAreErrors(text: String) {
        #expect(parse("[pgbouncer]\nquery_timeout = \(text)").errors.count == 1)
    }

    @Test func enumerationsAreReadInAnyCase() throws {
        let settings = try configuration("[pgbouncer]\npool_mode = Statement ; x\nauth_type = SCRAM-SHA-256")
            .settings
        #expect(settings.poolMode == .statement)
        #expect(settings.authType == .scramSHA256)
        #expect(settings.text(of: "pool_mode") == "statement")
    }

    @Test func textKeepsWhatLooksLikeACommentAndIsWarnedAbout() throws {
        let text = "[pgbouncer]\nserver_reset_query = DISCARD ALL ; done\nadmin_users = a # b\nlogfile = a;b"
        let parsed = parse(text)
        #expect(parsed.configuration?.settings.serverResetQuery == "DISCARD ALL ; done")
        #expect(parsed.configuration?.settings.adminUsers == ["a # b"])
        let lines = parsed.warnings.filter { $0.message.contains("needs a line of its own") }.map(\.line)
        #expect(lines == [2, 3])
    }

    @Test func listsAreWordsBetweenCommas() throws {
        let settings = try configuration("[pgbouncer]\nlisten_addr = ::1 , 127.0.0.1,,host ").settings
        #expect(settings.listenAddresses == ["::1", "127.0.0.1", "host"])
        #expect(settings.text(of: "listen_addr") == "::1 , 127.0.0.1,,host")
    }

    @Test func aModeIsOctal() throws {
        for text in ["0700", "700"] {
            let settings = try configuration("[pgbouncer]\nunix_socket_mode = \(text)").settings
            #expect(settings.unixSocketMode == 0o700)
            #expect(settings.text(of: "unix_socket_mode") == "0700")
        }
        #expect(parse("[pgbouncer]\nunix_socket_mode = 0788").errors.count == 1)
    }

    @Test func theCheckQueryIsNoneEmptyOrText() throws {
        func query(_ text: String) throws -> String? {
            try configuration("[pgbouncer]\nserver_check_query = \(text)").settings.serverCheckQuery
        }
        #expect(try query("<empty>") == "")
        #expect(try query("") == nil)
        #expect(try query("select 1") == "select 1")
    }

    @Test func aKeyBeforeAnySectionIsAnError() {
        #expect(told("pool_mode = session").first == "test.ini:1: \"pool_mode\" stands before any section")
    }

    @Test func keysOfAnUnknownSectionAreNotReportedAgain() {
        #expect(parse("[nothing_like_it]\na = b\nc = d\n[pgbouncer]\n").errors.count == 1)
    }

    @Test func anotherMainSectionPutsBackWhatHasADefault() throws {
        let text =
            "[pgbouncer]\nuser = u\npool_mode = statement\n[databases]\n[pgbouncer]\nlisten_port = 7000"
        let parsed = parse(text)
        let settings = try #require(parsed.configuration).settings
        #expect(settings.user == "u")
        #expect(settings.poolMode == .session)
        #expect(settings.listenPort == 7000)
        #expect(parsed.warnings.contains { $0.line == 5 && $0.message.hasSuffix(": pool_mode") })
    }

    @Test func databasesAddUpOverSectionsAndTheLastOneWins() throws {
        let text = "[databases]\nb = port=1\na =\n[pgbouncer]\n[databases]\nb = port=2\n* = host=/tmp\n"
        let parsed = parse(text)
        let configuration = try #require(parsed.configuration)
        #expect(configuration.databases.map(\.name) == ["a", "b"])
        #expect(configuration.database(named: "b")?.port == 2)
        #expect(configuration.database(named: "c") == nil)
        #expect(configuration.autoDatabase?.hosts == [.unixDirectory("/tmp")])
        #expect(parsed.warnings.contains { $0.line == 6 && $0.message.contains("test.ini:2") })
    }

    @Test func namesAreComparedByteByByte() throws {
        let text = "[databases]\n'\u{E9}' = port=1\n'e\u{301}' = port=2\n"
        let configuration = try configuration(text)
        #expect(configuration.databases.count == 2)
        #expect(configuration.database(named: "\u{E9}")?.port == 1)
        #expect(configuration.database(named: "e\u{301}")?.port == 2)
    }

    @Test func conffileIsTheFileThatWasRead() throws {
        #expect(try configuration("[pgbouncer]").settings.configurationFile == "test.ini")
        #expect(try configuration("[pgbouncer]\nconffile = b.ini").settings.text(of: "conffile") == "b.ini")
    }
}
