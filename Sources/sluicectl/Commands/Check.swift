import ArgumentParser
import Config
import System

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say what is wrong with a configuration, and what it would change.",
        discussion: """
            Runs pgsluice --preflight on the file. When an instance is running where the file puts it, or \
            where --control or -c say, what a reload would change there is listed too. Nothing is changed.
            """)
    @OptionGroup(title: "Instance") var instance: InstanceOptions
    @OptionGroup(title: "Output") var output: OutputOptions

    @Option(
        name: .long,
        help: ArgumentHelp(
            "The program that checks.", discussion: "By default the one beside sluicectl, else from PATH.",
            valueName: "path"), completion: .file())
    var pgsluice: String?

    @Argument(help: ArgumentHelp("The configuration file.", valueName: "file"), completion: .file())
    var file: String

    func run() throws {
        let result = try ChildOutput.run([try program(), "--preflight", FileSystem.absolute(file)])
        var report = CheckReport(file: file, preflight: result.text, isUsable: result.ending.isSuccess)
        var failure: Failure?
        if report.isUsable {
            do throws(Failure) { try compare(&report) } catch { failure = error }
        }
        try output.emit(json: report.json, text: report.lines)
        if let failure { throw failure }
        guard report.isUsable else {
            throw Failure(
                .refused, "\(file) cannot be used: a start would fail, a reload would change nothing")
        }
    }

    /// The program that checks.
    private func program() throws(Failure) -> String {
        if let pgsluice { return pgsluice }
        let beside = Process.executablePath.map { path in
            path.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/pgsluice"
        }
        let folders = (Process.environment("PATH") ?? "/usr/local/bin:/usr/bin:/usr/sbin").split(
            separator: ":")
        let candidates = [beside].compactMap(\.self) + folders.map { "\($0)/pgsluice" }
        guard let found = candidates.first(where: FileSystem.exists) else {
            throw Failure(.usage, "cannot find pgsluice, which checks configurations: say --pgsluice PATH")
        }
        return found
    }

    /// What would change in the instance that is running, if one is.
    private func compare(_ report: inout CheckReport) throws(Failure) {
        var named = instance
        let isNamed =
            instance.control != nil || instance.config != nil
            || Process.environment("PGSLUICE_CONTROL") != nil
        if !isNamed { named.config = file }
        let image = ConfigurationImage(path: file) { path in try? FileSystem.read(path) }
        guard let configuration = Configuration.parse(image).configuration else { return }
        let session: ConsoleSession
        do throws(Failure) { session = try named.connect() } catch {
            guard isNamed, error.status != .noInstance else {
                report.obstacle = error.message
                return
            }
            throw error
        }
        report.socket = session.place.socket
        report.changes = try ConfigurationComparison.changes(
            settings: session.run("SHOW CONFIG"), databases: session.run("SHOW DATABASES"), to: configuration)
    }
}

/// What a check has found.
struct CheckReport: Equatable {
    let file: String
    /// Whether pgsluice would take it.
    let isUsable: Bool
    /// What pgsluice says about it: whether it is an error, and the text.
    let messages: [(isError: Bool, text: String)]
    /// The instance it was compared with.
    var socket: String?
    /// Why it was not compared with one.
    var obstacle = "no instance was asked"
    var changes: [ConfigurationChange] = []

    static func == (a: CheckReport, b: CheckReport) -> Bool { a.json == b.json }

    init(file: String, preflight: String, isUsable: Bool) {
        self.file = file
        self.isUsable = isUsable
        messages = preflight.split(separator: "\n").compactMap { line in
            for (word, isError) in [("ERROR ", true), ("WARNING ", false)] where line.hasPrefix(word) {
                return (isError, String(line.dropFirst(word.count)))
            }
            // What is neither is the last line of a good one, or why there is nothing to check.
            return isUsable ? nil : (true, String(line))
        }
    }

    var lines: [String] {
        var lines = messages.map { ($0.isError ? "error: " : "warning: ") + $0.text.harmless }
        guard isUsable else { return lines }
        lines.append("\(file) can be used")
        guard let socket else { return lines + ["compared with no instance: \(obstacle)"] }
        guard !changes.isEmpty else { return lines + ["the instance at \(socket) has the same settings"] }
        lines.append("a reload of the instance at \(socket) would do this:")
        lines += changes.map { "  " + $0.description.harmless }
        return lines + ["not compared: [users], [peers], passwords, and files that the configuration names"]
    }

    var json: JSONValue {
        .object([
            "file": .text(file), "usable": .flag(isUsable), "compared_with": JSONValue(socket),
            "messages": .list(
                messages.map {
                    .object([
                        "severity": .text($0.isError ? "error" : "warning"), "text": .text($0.text),
                    ])
                }),
            "changes": .list(changes.map(CheckReport.member)),
        ])
    }

    private static func member(_ change: ConfigurationChange) -> JSONValue {
        var members: [String: JSONValue] = ["text": .text(change.description), "needs_restart": .flag(false)]
        switch change {
        case .setting(let name, let old, let new):
            members.merge(["setting": .text(name), "old": JSONValue(old), "new": JSONValue(new)]) { $1 }
        case .settingNeedsRestart(let name, let old, let new):
            members.merge(["setting": .text(name), "old": JSONValue(old), "new": JSONValue(new)]) { $1 }
            members["needs_restart"] = .flag(true)
        case .databaseAdded(let name), .databaseRemoved(let name), .databaseChanged(let name, _):
            members["database"] = .text(name)
        case .userAdded(let name), .userRemoved(let name), .userChanged(let name):
            members["user"] = .text(name)
        case .fileChanged(let path): members["file"] = .text(path)
        case .peersChanged: break
        }
        return .object(members)
    }
}
