/// A worker's way out after an online restart.
struct Drain {
    /// When the restart was done, monotonic.
    let since: UInt64
    /// How often the time for leaving has passed: once, and clients have been sent away; twice, and the
    /// process has been ended.
    var step: UInt64 = 0

    /// When the time passes next; `nil` when the process may stay, or has been ended.
    func deadline(_ timeout: UInt64) -> UInt64? {
        timeout > 0 && step < 2 ? since + timeout * (step + 1) : nil
    }
}
