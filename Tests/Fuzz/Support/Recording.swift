/// One step of a client's conversation.
public enum Step: Sendable {
    /// Send a message.
    case send([UInt8])
    /// Answer requests for a password until the login has succeeded or failed.
    case logIn
    /// Go on when a message of this type has come.
    case await(UInt8)
    /// Go on when the byte has come that answers a request to encrypt.
    case awaitByte
    /// Send a cancel request with the newest key there is.
    case cancel
    /// Close.
    case hangUp
}

/// What a well-behaved client sends, and where it waits for answers.
public struct Recording: Sendable {
    public let name: String
    public let user: String
    public let steps: [Step]
    /// Errors are part of it.
    public let hasErrors: Bool

    /// How many bytes are sent in it.
    public var byteCount: Int {
        steps.reduce(0) { count, step in
            if case .send(let bytes) = step { count + bytes.count } else { count }
        }
    }

    /// Whether it begins with a login.
    public var isSession: Bool { !body.isEmpty }

    /// What comes between the welcome and the end of a session.
    var body: ArraySlice<Step> {
        guard steps.count > 5, case .logIn = steps[1] else { return [] }
        return steps[3..<steps.count - 2]
    }

    /// What is the same in all recordings of a world.
    public struct Place: Sendable {
        /// The database that clients ask for.
        public var database: String
        /// A user of that database.
        public var user: String
        /// Whether databases other than that have their own names; in statement mode there are no
        /// transactions.
        public var hasTransactions: Bool
        /// Whether replication connections may be made.
        public var hasReplication: Bool
        /// Whether there is a console at the other end.
        public var hasConsole: Bool

        public init(
            database: String, user: String, hasTransactions: Bool = true, hasReplication: Bool = true,
            hasConsole: Bool = false
        ) {
            self.database = database
            self.user = user
            self.hasTransactions = hasTransactions
            self.hasReplication = hasReplication
            self.hasConsole = hasConsole
        }
    }

    private init(
        _ name: String, _ place: Place, database: String? = nil, user: String? = nil,
        with more: [(String, String)] = [], version: Int = 0x30000, before: [Step] = [],
        hasErrors: Bool = false, _ parts: [Step]...
    ) {
        self.name = name
        self.user = user ?? place.user
        self.hasErrors = hasErrors
        let parameters = [("user", self.user), ("database", database ?? place.database)] + more
        var steps = before
        steps += [.send(Bytes.startup(parameters, version: version)), .logIn, .await(UInt8(ascii: "Z"))]
        for part in parts { steps += part }
        self.steps = steps + [.send(Bytes.terminate), .hangUp]
    }

    /// A request that is not the beginning of a session.
    private init(_ name: String, _ steps: [Step]) {
        self.name = name
        user = ""
        hasErrors = true
        self.steps = steps + [.hangUp]
    }

    /// A session up to its welcome, for whoever speaks for himself afterwards.
    public static func session(user: String, database: String) -> Recording {
        let startup = Step.send(Bytes.startup([("user", user), ("database", database)]))
        return Recording("session", welcome: [startup, .logIn, .await(UInt8(ascii: "Z"))], user: user)
    }

    /// What is left of a session when the startup packet has been sent, up to the welcome.
    public static let login = Recording("login", welcome: [.logIn, .await(UInt8(ascii: "Z"))])

    private init(_ name: String, welcome: [Step], user: String = "alice") {
        self.name = name
        self.user = user
        hasErrors = false
        steps = welcome
    }

    /// A session that is not let in.
    private init(_ name: String, refused parameters: [(String, String)]) {
        self.name = name
        user = parameters[0].1
        hasErrors = true
        steps = [.send(Bytes.startup(parameters)), .logIn, .hangUp]
    }

    /// All recordings for a place.
    public static func all(at place: Place) -> [Recording] {
        var all = simple(place) + extended(place) + prepared(place) + copies(place) + startups(place)
        if place.hasTransactions { all += transactions(place) }
        if place.hasReplication { all += replications(place) }
        if place.hasConsole { all += consoles(place) }
        return all
    }

    // MARK: Parts

    private static let readies: [Step] = [.await(UInt8(ascii: "Z"))]

    private static func send(_ messages: [UInt8]...) -> [Step] { messages.map { .send($0) } }

    private static func waiting(_ messages: [UInt8]...) -> [Step] { messages.map { .send($0) } + readies }

    private static func run(_ queries: String...) -> [Step] { queries.flatMap { waiting(Bytes.query($0)) } }

    private static func long(_ count: Int) -> String { String(repeating: "long ", count: count / 5) }

    private static func simple(_ place: Place) -> [Recording] {
        [
            Recording("simple", place, run("select 1", "select 2", "select three")),
            Recording("several", place, run("select 1; select 2; select notice; ;", "")),
            Recording("errors", place, hasErrors: true, run("select error", "no sql", "select 1")),
            Recording("large query", place, run("select \(long(150_000))")),
            Recording("large answer", place, run("select rows 4000", "select wide 300000")),
            Recording("parameters", place, run("set DateStyle to German", "set TimeZone to UTC", "select 1")),
            Recording("discard", place, run("select 1", "discard all", "select 2")),
            Recording("listen", place, run("listen news", "select notify", "select 1")),
            Recording("function", place, waiting(Bytes.functionCall(1598)), run("select 1")),
            Recording(
                "piped queries", place, send(Bytes.query("select 1"), Bytes.query("select 2")),
                run("select 3"), readies, readies),
        ]
    }

    private static func transactions(_ place: Place) -> [Recording] {
        [
            Recording("transaction", place, run("begin", "select 1", "commit")),
            Recording(
                "failed transaction", place, hasErrors: true,
                run("begin", "select error", "select 1", "rollback", "select 2")),
            Recording(
                "extended transaction", place, run("begin"),
                waiting(
                    Bytes.parse("", "select 1"), Bytes.bind("p", ""), Bytes.execute("p", rows: 1),
                    Bytes.sync),
                run("commit")),
            Recording(
                "rows in parts", place, run("begin"),
                waiting(
                    Bytes.parse("", "select rows 5"), Bytes.bind("c", ""), Bytes.execute("c", rows: 2),
                    Bytes.execute("c", rows: 2), Bytes.execute("c", rows: 2), Bytes.close("P", "c"),
                    Bytes.sync),
                run("commit")),
            Recording("left open", place, run("begin", "select 1")),
        ]
    }

    private static func extended(_ place: Place) -> [Recording] {
        let one = send(Bytes.parse("", "select 1"), Bytes.bind("", ""), Bytes.execute(""))
        return [
            Recording(
                "extended", place,
                waiting(
                    Bytes.parse("", "select $1", types: [25]), Bytes.describe("S", ""),
                    Bytes.bind("", "", ["value"]), Bytes.describe("P", ""), Bytes.execute(""), Bytes.sync)),
            Recording(
                "pipeline", place, one, send(Bytes.sync), one, waiting(Bytes.sync), readies,
                waiting(Bytes.sync, Bytes.sync, Bytes.query("select 3")), readies, readies),
            Recording(
                "extended errors", place, hasErrors: true,
                waiting(
                    Bytes.parse("", "select error"), Bytes.bind("", ""), Bytes.execute(""),
                    Bytes.parse("", "select 1"), Bytes.execute(""), Bytes.sync),
                waiting(Bytes.parse("", "no sql"), Bytes.describe("S", ""), Bytes.sync),
                waiting(Bytes.bind("", "unknown"), Bytes.execute(""), Bytes.sync), run("select 1")),
            Recording(
                "flush", place,
                send(Bytes.parse("", "select 1"), Bytes.describe("S", ""), Bytes.flush),
                [.await(UInt8(ascii: "T"))], send(Bytes.bind("", ""), Bytes.execute(""), Bytes.flush),
                [.await(UInt8(ascii: "C"))], waiting(Bytes.sync)),
            Recording(
                "empty", place,
                waiting(Bytes.parse("", ""), Bytes.bind("", ""), Bytes.execute(""), Bytes.sync),
                waiting(Bytes.sync)),
        ]
    }

    private static func prepared(_ place: Place) -> [Recording] {
        let use = send(Bytes.bind("", "s", ["v"]), Bytes.execute(""), Bytes.sync)
        let using = use + readies
        let define = waiting(Bytes.parse("s", "select $1"), Bytes.sync)
        var many: [Step] = []
        for number in 0..<9 {
            let name = "s\(number)"
            many += send(Bytes.parse(name, "select \(number)"), Bytes.bind("", name), Bytes.execute(""))
            many += send(Bytes.close("S", name))
        }
        return [
            Recording(
                "prepared", place, define, using, using, waiting(Bytes.describe("S", "s"), Bytes.sync),
                waiting(Bytes.close("S", "s"), Bytes.sync),
                waiting(Bytes.parse("s", "select other $1"), Bytes.sync), using),
            Recording(
                "prepared, piped", place, send(Bytes.parse("s", "select $1")), use, use, use,
                waiting(Bytes.close("S", "s"), Bytes.close("S", "none"), Bytes.sync), readies, readies,
                readies),
            Recording(
                "prepared errors", place, hasErrors: true,
                waiting(Bytes.parse("s", "select 1"), Bytes.parse("s", "select 2"), Bytes.sync),
                waiting(Bytes.describe("S", "none"), Bytes.sync),
                waiting(Bytes.parse("bad", "no sql"), Bytes.bind("", "bad"), Bytes.sync),
                waiting(Bytes.bind("", "bad"), Bytes.sync)),
            Recording("many prepared", place, many, waiting(Bytes.sync), many, waiting(Bytes.sync)),
            Recording(
                "deallocate", place, define, using, run("deallocate all"), define, using,
                run("discard all")),
            Recording(
                "large prepared", place, waiting(Bytes.parse("s", "select \(long(20_000))"), Bytes.sync),
                using, waiting(Bytes.parse("", "select \(long(270_000))"), Bytes.sync)),
        ]
    }

    private static func copies(_ place: Place) -> [Recording] {
        let lines = (0..<4).map { Step.send(Bytes.copyData("\($0)\tline\n")) }
        let into = send(Bytes.query("copy t from stdin"))
        let execute = send(Bytes.parse("", "copy t from stdin"), Bytes.bind("", ""), Bytes.execute(""))
        let answered = [Step.await(UInt8(ascii: "G"))]
        let early = send(Bytes.sync)
        return [
            Recording("copy in", place, into, answered, lines, waiting(Bytes.copyDone), run("select 1")),
            Recording("copy in, piped", place, into, lines, waiting(Bytes.copyDone), run("select 1")),
            Recording(
                "copy failed", place, hasErrors: true, into, answered, lines,
                waiting(Bytes.copyFail("no more")), run("select 1")),
            Recording("copy out", place, run("copy t to stdout", "select 1")),
            Recording(
                "extended copy", place, execute, send(Bytes.flush), answered, lines,
                waiting(Bytes.copyDone, Bytes.sync)),
            Recording(
                "extended copy with early sync", place, execute, early, answered, lines,
                waiting(Bytes.copyDone, Bytes.sync), run("select 1")),
            Recording(
                "extended copy failed", place, hasErrors: true, execute, early, answered, lines,
                waiting(Bytes.copyFail("no more"), Bytes.sync), run("select 1")),
            Recording(
                "extended copy out", place,
                waiting(
                    Bytes.parse("", "copy t to stdout"), Bytes.bind("", ""), Bytes.execute(""), Bytes.sync)),
        ]
    }

    private static func startups(_ place: Place) -> [Recording] {
        let decline = [
            Step.send(Bytes.gssEncryption), .awaitByte, .send(Bytes.encryption), .awaitByte,
        ]
        let prepared = waiting(
            Bytes.parse("s", "select 1"), Bytes.bind("", "s"), Bytes.execute(""), Bytes.sync)
        return [
            Recording("encryption", place, before: decline, run("select 1")),
            Recording("newer protocol", place, version: 0x30002, run("select 1")),
            Recording(
                "future protocol", place, with: [("_pq_.novelty", "1")], version: 0x300ff, run("select 1")),
            Recording(
                "options", place,
                with: [("options", "-c DateStyle=German"), ("application_name", "fuzz\\'s")],
                run("select 1")),
            Recording(
                "settings", place,
                with: [("client_encoding", "LATIN1"), ("TimeZone", "Asia/Tokyo")],
                run("commit", "select 1"), prepared),
            Recording(
                "refused setting", place, with: [("TimeZone", "Nowhere")], hasErrors: true,
                send(Bytes.query("select 1")), [.await(UInt8(ascii: "E"))]),
            Recording("unknown user", refused: [("user", "nobody"), ("database", place.database)]),
            Recording("unknown database", refused: [("user", place.user), ("database", "nowhere")]),
            Recording("cancel", [.cancel]),
            Recording("encrypted cancel", [.send(Bytes.encryption), .awaitByte, .cancel]),
            Recording("old protocol", [.send(Bytes.startup([("user", place.user)], version: 0x20000))]),
        ]
    }

    private static func replications(_ place: Place) -> [Recording] {
        ["true", "database"].map { kind in
            Recording(
                "replication \(kind)", place, with: [("replication", kind), ("options", "-c geqo=off")],
                run("identify_system"), send(Bytes.query("start_replication")),
                [.await(UInt8(ascii: "W"))], send(Bytes.copyData("r status")), [.await(UInt8(ascii: "d"))],
                waiting(Bytes.copyDone))
        }
    }

    private static func consoles(_ place: Place) -> [Recording] {
        [
            Recording(
                "console", place, database: "pgbouncer", user: "stats",
                run("show pools", "show clients", "show servers; show stats", "show help", "show version")),
            Recording(
                "console tables", place, database: "pgbouncer", user: "stats", hasErrors: true,
                run("show databases", "show users", "show config", "show lists", "show mem", "show sockets"),
                run("show state", "show nothing", "", ";", "select 1")),
            Recording(
                "console orders", place, database: "pgbouncer", user: "stats", hasErrors: true,
                run("pause", "resume", "reload", "kill t", "reconnect", "shutdown", "set verbose = 1")),
            Recording(
                "console, extended", place, database: "pgbouncer", user: "stats", hasErrors: true,
                waiting(Bytes.parse("", "show pools"), Bytes.bind("", ""), Bytes.execute(""), Bytes.sync)),
        ]
    }
}
