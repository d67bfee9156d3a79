import ArgumentParser

/// What pools are sorted by.
enum TopOrder: String, CaseIterable, ExpressibleByArgument {
    case name, clients, waiting, wait, servers, transactions, queries, latency

    /// The key that chooses it.
    var key: Character {
        switch self {
        case .name: "n"
        case .clients: "c"
        case .waiting: "w"
        case .wait: "m"
        case .servers: "s"
        case .transactions: "x"
        case .queries: "r"
        case .latency: "l"
        }
    }

    /// What a key chooses, in either case.
    init?(key: Character) {
        guard let found = TopOrder.allCases.first(where: { $0.key == Character(key.lowercased()) }) else {
            return nil
        }
        self = found
    }
}
