/// The result as one line of JSON; times in microseconds.
struct Report {
    let options: Options
    let tally: Tally

    /// The line.
    var line: String {
        let seconds = Double(tally.measuredNanoseconds) / 1e9
        let transactions = tally.transactionCount
        let perTransaction = { (nanoseconds: UInt64) in
            transactions == 0 ? 0 : Double(nanoseconds) / 1e3 / Double(transactions)
        }
        let fields: [(String, String)] = [
            ("mode", "\"\(options.mode.rawValue)\""),
            ("clients", "\(options.clientCount)"),
            ("transactions", "\(transactions)"),
            ("seconds", Report.decimal(seconds)),
            ("tps", Report.decimal(seconds == 0 ? 0 : Double(transactions) / seconds)),
            ("p50", Report.microseconds(tally.latencies.quantile(0.5))),
            ("p99", Report.microseconds(tally.latencies.quantile(0.99))),
            ("p999", Report.microseconds(tally.latencies.quantile(0.999))),
            ("longest", Report.microseconds(tally.longestNanoseconds)),
            ("errors", "\(tally.errorCount)"),
            ("cpu", Report.decimal(perTransaction(tally.watchedNanoseconds))),
            ("own_cpu", Report.decimal(perTransaction(tally.ownNanoseconds))),
        ]
        return "{" + fields.map { "\"\($0.0)\": \($0.1)" }.joined(separator: ", ") + "}"
    }

    private static func microseconds(_ nanoseconds: UInt64) -> String { decimal(Double(nanoseconds) / 1e3) }

    /// Three decimals.
    private static func decimal(_ value: Double) -> String {
        let thousandths = Int((value * 1000).rounded())
        let fraction = String(thousandths % 1000)
        return "\(thousandths / 1000).\(String(repeating: "0", count: 3 - fraction.count))\(fraction)"
    }
}
