import Console
import SharedState

/// Rows on their way from the workers to one console session.
struct RowsCollection {
    /// A worker that has not answered for one kind.
    struct Missing: Hashable {
        let worker: Int
        let kind: RowsKind
    }

    /// How long workers may take before the answer goes out without them.
    static let limitNanoseconds: UInt64 = 500_000_000

    /// Who asked.
    let console: ConsoleID
    /// The kind each request number stands for.
    let requests: [UInt64: RowsKind]
    /// What came so far.
    var rows: CollectedRows
    /// Who is waited for.
    var missing: Set<Missing>
    /// When waiting ends, monotonic.
    let deadlineNanoseconds: UInt64

    /// The rows, with the names of those that did not answer.
    func finished() -> CollectedRows {
        var rows = rows
        rows.missingWorkers = Set(missing.map(\.worker)).sorted()
        return rows
    }
}
