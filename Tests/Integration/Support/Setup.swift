/// How clients share servers.
enum PoolMode: String, Sendable { case session, transaction, statement }

/// One way to run the pooler. The tests take it as an argument.
struct Setup: Sendable, CustomStringConvertible {
    var backend: String
    var workers: Int
    var mode: PoolMode

    var description: String { "\(backend), \(workers) workers, \(mode.rawValue)" }

    /// Both back ends, one and several workers, in session and in transaction mode.
    static let all = make(modes: [.session, .transaction])
    /// Both back ends, one and several workers, in transaction mode.
    static let transaction = make(modes: [.transaction])
    /// Both back ends, one and several workers, in session mode.
    static let session = make(modes: [.session])
    /// Both back ends, one and several workers, in statement mode.
    static let statement = make(modes: [.statement])
    /// Both back ends with one worker, where limits are exact, in transaction mode.
    static let single = make(modes: [.transaction], workers: [1])
    /// Both back ends with one worker, in session mode.
    static let singleSession = make(modes: [.session], workers: [1])
    /// Both back ends with one worker, in session and in transaction mode.
    static let singleBoth = make(modes: [.session, .transaction], workers: [1])
    /// Where prepared statements of the protocol are expected to work.
    static let prepared = Options.isOurs ? all : session
    /// What does not depend on back end or number of workers is tested once.
    static let once = Array(make(modes: [.transaction]).suffix(1))

    private static func make(modes: [PoolMode], workers: [Int] = Options.workers) -> [Setup] {
        guard Options.isOurs else { return modes.map { Setup(backend: "-", workers: 1, mode: $0) } }
        return modes.flatMap { mode in
            Options.backends.flatMap { backend in
                workers.map { Setup(backend: backend, workers: $0, mode: mode) }
            }
        }
    }
}
