import CLibPQ
import Testing

/// Requests sent before the answers to earlier ones have come.
@Suite struct PipelineTests {
    /// Results of a pipeline, one entry each: a value, a tag, an SQLSTATE, `aborted` or `sync`.
    private static func outcomes(_ client: Connection, syncs: Int) throws -> [String] {
        var outcomes: [String] = []
        var seen = 0
        while seen < syncs {
            guard let result = try client.nextResult() else { continue }
            defer { PQclear(result) }
            switch PQresultStatus(result) {
            case PGRES_TUPLES_OK: outcomes.append(Connection.rows(result).value ?? "NULL")
            case PGRES_COMMAND_OK: outcomes.append(Connection.rows(result).tag)
            case PGRES_PIPELINE_SYNC:
                outcomes.append("sync")
                seen += 1
            case PGRES_PIPELINE_ABORTED: outcomes.append("aborted")
            default: outcomes.append(Connection.error(result).sqlState)
            }
        }
        return outcomes
    }

    private static func send(_ client: Connection, _ sql: String) throws {
        try client.check(PQsendQueryParams(client.raw, sql, 0, nil, nil, nil, nil, 0))
    }

    @Test(arguments: Setup.all)
    func aPipelineIsAnsweredInOrder(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.check(PQenterPipelineMode(client.raw))
            for number in 0..<200 {
                try Self.send(client, "select \(number)")
                if number % 10 == 9 { try client.check(PQpipelineSync(client.raw)) }
            }
            try client.flush()
            let outcomes = try Self.outcomes(client, syncs: 20)
            let expected = (0..<200).flatMap { $0 % 10 == 9 ? ["\($0)", "sync"] : ["\($0)"] }
            #expect(outcomes == expected)
            try client.check(PQexitPipelineMode(client.raw))
            #expect(try client.query("select 'after'").value == "after")
        }
    }

    @Test(arguments: Setup.all)
    func anErrorAbortsUntilTheNextSyncOnly(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.check(PQenterPipelineMode(client.raw))
            try Self.send(client, "select 1")
            try Self.send(client, "select 1/0")
            try Self.send(client, "select 2")
            try client.check(PQpipelineSync(client.raw))
            try Self.send(client, "select 3")
            try client.check(PQpipelineSync(client.raw))
            #expect(
                try Self.outcomes(client, syncs: 2) == ["1", "22012", "aborted", "sync", "3", "sync"])
        }
    }

    @Test(arguments: Setup.all)
    func aTransactionMaySpanSyncs(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["default_pool_size": "2"])) { pooler throws in
            let others = try (0..<4).map { _ in try pooler.rawLoginOrNil(setup) }
            let client = try pooler.connect()
            try client.check(PQenterPipelineMode(client.raw))
            for sql in ["begin", "select txid_current()", "select txid_current()", "commit"] {
                try Self.send(client, sql)
                try client.check(PQpipelineSync(client.raw))
            }
            let outcomes = try Self.outcomes(client, syncs: 4)
            #expect(outcomes.count == 8)
            #expect(outcomes[0] == "BEGIN" && outcomes[6] == "COMMIT")
            #expect(outcomes[2] == outcomes[4], "both see one transaction")
            _ = others
        }
    }

    @Test(arguments: Setup.prepared)
    func preparedStatementsInAPipeline(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.check(PQenterPipelineMode(client.raw))
            try client.check(PQsendPrepare(client.raw, "s1", "select 'one'", 0, nil))
            try client.check(PQsendPrepare(client.raw, "s2", "select 'two'", 0, nil))
            for name in ["s1", "s2", "s1", "s2"] {
                try client.check(PQsendQueryPrepared(client.raw, name, 0, nil, nil, nil, 0))
            }
            try client.check(PQpipelineSync(client.raw))
            #expect(
                try Self.outcomes(client, syncs: 1)
                    == ["PREPARE", "PREPARE", "one", "two", "one", "two", "sync"]
                    .map { $0 == "PREPARE" ? "" : $0 })
        }
    }

    /// A client that sends a whole lot before it reads anything.
    @Test(arguments: Setup.all)
    func aLongPipelineIsReadOnlyAfterwards(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.rawLogin()
            let count = 3_000
            let sender = Thread {
                for number in 0..<count {
                    try client.send(
                        Bytes.parse("", "select \(number)") + Bytes.bind("", "") + Bytes.execute("")
                            + Bytes.sync)
                }
            }
            for number in 0..<count {
                let messages = try client.receive(through: "Z")
                guard messages.map(\.type) == ["1", "2", "D", "C", "Z"],
                    messages[2].body.dropFirst(6).elementsEqual("\(number)".utf8)
                else { throw Failure("answer \(number) is \(messages)") }
            }
            try sender.join()
        }
    }

    /// Simple queries may be sent ahead as well.
    @Test(arguments: Setup.all)
    func simpleQueriesSentAheadAreAnsweredInOrder(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.rawLogin()
            try client.send((0..<100).flatMap { Bytes.query("select \($0)") })
            for number in 0..<100 {
                let messages = try client.receive(through: "Z")
                #expect(messages.map(\.type) == ["T", "D", "C", "Z"])
                #expect(messages[1].body.dropFirst(6).elementsEqual("\(number)".utf8))
            }
        }
    }

    /// Flush makes the server answer without a Sync.
    @Test(arguments: Setup.all)
    func flushBringsAnswersBeforeSync(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.rawLogin()
            try client.send(Bytes.parse("", "select 'flushed'") + Bytes.describe("S", "") + Bytes.flush)
            #expect(try client.receive(through: "T").map(\.type) == ["1", "t", "T"])
            try client.send(Bytes.bind("", "") + Bytes.execute("") + Bytes.flush)
            #expect(try client.receive(through: "C").map(\.type) == ["2", "D", "C"])
            try client.send(Bytes.sync)
            #expect(try client.receive(through: "Z").map(\.type) == ["Z"])
        }
    }

    /// A portal read in parts within a transaction.
    @Test(arguments: Setup.all)
    func aPortalMayBeReadInParts(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.rawLogin()
            try client.query("begin")
            try client.send(
                Bytes.parse("", "select generate_series(1, 5)") + Bytes.bind("cursor", "")
                    + Bytes.execute("cursor", rows: 2) + Bytes.sync)
            #expect(try client.receive(through: "Z").map(\.type) == ["1", "2", "D", "D", "s", "Z"])
            try client.send(Bytes.execute("cursor", rows: 9) + Bytes.close("P", "cursor") + Bytes.sync)
            #expect(try client.receive(through: "Z").map(\.type) == ["D", "D", "D", "C", "3", "Z"])
            try client.query("commit")
        }
    }
}

extension Pooler {
    /// A client beside the one under test, which in session mode would take the only servers away.
    fileprivate func rawLoginOrNil(_ setup: Setup) throws -> RawConnection? {
        guard setup.mode != .session else { return nil }
        let client = try rawLogin()
        try client.query("select 1")
        return client
    }
}
