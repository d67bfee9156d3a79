import System

/// The process that resolves names, and when there will be one again.
struct HelperSlot {
    /// The process; `nil` while none runs.
    var process: Int32?
    /// When it was started, monotonic.
    var startedNanoseconds: UInt64 = 0
    /// When the next one starts; `nil` while one runs.
    var nextStartNanoseconds: UInt64?
    var policy = RestartPolicy()
}
