import SharedState
import Wire

/// What the supervisor knows of one worker.
public struct WorkerFacts: Equatable, Sendable {
    /// Its number.
    public let index: Int
    /// Its process; `nil` while there is none.
    public let process: Int32?
    /// In a word.
    public let state: String
    /// How many processes have followed the first.
    public let restarts: UInt64
    /// When the process was started, microseconds since 1970.
    public let startedMicroseconds: UInt64
    /// How long its loop has not turned, in milliseconds.
    public let beatAgeMilliseconds: UInt64
    /// Processor time the process has used, in milliseconds; `nil` when unknown.
    public let processorMilliseconds: UInt64?

    /// Facts from their parts.
    public init(
        index: Int, process: Int32?, state: String, restarts: UInt64, startedMicroseconds: UInt64,
        beatAgeMilliseconds: UInt64, processorMilliseconds: UInt64?
    ) {
        self.index = index
        self.process = process
        self.state = state
        self.restarts = restarts
        self.startedMicroseconds = startedMicroseconds
        self.beatAgeMilliseconds = beatAgeMilliseconds
        self.processorMilliseconds = processorMilliseconds
    }
}

/// SHOW WORKERS: what the supervisor knows, and what each worker says of itself.
enum WorkersTable {
    static let columns: [ConsoleColumn] =
        [
            ConsoleColumn("worker", .int4), ConsoleColumn("pid", .int4), ConsoleColumn("state", .text),
            ConsoleColumn("started", .text), ConsoleColumn("restarts", .int4),
            ConsoleColumn("beat_age_ms", .int8), ConsoleColumn("cpu_ms", .int8),
        ]
        + RowsKind.worker.columns.dropFirst().map {
            ConsoleColumn($0, $0 == "io_backend" ? .text : $0.hasPrefix("logins_") ? .int8 : .int4)
        }

    /// One row per worker; NULL where one has not answered.
    static func rows(
        _ workers: [WorkerFacts], _ received: [[[UInt8]?]], _ formatTime: (UInt64) -> String
    ) -> [[[UInt8]?]] {
        workers.map { worker in
            let own: [String?] = [
                String(worker.index), worker.process.map { String($0) }, worker.state,
                worker.process.map { _ in formatTime(worker.startedMicroseconds) }, String(worker.restarts),
                worker.process.map { _ in String(worker.beatAgeMilliseconds) },
                worker.processorMilliseconds.map { String($0) },
            ]
            let said = received.first { RowsMerge.number($0[0]) == worker.index }
            let missing = [[UInt8]?](repeating: nil, count: RowsKind.worker.columns.count - 1)
            return own.map { $0.map { Array($0.utf8) } } + (said.map { Array($0.dropFirst()) } ?? missing)
        }
    }
}
