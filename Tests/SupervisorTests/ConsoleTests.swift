import System
import Testing

@Suite struct ConsoleServiceTests {
    @Test func theVersionIsShown() throws {
        let instance = try Instance()
        let console = try ConsoleClient(instance)
        let rows = try console.query("SHOW VERSION").filter { $0.type == "D" }
        #expect(rows.count == 1 && rows[0].text.contains("PgBouncer 1.26.0 (pgsluice"))
        #expect(instance.end() == nil)
    }

    @Test func rowsOfAllWorkersAreAddedUp() throws {
        let instance = try Instance()
        let console = try ConsoleClient(instance)
        let rows = try console.query("SHOW LISTS").filter { $0.type == "D" }
        #expect(rows.contains { $0.text.contains("used_clients") && $0.text.hasSuffix("21") })
    }

    @Test func aWorkerThatDoesNotAnswerIsNamedInTime() throws {
        let instance = try Instance()
        let console = try ConsoleClient(instance)
        #expect(try instance.ask("mute", worker: 1) == "muted")
        let start = Clock.monotonicNanoseconds
        let messages = try console.query("SHOW LISTS")
        let took = Clock.monotonicNanoseconds - start
        #expect(messages.contains { $0.type == "N" && $0.text.contains("worker 1 did not answer") })
        #expect(messages.contains { $0.text.contains("used_clients") && $0.text.hasSuffix("10") })
        #expect(took > 400_000_000 && took < 3_000_000_000)
    }

    @Test func countsOfADeadWorkerStay() throws {
        let instance = try Instance()
        _ = try instance.ask("count", worker: 0)
        _ = try instance.ask("count", worker: 1)
        _ = try? instance.ask("exit 1", worker: 0)
        try instance.waitForLog("exited with status 1")
        let rows = try ConsoleClient(instance).query("SHOW STATS").filter { $0.type == "D" }
        #expect(rows.contains { $0.text.contains("d") && $0.text.contains("10") })
    }

    @Test func reloadAnswersWhenEveryWorkerHasTheConfiguration() throws {
        let instance = try Instance("default_pool_size = 7")
        let console = try ConsoleClient(instance)
        try instance.write("default_pool_size = 9")
        let answer = try console.query("RELOAD")
        #expect(answer.map(\.type) == ["N", "C"])
        #expect(answer[0].text.contains("change: default_pool_size changes from \"7\" to \"9\""))
        #expect(try instance.ask("setting default_pool_size", worker: 1) == "9")
        try instance.write("default_pool_size = x")
        let refusal = try console.query("RELOAD")
        #expect(refusal.count == 1 && refusal[0].type == "E")
        #expect(refusal[0].text.contains("F0000") && refusal[0].text.contains("\(instance.file):12"))
        let rows = try console.query("SHOW CONFIG").filter { $0.text.contains("default_pool_size") }
        #expect(rows.count == 1 && rows[0].text.contains("9"))
        let last = try console.query("SHOW RELOAD").filter { $0.type == "D" }.map(\.text)
        #expect(last.contains { $0.contains("result") && $0.contains("failed") })
        #expect(last.contains { $0.contains("error") && $0.contains("\(instance.file):12") })
        try instance.write("default_pool_size = 9\nlisten_backlog = 7")
        #expect(try console.query("RELOAD").contains { $0.text.contains("needs restart: listen_backlog") })
        let next = try console.query("SHOW RELOAD").filter { $0.type == "D" }.map(\.text)
        #expect(next.contains { $0.contains("result") && $0.contains("applied") })
        #expect(next.contains { $0.contains("needs restart") && $0.contains("listen_backlog stays") })
    }

    @Test func workersAreShown() throws {
        let instance = try Instance(workers: 2)
        let console = try ConsoleClient(instance)
        let pid = try instance.ask("pid", worker: 0)
        func rows() throws -> [String] {
            try console.query("SHOW WORKERS").filter { $0.type == "D" }.map(\.text)
        }
        let first = try rows()
        #expect(first.count == 2 && first[0].contains(pid) && first.allSatisfy { $0.contains("ready") })
        _ = try? instance.ask("exit 1", worker: 0)
        try instance.waitForLog("exited with status 1")
        try eventually("another process is shown") {
            let row = try rows()[0]
            return row.contains("ready") && !row.contains(pid)
        }
    }

    @Test func pauseAndResumeKnowTheState() throws {
        let instance = try Instance()
        let console = try ConsoleClient(instance)
        #expect(try console.query("PAUSE").map(\.type) == ["C"])
        #expect(try console.query("PAUSE")[0].text.contains("already suspended/paused"))
        #expect(
            try console.query("SHOW STATE").contains {
                $0.text.contains("paused") && $0.text.hasSuffix("yes")
            })
        #expect(try console.query("RESUME").map(\.type) == ["C"])
        #expect(try console.query("RESUME")[0].text.contains("pooler is not paused/suspended"))
        #expect(try console.query("RESUME db")[0].text.contains("database db is not paused"))
    }

    /// Goal: whoever waits for a pause is always answered, and what was paused goes on.
    @Test(arguments: ["", " db"])
    func aPauseThatDoesNotComeAboutCanBeEndedByOthers(database: String) throws {
        let instance = try Instance()
        #expect(try instance.ask("hold", worker: 1) == "held")
        let waiting = try ConsoleClient(instance)
        try waiting.send("PAUSE\(database)")
        try instance.waitForLog("worker 1 got order pause\(database)")
        let other = try ConsoleClient(controlSocket: instance.controlSocket)
        #expect(try other.query("RESUME\(database)").map(\.type) == ["C"])
        let answer = try waiting.untilReady()
        #expect(answer.count == 1 && answer[0].text.contains("C57014"))
        #expect(answer[0].text.contains("ended by RESUME"))
    }

    @Test func aPauseWithALimitIsUndoneWhenItIsOver() throws {
        let instance = try Instance()
        #expect(try instance.ask("hold", worker: 0) == "held")
        let console = try ConsoleClient(instance)
        let answer = try console.query("PAUSE TIMEOUT 1")
        #expect(answer.count == 1 && answer[0].text.contains("C57014"))
        #expect(answer[0].text.contains("not all transactions have ended in 1 s"))
        try instance.waitForLog("worker 0 got order resume")
        #expect(try console.query("RESUME")[0].text.contains("pooler is not paused/suspended"))
        // One that comes about stays.
        let quick = try Instance()
        let second = try ConsoleClient(quick)
        #expect(try second.query("PAUSE db TIMEOUT 1").map(\.type) == ["C"])
        #expect(try second.query("RESUME db").map(\.type) == ["C"])
    }

    @Test func aPauseOutlivesItsSessionAndIsEndedByAnother() throws {
        let instance = try Instance()
        #expect(try instance.ask("hold", worker: 1) == "held")
        do {
            let waiting = try ConsoleClient(instance)
            try waiting.send("PAUSE")
            try instance.waitForLog("worker 1 got order pause")
        }
        let other = try ConsoleClient(instance)
        #expect(try other.query("PAUSE")[0].text.contains("already suspended/paused"))
        #expect(try other.query("RESUME").map(\.type) == ["C"])
        #expect(try other.query("PAUSE db TIMEOUT 1")[0].text.contains("C57014"))
    }

    @Test func aKillIsEndedByResumeOfAllOrOfEach() throws {
        let instance = try Instance()
        let console = try ConsoleClient(instance)
        #expect(try console.query("KILL").map(\.type) == ["C"])
        #expect(try console.query("RESUME a").map(\.type) == ["C"])
        #expect(try console.query("RESUME a")[0].text.contains("database a is not paused"))
        #expect(try console.query("PAUSE b")[0].text.contains("already suspended/paused"))
        #expect(try console.query("RESUME").map(\.type) == ["C"])
        #expect(try console.query("RESUME b")[0].text.contains("database b is not paused"))
        #expect(try console.query("KILL a").map(\.type) == ["C"])
        #expect(try console.query("KILL a").map(\.type) == ["C"])
        #expect(try console.query("RESUME")[0].text.contains("not paused"))
        #expect(try console.query("RESUME a").map(\.type) == ["C"])
        #expect(try console.query("PAUSE").map(\.type) == ["C"])
        #expect(try console.query("KILL")[0].text.contains("already suspended/paused"))
    }

    /// Goal: what was ordered before holds in a worker that was not there.
    @Test func aWorkerThatStartsLaterHearsWhatWasOrdered() throws {
        let instance = try Instance(workers: 1)
        let console = try ConsoleClient(controlSocket: instance.controlSocket)
        for command in ["KILL", "RESUME a", "RESUME b", "PAUSE b", "DISABLE c", "DISABLE d", "ENABLE d"] {
            #expect(try console.query(command).map(\.type) == ["C"], "\(command)")
        }
        _ = try? instance.ask("crash", worker: 0)
        try instance.waitForLog("worker 0 got order disable c", count: 2)
        let lines = instance.log.split(separator: "\n").filter { $0.contains("worker 0 got order") }
        let orders = lines.map { String($0.split(separator: " got order ").last ?? "") }
        #expect(
            orders == [
                "kill", "resume a", "resume b", "pause b", "disable c", "disable d", "enable d", "kill",
                "resume a", "resume b", "pause b", "disable c",
            ])
    }

    @Test func oneClientIsKilledWhereverItIs() throws {
        let instance = try Instance()
        let console = try ConsoleClient(instance)
        #expect(try console.query("KILL_CLIENT 7").map(\.type) == ["C"])
        #expect(try console.query("KILL_CLIENT 8")[0].text.contains("client not found"))
        let victim = try ConsoleClient(controlSocket: instance.controlSocket)
        let rows = try console.query("SHOW CLIENTS").filter { $0.type == "D" }
        let id = rows[0].text.split(separator: " ").last!.filter(\.isNumber)
        #expect(try console.query("KILL_CLIENT \(id)").map(\.type) == ["C"])
        #expect(try victim.next()?.text.contains("admin forced disconnect") == true)
        #expect(try victim.next() == nil)
    }

    @Test func aSettingChangesUntilTheNextReload() throws {
        let instance = try Instance("default_pool_size = 7")
        let console = try ConsoleClient(instance)
        let changed = try console.query("SET default_pool_size = '9'")
        #expect(changed.count == 1 && changed[0].text.contains("SET default_pool_size=9"))
        for index in 0...1 { #expect(try instance.ask("setting default_pool_size", worker: index) == "9") }
        let rows = try console.query("SHOW CONFIG").filter { $0.text.contains("default_pool_size") }
        #expect(rows.count == 1 && rows[0].text.contains("9"))
        // One that starts later, and one change after the other.
        #expect(try console.query("SET max_client_conn = 55").map(\.type) == ["C"])
        _ = try? instance.ask("exit 1", worker: 0)
        try instance.waitForLog("exited with status 1")
        #expect(try instance.ask("setting default_pool_size", worker: 0) == "9")
        #expect(try instance.ask("setting max_client_conn", worker: 0) == "55")
        for command in ["SET default_pool_size = x", "SET nothing = 1", "SET auth_file = '/x'"] {
            let refusal = try console.query(command)
            #expect(refusal.count == 1 && refusal[0].text.contains("SET failed: "), "\(command)")
        }
        // What only a restart changes is accepted, as PgBouncer does, and has no effect.
        #expect(try console.query("SET listen_port = 1").map(\.type) == ["C"])
        #expect(try instance.ask("setting default_pool_size", worker: 1) == "9")
        #expect(try console.query("RELOAD").last?.type == "C")
        #expect(try instance.ask("setting default_pool_size", worker: 1) == "7")
    }

    @Test func aDatabaseThatDoesNotExistIsNamed() throws {
        let instance = try Instance()
        let text = String(decoding: try FileSystem.read(instance.file), as: UTF8.self)
        try FileSystem.remove(instance.file)
        try FileSystem.create(
            instance.file,
            Array(
                text.split(separator: "\n").map { $0 == "* = host=127.0.0.1" ? "a =" : $0 }
                    .joined(separator: "\n").utf8), mode: 0o644)
        let console = try ConsoleClient(instance)
        #expect(try console.query("RELOAD").last?.type == "C")
        for command in ["PAUSE", "KILL", "RECONNECT", "DISABLE", "ENABLE", "WAIT_CLOSE"] {
            #expect(try console.query("\(command) b")[0].text.contains("no such database: b"))
        }
        #expect(try console.query("RECONNECT a").map(\.type) == ["C"])
        #expect(try console.query("WAIT_CLOSE").map(\.type) == ["C"])
    }

    @Test func shutdownEndsTheProcess() throws {
        let instance = try Instance()
        let console = try ConsoleClient(instance)
        try console.send("SHUTDOWN")
        #expect(try console.next() == nil)
        #expect(try instance.waitForEnd() == .exited(code: 0))
    }

    /// A session that sends without reading is read no further: its memory is bounded, the others are
    /// served.
    @Test func aSessionThatDoesNotReadStopsNobody() throws {
        let instance = try Instance()
        let deaf = try ConsoleClient(instance)
        let query = Array("Q\0\0\0\u{10}SHOW CONFIG\0".utf8)
        try Descriptors.setNonBlocking(deaf.descriptor, true)
        var sent = 0
        for _ in 0..<2000 { sent += try Descriptors.write(deaf.descriptor, query[...]) }
        #expect(sent > 0)
        let other = try ConsoleClient(instance)
        #expect(try other.query("SHOW VERSION").count == 3)
        let status = String(decoding: try FileSystem.read("/proc/\(instance.process)/status"), as: UTF8.self)
        let resident = status.split(separator: "\n").first { $0.hasPrefix("VmRSS") }!
        #expect(Int(resident.split(separator: " ").dropLast().last!)! < 60_000)
    }

    @Test func aSuspendedInstanceIsResumed() throws {
        let instance = try Instance()
        let console = try ConsoleClient(controlSocket: instance.controlSocket)
        func state() throws -> String { try console.query("SHOW STATE").map(\.text).joined() }
        #expect(try console.query("PAUSE a").map(\.type) == ["C"])
        #expect(try console.query("SUSPEND")[0].text.contains("cannot suspend with paused databases"))
        #expect(try console.query("RESUME a").map(\.type) == ["C"])
        #expect(try console.query("SUSPEND").map(\.type) == ["C"])
        #expect(try console.query("SHOW STATE")[3].text.contains("yes"))
        for command in ["SUSPEND", "PAUSE", "KILL"] {
            #expect(try console.query(command)[0].text.contains("already suspended/paused"))
        }
        #expect(try console.query("RESTART")[0].text.contains("suspended"))
        #expect(try console.query("RESUME").map(\.type) == ["C"])
        #expect(try console.query("SHOW STATE")[3].text.contains("no"))
        try instance.waitForLog("worker 0 got order suspend")
    }

    /// As in PgBouncer: with nobody there who could end it, it is over.
    @Test func aSuspensionEndsWithTheLastSession() throws {
        let instance = try Instance()
        do {
            let console = try ConsoleClient(controlSocket: instance.controlSocket)
            #expect(try console.query("SUSPEND").map(\.type) == ["C"])
        }
        try instance.waitForLog("the last console session has ended, continuing from SUSPEND")
        try instance.waitForLog("worker 0 got order resume")
    }
}
