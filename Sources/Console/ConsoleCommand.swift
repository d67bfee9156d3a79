import SharedState

/// What SHOW shows. The raw value is the word in the command.
public enum ShowCommand: String, CaseIterable, Sendable {
    case help, config, databases, pools, clients, servers, users, version, stats, totals, lists, state, peers
    case statsTotals = "stats_totals"
    case statsAverages = "stats_averages"
    case peerPools = "peer_pools"
    case sockets, fds, mem
    case activeSockets = "active_sockets"
    case dnsHosts = "dns_hosts"
    case dnsZones = "dns_zones"
    // Ours.
    case workers, waiters, reload, latency, history, histograms

    /// Whether it shows secrets.
    var needsAdmin: Bool { self == .fds }
}

/// A parameter drivers set and ask for at connection. The console pretends to have it.
public enum ConsoleParameter: String, CaseIterable, Sendable {
    case clientEncoding = "client_encoding"
    case defaultTransactionIsolation = "default_transaction_isolation"
    case standardConformingStrings = "standard_conforming_strings"
    case dateStyle = "datestyle"
    case timeZone = "timezone"
    case extraFloatDigits = "extra_float_digits"
    // PgBouncer does not know this one, but JDBC sets it when it connects.
    case applicationName = "application_name"

    /// What SHOW answers.
    var value: String {
        switch self {
        case .clientEncoding: "UTF-8"
        case .defaultTransactionIsolation: "read committed"
        case .standardConformingStrings: "on"
        case .dateStyle: "ISO"
        case .timeZone: "GMT"
        case .extraFloatDigits: "1"
        case .applicationName: ""
        }
    }
}

/// How the pooler is to end.
public enum ShutdownMode: Equatable, Sendable {
    /// Now.
    case immediate
    /// When the last server connection has gone.
    case waitForServers
    /// When the last client has gone.
    case waitForClients
}

/// Commands about one database or, where that means something, all of them.
public enum DatabaseCommand: String, CaseIterable, Sendable {
    case disable, enable, reconnect, kill
    case waitClose = "wait_close"

    /// What the workers are told.
    var order: OrderKind {
        switch self {
        case .disable: .disable
        case .enable: .enable
        case .reconnect: .reconnect
        case .kill: .kill
        case .waitClose: .waitClose
        }
    }

    /// Whether a database has to be named.
    var needsDatabase: Bool { self == .disable || self == .enable }

    /// What it would do to the console itself, for an error.
    var verb: String { self == .waitClose ? "wait in" : rawValue }
}

/// One command of the console.
public enum ConsoleCommand: Equatable, Sendable {
    case show(ShowCommand)
    case showParameter(ConsoleParameter)
    case setParameter(ConsoleParameter)
    /// Change a setting until the next reload.
    case set(key: [UInt8], value: [UInt8])
    case reload
    /// Everything when `nil`; undone when it takes longer than the limit, `nil` for none.
    case pause(database: [UInt8]?, limitSeconds: UInt32? = nil)
    /// Everything when `nil`.
    case resume(database: [UInt8]?)
    case suspend
    case shutdown(ShutdownMode)
    /// Say that we are not ready any more, then end with the last client.
    case drain
    /// Everything when `nil`.
    case database(DatabaseCommand, [UInt8]?)
    /// Send one client away.
    case killClient(id: UInt64)
    /// Have this program, or the one at a path, take over without dropping anybody; if forced, also while
    /// workers still leave.
    case restart(path: [UInt8]?, isForced: Bool = false)

    /// Whether only admins may run it.
    var needsAdmin: Bool {
        switch self {
        case .show(let what): what.needsAdmin
        case .showParameter, .setParameter: false
        case .set, .reload, .pause, .resume, .suspend, .shutdown, .drain, .database, .killClient, .restart:
            true
        }
    }

    /// The command in a query, without the zero byte at its end.
    ///
    /// The grammar is `WORD [WORD] [;]`, `SET WORD (= | TO) VALUE [;]`, and of our own
    /// `PAUSE [WORD] TIMEOUT SECONDS [;]` and `RESTART ['PATH'] [FORCE] [;]`. Command words mean the same in
    /// any case; names of databases do not.
    /// - Throws: PgBouncer's error texts.
    public static func parse(_ query: [UInt8]) throws(ConsoleError) -> ConsoleCommand {
        if let assignment = try ConsoleLexer.assignment(query) {
            return set(key: assignment.key, value: assignment.value).orParameter
        }
        if let restart = ConsoleLexer.restart(query) {
            return .restart(path: restart.path.isEmpty ? nil : restart.path, isForced: restart.isForced)
        }
        guard let words = try ConsoleLexer.words(query) else { throw .invalidCommand(query) }
        if words.command == "pause", words.rest.count > 0 {
            guard let pause = pause(words.argument, words.rest) else { throw .invalidCommand(query) }
            return pause
        }
        guard words.rest.isEmpty, let command = try find(words.command, words.argument) else {
            throw .invalidCommand(query)
        }
        return command
    }

    private static func find(
        _ command: String, _ argument: [UInt8]?
    ) throws(ConsoleError) -> ConsoleCommand? {
        switch command {
        case "show", "select":
            guard let argument else { return nil }
            let what = ConsoleLexer.lowercased(argument)
            if let parameter = ConsoleParameter(rawValue: what) { return .showParameter(parameter) }
            return ShowCommand(rawValue: what).map(ConsoleCommand.show)
        case "reload":
            return argument == nil ? .reload : nil
        case "pause":
            return .pause(database: argument)
        case "resume":
            return .resume(database: argument)
        case "shutdown":
            guard let argument else { return .shutdown(.immediate) }
            switch ConsoleLexer.lowercased(argument) {
            case "wait_for_servers": return .shutdown(.waitForServers)
            case "wait_for_clients": return .shutdown(.waitForClients)
            case _: return nil
            }
        case "drain":
            return argument == nil ? .drain : nil
        case "suspend":
            return argument == nil ? .suspend : nil
        case "kill_client":
            guard let argument, let id = clientId(argument) else {
                throw ConsoleError("invalid client pointer supplied")
            }
            return .killClient(id: id)
        case _:
            guard let command = DatabaseCommand(rawValue: command) else { return nil }
            if command.needsDatabase, argument == nil { throw ConsoleError("a database is required") }
            return .database(command, argument)
        }
    }

    /// `PAUSE TIMEOUT 5`, `PAUSE db TIMEOUT 5`.
    private static func pause(_ first: [UInt8]?, _ rest: [[UInt8]]) -> ConsoleCommand? {
        guard let first, let seconds = rest.last.flatMap({ UInt32(String(decoding: $0, as: UTF8.self)) }),
            seconds > 0
        else { return nil }
        switch rest.count {
        case 1 where ConsoleLexer.lowercased(first) == "timeout":
            return .pause(database: nil, limitSeconds: seconds)
        case 2 where ConsoleLexer.lowercased(rest[0]) == "timeout":
            return .pause(database: first, limitSeconds: seconds)
        case _: return nil
        }
    }

    /// A client's number, or what SHOW CLIENTS gives as its `ptr`.
    private static func clientId(_ text: [UInt8]) -> UInt64? {
        let digits = text.starts(with: Array("C-".utf8)) ? text.dropFirst(2) : text[...]
        return UInt64(String(decoding: digits, as: UTF8.self))
    }

    /// An assignment to a parameter the console only pretends to have is another command.
    private var orParameter: ConsoleCommand {
        guard case .set(let key, _) = self,
            let parameter = ConsoleParameter(rawValue: ConsoleLexer.lowercased(key))
        else { return self }
        return .setParameter(parameter)
    }
}
