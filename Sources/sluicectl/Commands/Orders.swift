import ArgumentParser
import Glibc
import System

/// What all commands that change something take.
struct OrderOptions: ParsableArguments {
    @OptionGroup(title: "Instance") var instance: InstanceOptions
    @OptionGroup(title: "Output") var output: OutputOptions

    /// Gives a command, which may take its time, and prints what comes of it.
    func give(_ command: String) throws(Failure) {
        let session = try instance.connect()
        let interruption = try Interruption(Interruption.ofCommands)
        let answer = try session.run(command, patience: nil, interruption: interruption)
        try report(command, answer.notices)
    }

    /// Says that it is done.
    func report(_ command: String, _ notices: [String]) throws(Failure) {
        try output.emit(
            json: .object([
                "command": .text(command), "notices": .list(notices.map { .text($0) }),
            ]),
            text: notices.map(\.harmless) + ["done: \(command.harmless)"])
    }
}

/// A name as the console takes it; a path stands in single quotes.
func quoted(_ name: String, in mark: Character = "\"") -> String {
    var text = String(mark)
    for character in name { text += character == mark ? "\(mark)\(mark)" : String(character) }
    return text + String(mark)
}

struct Reload: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Read the configuration again.",
        discussion: "Says what changes. A configuration with errors changes nothing.")
    @OptionGroup var options: OrderOptions
    func run() throws { try options.give("RELOAD") }
}

struct Pause: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Take servers away as their transactions end, and wait until all are closed.",
        discussion: """
            Clients stay connected and wait until resume. Ctrl-C undoes a pause that waits. One that was \
            given --timeout and takes longer is undone too, and refused.
            """)
    @OptionGroup var options: OrderOptions

    @Option(name: .long, help: ArgumentHelp("How long it may take.", valueName: "seconds"))
    var timeout: Int?

    @Argument(help: ArgumentHelp("Only this database.", valueName: "database"))
    var database: String?

    func validate() throws {
        guard timeout ?? 1 >= 1 else { throw ValidationError("--timeout is one second or more") }
    }

    var command: String {
        "PAUSE" + (database.map { " " + quoted($0) } ?? "") + (timeout.map { " TIMEOUT \($0)" } ?? "")
    }

    func run() throws { try options.give(command) }
}

struct Resume: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Go on after pause or kill.")
    @OptionGroup var options: OrderOptions

    @Argument(help: ArgumentHelp("Only this database.", valueName: "database"))
    var database: String?

    var command: String { "RESUME" + (database.map { " " + quoted($0) } ?? "") }

    func run() throws { try options.give(command) }
}

struct Disable: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Refuse new clients of a database.")
    @OptionGroup var options: OrderOptions

    @Argument(help: ArgumentHelp("The database.", valueName: "database"))
    var database: String

    var command: String { "DISABLE " + quoted(database) }

    func run() throws { try options.give(command) }
}

struct Enable: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Let new clients in again after disable.")
    @OptionGroup var options: OrderOptions

    @Argument(help: ArgumentHelp("The database.", valueName: "database"))
    var database: String

    var command: String { "ENABLE " + quoted(database) }

    func run() throws { try options.give(command) }
}

struct Kill: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Close all connections of a database at once and pause it, or send one client away.",
        discussion: "Transactions are lost. After kill of a database, resume lets it work again.")
    @OptionGroup var options: OrderOptions

    @Option(
        name: .long, help: ArgumentHelp("Only this client: an id that clients shows.", valueName: "id"))
    var client: UInt64?

    @Flag(name: .long, help: "Every database.")
    var all = false

    @Argument(help: ArgumentHelp("The database.", valueName: "database"))
    var database: String?

    func validate() throws {
        guard [client != nil, all, database != nil].count(where: \.self) == 1 else {
            throw ValidationError("name a database, or say --client ID, or --all")
        }
    }

    var command: String {
        if let client { return "KILL_CLIENT \(client)" }
        return "KILL" + (database.map { " " + quoted($0) } ?? "")
    }

    func run() throws { try options.give(command) }
}

struct Drain: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Take no new clients, and let those that are there finish.")
    @OptionGroup var options: OrderOptions
    func run() throws { try options.give("DRAIN") }
}

struct Restart: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Replace the running program without losing connections.",
        discussion: "Starts the program at the path it was started from, or at another one.")
    @OptionGroup var options: OrderOptions

    @Flag(name: .long, help: "Even while an earlier restart still drains.")
    var force = false

    @Argument(help: ArgumentHelp("Another program.", valueName: "path"), completion: .file())
    var path: String?

    var command: String {
        "RESTART" + (path.map { " " + quoted(FileSystem.absolute($0), in: "'") } ?? "")
            + (force ? " FORCE" : "")
    }

    func run() throws { try options.give(command) }
}

struct Shutdown: ParsableCommand {
    enum Awaited: String, CaseIterable, ExpressibleByArgument {
        case clients, servers
    }

    static let configuration = CommandConfiguration(
        abstract: "End the instance, and wait until it has ended.",
        discussion: "At once, or when the last client has gone, or when the last server is free.")
    @OptionGroup var options: OrderOptions

    @Option(name: .long, help: "What it waits for before it ends.")
    var waitFor: Awaited?

    @Flag(name: .long, help: "Do not wait until it has ended.")
    var noWait = false

    var command: String {
        switch waitFor {
        case nil: "SHUTDOWN"
        case .clients: "SHUTDOWN WAIT_FOR_CLIENTS"
        case .servers: "SHUTDOWN WAIT_FOR_SERVERS"
        }
    }

    func run() throws {
        let session = try options.instance.connect()
        var notices: [String] = []
        do throws(Failure) { notices = try session.run(command).notices } catch {
            // One that ends at once may do so before it has answered.
            guard error.status == .noAnswer, waitFor == nil, session.isOver else { throw error }
        }
        if !noWait {
            session.waitForEnd()
            while !Shutdown.hasEnded(session.peer.processID) { _ = Poll.wait([], milliseconds: 20) }
        }
        try options.report(command, notices)
    }

    /// Whether a process is no more, or waits for nothing but its parent to notice.
    private static func hasEnded(_ process: Int32) -> Bool {
        guard let bytes = try? FileSystem.read("/proc/\(process)/stat") else { return true }
        let state = String(decoding: bytes, as: UTF8.self).split(separator: ")").last?.split(separator: " ")
            .first
        return state == "Z" || state == "X"
    }
}
