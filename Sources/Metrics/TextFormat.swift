/// The two text formats that Prometheus reads.
public enum TextFormat: Sendable {
    /// Prometheus' own, version 0.0.4.
    case classic
    /// OpenMetrics 1.0.0.
    case openMetrics

    /// What the answer's `Content-Type` says.
    public var contentType: String {
        switch self {
        case .classic: "text/plain; version=0.0.4; charset=utf-8"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
        }
    }

    /// What to answer who sends this `Accept`: OpenMetrics to who wants it at least as much as plain text.
    public init(accept: String) {
        var open = 0.0
        var plain = 0.0
        for range in accept.lowercased().split(separator: ",") {
            let words = range.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" } }
            guard let type = words.first else { continue }
            let parameters = words.dropFirst()
            let quality = parameters.first { $0.hasPrefix("q=") }.flatMap { Double($0.dropFirst(2)) } ?? 1
            let version = parameters.first { $0.hasPrefix("version=") }.map { $0.dropFirst(8) }
            switch type {
            case "application/openmetrics-text":
                if version == nil || version == "1.0.0" { open = max(open, quality) }
            case "text/plain", "text/*": plain = max(plain, quality)
            case _: continue
            }
        }
        self = open > 0 && open >= plain ? .openMetrics : .classic
    }

    /// All families that have values, and the end.
    public func text(_ families: [MetricFamily]) -> String {
        var text = ""
        for family in families where !family.samples.isEmpty { append(family, to: &text) }
        if self == .openMetrics { text += "# EOF\n" }
        return text
    }

    private func append(_ family: MetricFamily, to text: inout String) {
        // In the classic format a counter's family is called as its values are.
        let name = self == .classic && family.kind == .counter ? family.name + "_total" : family.name
        text += "# HELP \(name) \(escaped(family.help, quotes: self == .openMetrics))\n"
        text += "# TYPE \(name) \(family.kind.rawValue)\n"
        for sample in family.samples {
            text += family.name + sample.suffix
            if !sample.labels.isEmpty {
                let labels = sample.labels.map { "\($0.name)=\"\(escaped($0.value, quotes: true))\"" }
                text += "{" + labels.joined(separator: ",") + "}"
            }
            text += " \(TextFormat.number(sample.value))\n"
        }
    }

    private func escaped(_ text: String, quotes: Bool) -> String {
        guard text.utf8.contains(where: { $0 == 0x5c || $0 == 0x0a || $0 == 0x22 }) else { return text }
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\"" where quotes: result += "\\\""
            case _: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// Whole numbers without a point; others as short as they can be read back.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if let whole = Int64(exactly: value), abs(whole) < 1 << 53 { return String(whole) }
        return value.description
    }
}
