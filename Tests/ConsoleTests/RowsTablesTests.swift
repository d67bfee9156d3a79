import Config
import Console
import SharedState
import Testing
import Wire

/// Tables checked against the literal column lists of PgBouncer 1.26.
@Suite struct RowsTablesTests {
    static func rows(_ rows: [[String?]]) -> [UInt8] {
        var writer = RowWriter()
        for row in rows {
            writer.beginRow(fieldCount: row.count)
            for field in row { if let field { writer.append(field) } else { writer.appendNull() } }
        }
        return writer.bytes.array
    }

    /// Runs a SHOW with the given rows per worker, and gives what came back.
    static func show(
        _ command: String, _ answers: [(RowsKind, [[String?]])], sessions: Int = 0, control: Int = 0,
        missing: [Int] = []
    ) -> (columns: [ConsoleColumn], rows: [[String?]], notices: [String]) {
        var collected = CollectedRows(listenPort: 6432, sessionCount: sessions)
        for id in 0..<control {
            collected.addControlSession(
                id: UInt64(id + 90), connectedMicroseconds: 7, requestedMicroseconds: 8, peerPid: 4711)
        }
        collected.missingWorkers = missing
        for (kind, answer) in answers { collected.add(kind, rows(answer)) }
        var peer = Peer()
        _ = peer.query("show \(command)")
        _ = peer.answer(.rows(collected))
        var columns: [ConsoleColumn] = []
        var result: [[String?]] = []
        var notices: [String] = []
        for reply in peer.replies() {
            switch reply {
            case .columns(let found): columns = found
            case .row(let row): result.append(row)
            case .notice(let text): notices.append(text)
            case _: break
            }
        }
        return (columns, result, notices)
    }

    /// "name s, port i" as the reference writes it.
    static func columns(_ list: String) -> [ConsoleColumn] {
        list.split(separator: ",").map { item in
            let words = item.split(separator: " ")
            let types: [Substring: ColumnType] = ["s": .text, "i": .int4, "N": .numeric, "T": .text]
            return ConsoleColumn(String(words[0]), types[words[1]]!)
        }
    }

    static let connection = """
        type s, user s, database s, replication s, state s, addr s, port i, local_addr s, local_port i,
        connect_time T, request_time T, wait i, wait_us i, close_needed i, ptr s, link s, remote_pid i, tls s,
        application_name s, prepared_statements i, id i
        """.split(separator: "\n").joined(separator: " ")

    static func client(_ id: String, _ database: String, _ user: String) -> [String?] {
        [
            "C", user, database, "none", "active", "127.0.0.1", "5", "127.0.0.1", "6432", "1000000",
            "2000000", "1",
            "2", "0", "0x1", "", "0", "", "app", "3", id,
        ]
    }

    @Test func connectionsAreOrderedByPoolWithReadableTimes() {
        for command in ["clients", "servers"] {
            let kind: RowsKind = command == "clients" ? .clients : .servers
            let shown = Self.show(
                command,
                [
                    (kind, [Self.client("9", "b", "u"), Self.client("2", "a", "z")]),
                    (kind, [Self.client("5", "b", "u"), Self.client("7", "a", "a")]),
                ])
            #expect(shown.columns == Self.columns(Self.connection))
            #expect(shown.rows.map { $0[20] } == ["7", "2", "9", "5"])
            #expect(shown.rows[0][9] == "time 1000000")
            #expect(shown.rows[0][10] == "time 2000000")
            #expect(shown.notices.isEmpty)
        }
    }

    @Test func poolsAreSummedByDatabaseAndUser() {
        let list = """
            database s, user s, cl_active i, cl_waiting i, cl_active_cancel_req i, cl_waiting_cancel_req i,
            sv_active i, sv_active_cancel i, sv_being_canceled i, sv_idle i, sv_used i, sv_tested i,
            sv_login i, maxwait i, maxwait_us i, pool_mode s, load_balance_hosts s
            """.split(separator: "\n").joined(separator: " ")
        func pool(_ count: String, _ wait: String, _ microseconds: String) -> [String?] {
            ["shop", "web"] + [String?](repeating: count, count: 11)
                + [wait, microseconds, "transaction", "round-robin"]
        }
        let shown = Self.show(
            "pools",
            [
                (.pools, [pool("1", "3", "5")]), (.pools, [pool("20", "2", "999999")]),
                (.pools, [pool("300", "3", "4")]),
                (.pools, [["app", "u"] + [String?](repeating: "0", count: 13) + ["session", nil]]),
            ], sessions: 2)
        #expect(shown.columns == Self.columns(list))
        #expect(
            shown.rows == [
                ["app", "u"] + [String?](repeating: "0", count: 13) + ["session", nil],
                ["pgbouncer", "pgbouncer", "2"] + [String?](repeating: "0", count: 12) + ["statement", nil],
                ["shop", "web"] + [String?](repeating: "321", count: 11)
                    + ["3", "5", "transaction", "round-robin"],
            ])
    }

    @Test func databasesAddUpConnectionsAndKeepLimits() {
        let list = """
            name s, host s, port i, database s, force_user s, pool_size i, min_pool_size i,
            reserve_pool_size i, server_lifetime i, pool_mode s, load_balance_hosts s,
            max_connections i, current_connections i,
            max_client_connections i, current_client_connections i, paused i, disabled i
            """.split(separator: "\n").joined(separator: " ")
        func database(_ name: String, _ current: String, _ clients: String, paused: String) -> [String?] {
            [
                name, "127.0.0.1", "5432", "d", nil, "20", "0", "5", "3600", nil, nil, "40", current, "100",
                clients, paused, "0",
            ]
        }
        let shown = Self.show(
            "databases",
            [
                (
                    .databases,
                    [database("shop", "3", "10", paused: "0"), database("auto", "1", "1", paused: "0")]
                ),
                (.databases, [database("shop", "4", "20", paused: "1")]),
                (
                    .databases,
                    [
                        [
                            "pgbouncer", nil, "6432", "pgbouncer", "pgbouncer", "2", "0", "0", "3600",
                            "statement", nil,
                            "0", "0", "0", "3", "0", "0",
                        ]
                    ]
                ),
            ], sessions: 1)
        #expect(shown.columns == Self.columns(list))
        #expect(
            shown.rows == [
                database("auto", "1", "1", paused: "0"),
                [
                    "pgbouncer", nil, "6432", "pgbouncer", "pgbouncer", "2", "0", "0", "3600", "statement",
                    nil, "0",
                    "0", "0", "4", "0", "0",
                ],
                database("shop", "7", "30", paused: "1"),
            ])
    }

    @Test func usersShowSizesAsText() {
        let list = """
            name s, pool_size s, reserve_pool_size s, pool_mode s, max_user_connections i,
            current_connections i, max_user_client_connections i, current_client_connections i
            """.split(separator: "\n").joined(separator: " ")
        let shown = Self.show(
            "users",
            [
                (.users, [["web", "7", nil, "session", "10", "1", "20", "4"]]),
                (.users, [["web", "7", nil, "session", "10", "2", "20", "5"]]),
            ])
        #expect(shown.columns == Self.columns(list))
        #expect(
            shown.rows == [
                ["pgbouncer", "", "", nil, "0", "0", "0", "0"],
                ["web", "        7", "", "session", "10", "3", "20", "9"],
            ])
    }

    /// Goal: what all workers know alike is counted once, what each has is added up.
    @Test func listsCountThingsOnceAndConnectionsTogether() {
        func database(_ name: String) -> [String?] { [name] + [String?](repeating: "0", count: 16) }
        func user(_ name: String) -> [String?] { [name] + [String?](repeating: "0", count: 7) }
        let shown = Self.show(
            "lists",
            [
                (.databases, [database("a"), database("b")]), (.databases, [database("b"), database("c")]),
                (.users, [user("u")]), (.users, [user("u")]),
                (.pools, [["a", "u"] + [String?](repeating: "0", count: 15)]),
                (.peerPools, [["2", "0", "0", "0", "0"]]), (.peerPools, [["2", "0", "0", "0", "0"]]),
                (.lists, [["used_clients", "3"], ["free_clients", "7"], ["used_servers", "2"]]),
                (.lists, [["peers", "3"]]),
                (.lists, [["used_clients", "4"], ["login_clients", "1"]]),
            ], sessions: 3, control: 1)
        #expect(shown.columns == Self.columns("list s, items i"))
        #expect(
            shown.rows == [
                ["databases", "4"], ["users", "2"], ["peers", "3"], ["pools", "2"], ["peer_pools", "1"],
                ["free_clients", "7"], ["used_clients", "8"], ["login_clients", "1"], ["free_servers", "0"],
                ["used_servers", "2"], ["dns_names", "0"], ["dns_zones", "0"], ["dns_queries", "0"],
                ["dns_pending", "0"],
            ])
    }

    @Test func peersAreShownOnceAndTheirPoolsAddUp() {
        let peers = Self.show(
            "peers", [(.peers, [["2", "/run/b", "6432", "20"]]), (.peers, [["2", "/run/b", "6432", "20"]])])
        #expect(peers.columns == Self.columns("peer_id i, host s, port i, pool_size i"))
        #expect(peers.rows == [["2", "/run/b", "6432", "20"]])
        let pools = Self.show(
            "peer_pools",
            [
                (.peerPools, [["2", "1", "2", "3", "4"], ["5", "1", "0", "1", "0"]]), (.peerPools, []),
                (.peerPools, [["2", "1", "1", "1", "1"]]),
            ])
        #expect(
            pools.columns
                == Self.columns(
                    "peer_id i, cl_active_cancel_req i, cl_waiting_cancel_req i, sv_active_cancel i, "
                        + "sv_login i"))
        #expect(pools.rows == [["2", "2", "3", "4", "5"], ["5", "1", "0", "1", "0"]])
    }

    @Test func sessionsOfTheControlSocketAreClientsToo() {
        let shown = Self.show("clients", [(.clients, [Self.client("1", "shop", "u")])], control: 1)
        #expect(
            shown.rows.first == [
                "C", "pgbouncer", "pgbouncer", "none", "active", "unix", "6432", "unix", "6432", "time 7",
                "time 8",
                "0", "0", "0", "C-90", "", "4711", "", "", "0", "90",
            ])
        #expect(shown.rows.count == 2)
    }

    /// Goal: a worker that writes the times out itself is believed.
    @Test func writtenTimesStayAsTheyAre() {
        var client = Self.client("1", "shop", "u")
        client[9] = "2026-07-10 12:34:56 UTC"
        let shown = Self.show("clients", [(.clients, [client])])
        #expect(shown.rows.first?[9] == "2026-07-10 12:34:56 UTC")
    }

    @Test func whatIsMissingIsSaid() {
        var collected = CollectedRows(listenPort: 1, sessionCount: 0)
        collected.missingWorkers = [2]
        collected.add(.clients, Self.rows([Self.client("1", "d", "u")]) + [0, 21, 0])
        collected.add(.clients, Self.rows([["too", "few"]]))
        var peer = Peer()
        _ = peer.query("show clients")
        _ = peer.answer(.rows(collected))
        let replies = peer.replies()
        #expect(replies[0] == .notice("worker 2 did not answer in time; its part is missing"))
        #expect(replies[1] == .notice("2 answers of workers could not be read to their end"))
        #expect(replies.count == 6, "two notices, columns, a row, complete, ready")
    }

    @Test func theConfigurationIsShownAsItIs() {
        var peer = Peer()
        let request = peer.query("show config")
        #expect(request == .configuration)
        let rows = Configuration().configRows()
        _ = peer.answer(.configuration(rows))
        let replies = peer.replies()
        #expect(replies.first == .columns(Self.columns("key s, value s, default s, changeable s")))
        #expect(replies.count == rows.count + 3)
        #expect(replies.contains(.row(["listen_port", "6432", "6432", "no"])))
        #expect(replies.contains(.row(["query_timeout", "0", "0", "yes"])))
    }
}
