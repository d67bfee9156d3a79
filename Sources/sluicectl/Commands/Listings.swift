import ArgumentParser

struct Pools: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Pools: clients, servers, and who waits.")
    @OptionGroup var options: ListingOptions
    @OptionGroup(title: "Selection") var filter: FilterOptions
    func run() throws { try options.show(.pools, keeping: filter.apply) }
}

struct Clients: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Client connections.")
    @OptionGroup var options: ListingOptions
    @OptionGroup(title: "Selection") var filter: FilterOptions
    func run() throws { try options.show(.clients, keeping: filter.apply) }
}

struct Servers: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Server connections.")
    @OptionGroup var options: ListingOptions
    @OptionGroup(title: "Selection") var filter: FilterOptions
    func run() throws { try options.show(.servers, keeping: filter.apply) }
}

struct Stats: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Counts and averages by database.",
        discussion: "Rates and times are averages over the last whole stats_period.")
    @OptionGroup var options: ListingOptions
    func run() throws { try options.show(.stats) }
}

struct Latency: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Percentiles of query, transaction and wait times by pool.",
        discussion: "Those of the last whole stats_period, then those since the start (total_).")
    @OptionGroup var options: ListingOptions
    @OptionGroup(title: "Selection") var filter: FilterOptions
    func run() throws { try options.show(.latency, keeping: filter.apply) }
}

struct Workers: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Worker processes and how they do.")
    @OptionGroup var options: ListingOptions
    func run() throws { try options.show(.workers) }
}

struct Config: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "The settings in force.")
    @OptionGroup var options: ListingOptions

    @Flag(name: .long, help: "Only settings that differ from their defaults.")
    var changed = false

    @Argument(help: ArgumentHelp("Only these settings.", valueName: "setting"))
    var names: [String] = []

    func run() throws {
        try options.show(.settings) { Config.select($0, names: names, changed: changed) }
    }

    /// The rows that are asked for.
    static func select(_ answer: Answer, names: [String], changed: Bool) -> Answer {
        var selected = answer
        selected.rows = zip(answer.rows, answer.records).compactMap { row, record in
            let isNamed = names.isEmpty || names.contains(record["key"] ?? "")
            let isChanged = (record["value"] ?? "") != (record["default"] ?? "")
            return isNamed && (isChanged || !changed) ? row : nil
        }
        return selected
    }
}

struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Any other table of the console: waiters, lists, databases, history, …",
        discussion: "The words after SHOW; the console's SHOW HELP lists them.")
    @OptionGroup var options: ListingOptions

    @Argument(help: ArgumentHelp("What to show.", valueName: "what"))
    var what: String

    func validate() throws {
        guard !what.isEmpty, what.utf8.allSatisfy({ Show.isWordByte($0) }) else {
            throw ValidationError("\(what.harmless) is not one word")
        }
    }

    private static func isWordByte(_ byte: UInt8) -> Bool {
        (0x61...0x7a).contains(byte | 0x20) || (0x30...0x39).contains(byte) || byte == UInt8(ascii: "_")
    }

    func run() throws { try options.show(Listing(command: what.uppercased(), shown: [])) }
}
