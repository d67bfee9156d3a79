/// Which columns of a SHOW people are shown, and how.
struct Listing {
    /// How a value is written.
    enum Format {
        case plain
        case microseconds
        case milliseconds
        case bytes
        case count
        /// Seconds in the column, microseconds in another one.
        case wait(microseconds: String)
    }

    /// One column.
    struct Shown {
        /// The console's name of it.
        let source: String
        /// The head of the column.
        let title: String
        let format: Format

        init(_ source: String, _ title: String? = nil, _ format: Format = .plain) {
            self.source = source
            self.title = title ?? source
            self.format = format
        }
    }

    /// The word behind SHOW.
    let command: String
    let shown: [Shown]

    /// The table for people. Columns that the instance does not have are left out; everything is shown when
    /// it has none of them.
    func table(_ answer: Answer) -> TextTable {
        let known = shown.filter { shown in answer.columns.contains { $0.name == shown.source } }
        guard !known.isEmpty else { return TextTable(answer) }
        var table = TextTable(
            known.map { shown in
                let isNumber = answer.columns.first { $0.name == shown.source }?.isNumber ?? false
                return Column(shown.title, isNumber: isNumber)
            })
        let records = answer.records
        table.rows = records.map { record in known.map { Listing.cell($0, of: record) } }
        return table
    }

    private static func cell(_ shown: Shown, of record: [String: String]) -> String {
        let value = record[shown.source]
        guard let number = value.flatMap({ UInt64($0) }) else { return TextTable.cell(value) }
        switch shown.format {
        case .plain: return TextTable.cell(value)
        case .microseconds: return Units.duration(microseconds: number)
        case .milliseconds: return Units.duration(milliseconds: number)
        case .bytes: return Units.bytes(number)
        case .count: return Units.count(Double(number))
        case .wait(let name):
            let rest = record[name].flatMap { UInt64($0) } ?? 0
            let total = number.multipliedReportingOverflow(by: 1_000_000).partialValue &+ rest
            return total == 0 ? "0" : Units.duration(microseconds: total)
        }
    }

    static let pools = Listing(
        command: "POOLS",
        shown: [
            Shown("database"), Shown("user"), Shown("cl_active"), Shown("cl_waiting"), Shown("sv_active"),
            Shown("sv_idle"), Shown("sv_used"), Shown("sv_tested"), Shown("sv_login"),
            Shown("maxwait", nil, .wait(microseconds: "maxwait_us")), Shown("pool_mode"),
        ])
    static let clients = Listing(command: "CLIENTS", shown: connection)
    static let servers = Listing(
        command: "SERVERS", shown: connection + [Shown("remote_pid", "backend")])
    static let stats = Listing(
        command: "STATS",
        shown: [
            Shown("database"), Shown("total_xact_count", "xacts"), Shown("total_query_count", "queries"),
            Shown("total_received", "in", .bytes), Shown("total_sent", "out", .bytes),
            Shown("avg_xact_count", "xact/s"), Shown("avg_query_count", "query/s"),
            Shown("avg_recv", "in/s", .bytes), Shown("avg_sent", "out/s", .bytes),
            Shown("avg_xact_time", "xact", .microseconds), Shown("avg_query_time", "query", .microseconds),
            Shown("avg_wait_time", "wait", .microseconds),
        ])
    static let latency = Listing(
        command: "LATENCY",
        shown: [Shown("database"), Shown("user"), Shown("kind"), Shown("count")]
            + ["p50", "p90", "p99", "p999"].map { Shown($0, nil, .microseconds) } + [Shown("total_count")]
            + ["p50", "p90", "p99", "p999"].map { Shown("total_" + $0, nil, .microseconds) })
    static let workers = Listing(
        command: "WORKERS",
        shown: [
            Shown("worker"), Shown("pid"), Shown("state"), Shown("started"), Shown("restarts"),
            Shown("beat_age_ms", "beat", .milliseconds), Shown("cpu_ms", "cpu", .milliseconds),
            Shown("clients"), Shown("waiting_clients", "waiting"), Shown("servers"),
            Shown("idle_servers", "idle"), Shown("pools"), Shown("io_backend"),
        ])
    static let settings = Listing(
        command: "CONFIG",
        shown: [Shown("key"), Shown("value"), Shown("default"), Shown("changeable")])

    private static let connection = [
        Shown("id"), Shown("database"), Shown("user"), Shown("state"), Shown("addr"), Shown("port"),
        Shown("connect_time", "connected"), Shown("wait", nil, .wait(microseconds: "wait_us")),
        Shown("application_name", "application"),
    ]
}
