/// What SHOW shows. The raw value is the word in the command.
public enum ShowCommand: String, CaseIterable, Sendable {
    case help, config, databases, pools, clients, servers, users, version, stats, totals, lists, state, peers
    case statsTotals = "stats_totals"
    case statsAverages = "stats_averages"
    case peerPools = "peer_pools"
    // PgBouncer's, not here yet.
    case sockets, fds, mem
    case activeSockets = "active_sockets"
    case dnsHosts = "dns_hosts"
    case dnsZones = "dns_zones"

    /// Whether this version can show it.
    var isAvailable: Bool {
        switch self {
        case .help, .config, .databases, .pools, .clients, .servers, .users, .version, .stats, .totals,
            .lists,
            .state, .statsTotals, .statsAverages, .peers, .peerPools:
            true
        case .sockets, .fds, .mem, .activeSockets, .dnsHosts, .dnsZones: false
        }
    }

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

/// Commands of PgBouncer's console that this version knows by name only.
public enum UnavailableCommand: String, CaseIterable, Sendable {
    case suspend, disable, enable, reconnect, kill
    case killClient = "kill_client"
    case waitClose = "wait_close"
}

/// One command of the console.
public enum ConsoleCommand: Equatable, Sendable {
    case show(ShowCommand)
    case showParameter(ConsoleParameter)
    case setParameter(ConsoleParameter)
    /// Change a setting until the next reload.
    case set(key: [UInt8], value: [UInt8])
    case reload
    /// Everything when `nil`.
    case pause(database: [UInt8]?)
    /// Everything when `nil`.
    case resume(database: [UInt8]?)
    case shutdown(ShutdownMode)
    case unavailable(UnavailableCommand)

    /// Whether only admins may run it.
    var needsAdmin: Bool {
        switch self {
        case .show(let what): what.needsAdmin
        case .showParameter, .setParameter: false
        case .set, .reload, .pause, .resume, .shutdown, .unavailable: true
        }
    }

    /// The command in a query, without the zero byte at its end.
    ///
    /// The grammar is `WORD [WORD] [;]` and `SET WORD (= | TO) VALUE [;]`. Command words mean the same in
    /// any case; names of databases do not.
    /// - Throws: PgBouncer's error texts.
    public static func parse(_ query: [UInt8]) throws(ConsoleError) -> ConsoleCommand {
        if let assignment = try ConsoleLexer.assignment(query) {
            return set(key: assignment.key, value: assignment.value).orParameter
        }
        guard let words = try ConsoleLexer.words(query) else { throw .invalidCommand(query) }
        guard let command = find(words.command, words.argument) else { throw .invalidCommand(query) }
        switch command {
        case .unavailable(.disable), .unavailable(.enable):
            if words.argument == nil { throw ConsoleError("a database is required") }
        case .show, .showParameter, .setParameter, .set, .reload, .pause, .resume, .shutdown, .unavailable:
            break
        }
        return command
    }

    private static func find(_ command: String, _ argument: [UInt8]?) -> ConsoleCommand? {
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
        case "suspend":
            return argument == nil ? .unavailable(.suspend) : nil
        case _:
            return UnavailableCommand(rawValue: command).map(ConsoleCommand.unavailable)
        }
    }

    /// An assignment to a parameter the console only pretends to have is another command.
    private var orParameter: ConsoleCommand {
        guard case .set(let key, _) = self,
            let parameter = ConsoleParameter(rawValue: ConsoleLexer.lowercased(key))
        else { return self }
        return .setParameter(parameter)
    }
}
