import CLibPQ
import Testing

/// Prepared statements of the protocol, which must look to each client as if it had a server of its own.
@Suite struct PreparedStatementTests {
    /// A second server is busy whenever `hold` is open: what a client prepared on one is needed on the other.
    /// Two servers for every worker: each has its share of the pool.
    private static func twoServers(_ setup: Setup) -> Configuration {
        Configuration(settings: ["default_pool_size": "\(2 * setup.workers)"])
    }

    @Test(arguments: Setup.prepared)
    func aStatementIsThereInLaterTransactions(setup: Setup) async throws {
        try await withPooler(setup, Self.twoServers(setup)) { pooler throws in
            let client = try pooler.connect()
            try client.prepare("add", "select $1::int + 1, pg_backend_pid()")
            #expect(try client.execute("add", ["1"]).value == "2")
            guard setup.mode == .transaction else { return }
            let holder = try pooler.connect()
            try holder.query("begin")
            try holder.query("select 1")
            #expect(try client.execute("add", ["2"]).value == "3")
            try holder.query("commit")
            #expect(try client.execute("add", ["3"]).value == "4")
        }
    }

    /// The statement runs on whichever server is free, also on one that has never seen it.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.single)
    func aStatementFollowsItsClientToAnyServer(setup: Setup) async throws {
        try await withPooler(setup, Self.twoServers(setup)) { pooler throws in
            let client = try pooler.connect()
            let holder = try pooler.connect()
            try client.prepare("where", "select pg_backend_pid()")
            let first = try client.execute("where").value
            try holder.query("begin")
            let held = try holder.query("select pg_backend_pid()").value
            let second = try client.execute("where").value
            #expect(held == first && second != first)
            try holder.query("commit")
        }
    }

    @Test(arguments: Setup.prepared)
    func clientsMayUseOneNameForDifferentStatements(setup: Setup) async throws {
        try await withPooler(setup, Self.twoServers(setup)) { pooler throws in
            let first = try pooler.connect()
            let second = try pooler.connect()
            try first.prepare("s", "select 'first'")
            try second.prepare("s", "select 'second', 2")
            for _ in 0..<5 {
                #expect(try first.execute("s").rows == [["first"]])
                #expect(try second.execute("s").rows == [["second", "2"]])
                #expect(try second.describe("s").columns.count == 2)
            }
        }
    }

    @Test(arguments: Setup.prepared)
    func aNameInUseIsAnErrorAndTheOldStatementStays(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.prepare("s", "select 'old'")
            let error = #expect(throws: PostgresError.self) { try client.prepare("s", "select 'new'") }
            #expect(error?.sqlState == "42P05")
            #expect(error?.message == "prepared statement \"s\" already exists")
            let same = #expect(throws: PostgresError.self) { try client.prepare("s", "select 'old'") }
            #expect(same?.sqlState == "42P05")
            #expect(try client.execute("s").value == "old")
        }
    }

    @Test(arguments: Setup.prepared)
    func anUnknownNameIsAnErrorThatNamesIt(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            let execution = #expect(throws: PostgresError.self) { try client.execute("nobody") }
            #expect(execution?.sqlState == "26000")
            #expect(execution?.message == "prepared statement \"nobody\" does not exist")
            let description = #expect(throws: PostgresError.self) { try client.describe("nobody") }
            #expect(description?.sqlState == "26000")
            #expect(try client.query("select 1").value == "1")
        }
    }

    @Test(arguments: Setup.prepared)
    func anUnknownNameAbortsATransactionAsInPostgreSQL(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.query("begin")
            #expect(throws: PostgresError.self) { try client.execute("nobody") }
            #expect(client.transactionStatus == PQTRANS_INERROR)
            let error = #expect(throws: PostgresError.self) { try client.query("select 1") }
            #expect(error?.sqlState == "25P02")
            try client.query("rollback")
            #expect(try client.query("select 1").value == "1")
        }
    }

    @Test(arguments: Setup.prepared)
    func aStatementOfAFailedParseDoesNotExist(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            #expect(throws: PostgresError.self) { try client.prepare("s", "select * from nowhere") }
            let error = #expect(throws: PostgresError.self) { try client.execute("s") }
            #expect(error?.sqlState == "26000")
            try client.prepare("s", "select 'second try'")
            #expect(try client.execute("s").value == "second try")
        }
    }

    /// The Parse is skipped by the server because something before it failed: the name is still free.
    @Test(arguments: Setup.prepared)
    func aParseAfterAnErrorInTheSameGroupIsNotDone(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.rawLogin()
            try client.send(
                Bytes.parse("", "select 1/0") + Bytes.bind("", "") + Bytes.execute("")
                    + Bytes.parse("later", "select 'x'") + Bytes.sync)
            #expect(try client.receive(through: "Z").map(\.type).last(where: { $0 != "Z" }) == "E")
            try client.send(Bytes.bind("", "later") + Bytes.sync)
            let answer = try client.receive(through: "Z")
            #expect(answer.map(\.type) == ["E", "Z"])
            #expect(answer[0].fields["C"] == "26000")
            try client.send(
                Bytes.parse("later", "select 'y'") + Bytes.bind("", "later") + Bytes.execute("") + Bytes.sync)
            #expect(try client.receive(through: "Z").map(\.type) == ["1", "2", "D", "C", "Z"])
        }
    }

    /// With the statement already on the server, an answer made up too early would hide the failed
    /// transaction.
    @Test(arguments: Setup.prepared)
    func aParseInAFailedTransactionFails(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.prepare("one", "select 'known text'")
            try client.query("begin")
            #expect(throws: PostgresError.self) { try client.query("select 1/0") }
            let error = #expect(throws: PostgresError.self) {
                try client.prepare("two", "select 'known text'")
            }
            #expect(error?.sqlState == "25P02")
            try client.query("rollback")
            #expect(throws: PostgresError.self) { try client.execute("two") }
            #expect(try client.execute("one").value == "known text")
        }
    }

    @Test(arguments: Setup.prepared)
    func aClosedStatementIsGoneAndItsNameFree(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.rawLogin()
            try client.send(Bytes.parse("s", "select 'one'") + Bytes.close("S", "s") + Bytes.sync)
            #expect(try client.receive(through: "Z").map(\.type) == ["1", "3", "Z"])
            try client.send(Bytes.bind("", "s") + Bytes.sync)
            #expect(try client.receive(through: "Z").first?.fields["C"] == "26000")
            try client.send(
                Bytes.parse("s", "select 'two'") + Bytes.bind("", "s") + Bytes.execute("") + Bytes.sync)
            let answer = try client.receive(through: "Z")
            #expect(answer.map(\.type) == ["1", "2", "D", "C", "Z"])
            #expect(answer[2].body.suffix(3).elementsEqual("two".utf8))
            try client.send(Bytes.close("S", "never there") + Bytes.sync)
            #expect(try client.receive(through: "Z").map(\.type) == ["3", "Z"], "as in PostgreSQL")
        }
    }

    @Test(arguments: Setup.prepared, ["deallocate all", "discard all"])
    func allStatementsOfTheClientAreForgotten(setup: Setup, command: String) async throws {
        try await withPooler(setup, Self.twoServers(setup)) { pooler throws in
            let client = try pooler.connect()
            let beside = try pooler.connect()
            try client.prepare("s", "select 'mine'")
            try beside.prepare("s", "select 'theirs'")
            try client.execute("s")
            try client.query(command)
            let error = #expect(throws: PostgresError.self) { try client.execute("s") }
            #expect(error?.sqlState == "26000")
            try client.prepare("s", "select 'again'")
            #expect(try client.execute("s").value == "again")
            for _ in 0..<3 { #expect(try beside.execute("s").value == "theirs") }
        }
    }

    /// More statements than a server may hold: each is there when it is needed.
    @Test(arguments: Setup.prepared)
    func statementsBeyondTheLimitAreEvictedUnseen(setup: Setup) async throws {
        let configuration = Configuration(settings: [
            "max_prepared_statements": "3", "default_pool_size": "2",
        ])
        try await withPooler(setup, configuration) { pooler throws in
            let client = try pooler.connect()
            for number in 0..<12 { try client.prepare("s\(number)", "select \(number)") }
            for round in 0..<3 {
                for number in 0..<12 {
                    let index = (number * 5 + round) % 12
                    #expect(try client.execute("s\(index)").value == "\(index)")
                }
            }
            guard setup.mode == .transaction else { return }
            let held = try client.query("select count(*) from pg_prepared_statements").value
            #expect(Int(held ?? "") ?? 99 <= 3, "the server holds no more than the limit")
        }
    }

    /// All in one group, where evictions happen while earlier messages are still on their way.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func evictionWithinOneGroupHarmsNothing(setup: Setup) async throws {
        let configuration = Configuration(settings: [
            "max_prepared_statements": "2", "default_pool_size": "1",
        ])
        try await withPooler(setup, configuration) { pooler throws in
            let client = try pooler.rawLogin()
            try client.send((0..<8).flatMap { Bytes.parse("s\($0)", "select 'v\($0)'") } + Bytes.sync)
            #expect(try client.receive(through: "Z").filter { $0.type == "1" }.count == 8)
            let order = [0, 7, 3, 3, 1, 0, 5, 2, 6, 4, 0]
            try client.send(
                order.flatMap { Bytes.bind("", "s\($0)") + Bytes.execute("") } + Bytes.sync)
            let rows = try client.receive(through: "Z").filter { $0.type == "D" }
            #expect(
                rows.map { String(decoding: $0.body.dropFirst(6), as: UTF8.self) } == order.map { "v\($0)" })
        }
    }

    /// The unnamed statement lives until the next Parse or simple query, across Sync and across transactions.
    @Test(arguments: Setup.prepared)
    func theUnnamedStatementSurvivesSync(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["default_pool_size": "1"])) { pooler throws in
            let client = try pooler.rawLogin()
            try client.send(Bytes.parse("", "select 'unnamed'") + Bytes.sync)
            #expect(try client.receive(through: "Z").map(\.type) == ["1", "Z"])
            if setup.mode == .transaction {
                let beside = try pooler.rawLogin()
                try beside.send(Bytes.parse("", "select 'intruder', 2") + Bytes.sync)
                try beside.receive(through: "Z")
            }
            try client.send(Bytes.describe("S", "") + Bytes.bind("", "") + Bytes.execute("") + Bytes.sync)
            let answer = try client.receive(through: "Z")
            #expect(answer.map(\.type) == ["t", "T", "2", "D", "C", "Z"])
            #expect(answer.first { $0.type == "D" }?.body.suffix(7).elementsEqual("unnamed".utf8) == true)
        }
    }

    @Test(arguments: Setup.prepared)
    func aSimpleQueryEndsTheUnnamedStatement(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["default_pool_size": "1"])) { pooler throws in
            let client = try pooler.rawLogin()
            try client.send(Bytes.parse("", "select 'unnamed'") + Bytes.sync)
            try client.receive(through: "Z")
            try client.query("select 1")
            try client.send(Bytes.bind("", "") + Bytes.sync)
            let answer = try client.receive(through: "Z")
            #expect(answer.map(\.type) == ["E", "Z"])
            #expect(answer[0].fields["C"] == "26000")
        }
    }

    /// A constant is read under the DateStyle of its client: a statement prepared by another client under
    /// another style is another statement.
    @Test(arguments: Setup.prepared)
    func whatDependsOnAParameterIsNotShared(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["default_pool_size": "1"])) { pooler throws in
            guard setup.mode == .transaction else { return }
            let european = try pooler.connect()
            let american = try pooler.connect()
            try european.query("set datestyle = 'ISO, DMY'")
            try american.query("set datestyle = 'ISO, MDY'")
            for _ in 0..<2 {
                for (client, expected) in [(european, "2024-02-01"), (american, "2024-01-02")] {
                    try client.prepare("d\(expected)", "select '01/02/2024'::date")
                    #expect(try client.execute("d\(expected)").value == expected)
                    try client.query("deallocate all")
                }
            }
        }
    }

    @Test(arguments: Setup.prepared)
    func parameterTypesMakeADifferentStatement(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["default_pool_size": "1"])) { pooler throws in
            guard setup.mode == .transaction else { return }
            let first = try pooler.rawLogin()
            let second = try pooler.rawLogin()
            for (client, type, expected) in [(first, 23, "integer"), (second, 25, "text")] {
                try client.send(
                    Bytes.parse("s", "select pg_typeof($1)", types: [type]) + Bytes.bind("", "s", ["1"])
                        + Bytes.execute("") + Bytes.sync)
                let row = try client.receive(through: "Z").first { $0.type == "D" }
                #expect(row?.body.dropFirst(6).elementsEqual(expected.utf8) == true)
            }
        }
    }

    /// After a change of the table the statement fails once with PostgreSQL's own error, and works again
    /// when the client prepares it anew, as with a server of its own.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func aChangedResultTypeIsMendedByPreparingAgain(setup: Setup) async throws {
        let table = "changing_\(unique())"
        try await withPooler(setup, Self.twoServers(setup)) { pooler throws in
            let observer = try pooler.postgres.connect()
            try observer.query("create table \(table)(a int); insert into \(table) values (1)")
            let client = try pooler.connect()
            try client.prepare("s", "select * from \(table)")
            #expect(try client.execute("s").rows == [["1"]])
            try observer.query("alter table \(table) add b int")
            let error = #expect(throws: PostgresError.self) { try client.execute("s") }
            #expect(error?.sqlState == "0A000")
            try client.query("deallocate all")
            try client.prepare("s", "select * from \(table)")
            #expect(try client.execute("s").rows == [["1", nil]])
            try observer.query("drop table \(table)")
        }
    }

    /// Names of any length, strange characters, and the empty text.
    @Test(arguments: Setup.prepared)
    func namesAndTextsMayBeStrange(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            let long = String(repeating: "n", count: 9_000)
            for name in [long, "with space", "PGBOUNCER_1", "ünïcödé", "a\"b'c"] {
                try client.prepare(name, "select '\(name.count)'")
                #expect(try client.execute(name).value == "\(name.count)")
            }
            try client.prepare("empty", "")
            #expect(try client.execute("empty").rows.isEmpty)
            let big = String(repeating: "x", count: 300_000)
            try client.prepare("big", "select length('\(big)')")
            #expect(try client.execute("big").value == "300000")
        }
    }

    /// With 0 the feature is off; in session mode statements then simply pass.
    @Test(arguments: Setup.singleSession)
    func inSessionModeStatementsPassWithTheFeatureOff(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["max_prepared_statements": "0"])) {
            pooler throws in
            let client = try pooler.connect()
            try client.prepare("s", "select 'passed'")
            #expect(try client.execute("s").value == "passed")
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func manyClientsShareTheirStatements(setup: Setup) async throws {
        let configuration = Configuration(settings: [
            "default_pool_size": "3", "max_prepared_statements": "6",
        ])
        try await withPooler(setup, configuration) { pooler throws in
            try Thread.concurrently(12) { number in
                let client = try pooler.connect()
                for index in 0..<10 {
                    let text =
                        index < 5 ? "select \(index), $1::text" : "select \(index * 100 + number), $1::text"
                    try client.prepare("p\(index)", text)
                }
                for round in 0..<60 {
                    let index = (round * 7 + number) % 10
                    let expected = index < 5 ? index : index * 100 + number
                    let mark = "\(number)/\(round)"
                    let rows = try client.execute("p\(index)", [mark]).rows
                    guard rows == [["\(expected)", mark]] else { throw Failure("\(mark): \(rows)") }
                }
            }
        }
    }
}
