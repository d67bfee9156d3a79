import CLibPQ
import Glibc
import Testing

/// RESTART: another program takes over in the same process, and nobody notices.
@Suite struct RestartTests {
    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func nobodyIsDropped(setup: Setup) async throws {
        let configuration = Configuration(settings: ["default_pool_size": "6"])
        try await withPooler(setup, configuration) { pooler throws in
            let isOver = Shared(false)
            let queries = Shared(0)
            let longest = Shared(0.0)
            let clients = Thread {
                try Thread.concurrently(10) { thread in
                    let client = try pooler.connect()
                    let zone = ["UTC", "Europe/Paris", "Asia/Tokyo"][thread % 3]
                    try client.query("set timezone to '\(zone)'")
                    try client.prepare("mine", "select $1::text || '\(thread)'")
                    try client.prepare("zone", "select current_setting('timezone')")
                    var number = 0
                    while !isOver.current {
                        number += 1
                        let start = now()
                        #expect(try client.execute("mine", ["\(number)-"]).value == "\(number)-\(thread)")
                        #expect(try client.execute("zone").value == zone)
                        try client.query("begin")
                        let first = try client.query("select pg_backend_pid()").value
                        #expect(try client.query("select pg_backend_pid()").value == first)
                        try client.query("commit")
                        longest.with { $0 = max($0, now() - start) }
                        queries.with { $0 += 1 }
                        if thread > 5 { usleep(10_000) }
                    }
                }
            }
            let holder = try pooler.connect()
            try holder.query("begin")
            let backend = try holder.query("select pg_backend_pid()").value
            var generations = [pooler.workers()]
            for _ in 1...3 {
                try pooler.console().query("RESTART FORCE")
                let before = queries.current
                try eventually("the clients work") { queries.current > before + 50 }
                generations.append(pooler.workers().filter { !generations.joined().contains($0) })
                #expect(generations.last?.count == setup.workers)
            }
            // The first program's worker has waited for the transaction.
            #expect(try holder.query("select pg_backend_pid()").value == backend)
            try holder.query("commit")
            try eventually("only the last workers are left") {
                pooler.workers().sorted() == generations.last?.sorted()
            }
            #expect(try holder.query("select 1").value == "1")
            isOver.with { $0 = true }
            try clients.join()
            #expect(try pooler.show("SERVERS").count <= 6)
            print("\(setup): \(queries.current) rounds, the longest \(longest.current) s")
        }
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func aClientKeepsWhatItHas(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.query("set datestyle to 'German'")
            try client.prepare("mine", "select $1::int + 1")
            let console = try pooler.console()
            for number in 1...5 {
                try console.query("RESTART FORCE")
                #expect(try client.execute("mine", ["\(number)"]).value == "\(number + 1)")
                #expect(try client.query("select date '2026-11-21'").value == "21.11.2026")
            }
            try client.send("select pg_sleep(60)")
            try pooler.untilActive("select pg_sleep(60)")
            try client.cancel()
            let error = #expect(throws: PostgresError.self) { try client.finish() }
            #expect(error?.sqlState == "57014")
            #expect(try client.execute("mine", ["41"]).value == "42")
        }
    }

    /// Sessions go to the new workers with their servers, and the old workers wait for none of them.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.session, [false, true])
    func sessionsGoOn(setup: Setup, isReload: Bool) async throws {
        try await withPooler(setup, Configuration(settings: ["default_pool_size": "8"])) { pooler throws in
            let isOver = Shared(false)
            let rounds = Shared(0)
            let clients = Thread {
                try Thread.concurrently(6) { thread in
                    let client = try pooler.connect()
                    try client.query("create temp table mine as select \(thread) as number")
                    try client.query("select pg_advisory_lock(\(4000 + thread))")
                    try client.prepare("sum", "select number + $1::int from mine")
                    let backend = try client.query("select pg_backend_pid()").value
                    var number = 0
                    while !isOver.current {
                        number += 1
                        #expect(try client.execute("sum", ["\(number)"]).value == "\(thread + number)")
                        #expect(try client.query("select pg_backend_pid()").value == backend)
                        rounds.with { $0 += 1 }
                        if thread > 3 { usleep(10_000) }
                    }
                    #expect(try client.query("select pg_advisory_unlock(\(4000 + thread))").value == "t")
                }
            }
            let quiet = try pooler.connect()
            try quiet.query("set work_mem to '7MB'")
            try quiet.query("listen bell")
            for round in 1...3 {
                let before = pooler.workers()
                if isReload {
                    // More, or fewer: those with the highest numbers leave.
                    try pooler.rewrite {
                        $0.settings["workers"] = "\(round % 2 == 1 ? 4 : setup.workers == 1 ? 1 : 2)"
                    }
                    pooler.reload()
                    let count = round % 2 == 1 ? 4 : setup.workers == 1 ? 1 : 2
                    try eventually("there are \(count) workers") { pooler.workers().count == count }
                } else {
                    try pooler.console().query("RESTART")
                    try eventually("the old workers have left") {
                        Set(before).isDisjoint(with: pooler.workers())
                    }
                }
                let number = rounds.current
                try eventually("the clients work") { rounds.current > number + 20 }
                #expect(try quiet.query("show work_mem").value == "7MB")
            }
            isOver.with { $0 = true }
            try clients.join()
            try pooler.connect().query("notify bell")
            try quiet.query("select 1")
            #expect(PQnotifies(quiet.raw) != nil)
            #expect(try pooler.serverCount() <= 8 * setup.workers)
        }
    }

    /// What is counted goes on where it was.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction)
    func nothingThatWasCountedIsLost(setup: Setup) async throws {
        try await withPooler(setup) { pooler throws in
            let clients = try (0..<5).map { _ in try pooler.connect() }
            func count() throws -> Int {
                let row = try pooler.show("STATS_TOTALS").first { $0["database"] == "test" }
                return Int(row?["query_count"] ?? "") ?? -1
            }
            for round in 1...3 {
                for client in clients { for _ in 0..<10 { try client.query("select 1") } }
                try eventually("all are counted", { try count() == round * 50 })
                try pooler.console().query("RESTART FORCE")
                #expect(try count() == round * 50)
                // Also what workers have counted that are gone by now.
                try eventually("the old workers have left") { pooler.workers().count == setup.workers }
                let row = try pooler.show("LATENCY").first {
                    $0["database"] == "test" && $0["kind"] == "query"
                }
                #expect(row?["total_count"] == "\(round * 50)")
                try eventually("the history has all rows") {
                    try pooler.show("HISTORY").reduce(0) { $0 + (Int($1["query_count"] ?? "") ?? 0) }
                        == round * 50
                }
            }
        }
    }

    /// Why a program may not take over.
    enum Fault: CaseIterable {
        case fails, isMissing, crashesAtOnce, hangs, crashes, hasABrokenConfiguration, cannotShare
    }

    /// A program beside the pooler, and the command that restarts into it.
    private func restart(_ pooler: Pooler, into lines: String) throws -> String {
        let script = "\(pooler.folder)/program"
        try writeFile(script, "#!/bin/sh\n\(lines)\n")
        chmod(script, 0o755)
        return "RESTART '\(script)'"
    }

    @Test(.enabled(if: Options.isOurs), arguments: Setup.transaction, Fault.allCases)
    func aProgramThatCannotTakeOverChangesNothing(setup: Setup, fault: Fault) async throws {
        try await withPooler(setup) { pooler throws in
            let client = try pooler.connect()
            try client.query("begin")
            let workers = pooler.workers().sorted()
            let console = try pooler.console()
            var command = "RESTART"
            var reason = ""
            switch fault {
            case .fails: (command, reason) = ("RESTART '/bin/false'", "exited with status 1")
            case .isMissing: (command, reason) = ("RESTART '/no/such/program'", "No such file or directory")
            case .crashesAtOnce:
                (command, reason) = (try restart(pooler, into: "kill -SEGV $$"), "killed by signal 11")
            case .hangs:
                (command, reason) = (try restart(pooler, into: "exec sleep 600"), "did not answer within")
            case .crashes:
                command = try restart(
                    pooler,
                    into: """
                        [ "$1" = --preflight ] || export PGSLUICE_TEST=1 PGSLUICE_TEST_RESTART=crash
                        exec \(Folder.binary) "$@"
                        """)
                reason = "crashed"
            case .hasABrokenConfiguration:
                try pooler.rewrite { $0.settings["pool_mode"] = "nonsense" }
                reason = "pool_mode"
            case .cannotShare:
                try pooler.rewrite { $0.settings["max_pools"] = "64" }
                reason = "max_pools"
            }
            for _ in 0..<(fault == .hangs ? 1 : 2) {
                let error = #expect(throws: PostgresError.self) {
                    try console.query(command, within: Options.patience + 10)
                }
                #expect(error?.message.hasPrefix("restart failed: ") == true)
                #expect(error?.message.contains(reason) == true, "\(error?.message ?? "no error")")
            }
            #expect(try client.query("select 1").value == "1")
            try client.query("commit")
            #expect(pooler.workers().sorted() == workers)
            #expect(try pooler.connect().query("select 2").value == "2")
        }
    }
}
