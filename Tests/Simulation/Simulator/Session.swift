/// One session of PostgreSQL: messages in, answers out.
///
/// It is the heart of the simulated server, and, as a private session that nobody else uses, the oracle for
/// what a client must be answered. It follows PostgreSQL 15 in what it answers, in which order, what it
/// ignores, and when it sends what it has written.
struct Session {
    /// What stays the same all session long.
    struct Settings {
        var user: String
        var database: String
        /// Changed parameters are reported when they change, as before PostgreSQL 14, and not in front of
        /// ReadyForQuery.
        var reportsAtOnce = false
    }

    /// Where the session is with its transaction.
    enum Block { case none, implicit, open, failed }

    struct Prepared {
        /// `nil` for an empty text.
        var command: Command?
    }

    struct Portal {
        var command: Command?
        var values: [String]
        var rowsSent = 0
        var isDone = false
    }

    /// A COPY FROM STDIN that is being read.
    struct CopyIn {
        var isExtended: Bool
        var rows = 0
        var line: [UInt8] = []
    }

    let settings: Settings
    var block = Block.none
    var parameters: [String: String]
    /// What DISCARD ALL goes back to.
    let defaults: [String: String]
    private var reported: [String: String]
    private var beforeTransaction: [String: String] = [:]
    var statements: [String: Prepared] = [:]
    var portals: [String: Portal] = [:]
    private(set) var skipsUntilSync = false
    var copyIn: CopyIn?
    /// It has ended with a FATAL error.
    private(set) var isOver = false

    /// What has been written and not been taken.
    var output: [Message] = []
    /// How many messages have been written since the session began.
    private(set) var writtenCount = 0
    /// How many of them have been sent; the rest waits for a reason to be.
    private(set) var sentCount = 0
    private var unsentByteCount = 0
    /// How long the message took that was received last, beyond what any message takes, in milliseconds.
    var sleptMilliseconds: UInt64 = 0
    /// The message is being cancelled: the first thing that takes long fails.
    var isCancelled = false
    /// The next message is cancelled before anything of it is done.
    var isTurnedAway = false
    /// The next message finds no statement that can be used, because the transaction has failed.
    var isUnusable = false

    init(settings: Settings, parameters: [String: String], defaults: [String: String]) {
        self.settings = settings
        self.parameters = parameters
        self.defaults = defaults
        reported = parameters
    }

    /// The names of the parameters, in the order in which they are reported.
    static let parameterNames = [
        "application_name", "client_encoding", "DateStyle", "IntervalStyle", "server_version",
        "standard_conforming_strings", "TimeZone",
    ]

    /// The status that ReadyForQuery tells.
    var status: UInt8 {
        switch block {
        case .none, .implicit: UInt8(ascii: "I")
        case .open: UInt8(ascii: "T")
        case .failed: UInt8(ascii: "E")
        }
    }

    // MARK: Output

    mutating func write(_ message: Message) {
        output.append(message)
        writtenCount += 1
        unsentByteCount += message.body.count + 5
        if unsentByteCount >= 8192 { flush() }
    }

    mutating func write(_ type: Character, _ text: String? = nil) {
        var body: [UInt8] = []
        if let text { body.appendText(text) }
        write(Message(type, body))
    }

    private mutating func flush() {
        sentCount = writtenCount
        unsentByteCount = 0
    }

    /// Takes what has been sent.
    mutating func takeSent() -> [Message] {
        let count = output.count - (writtenCount - sentCount)
        defer { output.removeFirst(count) }
        return Array(output.prefix(count))
    }

    /// Takes what has been written, sent or not.
    mutating func takeWritten() -> [Message] {
        defer { output = [] }
        return output
    }

    /// An ErrorResponse or NoticeResponse.
    static func report(_ type: Character, _ severity: String, _ refusal: Refusal) -> Message {
        var body: [UInt8] = []
        for (code, text) in [("S", severity), ("V", severity), ("C", refusal.state), ("M", refusal.text)] {
            body.append(contentsOf: code.utf8)
            body.appendText(text)
        }
        if refusal.position > 0 {
            body.append(UInt8(ascii: "P"))
            body.appendText(String(refusal.position))
        }
        body.append(0)
        return Message(type, body)
    }

    mutating func warn(_ severity: String, _ state: String, _ text: String) {
        write(Session.report("N", severity, Refusal(state: state, text: text)))
        flush()
    }

    private mutating func writeReady() {
        reportParameters()
        write(Message("Z", [status]))
        flush()
    }

    /// Says why the session ends, and ends it.
    mutating func terminate(_ refusal: Refusal) {
        write(Session.report("E", "FATAL", refusal))
        flush()
        isOver = true
    }

    /// What a new session says first.
    mutating func greet(processID: Int, secret: Int) {
        write(Message("R", [0, 0, 0, 0]))
        reported = [:]
        reportParameters()
        var key: [UInt8] = []
        key.appendInteger(UInt32(processID))
        key.appendInteger(UInt32(secret))
        write(Message("K", key))
        writeReady()
    }

    private mutating func reportParameters() {
        for name in Session.parameterNames where parameters[name] != reported[name] {
            var body: [UInt8] = []
            body.appendText(name)
            body.appendText(parameters[name] ?? "")
            write(Message("S", body))
        }
        reported = parameters
    }

    /// Changes a parameter.
    mutating func set(_ name: String, _ value: String) throws(Refusal) {
        guard let known = Session.parameterNames.first(where: { $0.lowercased() == name.lowercased() }) else {
            throw Refusal(state: "42704", text: "unrecognized configuration parameter \"\(name)\"")
        }
        if value == "bogus", known != "application_name" {
            throw Refusal(state: "22023", text: "invalid value for parameter \"\(known)\": \"\(value)\"")
        }
        parameters[known] = value
        if settings.reportsAtOnce { reportParameters() }
    }

    // MARK: Transactions

    mutating func beginCommand() {
        guard block == .none else { return }
        block = .implicit
        beforeTransaction = parameters
    }

    /// What a message has begun by itself ends with it.
    mutating func endCommand() {
        if block == .implicit { endTransaction(commits: true) }
    }

    mutating func endTransaction(commits: Bool) {
        block = .none
        portals.removeAll()
        if !commits { restoreParameters() }
    }

    private mutating func restoreParameters() {
        parameters = beforeTransaction
        if settings.reportsAtOnce { reportParameters() }
    }

    /// Begins a transaction block.
    mutating func openBlock() {
        if block == .open { warn("WARNING", "25001", "there is already a transaction in progress") }
        block = .open
    }

    private mutating func fail(_ refusal: Refusal, isExtended: Bool) {
        write(Session.report("E", "ERROR", refusal))
        flush()
        copyIn = nil
        switch block {
        case .open:
            block = .failed
            restoreParameters()
        case .implicit:
            endTransaction(commits: false)
        case .none, .failed:
            break
        }
        if isExtended { skipsUntilSync = true } else { writeReady() }
    }

    // MARK: Messages

    /// Carries out one message.
    mutating func receive(_ message: Message) {
        guard !isOver else { return }
        if copyIn != nil { return copyMessage(message) }
        if isTurnedAway {
            isTurnedAway = false
            let endsGroup = ["Q", "F", "S"].contains { message.type == UInt8(ascii: $0) }
            let refusal = Refusal(state: "57014", text: "canceling statement due to user request")
            return fail(refusal, isExtended: !endsGroup)
        }
        switch message.type {
        case UInt8(ascii: "Q"):
            if !skipsUntilSync { query(message) }
        case UInt8(ascii: "S"):
            skipsUntilSync = false
            endCommand()
            writeReady()
        case UInt8(ascii: "H"): flush()
        case UInt8(ascii: "d"), UInt8(ascii: "c"), UInt8(ascii: "f"): break
        case UInt8(ascii: "X"): isOver = true
        default:
            if !skipsUntilSync { extended(message) }
        }
    }

    private mutating func query(_ message: Message) {
        var fields = FieldReader(message.body)
        let text = fields.text()
        beginCommand()
        statements[""] = nil
        do throws(Refusal) {
            let commands = try Command.parse(text)
            if commands.isEmpty { write("I") }
            for command in commands {
                try refuseInFailed(command)
                portals[""] = nil
                if commands.count > 1 || block == .open, command == .discardAll { throw Session.notInBlock }
                beginCommand()
                try command.analyse()
                try command.makePlan()
                if command == .copyIn { return beginCopyIn(isExtended: false) }
                var portal = Portal(command: command, values: [])
                try run(&portal, limit: 0, isExtended: false)
            }
            endCommand()
            writeReady()
        } catch {
            fail(error, isExtended: false)
        }
    }

    private static var notInBlock: Refusal {
        Refusal(state: "25001", text: "DISCARD ALL cannot run inside a transaction block")
    }

    private func refuseInFailed(_ command: Command?) throws(Refusal) {
        guard block == .failed, let command, !command.endsTransaction else { return }
        throw Session.failedTransaction
    }

    private static var failedTransaction: Refusal {
        Refusal(
            state: "25P02",
            text: "current transaction is aborted, commands ignored until end of transaction block")
    }

    private mutating func extended(_ message: Message) {
        var fields = FieldReader(message.body)
        do throws(Refusal) {
            switch message.type {
            case UInt8(ascii: "P"): try parse(&fields)
            case UInt8(ascii: "B"): try bind(&fields)
            case UInt8(ascii: "D"): try describe(&fields)
            case UInt8(ascii: "E"): try execute(&fields)
            case UInt8(ascii: "C"): close(&fields)
            default:
                terminate(Refusal(state: "08P01", text: "invalid frontend message type \(message.type)"))
            }
        } catch {
            fail(error, isExtended: true)
        }
    }

    // MARK: Extended messages

    private mutating func parse(_ fields: inout FieldReader) throws(Refusal) {
        let name = fields.text()
        beginCommand()
        if name.isEmpty { statements[""] = nil }
        if statements[name] != nil { try refuseIfUnusable() }
        let commands = try Command.parse(fields.text())
        if commands.count > 1 {
            throw Refusal(
                state: "42601", text: "cannot insert multiple commands into a prepared statement")
        }
        try refuseInFailed(commands.first)
        try commands.first?.analyse()
        if !name.isEmpty, statements[name] != nil {
            throw Refusal(state: "42P05", text: "prepared statement \"\(name)\" already exists")
        }
        statements[name] = Prepared(command: commands.first)
        write("1")
    }

    /// What the server has to be given before it can be asked is refused when the transaction has failed.
    private mutating func refuseIfUnusable() throws(Refusal) {
        guard isUnusable else { return }
        isUnusable = false
        throw Session.failedTransaction
    }

    private mutating func statement(_ name: String) throws(Refusal) -> Prepared {
        try refuseIfUnusable()
        if let statement = statements[name] { return statement }
        throw Refusal(
            state: "26000",
            text: name.isEmpty
                ? "unnamed prepared statement does not exist"
                : "prepared statement \"\(name)\" does not exist")
    }

    private func portal(_ name: String) throws(Refusal) -> Portal {
        if let portal = portals[name] { return portal }
        throw Refusal(state: "34000", text: "portal \"\(name)\" does not exist")
    }

    private mutating func bind(_ fields: inout FieldReader) throws(Refusal) {
        let portalName = fields.text()
        let name = fields.text()
        beginCommand()
        let prepared = try statement(name)
        for _ in 0..<fields.int16() { _ = fields.int16() }
        var values: [String] = []
        for _ in 0..<fields.int16() {
            values.append(String(decoding: fields.bytes(fields.int32()), as: UTF8.self))
        }
        let wanted = prepared.command?.parameterCount ?? 0
        if values.count != wanted {
            throw Refusal(
                state: "08P01",
                text: "bind message supplies \(values.count) parameters, but prepared statement "
                    + "\"\(name)\" requires \(wanted)")
        }
        try refuseInFailed(prepared.command)
        if !portalName.isEmpty, portals[portalName] != nil {
            throw Refusal(state: "42P03", text: "cursor \"\(portalName)\" already exists")
        }
        portals[portalName] = nil
        if case .select(let selection)? = prepared.command, let value = values.first,
            selection.columns.contains(where: { $0.content == .integer }), Int(value) == nil
        {
            throw Refusal(state: "22P02", text: "invalid input syntax for type integer: \"\(value)\"")
        }
        try prepared.command?.makePlan()
        portals[portalName] = Portal(command: prepared.command, values: values)
        write("2")
    }

    private mutating func describe(_ fields: inout FieldReader) throws(Refusal) {
        let isStatement = fields.byte() == UInt8(ascii: "S")
        let name = fields.text()
        beginCommand()
        let command: Command?
        if isStatement {
            command = try statement(name).command
        } else {
            command = try portal(name).command
        }
        if command?.columns != nil { try refuseInFailed(command) }
        if isStatement { writeParameters(command) }
        if let columns = command?.columns { writeColumns(columns, command!) } else { write("n") }
    }

    private mutating func execute(_ fields: inout FieldReader) throws(Refusal) {
        let name = fields.text()
        let limit = fields.int32()
        beginCommand()
        var portal = try portal(name)
        guard portal.command != nil else { return write("I") }
        try refuseInFailed(portal.command)
        if portal.command == .discardAll, block == .open { throw Session.notInBlock }
        if portal.command == .copyIn { return beginCopyIn(isExtended: true) }
        portals[name] = nil
        if portal.isDone { throw Refusal(state: "55000", text: "portal \"\(name)\" cannot be run") }
        try run(&portal, limit: limit, isExtended: true)
        portal.isDone = portal.command?.columns == nil
        if block != .none { portals[name] = portal }
    }

    private mutating func close(_ fields: inout FieldReader) {
        if fields.byte() == UInt8(ascii: "S") {
            statements[fields.text()] = nil
        } else {
            portals[fields.text()] = nil
        }
        write("3")
    }

    // MARK: COPY FROM STDIN

    private mutating func beginCopyIn(isExtended: Bool) {
        copyIn = CopyIn(isExtended: isExtended)
        write(Message("G", [0, 0, 1, 0, 0]))
        flush()
    }

    private mutating func copyMessage(_ message: Message) {
        guard var copy = copyIn else { return }
        let isExtended = copy.isExtended
        switch message.type {
        case UInt8(ascii: "d"):
            copy.line += message.body
            while let end = copy.line.firstIndex(of: 10) {
                if copy.line[..<end].contains(9) {
                    return fail(
                        Refusal(state: "22P04", text: "extra data after last expected column"),
                        isExtended: isExtended)
                }
                copy.line.removeSubrange(...end)
                copy.rows += 1
            }
            copyIn = copy
        case UInt8(ascii: "c"):
            copyIn = nil
            write("C", "COPY \(copy.rows)")
            guard !isExtended else { return }
            endCommand()
            writeReady()
        case UInt8(ascii: "f"):
            let reason = String(decoding: message.body.dropLast(), as: UTF8.self)
            fail(
                Refusal(state: "57014", text: "COPY from stdin failed: \(reason)"), isExtended: isExtended)
        case UInt8(ascii: "H"), UInt8(ascii: "S"):
            break
        default:
            terminate(
                Refusal(
                    state: "08P01",
                    text: "terminating connection because protocol synchronization was lost"))
        }
    }
}
