import SharedState
import Testing
import Wire

@testable import Console

/// What SHOW shows, column by column, as PgBouncer 1.26 has it. i is int4, q int8, s text, N numeric, T a
/// time as text, b bytea.
@Suite struct ColumnsTests {
    private static let connection = """
        type s, user s, database s, replication s, state s, addr s, port i, local_addr s, local_port i, \
        connect_time T, request_time T, wait i, wait_us i, close_needed i, ptr s, link s, remote_pid i, \
        tls s, application_name s, prepared_statements i, id i
        """
    private static let buffers =
        "recv_pos i, pkt_pos i, pkt_remain i, send_pos i, send_remain i, pkt_avail i, send_avail i"
    private static let counts = [
        "server_assignment_count", "xact_count", "query_count", "received", "sent", "xact_time", "query_time",
        "wait_time", "client_parse_count", "server_parse_count", "bind_count", "client_login_count",
    ]

    private static func numerics(_ names: [String]) -> String {
        names.map { ", \($0) N" }.joined()
    }

    /// Every word after SHOW, with its columns.
    private static let reference: [(ShowCommand, String)] = [
        (
            .stats,
            "database s" + numerics(counts.map { "total_" + $0 })
                + numerics(counts.map { "avg_" + ($0 == "received" ? "recv" : $0) })
        ),
        (
            .statsTotals,
            "database s" + numerics(counts.map { ["received", "sent"].contains($0) ? "bytes_" + $0 : $0 })
        ),
        (
            .statsAverages,
            "database s"
                + numerics(
                    counts.prefix(8).map { ["received", "sent"].contains($0) ? "bytes_" + $0 : $0 }
                        + counts.dropFirst(8).map { "avg_" + $0 })
        ),
        (.totals, "name s, value N"),
        (.servers, connection), (.clients, connection),
        (.sockets, connection + ", " + buffers), (.activeSockets, connection + ", " + buffers),
        (
            .pools,
            """
            database s, user s, cl_active i, cl_waiting i, cl_active_cancel_req i, cl_waiting_cancel_req i, \
            sv_active i, sv_active_cancel i, sv_being_canceled i, sv_idle i, sv_used i, sv_tested i, \
            sv_login i, maxwait i, maxwait_us i, pool_mode s, load_balance_hosts s
            """
        ),
        (
            .peerPools,
            """
            peer_id i, cl_active_cancel_req i, cl_waiting_cancel_req i, sv_active_cancel i, sv_login i
            """
        ),
        (
            .databases,
            """
            name s, host s, port i, database s, force_user s, pool_size i, min_pool_size i, \
            reserve_pool_size i, server_lifetime i, pool_mode s, load_balance_hosts s, max_connections i, \
            current_connections i, max_client_connections i, current_client_connections i, paused i, \
            disabled i
            """
        ),
        (
            .users,
            """
            name s, pool_size s, reserve_pool_size s, pool_mode s, max_user_connections i, \
            current_connections i, max_user_client_connections i, current_client_connections i
            """
        ),
        (.peers, "peer_id i, host s, port i, pool_size i"), (.lists, "list s, items i"),
        (.config, "key s, value s, default s, changeable s"), (.version, "version s"),
        (.state, "key s, value s"), (.mem, "name s, size i, used i, free i, memtotal i"),
        (.dnsHosts, "hostname s, ttl q, addrs s"), (.dnsZones, "zonename s, serial q, count i"),
        (
            .fds,
            """
            fd i, task s, user s, database s, addr s, port i, cancel q, link i, client_encoding s, \
            std_strings s, datestyle s, timezone s, password s, scram_client_key b, scram_server_key b
            """
        ),
        // Ours.
        (
            .workers,
            """
            worker i, pid i, state s, started s, restarts i, beat_age_ms q, cpu_ms q, clients i, \
            login_clients i, waiting_clients i, servers i, idle_servers i, pools i, io_backend s, \
            logins_failed q, logins_refused q
            """
        ),
        (
            .waiters,
            """
            id i, database s, user s, addr s, port i, application_name s, wait_us q, waits_for s, servers i, \
            pool_size i, holders s
            """
        ),
        (.reload, "item s, text s"),
    ]

    @Test(arguments: reference)
    func theColumnsAreThoseOfTheReference(command: ShowCommand, list: String) {
        let types: [Substring: ColumnType] = [
            "s": .text, "i": .int4, "q": .int8, "N": .numeric, "T": .text, "b": .bytea,
        ]
        let expected = list.split(separator: ",").map { item in
            let words = item.split(separator: " ")
            return ConsoleColumn(String(words[0]), types[words[1]]!)
        }
        #expect(command.columns == expected)
    }

    @Test func everyCommandButHelpIsInTheReference() {
        let known = Set(Self.reference.map(\.0.rawValue))
        #expect(known.count == Self.reference.count)
        let missing = Set(ShowCommand.allCases.map(\.rawValue)).subtracting(known)
        // Percentiles, histograms and history are compared where they are made.
        #expect(missing.subtracting(["latency", "histograms", "history"]) == ["help"])
    }

    /// Every table answers, empty where nothing of its kind can exist here, and its description fits.
    @Test(arguments: ["fds", "active_sockets", "dns_hosts", "dns_zones"])
    func whatCannotExistIsAnEmptyTable(word: String) throws {
        var peer = Peer()
        let request = peer.query("show \(word)")
        #expect(request == nil)
        let columns = try #require(ShowCommand(rawValue: word)).columns
        #expect(peer.replies() == [.columns(columns), .complete("SHOW"), .ready])
    }
}
