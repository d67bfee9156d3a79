/// An error that we answer a single statement with, worded as PostgreSQL words it. The connection goes on.
public enum StatementFault: Error, Equatable, Sendable {
    /// A named statement that was never prepared, or was closed; an empty name means the unnamed one.
    case noSuchStatement(name: String)
    /// A Parse under a name that is taken.
    case duplicateStatement(name: String)
    /// A statement in a transaction that has failed.
    case failedTransaction
    /// Something that this pool's mode cannot do; `feature` goes before "is not supported in this pool mode".
    case notSupportedInPoolMode(feature: String)

    var report: ErrorReport {
        switch self {
        case .noSuchStatement(let name):
            ErrorReport(
                .invalidStatementName,
                name.isEmpty
                    ? "unnamed prepared statement does not exist"
                    : "prepared statement \"\(name)\" does not exist")
        case .duplicateStatement(let name):
            ErrorReport(.duplicatePreparedStatement, "prepared statement \"\(name)\" already exists")
        case .failedTransaction:
            ErrorReport(
                .failedTransaction,
                "current transaction is aborted, commands ignored until end of transaction block")
        case .notSupportedInPoolMode(let feature):
            ErrorReport(.featureNotSupported, "\(feature) is not supported in this pool mode")
        }
    }
}
