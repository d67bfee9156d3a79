import ArgumentParser
import System

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "What runs, and how it is.")
    @OptionGroup(title: "Instance") var instance: InstanceOptions
    @OptionGroup(title: "Output") var output: OutputOptions

    func run() throws {
        let session = try instance.connect()
        let summary = try Summary(session)
        try output.emit(json: summary.json, text: summary.lines)
    }
}

/// The state of an instance on one page.
struct Summary: Equatable {
    var version = ""
    var process: Int32 = 0
    var user = ""
    var socket = ""
    var configurationFile: String?
    var state = ""
    var pools = PoolSums()
    /// `nil` where the instance does not tell.
    var workers: (ready: Int, count: Int)?
    var pausedDatabases: [String] = []
    var disabledDatabases: [String] = []

    static func == (a: Summary, b: Summary) -> Bool { a.json == b.json }

    init() {}

    init(_ session: ConsoleSession) throws(Failure) {
        version = try session.run("SHOW VERSION").rows.first?.first.flatMap(\.self) ?? ""
        process = session.peer.processID
        user = Accounts.userName(id: session.peer.userID) ?? "\(session.peer.userID)"
        socket = session.place.socket
        state = Summary.state(try session.run("SHOW STATE"))
        configurationFile = try session.run("SHOW CONFIG").records.first { $0["key"] == "conffile" }?["value"]
        pools = PoolSums(try session.run("SHOW POOLS"))
        let databases = try session.run("SHOW DATABASES").records
        pausedDatabases = databases.filter { $0["paused"] == "1" }.compactMap { $0["name"] }
        disabledDatabases = databases.filter { $0["disabled"] == "1" }.compactMap { $0["name"] }
        // An older instance knows no SHOW WORKERS.
        do throws(Failure) {
            let states = try session.run("SHOW WORKERS").column("state")
            workers = (states.count { $0 == "ready" }, states.count)
        } catch {
            guard error.status == .refused else { throw error }
        }
    }

    /// The row of SHOW STATE that says yes.
    static func state(_ answer: Answer) -> String {
        let found = answer.records.filter { $0["value"] == "yes" }.compactMap { $0["key"] }
        return found.isEmpty ? "unknown" : found.joined(separator: ", ")
    }

    /// For people.
    var lines: [String] {
        var waiting = "none waiting"
        if pools.waitingClients > 0 {
            waiting =
                "\(pools.waitingClients) waiting, the longest for "
                + Units.duration(microseconds: pools.longestWaitMicroseconds)
        }
        var pairs = [
            ("version", version), ("process", "\(process) of user \(user)"), ("control", socket),
            ("file", configurationFile ?? "none"), ("state", state),
            ("clients", "\(pools.clients), \(waiting)"),
            ("servers", "\(pools.servers), \(pools.idleServers) idle"), ("pools", "\(pools.count)"),
        ]
        if let workers { pairs.append(("workers", "\(workers.ready) of \(workers.count) ready")) }
        if !pausedDatabases.isEmpty { pairs.append(("paused", pausedDatabases.joined(separator: " "))) }
        if !disabledDatabases.isEmpty { pairs.append(("disabled", disabledDatabases.joined(separator: " "))) }
        return pairs.map { $0.0.padded(to: 10) + $0.1.harmless }
    }

    /// For programs.
    var json: JSONValue {
        .object([
            "version": .text(version), "process": .number(Int64(process)), "user": .text(user),
            "control_socket": .text(socket), "configuration_file": JSONValue(configurationFile),
            "state": .text(state), "pools": JSONValue(pools.count), "clients": JSONValue(pools.clients),
            "waiting_clients": JSONValue(pools.waitingClients),
            "longest_wait_us": .number(Int64(clamping: pools.longestWaitMicroseconds)),
            "servers": JSONValue(pools.servers), "idle_servers": JSONValue(pools.idleServers),
            "workers": JSONValue(workers?.count), "ready_workers": JSONValue(workers?.ready),
            "paused_databases": .list(pausedDatabases.map { .text($0) }),
            "disabled_databases": .list(disabledDatabases.map { .text($0) }),
        ])
    }
}

/// What the rows of SHOW POOLS come to, without the console's own.
struct PoolSums: Equatable {
    var count = 0
    var clients = 0
    var waitingClients = 0
    var servers = 0
    var idleServers = 0
    var longestWaitMicroseconds: UInt64 = 0

    init() {}

    init(_ answer: Answer) {
        for record in answer.records where record["database"] != "pgbouncer" {
            func number(_ name: String) -> Int { record[name].flatMap { Int($0) } ?? 0 }
            count += 1
            waitingClients += number("cl_waiting")
            clients += number("cl_active") + number("cl_waiting")
            idleServers += number("sv_idle")
            for state in ["active", "idle", "used", "tested", "login", "active_cancel", "being_canceled"] {
                servers += number("sv_\(state)")
            }
            let wait = UInt64(max(0, number("maxwait"))) * 1_000_000 + UInt64(max(0, number("maxwait_us")))
            longestWaitMicroseconds = max(longestWaitMicroseconds, wait)
        }
    }
}
