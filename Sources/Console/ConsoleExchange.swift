public import Config
public import SharedState

/// What a console session wants from the supervisor before it can answer.
public enum ConsoleRequest: Equatable, Sendable {
    /// Rows of these kinds from all workers; answer with `rows`.
    case rows([RowsKind])
    /// Answer with `statistics`.
    case statistics
    /// Answer with `table`: percentiles of each pool.
    case latency
    /// Answer with `table`: times of each pool, cumulated.
    case histograms
    /// Answer with `table`: what has happened lately.
    case history
    /// Answer with `configuration`.
    case configuration
    /// Answer with `state`.
    case state
    /// Answer with `reload`.
    case lastReload
    /// Read the configuration anew; answer with `reloaded` or `failed`.
    case reload
    /// Carry out an order everywhere; answer with `done` or `failed` when every worker has acknowledged it.
    /// `shutdownNow` is not answered: the session ends with the process. A PAUSE that takes longer than the
    /// limit is to be undone.
    case order(OrderKind, database: [UInt8]?, limitSeconds: UInt32? = nil)
    /// Begin to drain; answer with `done` or `failed`.
    case drain
    /// Send the client with this number away; answer with `done` or `failed`.
    case killClient(id: UInt64)
    /// Have another program take over, that at a path if there is one; answer with `done` or `failed`.
    case restart(path: String?, isForced: Bool = false)
    /// Change a setting until the next reload; answer with `done` or `failed`.
    case set(key: String, value: String)
    /// Somebody on this connection wants the session with this key to give up what it waits for. The
    /// connection closes without an answer.
    case cancel(ConsoleCancelKey)
}

/// What the supervisor answers.
public enum ConsoleAnswer {
    /// To `rows`.
    case rows(CollectedRows)
    /// To `statistics`.
    case statistics(StatisticsReport)
    /// To `latency`, `histograms` and `history`.
    case table(ConsoleTable)
    /// To `configuration`: what `Configuration.configRows` gives.
    case configuration([Configuration.Row])
    /// To `state`.
    case state(ConsoleState)
    /// To `lastReload`.
    case reload([ReloadLine])
    /// To `reload`: it is in force; what it has changed, line by line.
    case reloaded([ReloadLine])
    /// The command has been carried out.
    case done
    /// It has not.
    case failed(ConsoleError)
}

/// One thing to say about a reload.
public struct ReloadLine: Equatable, Sendable {
    /// What kind of thing: `time`, `result`, `change`, `needs restart`, `warning` or `error`.
    public let item: String
    /// What there is to say.
    public let text: String

    /// A line from its parts.
    public init(_ item: String, _ text: String) {
        self.item = item
        self.text = text
    }
}

/// What a command comes to.
enum ConsoleOutcome {
    /// Rows to show.
    case table(ConsoleTable)
    /// It has been carried out.
    case tag(String)
    /// It has not.
    case failed(ConsoleError)
}

/// What SHOW STATE shows.
public enum ConsoleState: Equatable, Sendable {
    case active, paused, suspended
    /// About to end: not for new clients.
    case draining(isPaused: Bool)
}

/// What a client must present to cancel what a console session waits for.
public struct ConsoleCancelKey: Hashable, Sendable {
    /// The number given as the server process.
    public let processId: Int32
    /// Four secret bytes, from the system's random source.
    public let secret: [UInt8]

    /// A key from its parts.
    public init(processId: Int32, secret: [UInt8]) {
        self.processId = processId
        self.secret = secret
    }
}
