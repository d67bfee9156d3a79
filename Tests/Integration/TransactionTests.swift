import CLibPQ
import Testing

/// Who shares servers with whom, and when.
@Suite struct TransactionTests {
    private static let oneServer = Configuration(settings: ["default_pool_size": "1"])

    @Test(arguments: Setup.all)
    func aTransactionIsOneWhole(setup: Setup) async throws {
        let table = "whole_\(unique())"
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.query("create table \(table)(a int)")
            try client.query("begin")
            #expect(client.transactionStatus == PQTRANS_INTRANS)
            try client.query("insert into \(table) values (1)")
            try client.query("rollback")
            #expect(try client.query("select count(*) from \(table)").value == "0")
            try client.query("begin")
            try client.query("insert into \(table) values (2)")
            try client.query("commit")
            #expect(client.transactionStatus == PQTRANS_IDLE)
            #expect(try client.query("select a from \(table)").values == ["2"])
            try client.query("drop table \(table)")
        }
    }

    @Test(arguments: Setup.all)
    func aFailedTransactionStaysFailedUntilItsEnd(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.query("begin")
            #expect(throws: PostgresError.self) { try client.query("select 1/0") }
            #expect(client.transactionStatus == PQTRANS_INERROR)
            let error = #expect(throws: PostgresError.self) { try client.query("select 1") }
            #expect(error?.sqlState == "25P02")
            #expect(try client.query("commit").tag == "ROLLBACK")
            #expect(try client.query("select 1").value == "1")
        }
    }

    @Test(arguments: Setup.all)
    func savepointsWork(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.query("begin; create temp table t(a int) on commit drop; savepoint one")
            #expect(throws: PostgresError.self) { try client.query("insert into t values (1/0)") }
            try client.query("rollback to one")
            try client.query("insert into t values (7)")
            #expect(try client.query("select a from t").value == "7")
            try client.query("commit")
        }
    }

    /// One server, two clients: the second takes the server as soon as the first has ended its transaction.
    @Test(arguments: Setup.single)
    func clientsTakeTurnsBetweenTransactions(setup: Setup) async throws {
        try await withPooler(setup, Self.oneServer) { pooler throws in
            let first = try pooler.connect()
            let second = try pooler.connect()
            try first.query("begin")
            let server = try first.query("select pg_backend_pid()").value
            try second.send("select pg_backend_pid()")
            #expect(!second.hasInput(within: 0.3), "the second must wait for the first")
            try first.query("commit")
            #expect(try second.finish().value == server)
            #expect(try first.query("select pg_backend_pid()").value == server)
        }
    }

    @Test(arguments: Setup.singleSession)
    func inSessionModeAServerIsKeptUntilTheClientLeaves(setup: Setup) async throws {
        try await withPooler(setup, Self.oneServer) { pooler throws in
            var first: Connection? = try pooler.connect()
            let server = try first?.query("select pg_backend_pid()").value
            let second = try pooler.connect()
            try second.send("select pg_backend_pid()")
            #expect(!second.hasInput(within: 0.3), "the server belongs to the first")
            first = nil
            #expect(try second.finish().value == server)
        }
    }

    @Test(arguments: Setup.session)
    func inSessionModeASessionKeepsItsState(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.query("create temp table mine(a int)")
            try client.query("set work_mem = '1234kB'")
            try client.query("prepare p as select 42")
            try client.query("select pg_advisory_lock(4711)")
            for _ in 0..<5 {
                #expect(try client.query("select count(*) from mine").value == "0")
                #expect(try client.query("show work_mem").value == "1234kB")
                #expect(try client.query("execute p").value == "42")
            }
        }
    }

    /// The reset query makes a server forget its session before the next one.
    @Test(arguments: Setup.singleSession)
    func inSessionModeTheNextClientFindsNothingOfTheLast(setup: Setup) async throws {
        try await withPooler(setup, Self.oneServer) { pooler throws in
            var first: Connection? = try pooler.connect()
            let server = try first?.query("select pg_backend_pid()").value
            try first?.query("create temp table mine(a int); set work_mem = '1234kB'; prepare p as select 42")
            first = nil
            let second = try pooler.connect()
            #expect(try second.query("select pg_backend_pid()").value == server)
            #expect(try second.query("show work_mem").value != "1234kB")
            #expect(try second.query("select to_regclass('pg_temp.mine')").value == nil)
            #expect(throws: PostgresError.self) { try second.query("execute p") }
        }
    }

    @Test(arguments: Setup.singleSession)
    func notificationsReachWhoListensInSessionMode(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let channel = "channel_\(unique())"
            let listener = try pooler.connect()
            let notifier = try pooler.connect()
            try listener.query("listen \(channel)")
            try notifier.query("notify \(channel), 'news'")
            try listener.waitForInput()
            PQconsumeInput(listener.raw)
            let notification = try #require(PQnotifies(listener.raw))
            defer { PQfreemem(notification) }
            #expect(String(cString: notification.pointee.extra) == "news")
        }
    }

    @Test(arguments: Setup.statement)
    func inStatementModeStatementsAreAnswered(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            for number in 0..<20 {
                #expect(try client.query("select \(number)").value == "\(number)")
                #expect(try client.query("select $1::int + 1", ["\(number)"]).value == "\(number + 1)")
            }
        }
    }

    @Test(arguments: Setup.statement)
    func inStatementModeATransactionBlockIsRefused(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            let error = #expect(throws: PostgresError.self) { try client.query("begin") }
            #expect(
                error?.message.contains("transaction blocks not allowed in statement pooling mode") == true)
            #expect(client.isBroken)
            #expect(try pooler.connect().query("select 1").value == "1", "others go on")
        }
    }

    /// A transaction whose client vanishes must not be seen by the next client of that server.
    @Test(arguments: Setup.all)
    func aClientThatVanishesLosesItsTransaction(setup: Setup) async throws {
        let table = "vanished_\(unique())"
        try await withPooler(setup, Self.oneServer) { pooler throws in
            let observer = try pooler.postgres.connect()
            try observer.query("create table \(table)(a int)")
            for reset in [false, true] {
                let client = try pooler.rawLogin()
                try client.query("begin")
                try client.query("insert into \(table) values (1)")
                if reset { client.reset() } else { client.disconnect() }
                let next = try pooler.connect()
                #expect(next.transactionStatus == PQTRANS_IDLE)
                #expect(try next.query("select count(*) from \(table)").value == "0")
                try eventually("the transaction is rolled back") {
                    try observer.query(
                        "select count(*) from pg_locks where relation = '\(table)'::regclass"
                    ).value == "0"
                }
            }
            try observer.query("drop table \(table)")
        }
    }

    /// What a client leaves half-done is no concern of the next one.
    @Test(arguments: Setup.single)
    func aClientThatVanishesWithARunningQueryLeavesNothing(setup: Setup) async throws {
        try await withPooler(setup, Self.oneServer) { pooler throws in
            let client = try pooler.rawLogin()
            let mark = "not for you \(unique())"
            try client.send(Bytes.query("select pg_sleep(30), '\(mark)'"))
            try eventually("the query runs") {
                try pooler.postgres.ask(
                    "select count(*) from pg_stat_activity"
                        + " where query like '%\(mark)%' and state = 'active'"
                        + " and pid <> pg_backend_pid()") == "1"
            }
            client.disconnect()
            let next = try pooler.connect()
            for number in 0..<5 { #expect(try next.query("select \(number)").value == "\(number)") }
        }
    }

    /// The classic: a client that sent half a message and vanished.
    @Test(arguments: Setup.single)
    func aClientThatVanishesWithinAMessageLeavesNothing(setup: Setup) async throws {
        try await withPooler(setup, Self.oneServer) { pooler throws in
            let client = try pooler.rawLogin()
            let query = Bytes.query("select 'half', \(String(repeating: "1,", count: 5_000))1")
            try client.send(query.dropLast(300))
            client.disconnect()
            let next = try pooler.connect()
            #expect(try next.query("select 'whole'").value == "whole")
        }
    }

    /// Load of transactions from more clients than servers, with an invariant that any mixing would break.
    @Test(arguments: Setup.transaction)
    func transactionsOfManyClientsDoNotMix(setup: Setup) async throws {
        let table = "accounts_\(unique())"
        let configuration = Configuration(settings: ["default_pool_size": "4"])
        try await withPooler(setup, configuration) { pooler throws in
            let observer = try pooler.postgres.connect()
            try observer.query(
                "create table \(table)(id int primary key, balance int);"
                    + "insert into \(table) select g, 100 from generate_series(0, 31) g")
            try Thread.concurrently(16) { number in
                let client = try pooler.connect()
                for round in 0..<15 {
                    let other = 16 + (number + round) % 16
                    try client.query("begin")
                    try client.query("update \(table) set balance = balance - 1 where id = $1", ["\(number)"])
                    try client.query("update \(table) set balance = balance + 1 where id = $1", ["\(other)"])
                    try client.query(round % 3 == 0 ? "rollback" : "commit")
                }
            }
            #expect(try observer.query("select sum(balance) from \(table)").value == "3200")
            #expect(
                try observer.query("select sum(balance) from \(table) where id < 16").value == "\(1600 - 160)"
            )
            try observer.query("drop table \(table)")
        }
    }
}
