/// SHOW SOCKETS: connections of both kinds, with the states that PgBouncer calls them by there.
enum SocketsTable {
    /// What PgBouncer tells of its buffers. Ours belong to no connection for longer than a turn of the loop.
    static let buffers = [
        "recv_pos", "pkt_pos", "pkt_remain", "send_pos", "send_remain", "pkt_avail", "send_avail",
    ]

    /// The rows of SHOW CLIENTS and SHOW SERVERS as rows of SHOW SOCKETS.
    static func rows(_ connections: [[[UInt8]?]]) -> [[[UInt8]?]] {
        connections.map { row in
            var row = row
            row[4] = Array(state(row[0], String(decoding: row[4] ?? [], as: UTF8.self)).utf8)
            return row + buffers.map { _ in [UInt8(ascii: "0")] }
        }
    }

    private static func state(_ type: [UInt8]?, _ state: String) -> String {
        let isClient = type == [UInt8(ascii: "C")]
        switch state {
        case "idle" where isClient: return "cl_active"
        case "new": return "sv_login"
        case _: return (isClient ? "cl_" : "sv_") + state
        }
    }
}
