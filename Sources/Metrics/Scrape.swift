/// What the console has answered at one time.
public struct Scrape: Sendable {
    /// The tables that metrics are made of, as words after SHOW.
    public static let tables = [
        "VERSION", "STATE", "CONFIG", "WORKERS", "STATS_TOTALS", "POOLS", "DATABASES", "USERS", "LISTS",
        "HISTOGRAMS",
    ]

    private let answers: [String: ResultTable]
    private let seconds: Double

    /// What was answered, table by table; one that an older instance does not know is missing.
    ///
    /// - Parameter seconds: how long asking took.
    public init(_ answers: [String: ResultTable], seconds: Double) {
        self.answers = answers
        self.seconds = seconds
    }

    func records(_ table: String) -> [Record] { answers[table]?.records ?? [] }

    func value(_ table: String, _ key: String) -> String? { answers[table]?.value(of: key) }

    /// The pooler's version as its console gives it.
    var version: String { answers["VERSION"]?.rows.first?.first.flatMap { $0 } ?? "" }

    /// Whether new clients are taken: a worker serves, and the instance does not end. Else why not.
    public var readiness: (isReady: Bool, text: String) {
        let states = records("WORKERS").map { $0.text("state") }
        let count = states.count { $0 == "ready" }
        return (count > 0, "\(count) of \(states.count) workers ready: " + states.joined(separator: " "))
    }

    /// All metrics.
    public var families: [MetricFamily] {
        var up = MetricFamily("pgsluice_up", .gauge, "Whether the control socket has answered.")
        up.add(1)
        var time = MetricFamily(
            "pgsluice_scrape_duration_seconds", .gauge, "How long asking the control socket took.")
        time.add(seconds)
        var families = [up, time] + OwnMetrics(self).families
        if value("CONFIG", "metrics_pgbouncer_names") == "1" {
            families += PgBouncerMetrics(self).families
        }
        return families
    }

    /// All metrics while the control socket does not answer.
    public static var familiesWithoutAnswer: [MetricFamily] {
        var up = MetricFamily("pgsluice_up", .gauge, "Whether the control socket has answered.")
        up.add(0)
        var other = MetricFamily("pgbouncer_up", .gauge, "The pgbouncer scrape succeeded")
        other.add(0)
        return [up, other]
    }
}
