import Base

/// What the command line asks for. The flags are PgBouncer's, parsed as GNU getopt_long parses them: short
/// flags may be joined, long ones cut as long as they stay unambiguous, and the file may stand anywhere.
public struct Arguments: Equatable, Sendable {
    /// What to do.
    public enum Action: Equatable, Sendable {
        /// Serve.
        case run
        /// Check the configuration, say what is wrong with it, and end.
        case preflight
        /// `--help`
        case help
        /// `--version`
        case version
    }

    /// Why a command line is refused: one line for standard error, without the program's name.
    public struct Failure: Error, Equatable, Sendable {
        /// The line.
        public let message: String
    }

    public var action = Action.run
    /// `-d`: go on in the background.
    public var daemon = false
    /// `-q`: nothing on standard error.
    public var quiet = false
    /// `-R`: take over from a running instance.
    public var reboot = false
    /// `-v`, as often as given.
    public var verbosity = 0
    /// `-u`: the user to become; beats the file.
    public var user: String?
    /// The configuration file; `nil` when none is given.
    public var configurationFile: String?

    /// Serve in the foreground, with no file.
    public init() {}

    private enum Flag: CaseIterable {
        case daemon, quiet, reboot, user, verbose, version, help, preflight

        var long: String {
            switch self {
            case .daemon: "daemon"
            case .quiet: "quiet"
            case .reboot: "reboot"
            case .user: "user"
            case .verbose: "verbose"
            case .version: "version"
            case .help: "help"
            case .preflight: "preflight"
            }
        }

        var short: Character? {
            switch self {
            case .daemon: "d"
            case .quiet: "q"
            case .reboot: "R"
            case .user: "u"
            case .verbose: "v"
            case .version: "V"
            case .help: "h"
            case .preflight: nil
            }
        }

        var takesValue: Bool { self == .user }
    }

    /// Parses the words after the program's name.
    public init(_ words: [String]) throws(Failure) {
        var rest = words[...]
        var files: [String] = []
        var onlyFiles = false
        while let word = rest.popFirst() {
            if onlyFiles || word == "-" || !word.hasPrefix("-") {
                files.append(word)
            } else if word == "--" {
                onlyFiles = true
            } else if word.hasPrefix("--") {
                try takeLong(String(word.dropFirst(2)), &rest)
            } else {
                try takeShort(word.dropFirst(), &rest)
            }
        }
        guard files.count <= 1 else {
            throw Failure(message: "exactly one configuration file is expected, not \(files.count)")
        }
        configurationFile = files.first
    }

    private mutating func takeLong(_ text: String, _ rest: inout ArraySlice<String>) throws(Failure) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        let candidates = Flag.allCases.filter { $0.long.hasPrefix(name) }
        let exact = candidates.first { $0.long == name }
        guard let flag = exact ?? candidates.first, !name.isEmpty else {
            throw Failure(message: "unrecognized option '--\(name)'")
        }
        guard exact != nil || candidates.count == 1 else {
            let names = candidates.map { "'--\($0.long)'" }.joined(separator: " ")
            throw Failure(message: "option '--\(name)' is ambiguous; possibilities: \(names)")
        }
        guard flag.takesValue else {
            guard parts.count == 1 else {
                throw Failure(message: "option '--\(flag.long)' doesn't allow an argument")
            }
            return apply(flag, "")
        }
        guard let value = parts.count == 2 ? String(parts[1]) : rest.popFirst() else {
            throw Failure(message: "option '--\(flag.long)' requires an argument")
        }
        apply(flag, value)
    }

    private mutating func takeShort(_ text: Substring, _ rest: inout ArraySlice<String>) throws(Failure) {
        var letters = text
        while let letter = letters.popFirst() {
            guard let flag = Flag.allCases.first(where: { $0.short == letter }) else {
                throw Failure(message: "invalid option -- '\(letter)'")
            }
            guard flag.takesValue else {
                apply(flag, "")
                continue
            }
            guard let value = letters.isEmpty ? rest.popFirst() : String(letters) else {
                throw Failure(message: "option requires an argument -- '\(letter)'")
            }
            return apply(flag, value)
        }
    }

    private mutating func apply(_ flag: Flag, _ value: String) {
        switch flag {
        case .daemon: daemon = true
        case .quiet: quiet = true
        case .reboot: reboot = true
        case .user: user = value
        case .verbose: verbosity += 1
        // The first of these wins, as when each printed and ended at once.
        case .version: if action != .help { action = .version }
        case .help: if action != .version { action = .help }
        case .preflight: if action == .run { action = .preflight }
        }
    }

    /// What `--help` prints.
    public static func usage(program: String) -> String {
        """
        \(program) pools connections to PostgreSQL, with every core, as PgBouncer does with one.

        Usage:
          \(program) [OPTION]... CONFIG_FILE

        Options:
          -d, --daemon         run in the background (needs a pidfile in the configuration)
          -q, --quiet          write no log to standard error
          -R, --reboot         refused: use the console's RESTART, or sluicectl restart
          -u, --user=USERNAME  become USERNAME
          -v, --verbose        log more; may be repeated
              --preflight      check the configuration, print what is wrong with it, and exit
          -V, --version        show the version, then exit
          -h, --help           show this help, then exit

        Without CONFIG_FILE the environment may hold the configuration: DATABASE_URL, or DB_HOST, DB_PORT,
        DB_USER, DB_PASSWORD and DB_NAME, and any setting in capitals (POOL_MODE=transaction).
        """
    }

    /// What `--version` prints.
    ///
    /// - Parameter details: further lines, such as which I/O and TLS libraries are built in.
    public static func version(details: [String]) -> String {
        ([ProductVersion.banner] + details).joined(separator: "\n")
    }
}
