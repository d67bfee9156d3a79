import CLibPQ
import Testing

/// Parameters of the session: given at startup, set later, reported back.
@Suite struct ParameterTests {
    private static let oneServer = Configuration(settings: ["default_pool_size": "1"])

    @Test(arguments: Setup.all)
    func startupParametersReachTheServer(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let given = [
                ("application_name", "my app"), ("timezone", "Asia/Tokyo"), ("datestyle", "German, DMY"),
                ("client_encoding", "LATIN1"), ("standard_conforming_strings", "off"),
            ]
            let client = try pooler.rawLogin(given)
            for (name, value) in given {
                let answer = try client.query("show \(name)")
                let row = answer.first { $0.type == "D" }
                #expect(row?.body.dropFirst(6).elementsEqual(value.utf8) == true, "\(name): \(answer)")
            }
        }
    }

    @Test(arguments: Setup.all)
    func whatTheServerReportsReachesTheClientAtLogin(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let direct = try pooler.postgres.connect()
            for _ in 0..<3 {
                let client = try pooler.connect()
                for name in [
                    "server_version", "server_encoding", "integer_datetimes", "DateStyle", "TimeZone",
                    "standard_conforming_strings", "IntervalStyle",
                ] {
                    #expect(client.parameter(name) == direct.parameter(name), "\(name)")
                }
                #expect(client.parameter("client_encoding") == "UTF8")
            }
        }
    }

    /// Two clients, one server: each finds its own values in every transaction.
    @Test(arguments: Setup.single)
    func eachClientKeepsItsOwnValues(setup: Setup) async throws {
        try await withPooler(setup, Self.oneServer) { pooler throws in
            let tokyo = try pooler.connect(["application_name": "first"])
            let paris = try pooler.connect(["application_name": "second"])
            let plain = try pooler.connect()
            let before = try plain.query("show timezone").value
            try tokyo.query("set timezone = 'Asia/Tokyo'")
            try paris.query("set timezone = 'Europe/Paris'")
            try paris.query("set datestyle = 'SQL, DMY'")
            for _ in 0..<5 {
                #expect(try tokyo.query("show timezone").value == "Asia/Tokyo")
                #expect(try paris.query("select current_setting('timezone')", []).value == "Europe/Paris")
                #expect(try plain.query("show timezone").value == before)
                #expect(try tokyo.query("show application_name").value == "first")
                #expect(try paris.query("show application_name").value == "second")
                #expect(try tokyo.query("show datestyle").value == "ISO, MDY")
                #expect(try paris.query("show datestyle").value == "SQL, DMY")
            }
        }
    }

    /// Values come before the first request of a transaction, whatever that request is.
    @Test(arguments: Setup.single)
    func valuesAreThereForEveryKindOfFirstRequest(setup: Setup) async throws {
        try await withPooler(setup, Self.oneServer) { pooler throws in
            let client = try pooler.rawLogin([("timezone", "Asia/Tokyo")])
            let other = try pooler.rawLogin([("timezone", "Europe/Paris")])
            try client.query("select 1")
            let extended =
                Bytes.parse("", "select current_setting('timezone')") + Bytes.bind("", "") + Bytes.execute("")
                + Bytes.sync
            for (connection, expected) in [
                (other, "Europe/Paris"), (client, "Asia/Tokyo"), (other, "Europe/Paris"),
            ] {
                try connection.send(extended)
                let answer = try connection.receive(through: "Z")
                #expect(answer.map(\.type).filter { $0 != "S" } == ["1", "2", "D", "C", "Z"])
                #expect(
                    answer.first { $0.type == "D" }?.body.dropFirst(6).elementsEqual(expected.utf8) == true)
            }
            #expect(try client.query("begin").map(\.type).filter { $0 != "S" } == ["C", "Z"])
            let row = try client.query("show timezone").first { $0.type == "D" }
            #expect(row?.body.dropFirst(6).elementsEqual("Asia/Tokyo".utf8) == true)
            try client.query("rollback")
        }
    }

    /// A change is reported to the client that made it, and to no other.
    @Test(arguments: Setup.single)
    func changesAreReportedToTheirClientOnly(setup: Setup) async throws {
        try await withPooler(setup, Self.oneServer) { pooler throws in
            let changer = try pooler.connect()
            let other = try pooler.connect()
            let before = other.parameter("TimeZone")
            try other.query("select 1")
            try changer.query("set timezone = 'Asia/Tokyo'")
            #expect(changer.parameter("TimeZone") == "Asia/Tokyo")
            try other.query("select 1")
            #expect(other.parameter("TimeZone") == before)
            try changer.query("select 1")
            #expect(changer.parameter("TimeZone") == "Asia/Tokyo")
            try changer.query("reset timezone")
            #expect(try changer.query("show timezone").value == changer.parameter("TimeZone"))
        }
    }

    /// A value set within a transaction that is rolled back was never set.
    @Test(arguments: Setup.single)
    func aRolledBackSetIsNotKept(setup: Setup) async throws {
        try await withPooler(setup, Self.oneServer) { pooler throws in
            let client = try pooler.connect()
            let other = try pooler.connect()
            let before = try client.query("show timezone").value
            try client.query("begin; set timezone = 'Asia/Tokyo'; rollback")
            try other.query("set timezone = 'Europe/Paris'")
            #expect(try client.query("show timezone").value == before)
        }
    }

    /// The values are not applied again when nothing changed hands: one SET, not one per transaction.
    @Test(arguments: Setup.single)
    func valuesAreAppliedOnlyWhenTheyDiffer(setup: Setup) async throws {
        let postgres = try await onOwnPostgres(["log_statement": "all"])
        defer { try? postgres.stop() }
        var configuration = Self.oneServer
        configuration.postgres = postgres
        try await withPooler(setup, configuration) { pooler throws in
            let client = try pooler.connect(["application_name": "noted once"])
            for _ in 0..<10 { try client.query("select 'counted'") }
            let log = try readFile("\(postgres.folder)/log")
            let mentions = log.split(separator: "\n").filter { $0.contains("noted once") }.count
            #expect(mentions <= 1, "the value is in the server's log \(mentions) times")
            #expect(
                log.split(separator: "\n").filter { $0.contains("statement: select 'counted'") }.count == 10)
        }
    }

    @Test(arguments: Setup.all)
    func quotesInValuesAreHarmless(setup: Setup) async throws {
        try await withPooler(setup, Self.oneServer) { pooler throws in
            let name = "it's a \\ \"test\"; select 'x' --"
            let client = try pooler.connect(["application_name": name])
            #expect(try client.query("show application_name").value == name)
            try client.query("set application_name = 'O''Brien'")
            #expect(try client.query("show application_name").value == "O'Brien")
        }
    }

    @Test(arguments: Setup.all)
    func aTimeZoneThatDoesNotExistEndsTheClientOnly(setup: Setup) async throws {
        try await withPooler(setup, Self.oneServer) { pooler throws in
            let error = #expect(throws: PostgresError.self) {
                let client = try pooler.connect(["options": "-c timezone=Mars/Olympus"])
                try client.query("select 1")
            }
            // The pooler's words, or PostgreSQL's own.
            let named = ["invalid server parameter", "invalid value for parameter", "TimeZone"]
            #expect(named.contains { error?.message.contains($0) == true }, "\(String(describing: error))")
            let client = try pooler.connect()
            #expect(try client.query("select 1").value == "1")
        }
    }

    /// Drivers for Java send this to every server.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.once)
    func extraFloatDigitsAreAccepted(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            for value in ["1", "2", "3"] {
                let client = try pooler.rawLogin([("extra_float_digits", value)])
                #expect(try client.query("select 0.1::float8 + 0.2::float8").contains { $0.type == "D" })
            }
            let client = try pooler.connect(["options": "-c extra_float_digits=3"])
            #expect(try client.query("select 1").value == "1")
            for value in ["0", "-5"] {
                let client = try pooler.raw()
                let startup = [("user", "app"), ("database", "test"), ("extra_float_digits", value)]
                try client.send(Bytes.startup(startup))
                #expect(try client.receiveToEnd().last?.type == "E", "it would change results")
            }
        }
    }

    @Test(arguments: Setup.once)
    func anUnknownStartupParameterIsRefusedByName(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.raw()
            try client.send(
                Bytes.startup([("user", "app"), ("database", "test"), ("enable_seqscan", "off")]))
            let error = try client.receiveToEnd().last
            #expect(error?.type == "E")
            #expect(error?.fields["M"]?.contains("unsupported startup parameter: enable_seqscan") == true)
            #expect(error?.fields["S"] == "FATAL")
        }
    }

    @Test(arguments: Setup.once)
    func ignoredStartupParametersAreDropped(setup: Setup) async throws {
        let configuration = Configuration(settings: ["ignore_startup_parameters": "enable_seqscan, options"])
        try await withPooler(setup, configuration) { pooler throws in
            let client = try pooler.rawLogin([("enable_seqscan", "off"), ("options", "-c enable_sort=off")])
            let row = try client.query("show enable_seqscan").first { $0.type == "D" }
            #expect(row?.body.dropFirst(6).elementsEqual("on".utf8) == true)
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.once)
    func optionsMaySetTrackedParametersOnly(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let options = "-c timezone=Asia/Tokyo --datestyle=German -capplication_name=with\\ space"
            let client = try pooler.connect(["options": options])
            #expect(try client.query("show timezone").value == "Asia/Tokyo")
            #expect(try client.query("show datestyle").value?.hasPrefix("German") == true)
            #expect(try client.query("show application_name").value == "with space")
            let unknown = #expect(throws: PostgresError.self) {
                try pooler.connect(["options": "-c enable_seqscan=off"])
            }
            #expect(
                unknown?.message.contains("unsupported startup parameter in options: enable_seqscan") == true)
            let other = #expect(throws: PostgresError.self) { try pooler.connect(["options": "-E"]) }
            #expect(other?.message.contains("unsupported options startup parameter") == true)
        }
    }

    @Test(arguments: Setup.transaction)
    func manyClientsWithDifferentValues(setup: Setup) async throws {
        let zones = ["Asia/Tokyo", "Europe/Paris", "America/New_York", "Africa/Cairo", "UTC"]
        try await withPooler(setup, Configuration(settings: ["default_pool_size": "2"])) { pooler throws in
            try Thread.concurrently(10) { number in
                let client = try pooler.connect(["application_name": "client \(number)"])
                for round in 0..<20 {
                    let zone = zones[(number + round / 5) % zones.count]
                    if round % 5 == 0 { try client.query("set timezone = '\(zone)'") }
                    let seen = try client.query(
                        "select current_setting('timezone'), current_setting('application_name')"
                    ).rows
                    guard seen == [[zone, "client \(number)"]] else { throw Failure("\(number): \(seen)") }
                }
            }
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.once)
    func theHostCanBeAddedToTheApplicationName(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["application_name_add_host": "1"])) {
            pooler throws in
            let client = try pooler.connect(["application_name": "mine"])
            let name = try client.query("show application_name").value
            #expect(name?.hasPrefix("mine - 127.0.0.1:") == true, "\(name ?? "NULL")")
        }
    }
}

/// A PostgreSQL of the test's own, to be stopped by the test.
func onOwnPostgres(_ settings: [String: String] = [:]) async throws -> Postgres {
    let made = Shared<Postgres?>(nil)
    try await onThread {
        let postgres = try Postgres(settings: settings)
        made.with { $0 = postgres }
    }
    return made.current!
}
