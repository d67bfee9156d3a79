import Base
import Config
import Wire

/// The tables that need no worker.
enum PlainTables {
    /// SHOW VERSION. Tools parse it.
    static var version: ConsoleTable {
        var table = ConsoleTable(columns: ShowCommand.version.columns)
        table.append([ProductVersion.banner])
        return table
    }

    /// SHOW CONFIG.
    static func configuration(_ settings: [Configuration.Row]) -> ConsoleTable {
        var table = ConsoleTable(columns: ShowCommand.config.columns)
        for setting in settings {
            table.append([
                Array(setting.key.utf8), setting.value.map { Array($0.utf8) },
                setting.defaultText.map { Array($0.utf8) },
                Array((setting.isChangeable ? "yes" : "no").utf8),
            ])
        }
        return table
    }

    /// SHOW STATE.
    static func state(_ state: ConsoleState) -> ConsoleTable {
        var table = ConsoleTable(columns: ShowCommand.state.columns)
        let isPaused = state == .paused || state == .draining(isPaused: true)
        table.append(["active", state == .active ? "yes" : "no"])
        table.append(["paused", isPaused ? "yes" : "no"])
        table.append(["suspended", state == .suspended ? "yes" : "no"])
        // PgBouncer has no such row, so it is there only when it says something.
        if case .draining = state { table.append(["draining", "yes"]) }
        return table
    }

    /// SHOW FDS. PgBouncer passes its sockets to a successor in these rows, with passwords; an online restart
    /// of ours needs none.
    static let descriptorColumns: [ConsoleColumn] = {
        let texts = ["client_encoding", "std_strings", "datestyle", "timezone", "password"]
        return [ConsoleColumn("fd", .int4)]
            + ["task", "user", "database", "addr"].map { ConsoleColumn($0, .text) }
            + [
                ConsoleColumn("port", .int4), ConsoleColumn("cancel", .int8), ConsoleColumn("link", .int4),
            ] + texts.map { ConsoleColumn($0, .text) }
            + ["scram_client_key", "scram_server_key"].map { ConsoleColumn($0, .bytea) }
    }()

    /// SHOW RELOAD.
    static func reload(_ lines: [ReloadLine]) -> ConsoleTable {
        var table = ConsoleTable(columns: ShowCommand.reload.columns)
        for line in lines { table.append([line.item, line.text]) }
        return table
    }

    /// SHOW of a parameter the console only pretends to have.
    static func parameter(_ parameter: ConsoleParameter) -> ConsoleTable {
        var table = ConsoleTable(columns: [ConsoleColumn(parameter.rawValue, .text)])
        table.append([parameter.value])
        return table
    }

    /// The detail of SHOW HELP's notice.
    static let help = """

        \tSHOW HELP|VERSION|STATE|CONFIG
        \tSHOW DATABASES|POOLS|USERS|CLIENTS|SERVERS|LISTS|PEERS|PEER_POOLS
        \tSHOW STATS|STATS_TOTALS|STATS_AVERAGES|TOTALS|LATENCY|HISTOGRAMS|HISTORY
        \tSHOW FDS|SOCKETS|ACTIVE_SOCKETS|MEM|DNS_HOSTS|DNS_ZONES
        \tSHOW WORKERS|WAITERS|RELOAD
        \tSET key = arg
        \tRELOAD
        \tPAUSE [<db>] [TIMEOUT <seconds>]
        \tRESUME [<db>]
        \tDISABLE <db>
        \tENABLE <db>
        \tRECONNECT [<db>]
        \tKILL [<db>]
        \tKILL_CLIENT <client_id>
        \tSUSPEND
        \tDRAIN
        \tRESTART ['<path>'] [FORCE]
        \tSHUTDOWN
        \tSHUTDOWN WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS
        \tWAIT_CLOSE [<db>]
        """
}
