/// One thing that differs between two configurations, with what a reload makes of it.
public enum ConfigurationChange: Equatable, Sendable, CustomStringConvertible {
    /// A setting of `[pgbouncer]` has another value, which a reload applies.
    case setting(name: String, old: String?, new: String?)
    /// A setting of `[pgbouncer]` has another value, which only a restart applies: the old one stays in
    /// force.
    case settingNeedsRestart(name: String, old: String?, new: String?)
    /// A database is new. `*` is the template of unlisted ones.
    case databaseAdded(name: String)
    /// A database is gone: its clients and servers are closed.
    case databaseRemoved(name: String)
    /// A database differs. Where `replacesServers` is true its servers are closed as they become free.
    case databaseChanged(name: String, replacesServers: Bool)
    /// An entry of `[users]` is new.
    case userAdded(name: String)
    /// An entry of `[users]` is gone: general values hold for that user.
    case userRemoved(name: String)
    /// An entry of `[users]` differs.
    case userChanged(name: String)
    /// `[peers]` differs.
    case peersChanged
    /// There is something else in a file of keys or certificates.
    case fileChanged(path: String)

    /// One line for the log and the console.
    public var description: String {
        switch self {
        case .setting(let name, let old, let new):
            "\(name) changes from \(ConfigurationChange.quote(old)) to \(ConfigurationChange.quote(new))"
        case .settingNeedsRestart(let name, let old, let new):
            "\(name) stays \(ConfigurationChange.quote(old)): a restart is needed for "
                + ConfigurationChange.quote(new)
        case .databaseAdded(let name): "database \"\(name)\" is added"
        case .databaseRemoved(let name): "database \"\(name)\" is removed"
        case .databaseChanged(let name, true): "database \"\(name)\" changes, its servers are replaced"
        case .databaseChanged(let name, false): "database \"\(name)\" changes, its servers stay"
        case .userAdded(let name): "user \"\(name)\" is added"
        case .userRemoved(let name): "user \"\(name)\" is removed"
        case .userChanged(let name): "user \"\(name)\" changes"
        case .peersChanged: "the peers change"
        case .fileChanged(let path): "\(path) has changed and is read anew"
        }
    }

    private static func quote(_ text: String?) -> String { text.map { "\"\($0)\"" } ?? "unset" }
}
