/// What a session has prepared with the extended query protocol, which drivers use even for texts without
/// parameters.
struct ExtendedProtocol {
    /// Statements a session may have at a time; drivers keep a few hundred.
    static let statementLimit = 1000
    /// Portals a session may have at a time; they end with the next Sync.
    static let portalLimit = 100
    /// Longest name of a statement or portal.
    static let nameLimit = 256

    /// A statement that is bound, and how far its rows have been sent.
    struct Portal {
        /// What it runs; `nil` for an empty text.
        let command: ConsoleCommand?
        let formats: ColumnFormats
        /// The result, once it has run.
        var table: ConsoleTable?
        /// The next row to send.
        var nextRow = 0
        /// Whether it has run to its end.
        var isDone = false
    }

    /// An Execute under way.
    struct Running {
        let portal: [UInt8]
        /// Most rows to send; 0 for all.
        let rowLimit: Int
    }

    /// Statements by name; `nil` for an empty text.
    var statements: [[UInt8]: ConsoleCommand?] = [:]
    /// Portals by name.
    var portals: [[UInt8]: Portal] = [:]
    /// The Execute whose command the supervisor works on; `nil` while that is a simple query's.
    var running: Running?
    /// After an error everything up to the next Sync is passed over.
    var isSkipping = false
}
