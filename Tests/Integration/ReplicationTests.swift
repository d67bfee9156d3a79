import CLibPQ
import Testing

/// Replication connections: a server of their own, for as long as the client lasts.
@Suite(.enabled(if: Options.isOurs)) struct ReplicationTests {
    @Test(arguments: Setup.all, ["true", "database"])
    func replicationCommandsAreAnswered(setup: Setup, kind: String) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect(user: "replicator", ["replication": kind])
            let rows = try client.query("IDENTIFY_SYSTEM")
            #expect(rows.columns == ["systemid", "timeline", "xlogpos", "dbname"])
            let database = try #require(rows.rows.first?.last)
            #expect(database == (kind == "true" ? nil : "test"))
            #expect(try client.query("IDENTIFY_SYSTEM").rows.count == 1)
            let ordinary = try pooler.connect(user: "replicator")
            #expect(throws: PostgresError.self) { try ordinary.query("IDENTIFY_SYSTEM") }
        }
    }

    /// `pg_receivewal` through the pooler writes the same WAL that PostgreSQL has.
    @Test(.serialized, arguments: Setup.transaction)
    func walIsStreamed(setup: Setup) async throws {
        // libpq names this database for physical replication.
        var configuration = Configuration()
        configuration.databases["replication"] = "host=127.0.0.1 port=\(Postgres.shared.port) dbname=test"
        try await withPooler(setup, configuration) { pooler throws in
            let folder = try Folder.shared.make("wal")
            let name = "receiver_\(unique())"
            let receiver = try Child(
                [
                    "\(Postgres.tools)/pg_receivewal", "-D", folder, "-n", "-v", "--no-sync",
                    "-d", "host=127.0.0.1 port=\(pooler.port) user=replicator application_name=\(name)",
                ], output: "\(folder).log")
            defer {
                receiver.signal(9)
                _ = try? receiver.wait()
            }
            try eventually("the receiver streams") {
                if let ending = receiver.ending() {
                    throw Failure("pg_receivewal \(ending): \(try readFile("\(folder).log"))")
                }
                return try pooler.postgres.ask(
                    "select count(*) from pg_stat_replication where application_name = '\(name)'"
                        + " and state = 'streaming'") != "0"
            }
            let observer = try pooler.postgres.connect(user: "postgres")
            try observer.query("select pg_logical_emit_message(false, 'test', repeat('w', 300000))")
            // Where the next record goes: what is written may lag, and be the end of the segment before.
            let segment =
                try observer.query("select pg_walfile_name(pg_current_wal_insert_lsn())").value ?? ""
            try observer.query("select pg_switch_wal()")
            try eventually("the segment \(segment) has arrived") {
                (try? readBytes("\(folder)/\(segment)").count) == 16 << 20
            }
            let received = try readBytes("\(folder)/\(segment)")
            let original = try readBytes("\(pooler.postgres.folder)/data/pg_wal/\(segment)")
            #expect(received == original)
            receiver.signal(2)
            try receiver.wait()
            try eventually("the server is closed with its client") {
                try pooler.show("SERVERS").allSatisfy { $0["replication"] == "none" }
            }
        }
    }

    /// A slot, a change, and its decoding, over a logical replication connection.
    @Test(arguments: Setup.single)
    func changesAreDecoded(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let slot = "slot_\(unique())"
            let client = try pooler.connect(user: "replicator", ["replication": "database"])
            try client.query(
                "CREATE_REPLICATION_SLOT \(slot) TEMPORARY LOGICAL test_decoding NOEXPORT_SNAPSHOT")
            let observer = try pooler.postgres.connect()
            try observer.query(
                "create table decoded_\(slot)(a int); insert into decoded_\(slot) values (4711)")
            try client.query("START_REPLICATION SLOT \(slot) LOGICAL 0/0")
            var seen = ""
            let deadline = now() + Options.patience
            while !seen.contains("4711") {
                guard now() < deadline else { throw Failure("no change arrived: \(seen)") }
                var data: UnsafeMutablePointer<CChar>?
                let count = PQgetCopyData(client.raw, &data, 1)
                if let data, count > 0 {
                    let bytes = UnsafeRawBufferPointer(start: data, count: Int(count))
                    seen += String(decoding: bytes.dropFirst(25), as: UTF8.self)
                    PQfreemem(data)
                } else if count == 0 {
                    try client.poll(1, until: deadline, "a change")
                    try client.check(PQconsumeInput(client.raw))
                } else {
                    throw Failure("the stream ended: \(client.errorMessage)")
                }
            }
            try observer.query("drop table decoded_\(slot)")
        }
    }

    @Test(arguments: Setup.transaction)
    func aRefusalOfPostgresEndsTheClient(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            #expect(throws: PostgresError.self) {
                try pooler.connect(user: "app", ["replication": "true"]).query("IDENTIFY_SYSTEM")
            }
            #expect(try pooler.connect().query("select 1").value == "1")
        }
    }
}
