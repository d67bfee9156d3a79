import CLibPQ
import Testing

/// What every application does, all day.
@Suite struct QueryTests {
    @Test(arguments: Setup.all)
    func aSimpleQueryIsAnswered(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            let rows = try client.query("select 1 as one, null as nothing, 'text' as words")
            #expect(rows.columns == ["one", "nothing", "words"])
            #expect(rows.rows == [["1", nil, "text"]])
            #expect(rows.tag == "SELECT 1")
        }
    }

    @Test(arguments: Setup.all)
    func anExtendedQueryIsAnswered(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            for value in ["first", "second", "third"] {
                #expect(try client.query("select $1::text, $2::int", [value, nil]).rows == [[value, nil]])
            }
        }
    }

    @Test(arguments: Setup.all)
    func severalStatementsInOneQueryAreAllAnswered(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.send("select 1; select 2, 3; create temp table t(a int) on commit drop; select 4")
            var counts: [Int32] = []
            while let result = try client.nextResult() {
                counts.append(PQnfields(result))
                PQclear(result)
            }
            #expect(counts == [1, 2, 0, 1])
        }
    }

    @Test(arguments: Setup.all)
    func anEmptyQueryIsAnswered(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            #expect(try client.query("").rows.isEmpty)
            #expect(try client.query(";;").rows.isEmpty)
            #expect(try client.query("", []).rows.isEmpty)
            #expect(try client.query("select 5").value == "5")
        }
    }

    @Test(arguments: Setup.all)
    func errorsArePostgresOwnAndTheConnectionGoesOn(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            let missing = #expect(throws: PostgresError.self) { try client.query("select * from nowhere") }
            #expect(missing?.sqlState == "42P01")
            let division = #expect(throws: PostgresError.self) { try client.query("select 1/$1::int", ["0"]) }
            #expect(division?.sqlState == "22012")
            #expect(try client.query("select 6").value == "6")
        }
    }

    @Test(arguments: Setup.all)
    func noticesReachTheirClient(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            let beside = try pooler.connect()
            try client.query("do $$ begin raise notice 'heard by one'; end $$")
            try beside.query("select 1")
            #expect(client.notices.contains { $0.contains("heard by one") })
            #expect(beside.notices.isEmpty)
        }
    }

    @Test(arguments: Setup.all)
    func manyClientsGetTheirOwnAnswers(setup: Setup) async throws {
        let configuration = Configuration(settings: ["default_pool_size": setup.mode == .session ? "20" : "3"]
        )
        try await withPooler(setup, configuration) { pooler throws in
            try Thread.concurrently(16) { number in
                let client = try pooler.connect()
                for round in 0..<40 {
                    let text = "\(number)-\(round)"
                    let answer = try client.query("select '\(text)', pg_sleep(0.001)").value
                    guard answer == text else {
                        throw Failure("\(text) was answered with \(answer ?? "NULL")")
                    }
                }
            }
        }
    }

    /// A function call is a message of its own, old but in the protocol.
    @Test(arguments: Setup.all)
    func aFunctionCallIsAnswered(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.rawLogin()
            let function = Bytes.int32(1_397)  // abs(integer)
            let argument =
                Bytes.int16(1) + Bytes.int16(0) + Bytes.int16(1) + Bytes.int32(2) + Array("-7".utf8)
            try client.send(Bytes.message("F", function + argument + Bytes.int16(0)))
            let answer = try client.receive(through: "Z")
            #expect(answer.map(\.type) == ["V", "Z"])
            #expect(answer[0].body == Bytes.int32(1) + Array("7".utf8))
            #expect(try client.query("select 1").map(\.type) == ["T", "D", "C", "Z"])
        }
    }

    @Test(arguments: Setup.all)
    func aRequestInTinyPiecesIsAnswered(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.raw()
            try client.trickle(Bytes.startup([("user", "app"), ("database", "test")]))
            try client.receive(through: "Z")
            try client.trickle(Bytes.query("select 'piece by piece'"))
            let answer = try client.receive(through: "Z")
            #expect(answer.map(\.type) == ["T", "D", "C", "Z"])
        }
    }
}
