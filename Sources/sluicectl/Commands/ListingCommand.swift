import ArgumentParser

/// What all commands that show one table take.
struct ListingOptions: ParsableArguments {
    @OptionGroup(title: "Instance") var instance: InstanceOptions
    @OptionGroup(title: "Output") var output: OutputOptions

    @Flag(name: .long, help: "Print every column, as the console has it.")
    var wide = false

    /// Asks for a table and prints it.
    func show(_ listing: Listing, keeping: (Answer) -> Answer = { $0 }) throws(Failure) {
        let found = try instance.connect().run("SHOW \(listing.command)")
        let answer = keeping(found)
        try output.emit(
            json: JSONValue(answer), text: (wide ? TextTable(answer) : listing.table(answer)).lines)
        // A worker whose part is missing.
        for notice in answer.notices { complain("sluicectl: \(notice.harmless)") }
    }
}

/// Only part of a table.
struct FilterOptions: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("Only of this database.", valueName: "name"))
    var database: String?

    @Option(name: .long, help: ArgumentHelp("Only of this user.", valueName: "name"))
    var user: String?

    /// What is asked for.
    func apply(_ answer: Answer) -> Answer {
        answer.filtered("database", database).filtered("user", user)
    }
}
