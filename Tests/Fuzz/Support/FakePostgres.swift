import Auth
import Base

/// The server's end of one conversation: bytes in, whole messages out, no sockets.
///
/// It follows the rules of the protocol as PostgreSQL does (errors, skipping up to Sync, COPY, transactions,
/// prepared statements), and understands a few words of SQL: see `Statement`.
public struct FakePostgres {
    /// How a client has to prove itself.
    public enum Login: CaseIterable, Sendable {
        case trust, plain, md5, scram
    }

    private enum Phase {
        case startup, password, scram, ready
        /// COPY FROM STDIN, begun by a simple query or by Execute.
        case copying(isSimple: Bool)
        case replicating
    }

    /// The password every role has.
    public static let password = "secret"
    /// What is stored of it in the newer form; few iterations, as many logins are to be tried.
    public static var storedPassword: String { String(decoding: verifier.text, as: UTF8.self) }
    private static let verifier = ScramVerifier(
        deriving: Array(password.utf8), salt: Array(1...16), iterations: 2)

    /// Whether the connection is to be closed once everything has been sent.
    public private(set) var isClosed = false
    /// Whether it has let its client in.
    public private(set) var isReady = false

    /// The database it was asked for, once it has been.
    public private(set) var database = ""
    private var login: Login
    private let processID: Int
    private var phase = Phase.startup
    private var exchange: ScramServer?
    private var input: [UInt8] = []
    private var offset = 0
    private var output = MessageList()
    private var status = UInt8(ascii: "I")
    private var skipsUntilSync = false
    private var statements: [ArraySlice<UInt8>: ArraySlice<UInt8>] = [:]
    private var portals: [ArraySlice<UInt8>: Portal] = [:]
    private var parameters = FakePostgres.parameters
    private static let parameters = [
        ("application_name", ""), ("client_encoding", "UTF8"), ("DateStyle", "ISO, MDY"),
        ("in_hot_standby", "off"), ("integer_datetimes", "on"), ("IntervalStyle", "postgres"),
        ("server_encoding", "UTF8"), ("server_version", "15.14"),
        ("standard_conforming_strings", "on"), ("TimeZone", "Etc/UTC"),
    ].map { Statement.Setting(name: Array($0.0.utf8), value: Array($0.1.utf8)) }

    private struct Portal {
        var statement: Statement
        var rowsSent = 0
    }

    /// A session that waits for a startup packet.
    public init(login: Login, processID: Int) {
        self.login = login
        self.processID = processID
    }

    /// Takes bytes and answers the messages they complete.
    public mutating func receive(_ bytes: [UInt8]) -> MessageList {
        if input.isEmpty { input = bytes } else { input += bytes }
        output = MessageList()
        while !isClosed, takeMessage() {}
        if offset == input.count { input = [] } else { input.removeFirst(offset) }
        offset = 0
        return output
    }

    private mutating func takeMessage() -> Bool {
        let isFirst = if case .startup = phase { true } else { false }
        let header = isFirst ? 4 : 5
        guard input.count - offset >= header else { return false }
        let length = Bytes.number(input, at: offset + header - 4)
        guard length >= (isFirst ? 8 : 4), length <= 1 << 26 else {
            fatal("08P01", "invalid message length")
            return false
        }
        let total = header - 4 + length
        guard input.count - offset >= total else { return false }
        let type = input[offset]
        let body = input[(offset + header)..<(offset + total)]
        offset += total
        switch phase {
        case .startup: start(body)
        case .password: checkPassword(type, body)
        case .scram: continueScram(type, body)
        case .ready: message(type, body)
        case .copying(let isSimple): copyMessage(type, body, isSimple)
        case .replicating: replicationMessage(type, body)
        }
        return true
    }

    private mutating func say(_ message: [UInt8]) { output.append(message) }

    private mutating func say(_ setting: Statement.Setting) {
        output.append("S") { body in
            body += setting.name
            body.append(0)
            body += setting.value
            body.append(0)
        }
    }

    private mutating func complete(_ tag: String) {
        output.append("C") { body in
            body += tag.utf8
            body.append(0)
        }
    }

    private mutating func row(_ value: ArraySlice<UInt8>) {
        output.append("D") { body in
            body.append(0)
            body.append(1)
            Bytes.append(int32: value.count, to: &body)
            body += value
        }
    }

    /// An error; behind the text a name in quotes, if there is one.
    private mutating func error(
        _ state: String, _ text: String, _ name: ArraySlice<UInt8>? = nil, severity: String = "ERROR"
    ) {
        output.append("E") { body in
            for (code, value) in [("S", severity), ("V", severity), ("C", state), ("M", text)] {
                body += code.utf8
                body += value.utf8
                if code != "M" { body.append(0) }
            }
            if let name {
                body += " \"".utf8
                body += name
                body += "\"".utf8
            }
            body.append(0)
            body.append(0)
        }
    }

    private mutating func fatal(_ state: String, _ text: String) {
        error(state, text, severity: "FATAL")
        isClosed = true
    }

    private mutating func ready() { output.append("Z") { $0.append(status) } }

    // MARK: Login

    private mutating func start(_ body: ArraySlice<UInt8>) {
        switch Bytes.number(body) {
        case 80_877_102: isClosed = true
        case 80_877_103, 80_877_104: say([UInt8(ascii: "N")])
        default:
            let fields = body.dropFirst(4).split(separator: 0, omittingEmptySubsequences: false)
            for index in stride(from: 0, to: fields.count - 1, by: 2) where !fields[index].isEmpty {
                let setting = Statement.Setting(name: Array(fields[index]), value: Array(fields[index + 1]))
                _ = set(setting)
                // Who is stored in the newer form cannot prove himself in another way.
                let isScram = fields[index].spells("user") && fields[index + 1].spells("scram")
                if isScram, login != .trust { login = .scram }
                if fields[index].spells("database") {
                    database = String(decoding: setting.value, as: UTF8.self)
                }
            }
            beginLogin()
        }
    }

    private mutating func beginLogin() {
        switch login {
        case .trust: welcome()
        case .plain:
            say(Bytes.authentication(3))
            phase = .password
        case .md5:
            say(Bytes.authentication(5, [1, 2, 3, 4]))
            phase = .password
        case .scram:
            say(Bytes.authentication(10, Bytes.text("SCRAM-SHA-256") + [0]))
            exchange = ScramServer(
                verifier: FakePostgres.verifier, nonce: Array(1...18), isMock: false)
            phase = .scram
        }
    }

    private mutating func checkPassword(_ type: UInt8, _ body: ArraySlice<UInt8>) {
        guard type == UInt8(ascii: "p") else { return fatal("08P01", "expected password response") }
        welcome()
    }

    private mutating func continueScram(_ type: UInt8, _ body: ArraySlice<UInt8>) {
        guard type == UInt8(ascii: "p") else { return fatal("08P01", "expected SASL response") }
        switch exchange!.receive(Array(body).rawSpan) {
        case .continue(let data): say(Bytes.authentication(11, data))
        case .success(let data, _):
            say(Bytes.authentication(12, data))
            welcome()
        case .invalidMechanism, .failure: fatal("28P01", "password authentication failed")
        }
    }

    private mutating func welcome() {
        say(Bytes.authentication(0))
        for parameter in parameters { say(parameter) }
        output.append("K") { body in
            Bytes.append(int32: processID, to: &body)
            body += [1, 2, 3, 4]
        }
        phase = .ready
        isReady = true
        ready()
    }

    // MARK: Messages

    private mutating func message(_ type: UInt8, _ body: ArraySlice<UInt8>) {
        if skipsUntilSync, type != UInt8(ascii: "S"), type != UInt8(ascii: "X") { return }
        switch type {
        case UInt8(ascii: "Q"):
            guard let text = wholeText(body) else {
                // Only what fails in an extended query is skipped up to Sync.
                fail("08P01", "invalid message format")
                skipsUntilSync = false
                return ready()
            }
            simple(text)
        case UInt8(ascii: "P"): parse(body)
        case UInt8(ascii: "B"): bind(body)
        case UInt8(ascii: "D"): describe(body)
        case UInt8(ascii: "E"): execute(body)
        case UInt8(ascii: "C"): close(body)
        case UInt8(ascii: "F"):
            say(Bytes.message("V", Bytes.int32(1) + [0x31]))
            ready()
        case UInt8(ascii: "S"):
            skipsUntilSync = false
            if status == UInt8(ascii: "I") { portals.removeAll() }
            ready()
        case UInt8(ascii: "H"), UInt8(ascii: "d"), UInt8(ascii: "c"), UInt8(ascii: "f"): break
        case UInt8(ascii: "X"): isClosed = true
        default: fatal("08P01", "invalid frontend message type \(type)")
        }
    }

    /// An error in an extended query.
    private mutating func fail(_ state: String, _ text: String, _ name: ArraySlice<UInt8>? = nil) {
        error(state, text, name)
        skipsUntilSync = true
        if status == UInt8(ascii: "T") { status = UInt8(ascii: "E") }
    }

    private func wholeText(_ body: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        guard let end = body.firstIndex(of: 0), end == body.endIndex - 1 else { return nil }
        return body[..<end]
    }

    /// Takes a text and the zero that ends it.
    private func text(_ rest: inout ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        guard let end = rest.firstIndex(of: 0) else { return nil }
        defer { rest = rest[(end + 1)...] }
        return rest[..<end]
    }

    // MARK: Simple queries

    private mutating func simple(_ text: ArraySlice<UInt8>) {
        portals.removeValue(forKey: [])
        statements.removeValue(forKey: [])
        var isEmpty = true
        for part in text.split(separator: UInt8(ascii: ";")) {
            let statement = Statement(part)
            if statement == .empty { continue }
            isEmpty = false
            guard let refusal = refusal(of: statement) else {
                if statement.returnsRows { say(Bytes.description) }
                run(statement)
                switch phase {
                case .copying:
                    phase = .copying(isSimple: true)
                    return
                case .replicating: return
                case .startup, .password, .scram, .ready: continue
                }
            }
            error(refusal.state, refusal.text, refusal.name)
            if status == UInt8(ascii: "T") { status = UInt8(ascii: "E") }
            break
        }
        if isEmpty { say(Bytes.message("I")) }
        ready()
    }

    private typealias Refusal = (state: String, text: String, name: ArraySlice<UInt8>?)

    /// Why a statement cannot run now.
    private func refusal(of statement: Statement) -> Refusal? {
        if status == UInt8(ascii: "E"), !statement.endsTransaction {
            return (
                "25P02", "current transaction is aborted, commands ignored until end of transaction block",
                nil
            )
        }
        switch statement {
        case .error: return ("22012", "division by zero", nil)
        case .unknown(let text): return ("42601", "syntax error at or near", text)
        case .settings(let settings) where settings.contains { $0.value[...].spells("nowhere") }:
            return ("22023", "invalid value for parameter \"TimeZone\":", Array("Nowhere".utf8)[...])
        default: return nil
        }
    }

    /// Runs a statement that may run, without describing it.
    private mutating func run(_ statement: Statement) {
        switch statement {
        case .empty: say(Bytes.message("I"))
        case .value(let value): single(value)
        case .rows(let count):
            for number in 0..<count { row(Array("row \(number)".utf8)[...]) }
            complete("SELECT \(count)")
        case .wide(let count): single([UInt8](repeating: 0x77, count: count)[...])
        case .notice:
            say(Bytes.notice("as asked for"))
            single(Array("notice".utf8)[...])
        case .notify:
            say(Bytes.notification("news"))
            single(Array("notify".utf8)[...])
        case .settings(let settings):
            let changed = settings.filter { set($0) }
            single(Array("set".utf8)[...])
            for setting in changed { say(setting) }
        case .set(let setting):
            let isReported = set(setting)
            complete("SET")
            if isReported { say(setting) }
        case .begin: change("BEGIN", "T")
        case .commit: change(status == UInt8(ascii: "E") ? "ROLLBACK" : "COMMIT", "I")
        case .rollback: change("ROLLBACK", "I")
        case .copyIn:
            say(Bytes.message("G", [0, 0, 0]))
            phase = .copying(isSimple: false)
        case .copyOut:
            say(Bytes.message("H", [0, 0, 0]))
            for line in 0..<5 { say(Bytes.copyData("line \(line)\n")) }
            say(Bytes.copyDone)
            complete("COPY 5")
        case .replicate:
            say(Bytes.message("W", [0, 0, 0]))
            say(Bytes.copyData("w the log"))
            phase = .replicating
        case .discard(let tag):
            statements.removeAll()
            portals.removeAll()
            complete(tag)
        case .other(let tag): complete(tag)
        case .error, .unknown: break
        }
    }

    private mutating func single(_ value: ArraySlice<UInt8>) {
        row(value)
        complete("SELECT 1")
    }

    private mutating func change(_ tag: String, _ newStatus: Unicode.Scalar) {
        status = UInt8(ascii: newStatus)
        if newStatus == "I" { portals.removeAll() }
        complete(tag)
    }

    /// Changes a parameter; whether it is one that is reported.
    private mutating func set(_ setting: Statement.Setting) -> Bool {
        func small(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte | 0x20 : byte }
        func isSame(_ name: [UInt8]) -> Bool {
            name.count == setting.name.count
                && name.indices.allSatisfy { small(name[$0]) == small(setting.name[$0]) }
        }
        guard let index = parameters.firstIndex(where: { isSame($0.name) }),
            parameters[index].value != setting.value
        else { return false }
        parameters[index].value = setting.value
        return true
    }

    // MARK: Extended queries

    private mutating func parse(_ body: ArraySlice<UInt8>) {
        var rest = body
        guard let name = text(&rest), let query = text(&rest), rest.count >= 2 else {
            return fail("08P01", "invalid message format")
        }
        let statement = Statement(query)
        if case .unknown(let text) = statement { return fail("42601", "syntax error at or near", text) }
        if status == UInt8(ascii: "E"), !statement.endsTransaction {
            return fail("25P02", "current transaction is aborted")
        }
        if !name.isEmpty, statements[name] != nil {
            return fail("42P05", "prepared statement that exists:", name)
        }
        // What is kept must not keep the input.
        statements[Array(name)[...]] = Array(query)[...]
        say(Bytes.message("1"))
    }

    private mutating func bind(_ body: ArraySlice<UInt8>) {
        var rest = body
        guard let portal = text(&rest), let name = text(&rest) else {
            return fail("08P01", "invalid message format")
        }
        guard let query = statements[name] else {
            return fail("26000", "prepared statement that does not exist:", name)
        }
        guard isWellFormed(rest) else { return fail("08P01", "invalid message format") }
        portals[Array(portal)[...]] = Portal(statement: Statement(query))
        say(Bytes.message("2"))
    }

    /// Whether the formats and values of a Bind fill its rest.
    private func isWellFormed(_ rest: ArraySlice<UInt8>) -> Bool {
        var rest = rest
        func short() -> Int? {
            guard rest.count >= 2 else { return nil }
            defer { rest = rest.dropFirst(2) }
            return Int(rest[rest.startIndex]) << 8 | Int(rest[rest.startIndex + 1])
        }
        guard let formats = short(), rest.count >= formats * 2 else { return false }
        rest = rest.dropFirst(formats * 2)
        guard let values = short() else { return false }
        for _ in 0..<values {
            guard rest.count >= 4 else { return false }
            let length = Bytes.number(rest)
            rest = rest.dropFirst(4)
            guard length >= -1, rest.count >= length else { return false }
            rest = rest.dropFirst(max(0, length))
        }
        guard let results = short() else { return false }
        return rest.count == results * 2
    }

    private mutating func describe(_ body: ArraySlice<UInt8>) {
        var rest = body.dropFirst()
        guard let kind = body.first, let name = text(&rest) else {
            return fail("08P01", "invalid message format")
        }
        let statement: Statement
        if kind == UInt8(ascii: "S") {
            guard let query = statements[name] else { return fail("26000", "prepared statement unknown") }
            statement = Statement(query)
            say(Bytes.message("t", Bytes.int16(0)))
        } else {
            guard let portal = portals[name] else { return fail("34000", "portal unknown") }
            statement = portal.statement
        }
        say(statement.returnsRows ? Bytes.description : Bytes.message("n"))
    }

    private mutating func execute(_ body: ArraySlice<UInt8>) {
        var rest = body
        guard let name = text(&rest), rest.count == 4 else {
            return fail("08P01", "invalid message format")
        }
        guard var portal = portals[name] else { return fail("34000", "portal does not exist") }
        if let refusal = refusal(of: portal.statement) {
            return fail(refusal.state, refusal.text, refusal.name)
        }
        let limit = Bytes.number(rest)
        guard limit > 0, case .rows(let count) = portal.statement else { return run(portal.statement) }
        let part = min(limit, max(0, count - portal.rowsSent))
        for number in 0..<part { row(Array("row \(portal.rowsSent + number)".utf8)[...]) }
        portal.rowsSent += part
        portals[name] = portal
        if portal.rowsSent < count { say(Bytes.message("s")) } else { complete("SELECT \(part)") }
    }

    private mutating func close(_ body: ArraySlice<UInt8>) {
        var rest = body.dropFirst()
        guard let kind = body.first, let name = text(&rest) else {
            return fail("08P01", "invalid message format")
        }
        if kind == UInt8(ascii: "S") {
            statements.removeValue(forKey: name)
        } else {
            portals.removeValue(forKey: name)
        }
        say(Bytes.message("3"))
    }

    // MARK: Copies

    private mutating func copyMessage(_ type: UInt8, _ body: ArraySlice<UInt8>, _ isSimple: Bool) {
        switch type {
        case UInt8(ascii: "d"), UInt8(ascii: "H"), UInt8(ascii: "S"): return
        case UInt8(ascii: "X"): isClosed = true
        case UInt8(ascii: "c"):
            phase = .ready
            complete("COPY 4")
            if isSimple { ready() }
        default:
            phase = .ready
            let isFailure = type == UInt8(ascii: "f")
            let text = isFailure ? "COPY from stdin failed" : "unexpected message type during COPY"
            fail(isFailure ? "57014" : "08P01", text)
            if isSimple {
                skipsUntilSync = false
                ready()
            }
        }
    }

    private mutating func replicationMessage(_ type: UInt8, _ body: ArraySlice<UInt8>) {
        switch type {
        case UInt8(ascii: "d"): say(Bytes.copyData("k alive"))
        case UInt8(ascii: "c"):
            phase = .ready
            say(Bytes.copyDone)
            complete("COPY 0")
            ready()
        case UInt8(ascii: "X"): isClosed = true
        case UInt8(ascii: "H"), UInt8(ascii: "S"): break
        default: fatal("08P01", "unexpected message type during replication")
        }
    }
}
