import CLibPQ
import Glibc
import Testing

/// SIGHUP: the new configuration is taken whole, or not at all.
@Suite struct ReloadTests {
    @Test(arguments: Setup.transaction)
    func changedSettingsTakeEffect(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.query("select 1")
            try pooler.rewrite { $0.settings["max_client_conn"] = "2" }
            pooler.reload()
            try eventually("the setting is shown") {
                try pooler.show("CONFIG").first { $0["key"] == "max_client_conn" }?["value"] == "2"
            }
            // The console's connections of a moment ago may still count.
            let room = Shared<Connection?>(nil)
            try eventually("there is room for a second client") {
                room.with { $0 = try? pooler.connect() }
                return room.current != nil
            }
            if setup.workers == 1 {
                #expect(throws: PostgresError.self) { try pooler.connect() }
            }
            #expect(try client.query("select 'still here'").value == "still here")
        }
    }

    @Test(arguments: Setup.transaction)
    func newDatabasesAndUsersAreThereAndOldOnesGo(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let leaving = try pooler.connect(database: "second")
            try leaving.query("select 1")
            try pooler.rewrite {
                $0.databases["added"] = "host=127.0.0.1 port=\(pooler.postgres.port) dbname=test"
                $0.secrets["scram_user"] = Postgres.password
                $0.secrets["newcomer"] = "pw"
                $0.databases["third"] = "host=127.0.0.1 port=\(pooler.postgres.port) dbname=test user=app"
            }
            // The file has no entry `second` any more.
            let text = try readFile(pooler.configurationFile)
            let kept = text.split(separator: "\n", omittingEmptySubsequences: false)
                .filter { !$0.hasPrefix("second = ") }
            try writeFile(pooler.configurationFile, kept.joined(separator: "\n"))
            pooler.reload()
            try eventually("the new database answers") {
                (try? pooler.connect(database: "added").query("select 1").value) == "1"
            }
            #expect(
                try pooler.connect(database: "third", user: "newcomer").query("select current_user").value
                    == "app")
            if Options.isOurs {
                let error = #expect(throws: PostgresError.self) {
                    for _ in 0..<100 { try leaving.query("select pg_sleep(0.02)") }
                }
                #expect(error?.message.contains("database removed") == true)
            }
            #expect(throws: PostgresError.self) { try pooler.connect(database: "second") }
        }
    }

    /// A mistake anywhere leaves everything as it was; the log says where the mistake is.
    @Test(
        .enabled(if: Options.isOurs), arguments: Setup.transaction,
        ["pool_mode = tranaction", "no_such_setting = 1", "max_client_conn = many", "[nonsense]"])
    func aBrokenFileChangesNothing(setup: Setup, mistake: String) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try pooler.rewrite { $0.settings["server_idle_timeout"] = "123" }
            let text = try readFile(pooler.configurationFile)
            let broken = text.replacing("[pgbouncer]\n", with: "[pgbouncer]\n\(mistake)\n")
            try writeFile(pooler.configurationFile, broken)
            let line =
                broken.split(separator: "\n", omittingEmptySubsequences: false)
                .firstIndex { $0 == mistake }.map { $0 + 1 } ?? 0
            pooler.reload()
            try eventually("the log names file and line") { pooler.log.contains("pgsluice.ini:\(line)") }
            let rows = try pooler.show("CONFIG")
            #expect(rows.first { $0["key"] == "server_idle_timeout" }?["value"] == "600")
            #expect(try client.query("select 1").value == "1")
            try writeFile(pooler.configurationFile, text)
            pooler.reload()
            try eventually("the mended file is taken") {
                try pooler.show("CONFIG").first { $0["key"] == "server_idle_timeout" }?["value"] == "123"
            }
        }
    }

    /// When the address of a database changes, its servers are replaced between transactions.
    @Test(arguments: Setup.transaction)
    func aChangedDatabaseReplacesItsServers(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            #expect(try client.query("select current_database()").value == "test")
            try pooler.rewrite {
                $0.databases["test"] = "host=127.0.0.1 port=\(pooler.postgres.port) dbname=second"
            }
            pooler.reload()
            try eventually("the client is in the other database") {
                try client.query("select current_database()").value == "second"
            }
        }
    }

    /// Reload after reload under load: no client sees any of it.
    @Test(arguments: Setup.transaction)
    func reloadsUnderLoadAreNotNoticed(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["default_pool_size": "4"])) { pooler throws in
            let isOver = Shared(false)
            let clients = (0..<8).map { number in
                Thread {
                    let client = try pooler.connect()
                    var round = 0
                    while !isOver.current {
                        round += 1
                        let answer = try client.query("select \(number) * 1000000 + \(round)").value
                        guard answer == "\(number * 1_000_000 + round)" else { throw Failure("wrong answer") }
                    }
                }
            }
            for round in 0..<10 {
                try pooler.rewrite { $0.settings["server_idle_timeout"] = "\(100 + round)" }
                pooler.reload()
                try eventually("reload \(round) is done") {
                    try pooler.show("CONFIG").first { $0["key"] == "server_idle_timeout" }?["value"]
                        == "\(100 + round)"
                }
            }
            isOver.with { $0 = true }
            for client in clients { try client.join() }
        }
    }

    @Test(arguments: Setup.transaction)
    func theLogFileIsReopened(setup: Setup) async throws {
        let folder = try await onThreadValue { try Folder.shared.make("log") }
        try await withPooler(setup, Configuration(settings: ["logfile": "\(folder)/log"])) { pooler throws in
            try eventually("the log is written") { try readFile("\(folder)/log").contains("process up") }
            rename("\(folder)/log", "\(folder)/log.1")
            pooler.reload()
            try eventually("a new log is begun and written to") {
                try pooler.connect().query("select 1")
                return (try? readFile("\(folder)/log"))?.contains("login attempt") == true
            }
        }
    }
}
