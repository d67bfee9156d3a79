import CLibPQ
import Testing

/// COPY in both directions.
@Suite struct CopyTests {
    @Test(arguments: Setup.all)
    func rowsAreCopiedOut(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.query("copy (select g, repeat('x', 50) from generate_series(1, 20000) g) to stdout")
            let (rows, bytes) = try client.copyOut()
            #expect(rows == 20_000)
            #expect(bytes > 1_000_000)
            #expect(try client.finish().tag == "COPY 20000")
            #expect(try client.query("select 1").value == "1")
        }
    }

    @Test(arguments: Setup.all)
    func rowsAreCopiedIn(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.query("begin; create temp table t(a int, b text) on commit drop")
            try client.query("copy t from stdin")
            for number in 0..<2_000 { try client.copyIn("\(number)\tvalue \(number)\n") }
            #expect(try client.endCopy().tag == "COPY 2000")
            #expect(try client.query("select count(*), sum(a) from t").rows == [["2000", "1999000"]])
            try client.query("commit")
        }
    }

    /// A server that is copying belongs to its client, although no ready for query has come.
    @Test(arguments: Setup.single)
    func aServerStaysWithItsClientDuringCopy(setup: Setup) async throws {
        let table = "copied_\(unique())"
        try await withPooler(setup, Configuration(settings: ["default_pool_size": "1"])) { pooler throws in
            let client = try pooler.connect()
            try client.query("create table \(table)(a int)")
            try client.query("copy \(table) from stdin")
            try client.copyIn("1\n")
            let beside = try pooler.connect()
            try beside.send("select count(*) from \(table)")
            #expect(!beside.hasInput(within: 0.3))
            try client.copyIn("2\n")
            #expect(try client.endCopy().tag == "COPY 2")
            #expect(try beside.finish().value == "2")
            try client.query("drop table \(table)")
        }
    }

    @Test(arguments: Setup.all)
    func aClientMayFailItsOwnCopy(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.query("begin; create temp table t(a int) on commit drop; savepoint before")
            try client.query("copy t from stdin")
            try client.copyIn("1\n")
            let error = #expect(throws: PostgresError.self) {
                try client.endCopy(error: "thought better of it")
            }
            #expect(error?.sqlState == "57014")
            try client.query("rollback to before")
            #expect(try client.query("select count(*) from t").value == "0")
            try client.query("commit")
        }
    }

    /// The server gives up at once; what the client still sends is dropped by both.
    @Test(arguments: Setup.all)
    func badRowsEndACopyWithPostgresError(setup: Setup) async throws {
        let table = "bad_rows_\(unique())"
        try await withPooler(setup, Configuration(settings: ["default_pool_size": "1"])) { pooler throws in
            var client: Connection? = try pooler.connect()
            try client?.query("create table \(table)(a int)")
            try client?.query("copy \(table) from stdin")
            try client?.copyIn("not a number\n")
            for number in 0..<5_000 { try client?.copyIn("\(number)\n") }
            let error = #expect(throws: PostgresError.self) { try client?.endCopy() }
            #expect(error?.sqlState == "22P02")
            #expect(try client?.query("select count(*) from \(table)").value == "0")
            client = nil
            let next = try pooler.connect()
            #expect(try next.query("select 'clean'").value == "clean")
            try next.query("drop table \(table)")
        }
    }

    /// The late CopyData and CopyDone of a failed copy must not reach the next client's server.
    @Test(arguments: Setup.single)
    func lateCopyMessagesAreDropped(setup: Setup) async throws {
        let table = "late_\(unique())"
        try await withPooler(setup, Configuration(settings: ["default_pool_size": "1"])) { pooler throws in
            let client = try pooler.rawLogin()
            try client.query("create table \(table)(a int)")
            try client.send(Bytes.query("copy \(table) from stdin"))
            try client.receive(through: "G")
            try client.send(Bytes.message("d", Array("wrong\n".utf8)))
            let answer = try client.receive(through: "Z")
            #expect(answer.first?.fields["C"] == "22P02")
            let beside = try pooler.connect()
            #expect(try beside.query("select 1").value == "1")
            try client.send(Bytes.message("d", Array("5\n".utf8)) + Bytes.message("c"))
            #expect(try beside.query("select 2").value == "2")
            #expect(try client.query("select 3").map(\.type) == ["T", "D", "C", "Z"])
            try client.query("drop table \(table)")
        }
    }

    @Test(arguments: Setup.all)
    func aCopyOutMayFailHalfWay(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.query("copy (select 1 / (1000 - g) from generate_series(1, 2000) g) to stdout")
            let (rows, _) = try client.copyOut()
            #expect(rows == 999)
            let error = #expect(throws: PostgresError.self) { try client.finish() }
            #expect(error?.sqlState == "22012")
            #expect(try client.query("select 1").value == "1")
        }
    }

    @Test(arguments: Setup.all)
    func aCopyOutCanBeCancelled(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.query("copy (select generate_series(1, 100000000), repeat('x', 1000)) to stdout")
            try client.waitForInput()
            try client.cancel()
            _ = try client.copyOut()
            let error = #expect(throws: PostgresError.self) { try client.finish() }
            #expect(error?.sqlState == "57014")
            #expect(try client.query("select 1").value == "1")
        }
    }

    @Test(arguments: Setup.all)
    func aCopyInCanBeCancelled(setup: Setup) async throws {
        let table = "cancelled_\(unique())"
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.query("create table \(table)(a int)")
            try client.query("copy \(table) from stdin")
            try client.copyIn("1\n")
            try client.flush()
            try client.cancel()
            // PostgreSQL notices between two messages.
            repeat {
                try client.copyIn("1\n")
                try client.flush()
            } while !client.hasInput(within: 0.05)
            let error = #expect(throws: PostgresError.self) { try client.endCopy() }
            #expect(error?.sqlState == "57014")
            #expect(try client.query("select count(*) from \(table)").value == "0")
            try client.query("drop table \(table)")
        }
    }

    /// A client killed in the middle of a copy: what it copied is not there, and the server is usable.
    @Test(arguments: Setup.all)
    func aClientThatVanishesDuringCopyLeavesNothing(setup: Setup) async throws {
        let table = "abandoned_\(unique())"
        try await withPooler(setup, Configuration(settings: ["default_pool_size": "1"])) { pooler throws in
            let observer = try pooler.postgres.connect()
            try observer.query("create table \(table)(a int)")
            for direction in [
                "copy \(table) from stdin", "copy (select generate_series(1, 9999999)) to stdout",
            ] {
                let client = try pooler.rawLogin()
                try client.send(Bytes.query(direction))
                _ = try client.receive()
                if direction.contains("stdin") {
                    try client.send(Bytes.message("d", Array("5\n".utf8)))
                }
                client.disconnect()
                let next = try pooler.connect()
                #expect(try next.query("select count(*) from \(table)").value == "0")
            }
            try observer.query("drop table \(table)")
        }
    }

    @Test(arguments: Setup.transaction)
    func sixtyFourMegabytesEachWay(setup: Setup) async throws {
        try await copyEachWay(setup, megabytes: 64)
    }

    @Test(.enabled(if: Options.isLarge), arguments: Setup.transaction)
    func aGigabyteEachWay(setup: Setup) async throws {
        try await copyEachWay(setup, megabytes: 1_024)
    }

    /// Copies so many megabytes out and in, and watches that memory does not follow.
    private func copyEachWay(_ setup: Setup, megabytes: Int) async throws {
        let table = "bulk_\(unique())"
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.query("create unlogged table \(table)(a text)")
            try client.query("copy (select repeat('m', 1023) from generate_series(1, 4096)) to stdout")
            _ = try client.copyOut()
            try client.finish()
            let before = pooler.memory()
            var peak = before

            try client.query(
                "copy (select repeat('x', 1023) from generate_series(1, \(megabytes * 1_024))) to stdout")
            var sampled = 0
            let (_, bytes) = try client.copyOut { total in
                if total - sampled > 8 << 20 {
                    sampled = total
                    peak = max(peak, pooler.memory())
                }
            }
            try client.finish()
            #expect(bytes == megabytes << 20)

            try client.query("copy \(table) from stdin")
            let line = String(repeating: "y", count: 1_023) + "\n"
            let chunk = String(repeating: line, count: 64)
            for number in 0..<(megabytes * 16) {
                try client.copyIn(chunk)
                if number % 128 == 0 { peak = max(peak, pooler.memory()) }
            }
            #expect(try client.endCopy(within: 120).tag == "COPY \(megabytes * 1_024)")
            peak = max(peak, pooler.memory())
            #expect(peak - before < 16 << 20, "memory grew by \((peak - before) >> 10) KiB")
            try client.query("drop table \(table)")
        }
    }
}

extension Connection {
    /// Reads a copy to its end and returns the number of rows and bytes. `progress` is told the bytes so far.
    func copyOut(_ progress: (Int) -> Void = { _ in }) throws -> (rows: Int, bytes: Int) {
        let deadline = now() + 300
        var rows = 0
        var bytes = 0
        while true {
            var data: UnsafeMutablePointer<CChar>?
            let count = PQgetCopyData(raw, &data, 1)
            if let data { PQfreemem(data) }
            if count > 0 {
                rows += 1
                bytes += Int(count)
                progress(bytes)
            } else if count == 0 {
                try poll(1, until: deadline, "copy data")
                try check(PQconsumeInput(raw))
            } else {
                return (rows, bytes)
            }
        }
    }

    /// Sends copy data.
    func copyIn(_ text: String) throws {
        let sent = text.utf8.withContiguousStorageIfAvailable { bytes in
            bytes.withMemoryRebound(to: CChar.self) {
                PQputCopyData(raw, $0.baseAddress, Int32($0.count))
            }
        }
        try check(sent ?? -1)
    }

    /// Ends a copy, with success or with an error of our own, and reads its outcome.
    @discardableResult
    func endCopy(error: String? = nil, within seconds: Double = Options.patience) throws -> Rows {
        try check(PQputCopyEnd(raw, error))
        return try finish(within: seconds)
    }
}
