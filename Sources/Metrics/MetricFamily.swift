/// Values of one name: what they are, and one for each set of labels.
public struct MetricFamily: Equatable, Sendable {
    /// How values behave.
    public enum Kind: String, Sendable {
        /// Only grows, until it begins anew. The values' names end in `_total`.
        case counter
        /// Goes up and down.
        case gauge
        /// Cumulative counts by upper bounds, with a sum and a count.
        case histogram
    }

    /// A name and its value.
    public struct Label: Equatable, Sendable {
        let name: String
        let value: String

        /// A label from its parts.
        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// One value.
    struct Sample: Equatable, Sendable {
        /// What follows the family's name.
        let suffix: String
        let labels: [Label]
        let value: Double
    }

    /// The name without `_total`.
    public let name: String
    /// What it is.
    public let kind: Kind
    /// What it says, for people.
    public let help: String
    private(set) var samples: [Sample] = []
    private var seen: Set<String> = []

    /// A family without values.
    public init(_ name: String, _ kind: Kind, _ help: String) {
        self.name = name
        self.kind = kind
        self.help = help
    }

    /// Adds a value. A second one with the same labels is left out, as it would spoil the whole answer.
    public mutating func add(_ value: Double?, _ labels: [Label] = [], suffix: String? = nil) {
        guard let value else { return }
        let suffix = suffix ?? (kind == .counter ? "_total" : "")
        let key = suffix + labels.map { "\($0.name)=\($0.value)" }.joined(separator: "\u{0}")
        guard seen.insert(key).inserted else { return }
        samples.append(Sample(suffix: suffix, labels: labels, value: value))
    }
}
