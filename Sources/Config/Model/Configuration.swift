/// A whole configuration that was accepted. A value: reading a new file makes a new one.
public struct Configuration: Equatable, Sendable {
    /// The values of `[pgbouncer]`.
    public var settings = Settings()
    /// Listed databases in the order of their names' bytes, without the `*` entry.
    public var databases: [DatabaseDefinition] = []
    /// The `*` entry: template of databases that are not listed. `nil` when unlisted ones are refused.
    public var autoDatabase: DatabaseDefinition?
    /// The entries of `[users]` in the order of their names' bytes.
    public var users: [UserDefinition] = []
    /// The entries of `[peers]` in the order of their ids.
    public var peers: [PeerDefinition] = []
    /// What is in the files of keys and certificates, by path.
    public internal(set) var tlsFiles: [String: [UInt8]] = [:]

    /// All defaults, no databases.
    public init() {}

    /// The listed database with this name, compared byte by byte. O(log n).
    public func database(named name: String) -> DatabaseDefinition? {
        Configuration.index(of: name, in: databases, name: \.name).found.map { databases[$0] }
    }

    /// The entry of `[users]` for this role, compared byte by byte. O(log n).
    public func user(named name: String) -> UserDefinition? {
        Configuration.index(of: name, in: users, name: \.name).found.map { users[$0] }
    }

    /// The limits and times that hold for a pool.
    ///
    /// - Parameters:
    ///   - poolUser: whom servers log in as: the database's forced user, else the client's.
    ///   - loginUser: who the client is.
    public func poolSettings(
        database: DatabaseDefinition, poolUser: String, loginUser: String
    ) -> ResolvedPoolSettings {
        ResolvedPoolSettings(
            settings: settings, database: database, poolUser: user(named: poolUser),
            loginUser: user(named: loginUser))
    }

    /// One row of `SHOW CONFIG`.
    public struct Row: Equatable, Sendable {
        /// The setting.
        public let key: String
        /// Its value; `nil` when it is unset.
        public let value: String?
        /// Its default; `nil` when it has none.
        public let defaultText: String?
        /// Whether a reload applies a change.
        public let isChangeable: Bool
    }

    /// The rows of `SHOW CONFIG`, in order.
    public func configRows() -> [Row] {
        SettingTable.settings.dropLast(SettingTable.testing.count).enumerated().map { index, field in
            Row(
                key: field.setting.name, value: settings.shownText(at: index),
                defaultText: field.setting.defaultText,
                isChangeable: field.setting.isReloadable)
        }
    }

    /// Where `name` is in a list sorted by name, or where it belongs.
    static func index<Element>(
        of name: String, in list: [Element], name path: KeyPath<Element, String>
    ) -> (found: Int?, insertion: Int) {
        var low = 0
        var high = list.count
        while low < high {
            let middle = (low + high) / 2
            if list[middle][keyPath: path].utf8.lexicographicallyPrecedes(name.utf8) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        let isFound = low < list.count && list[low][keyPath: path].utf8.elementsEqual(name.utf8)
        return (isFound ? low : nil, low)
    }
}
