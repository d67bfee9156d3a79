public import Base
public import SharedState
import Wire

/// One console connection as the supervisor serves it: bytes in, bytes and requests out.
///
/// The supervisor calls `receive` with what it read, then `advance` until that gives `nil`; a request it
/// gets from `advance` it answers with `answer` and calls `advance` again. After each it sends what is in
/// `output`, calls `advance` once more when some of it is sent, and closes the connection once `isClosing`
/// and everything is sent. It reads only while `wantsInput`, which bounds the memory of a session.
public struct ConsoleSession: ~Copyable {
    /// The database that is the console.
    public static let databaseName = "pgbouncer"
    /// A second name of it.
    public static let databaseAlias = "pgsluice"
    /// Longest message that is read.
    static let messageLimit = 16 * 1024
    /// Bytes not yet sent above which nothing is read.
    static let outputLimit = 1 << 20

    /// Where the session is.
    private enum Phase: Equatable {
        /// The first packet is expected.
        case startup
        /// Commands are served.
        case ready
        /// The supervisor works on one.
        case waiting(ConsoleCommand)
        /// Nothing more is read.
        case closing
    }

    /// Bytes to send. The supervisor removes what it has sent.
    public var output = ByteBuffer(capacity: 1024)
    /// What this session's client must present to cancel.
    public let cancelKey: ConsoleCancelKey
    /// What the session may do.
    public let role: ConsoleRole

    var extended = ExtendedProtocol()
    var totals = PoolTotals()
    private var input = ByteBuffer(capacity: 1024)
    private var phase: Phase
    private let notifyMessage: String
    private let formatTime: (UInt64) -> String
    private var log: [String] = []

    /// A session whose client a worker has authenticated. Welcomes it at once.
    ///
    /// - Parameters:
    ///   - parameters: of the client's startup packet.
    ///   - notifyMessage: `login_notify_message`, empty for none.
    ///   - formatTime: writes microseconds since 1970 as local time, `YYYY-MM-DD HH:MM:SS TZ`.
    public init(
        role: ConsoleRole, parameters: [Parameter], cancelKey: ConsoleCancelKey, notifyMessage: String = "",
        formatTime: @escaping (UInt64) -> String
    ) {
        self.role = role
        self.cancelKey = cancelKey
        self.notifyMessage = notifyMessage
        self.formatTime = formatTime
        phase = .ready
        welcome(parameters)
    }

    /// A session on the control socket, whose peer is an admin by its credentials and begins with a startup
    /// packet.
    public init(
        controlSocketWith cancelKey: ConsoleCancelKey, notifyMessage: String = "",
        formatTime: @escaping (UInt64) -> String
    ) {
        role = .admin
        self.cancelKey = cancelKey
        self.notifyMessage = notifyMessage
        self.formatTime = formatTime
        phase = .startup
    }

    /// A session that another program has begun.
    public init(_ parked: ParkedConsole, formatTime: @escaping (UInt64) -> String) {
        role = parked.role
        cancelKey = parked.cancelKey
        notifyMessage = ""
        self.formatTime = formatTime
        phase = parked.awaitsRestart ? .waiting(.restart(path: nil)) : .ready
        unsafe input.append(parked.input.span.bytes)
        unsafe output.append(parked.output.span.bytes)
    }

    /// What another program needs to go on with the session; `nil` when it cannot: one that has not begun,
    /// that waits for anything but RESTART, or that ends. What was prepared is forgotten.
    public var parked: ParkedConsole? {
        var awaitsRestart = false
        switch phase {
        case .ready: break
        case .waiting(.restart): awaitsRestart = true
        case .startup, .waiting, .closing: return nil
        }
        return ParkedConsole(
            role: role, cancelKey: cancelKey, input: unsafe input.bytes.withUnsafeBytes { unsafe Array($0) },
            output: unsafe output.bytes.withUnsafeBytes { unsafe Array($0) }, awaitsRestart: awaitsRestart)
    }

    // MARK: Driving

    /// Takes bytes the client sent.
    public mutating func receive(_ bytes: RawSpan) {
        if phase != .closing { input.append(bytes) }
    }

    /// Serves what has arrived until a request needs the supervisor (then it is returned), or more bytes
    /// are needed.
    public mutating func advance() -> ConsoleRequest? {
        while true {
            switch phase {
            case .startup:
                guard let packet = takeStartupPacket() else { return nil }
                if let request = start(packet) { return request }
            case .ready:
                guard output.count < ConsoleSession.outputLimit, let message = takeMessage() else {
                    return nil
                }
                if let request = serve(message.type, message.body) { return request }
            case .waiting, .closing:
                return nil
            }
        }
    }

    /// Answers the request that `advance` returned last.
    public mutating func answer(_ answer: ConsoleAnswer) {
        guard case .waiting(let command) = phase else { return }
        phase = .ready
        deliver(outcome(of: command, answer))
    }

    private mutating func outcome(of command: ConsoleCommand, _ answer: ConsoleAnswer) -> ConsoleOutcome {
        switch answer {
        case .done: return complete(command)
        case .failed(let error): return .failed(error)
        case .rows(let rows):
            guard case .show(let what) = command else { return .failed(.invalidCommand([])) }
            return show(what, rows)
        case .statistics(let report):
            guard case .show(let what) = command else { return .failed(.invalidCommand([])) }
            return .table(StatisticsTables.table(what, report))
        case .table(let table): return .table(table)
        case .configuration(let settings): return .table(PlainTables.configuration(settings))
        case .state(let state): return .table(PlainTables.state(state))
        case .reload(let lines): return .table(PlainTables.reload(lines))
        case .reloaded(let lines):
            for line in lines { notice("\(line.item): \(line.text)") }
            return complete(command)
        }
    }

    /// Sends what a command came to, in the form of the protocol it came by.
    private mutating func deliver(_ outcome: ConsoleOutcome) {
        if let running = extended.running {
            extended.running = nil
            return deliver(outcome, to: running)
        }
        switch outcome {
        case .table(let table): table.encode(into: &output)
        case .tag(let tag): output.appendCommandComplete(tag)
        case .failed(let error): fail(error)
        }
        output.appendReadyForQuery(.idle)
    }

    /// The client has gone or cannot be read: nothing more is served.
    public mutating func close() {
        phase = .closing
        input.removeAll()
    }

    /// The client is sent away.
    public mutating func end(because error: ConsoleError) {
        guard phase != .closing else { return }
        end(error)
    }

    // MARK: Looking

    /// Whether bytes should be read from the client.
    public var wantsInput: Bool {
        switch phase {
        case .startup, .ready: output.count < ConsoleSession.outputLimit
        case .waiting, .closing: false
        }
    }

    /// Whether the connection ends when `output` is sent.
    public var isClosing: Bool { phase == .closing }

    /// Whether the client has been welcomed and has not gone.
    public var isWelcome: Bool {
        switch phase {
        case .ready, .waiting: true
        case .startup, .closing: false
        }
    }

    /// Whether the session waits for an answer of the supervisor.
    public var isWaiting: Bool {
        if case .waiting = phase { return true }
        return false
    }

    /// The command the supervisor works on.
    public var waitingCommand: ConsoleCommand? {
        if case .waiting(let command) = phase { return command }
        return nil
    }

    /// What this session added to the statistics of database `pgbouncer` since the last call.
    public mutating func takeTotals() -> PoolTotals {
        defer { totals = PoolTotals() }
        return totals
    }

    /// The errors it answered with since the last call, for the log.
    public mutating func takeLog() -> [String] {
        defer { log = [] }
        return log
    }

    // MARK: Startup

    private mutating func takeStartupPacket() -> [UInt8]? {
        do throws(WireError) {
            guard let byteCount = try StartupPacket.byteCount(of: input.bytes), input.count >= byteCount
            else { return nil }
            let packet = input.bytes.extracting(0..<byteCount).array
            input.removeFirst(byteCount)
            return packet
        } catch {
            end(ConsoleError("bad packet header"))
            return nil
        }
    }

    private mutating func start(_ packet: [UInt8]) -> ConsoleRequest? {
        let bytes = unsafe packet.span.bytes
        switch StartupPacket.parse(bytes) {
        case .sslRequest, .gssEncryptionRequest:
            output.append(UInt8(ascii: "N"))
        case .cancelRequest(let processId, let key):
            close()
            return .cancel(ConsoleCancelKey(processId: processId, secret: Array(packet[key])))
        case .invalidCancelRequest:
            close()
        case .startup(let minor, let range):
            guard let parameters = ConsoleSession.parameters(bytes.extracting(range)) else {
                end(ConsoleError("invalid startup packet layout: expected terminator as last byte"))
                break
            }
            guard ConsoleSession.namesConsole(parameters) else {
                end(ConsoleError(.invalidCatalogName, "only database pgbouncer is served here"))
                break
            }
            if minor > 0 { output.appendNegotiateProtocolVersion(newestMinor: 0, unsupportedNames: []) }
            phase = .ready
            welcome(parameters)
        case .protocol2:
            end(ConsoleError("old V2 protocol not supported"))
        case .invalidHeader:
            end(ConsoleError("bad packet header"))
        }
        return nil
    }

    private static func parameters(_ bytes: RawSpan) -> [Parameter]? {
        guard var reader = try? StartupParameters(bytes) else { return nil }
        var parameters: [Parameter] = []
        while let parameter = reader.next() {
            parameters.append(Parameter(name: parameter.name.array, value: parameter.value.array))
        }
        return parameters
    }

    private static func namesConsole(_ parameters: [Parameter]) -> Bool {
        func value(_ name: String) -> [UInt8]? { parameters.last { $0.name == Array(name.utf8) }?.value }
        let name = value("database") ?? value("user") ?? []
        return name == Array(databaseName.utf8) || name == Array(databaseAlias.utf8)
    }

    private mutating func welcome(_ parameters: [Parameter]) {
        output.appendAuthenticationOk()
        for (name, value) in Welcome.parameters(parameters) {
            output.appendParameterStatus(name: name, value: value)
        }
        let key = cancelKey
        unsafe output.appendBackendKeyData(processID: key.processId, key: key.secret.span.bytes)
        if !notifyMessage.isEmpty {
            output.appendNoticeResponse(.notice, .successfulCompletion, notifyMessage)
        }
        output.appendReadyForQuery(.idle)
        totals[.clientLogins] += 1
    }

    // MARK: Commands

    private mutating func takeMessage() -> (type: UInt8, body: [UInt8])? {
        var reader = MessageReader(input.bytes)
        let header: MessageHeader
        do throws(WireError) {
            guard let next = try MessageHeader.read(&reader) else { return nil }
            header = next
        } catch {
            end(ConsoleError("bad packet header"))
            return nil
        }
        guard header.bodyByteCount <= ConsoleSession.messageLimit else {
            end(ConsoleError("packet too large for admin console"))
            return nil
        }
        guard input.count >= header.messageByteCount else { return nil }
        let body = input.bytes.extracting(5..<header.messageByteCount).array
        input.removeFirst(header.messageByteCount)
        return (header.type, body)
    }

    private mutating func serve(_ type: UInt8, _ body: [UInt8]) -> ConsoleRequest? {
        let isSync = type == FrontendMessage.sync || type == FrontendMessage.terminate
        if extended.isSkipping, !isSync { return nil }
        switch type {
        case FrontendMessage.query:
            guard body.last == 0, body.firstIndex(of: 0) == body.count - 1 else {
                end(ConsoleError("bad packet"))
                return nil
            }
            totals[.queries] += 1
            totals[.transactions] += 1
            totals[.receivedBytes] += UInt64(body.count + MessageHeader.byteCount)
            return run(Array(body.dropLast()))
        case FrontendMessage.terminate:
            close()
        case FrontendMessage.parse, FrontendMessage.bind, FrontendMessage.describe, FrontendMessage.execute,
            FrontendMessage.close, FrontendMessage.sync, FrontendMessage.flush:
            totals[.receivedBytes] += UInt64(body.count + MessageHeader.byteCount)
            return serveExtended(type, body)
        case _:
            refuse("unsupported packet type for admin console: \(type)")
        }
        return nil
    }

    private mutating func run(_ query: [UInt8]) -> ConsoleRequest? {
        do throws(ConsoleError) { return begin(try ConsoleCommand.parse(query)) } catch {
            deliver(.failed(error))
            return nil
        }
    }

    /// Runs a command: answers it at once, or says what is needed for that.
    mutating func begin(_ command: ConsoleCommand) -> ConsoleRequest? {
        do throws(ConsoleError) {
            guard role == .admin || !command.needsAdmin else { throw .adminAccessNeeded }
            if let request = try request(command) {
                phase = .waiting(command)
                return request
            }
            deliver(complete(command))
        } catch {
            deliver(.failed(error))
        }
        return nil
    }

    /// What the supervisor must do for a command; `nil` when nothing.
    private func request(_ command: ConsoleCommand) throws(ConsoleError) -> ConsoleRequest? {
        switch command {
        case .show(let what): return request(what)
        case .showParameter, .setParameter: return nil
        case .set(let key, let value):
            return .set(
                key: ConsoleLexer.lowercased(key), value: String(decoding: value, as: UTF8.self))
        case .reload: return .reload
        case .pause(let database, let limit):
            if let database, ConsoleSession.isConsole(database) { throw .adminDatabase("pause") }
            return .order(.pause, database: database, limitSeconds: limit)
        case .resume(let database):
            return .order(.resume, database: database)
        case .shutdown(.immediate): return .order(.shutdownNow, database: nil)
        case .shutdown(.waitForServers): return .order(.shutdownWaitForServers, database: nil)
        case .shutdown(.waitForClients): return .order(.shutdownWaitForClients, database: nil)
        case .drain: return .drain
        case .suspend: return .order(.suspend, database: nil)
        case .database(let command, let database):
            if let database, ConsoleSession.isConsole(database) { throw .adminDatabase(command.verb) }
            return .order(command.order, database: database)
        case .killClient(let id): return .killClient(id: id)
        case .restart(let path, let isForced):
            guard extended.running == nil else { throw .simpleQueryNeeded }
            return .restart(path: path.map { String(decoding: $0, as: UTF8.self) }, isForced: isForced)
        }
    }

    private func request(_ what: ShowCommand) -> ConsoleRequest? {
        switch what {
        case .stats, .statsTotals, .statsAverages, .totals: return .statistics
        case .latency: return .latency
        case .history: return .history
        case .histograms: return .histograms
        case .clients: return .rows([.clients])
        case .servers: return .rows([.servers])
        case .pools: return .rows([.pools])
        case .databases: return .rows([.databases])
        case .users: return .rows([.users])
        case .lists: return .rows([.databases, .users, .pools, .peerPools, .lists])
        case .peers: return .rows([.peers])
        case .peerPools: return .rows([.peerPools])
        case .config: return .configuration
        case .state: return .state
        case .sockets: return .rows([.clients, .servers])
        case .mem: return .rows([.memory])
        case .workers: return .rows([.worker])
        case .waiters: return .rows([.waiters, .servers])
        case .reload: return .lastReload
        case .help, .version, .fds, .activeSockets, .dnsHosts, .dnsZones: return nil
        }
    }

    private static func isConsole(_ database: [UInt8]) -> Bool { database == Array(databaseName.utf8) }

    /// What a command that has been carried out and shows no rows of the supervisor's comes to.
    private mutating func complete(_ command: ConsoleCommand) -> ConsoleOutcome {
        switch command {
        case .show(.version): return .table(PlainTables.version)
        case .show(.help):
            output.appendNoticeResponse(
                .notice, .successfulCompletion, "Console usage", detail: PlainTables.help)
            return .tag(ConsoleTable.tag)
        // What cannot exist here: no sockets are given away, none has bytes that are not on their way, and
        // names are kept by the resolver alone.
        case .show(let what): return .table(ConsoleTable(columns: what.columns))
        case .showParameter(let parameter): return .table(PlainTables.parameter(parameter))
        case .setParameter:
            notice("SET ignored")
            return .tag("SET")
        case .set(let key, let value):
            let text = [key, value].map { String(decoding: $0, as: UTF8.self) }
            return .tag("SET \(text[0])=\(text[1])")
        case .reload: return .tag("RELOAD")
        case .pause: return .tag("PAUSE")
        case .resume: return .tag("RESUME")
        case .shutdown: return .tag("SHUTDOWN")
        case .drain: return .tag("DRAIN")
        case .suspend: return .tag("SUSPEND")
        case .database(let command, _): return .tag(command.rawValue.uppercased())
        case .killClient: return .tag("KILL_CLIENT")
        case .restart: return .tag("RESTART")
        }
    }

    private mutating func show(_ what: ShowCommand, _ rows: CollectedRows) -> ConsoleOutcome {
        var tables = RowsTables(rows, formatTime: formatTime)
        guard let table = tables.table(what) else { return .failed(.invalidCommand([])) }
        for worker in rows.missingWorkers {
            notice("worker \(worker) did not answer in time; its part is missing")
        }
        if tables.badSourceCount > 0 {
            notice("\(tables.badSourceCount) answers of workers could not be read to their end")
        }
        return .table(table)
    }

    private mutating func notice(_ text: String) {
        output.appendNoticeResponse(.notice, .successfulCompletion, text)
    }

    // MARK: Errors

    /// The command failed, the session goes on.
    mutating func fail(_ error: ConsoleError) {
        log.append(error.message)
        output.appendErrorResponse(.error, error.sqlState, error.message)
    }

    /// As PgBouncer answers packets the console does not know: an error, ready, and then the end.
    private mutating func refuse(_ message: String) {
        fail(ConsoleError(message))
        output.appendReadyForQuery(.idle)
        end(ConsoleError("bad packet"))
    }

    /// The session ends with this message.
    private mutating func end(_ error: ConsoleError) {
        log.append(error.message)
        output.appendErrorResponse(.fatal, error.sqlState, error.message)
        close()
    }
}
