/// How a line of the log looks (`log_format`).
public enum LogFormat: String, NamedChoice, BitwiseCopyable {
    /// As PgBouncer writes it.
    case text
    /// One JSON object per line.
    case json
}
