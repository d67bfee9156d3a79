/// What is known about one setting, before anybody sets it.
public struct Setting: Sendable {
    /// The key, as it is written in the file.
    public let name: String
    /// The section it belongs to.
    public let section: Section
    /// The heading it is described under.
    public let group: Group
    /// How its text is read, with bounds and allowed words.
    public let kind: SettingKind
    /// What a bare number counts.
    public let unit: Unit
    /// The text that stands when the file says nothing; `nil` for unset.
    public let defaultText: String?
    /// One or two sentences in plain words.
    public let meaning: String
    /// Whether a reload applies a change; else only a restart does.
    public internal(set) var isReloadable = true
    /// Whether a change makes the servers of a database useless, so that they are replaced.
    public internal(set) var replacesServers = false
    /// Whether this release does what the setting says.
    public internal(set) var support = Support.implemented

    /// A section of the configuration file.
    public enum Section: String, CaseIterable, Sendable {
        case pgbouncer, databases, users, peers
    }

    /// How far a setting has an effect in this release.
    public enum Support: Sendable {
        /// It does what it says.
        case implemented
        /// It is accepted, warned about when it is set, and has no effect in this release.
        case notYet
        /// It is accepted silently and has no effect, because the thing it tunes does not exist here.
        case noEffect
    }

    /// What a number counts.
    public enum Unit: String, Sendable {
        case none = ""
        case connections, statements, bytes, seconds, milliseconds, microseconds, probes, rounds, iterations
    }

    /// A heading in documents; the order is theirs.
    public enum Group: String, CaseIterable, Sendable {
        case workers = "Workers"
        case listening = "Listening"
        case pooling = "Pooling"
        case limits = "Limits"
        case timeouts = "Timeouts"
        case servers = "Servers"
        case authentication = "Authentication"
        case protocols = "Protocol"
        case console = "Console and statistics"
        case logging = "Log"
        case process = "Process"
        case names = "Name resolution"
        case network = "TCP"
        case clientTLS = "TLS towards clients"
        case serverTLS = "TLS towards servers"
        case peering = "Peering"
        case location = "Where the server is"
        case session = "What servers are started with"
    }
}
