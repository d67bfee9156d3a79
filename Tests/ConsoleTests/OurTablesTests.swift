import SharedState
import Testing

@testable import Console

/// Tables that PgBouncer does not have, or that are made of others.
@Suite struct OurTablesTests {
    private static func show(
        _ word: String, _ kinds: [RowsKind], _ sources: [(RowsKind, [[String?]])],
        workers: [WorkerFacts] = []
    ) -> [[String?]] {
        var collected = CollectedRows(listenPort: 6432, sessionCount: 0)
        collected.workers = workers
        for (kind, rows) in sources { collected.add(kind, RowsTablesTests.rows(rows)) }
        var peer = Peer()
        let request = peer.query("show \(word)")
        #expect(request == .rows(kinds))
        _ = peer.answer(.rows(collected))
        return peer.replies().compactMap { reply in
            guard case .row(let row) = reply else { return nil }
            return row
        }
    }

    private static func server(
        _ id: String, _ database: String, _ user: String, state: String = "active", link: String = ""
    ) -> [String?] {
        var row = RowsTablesTests.client(id, database, user)
        (row[0], row[4], row[15]) = ("S", state, link)
        return row
    }

    @Test func socketsAreConnectionsOfBothKinds() {
        var idle = RowsTablesTests.client("2", "shop", "u")
        idle[4] = "idle"
        let rows = Self.show(
            "sockets", [.clients, .servers],
            [
                (.clients, [RowsTablesTests.client("1", "shop", "u"), idle]),
                (.servers, [Self.server("3", "shop", "u", state: "new"), Self.server("4", "shop", "u")]),
            ])
        #expect(rows.map { $0[4] } == ["cl_active", "cl_active", "sv_login", "sv_active"])
        #expect(rows.allSatisfy { $0.count == 28 && $0[21...].allSatisfy { $0 == "0" } })
    }

    @Test func memoryIsAddedUp() {
        let rows = Self.show(
            "mem", [.memory],
            [
                (.memory, [["client_cache", "500", "3", "1", "2000"]]),
                (.memory, [["client_cache", "500", "1", "0", "500"]]),
            ])
        #expect(rows == [["client_cache", "500", "4", "1", "2500"]])
    }

    /// Goal: a worker that does not answer is there all the same, with what the supervisor knows.
    @Test func workersAreShownAlsoWhenTheyAreSilent() {
        func facts(_ index: Int, _ process: Int32?, _ state: String) -> WorkerFacts {
            WorkerFacts(
                index: index, process: process, state: state, restarts: 2, startedMicroseconds: 7,
                beatAgeMilliseconds: 11, processorMilliseconds: process.map { _ in 12 })
        }
        let rows = Self.show(
            "workers", [.worker],
            [(.worker, [["1", "10", "1", "2", "4", "3", "2", "epoll", "70", "8"]])],
            workers: [facts(0, 100, "silent"), facts(1, 101, "ready"), facts(2, nil, "restarting")])
        #expect(
            rows == [
                ["0", "100", "silent", "time 7", "2", "11", "12"] + [String?](repeating: nil, count: 9),
                [
                    "1", "101", "ready", "time 7", "2", "11", "12", "10", "1", "2", "4", "3", "2", "epoll",
                    "70", "8",
                ],
                ["2", nil, "restarting", nil, "2", nil, nil] + [String?](repeating: nil, count: 9),
            ])
    }

    @Test func waitersAreShownWithWhoHoldsTheServers() {
        func waiter(_ id: String, _ database: String, _ user: String, _ wait: String, _ limit: String)
            -> [String?]
        {
            [id, database, user, "10.0.0.9", "5", "app", wait, limit, "2", "2"]
        }
        let servers = [
            Self.server("11", "shop", "u", link: "C-1"), Self.server("12", "shop", "u"),
            Self.server("13", "shop", "other", link: "C-3"), Self.server("14", "b", "u", link: "C-4"),
        ]
        let rows = Self.show(
            "waiters", [.waiters, .servers],
            [
                (.waiters, [waiter("5", "shop", "u", "90", "pool_size")]),
                (
                    .waiters,
                    [
                        waiter("6", "shop", "u", "1000", "max_db_connections"),
                        waiter("7", "shop", "u", "200", "max_user_connections"),
                    ]
                ), (.servers, servers),
            ])
        #expect(rows.map { $0[0] } == ["6", "7", "5"])
        #expect(rows.map { $0.last } == ["C-1, C-3", "C-1, C-4", "C-1"])
        let many = (0..<13).map { Self.server("\($0)", "shop", "u", link: "C-\($0)") }
        let long = Self.show(
            "waiters", [.waiters, .servers],
            [(.waiters, [waiter("5", "shop", "u", "90", "pool_size")]), (.servers, many)])
        #expect(long[0].last??.hasSuffix("C-9 and 3 more") == true)
    }

    @Test func aReloadSaysWhatItHasChanged() {
        let lines = [
            ReloadLine("change", "max_client_conn changes from \"1\" to \"2\""),
            ReloadLine("needs restart", "listen_port stays \"6432\": a restart is needed for \"1\""),
        ]
        var peer = Peer()
        _ = peer.query("reload")
        _ = peer.answer(.reloaded(lines))
        #expect(
            peer.replies() == [
                .notice("change: max_client_conn changes from \"1\" to \"2\""),
                .notice("needs restart: listen_port stays \"6432\": a restart is needed for \"1\""),
                .complete("RELOAD"), .ready,
            ])
        let request = peer.query("show reload")
        #expect(request == .lastReload)
        _ = peer.answer(.reload(lines))
        #expect(peer.replies().contains(.row(["change", lines[0].text])))
    }
}
