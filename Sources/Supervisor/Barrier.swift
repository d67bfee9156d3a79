import SharedState

/// Something that every worker was told and has to acknowledge.
struct Barrier {
    /// What it is about.
    enum Purpose: Equatable {
        /// A configuration; its warnings and what changed are said when all use it.
        case reload
        /// The configuration with one setting changed.
        case setting
        /// An order.
        case order(OrderKind)
    }

    /// The number the acknowledgements carry.
    let epoch: UInt64
    let purpose: Purpose
    /// Workers that have not answered.
    var missing: Set<Int>
    /// What workers could not do.
    var problems: [String] = []
    /// When waiting ends, monotonic; `nil` for orders that take as long as transactions do.
    let deadlineNanoseconds: UInt64?
    /// Console sessions that wait for it.
    var waiters: [ConsoleID] = []
    /// The database that an order names.
    var database: [UInt8]?
    /// Seconds a PAUSE may take, for whoever reads of it; 0 for any number.
    var limitSeconds: UInt32 = 0
    /// RESUME has come before all workers had paused.
    var isInterrupted = false
    /// Some worker has found what the order is about.
    var isFound = false
}

/// Names a console session for as long as the supervisor runs.
typealias ConsoleID = UInt64
