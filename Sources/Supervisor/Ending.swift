/// What is still to happen before the instance ends.
struct Ending {
    /// Whether DRAIN was given.
    var isDraining = false
    /// When no new clients are taken any more, after DRAIN.
    var leaveNanoseconds: UInt64?
    /// When clients are sent away, and then when they are cut off.
    var deadlineNanoseconds: UInt64?
    /// Whether they have been told to go.
    var isDismissing = false

    /// When there is something to do.
    var dueTimes: [UInt64] { [leaveNanoseconds, deadlineNanoseconds].compactMap { $0 } }
}
