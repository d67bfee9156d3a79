/// When a server goes back to its pool.
public enum PoolMode: String, NamedChoice, BitwiseCopyable {
    /// When its client disconnects.
    case session
    /// When the transaction ends.
    case transaction
    /// After each statement; transactions of several statements are refused.
    case statement
}
