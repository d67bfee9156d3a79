import Config

/// What differs between what an instance shows of its configuration and one that is not in force.
enum ConfigurationComparison {
    /// - Parameters:
    ///   - settings: SHOW CONFIG.
    ///   - databases: SHOW DATABASES.
    ///   - new: what it would be.
    static func changes(
        settings: Answer, databases: Answer, to new: Configuration
    ) -> [ConfigurationChange] {
        let old = settings.records.reduce(into: [String: [String: String]]()) { $0[$1["key"] ?? ""] = $1 }
        var changes: [ConfigurationChange] = []
        // A candidate is mostly a copy in another place.
        for row in new.configRows() where row.key != "conffile" {
            guard let shown = old[row.key], shown["value"] != row.value else { continue }
            changes.append(
                row.isChangeable
                    ? .setting(name: row.key, old: shown["value"], new: row.value)
                    : .settingNeedsRestart(name: row.key, old: shown["value"], new: row.value))
        }
        return changes + compare(databases.records, new)
    }

    private static func compare(
        _ records: [[String: String]], _ new: Configuration
    ) -> [ConfigurationChange] {
        var old: [String: [String: String]] = [:]
        for record in records { old[record["name"] ?? ""] = record }
        old["pgbouncer"] = nil
        var changes: [ConfigurationChange] = []
        for database in new.databases {
            guard let shown = old.removeValue(forKey: database.name) else {
                changes.append(.databaseAdded(name: database.name))
                continue
            }
            let hosts = database.hosts.map(\.text).joined(separator: ",")
            let replacesServers =
                (shown["host"] ?? "") != hosts || shown["port"] != String(database.port)
                || shown["database"] != database.serverDatabaseName || shown["force_user"] != database.user
            if replacesServers || shown["pool_mode"] != database.poolMode?.rawValue
                || hasOtherLimits(shown, database)
            {
                changes.append(.databaseChanged(name: database.name, replacesServers: replacesServers))
            }
        }
        // Those that are not listed may also have come from the * entry, which still makes them.
        guard new.autoDatabase == nil else { return changes }
        return changes + old.keys.sorted().map { .databaseRemoved(name: $0) }
    }

    /// Whether a limit of its own would be another one. One that only follows a changed setting is not.
    private static func hasOtherLimits(
        _ shown: [String: String], _ database: DatabaseDefinition
    ) -> Bool {
        let limits: [(String, UInt32?)] = [
            ("pool_size", database.poolSize), ("min_pool_size", database.minPoolSize),
            ("reserve_pool_size", database.reservePoolSize),
            ("max_connections", database.maxDatabaseConnections),
            ("max_client_connections", database.maxDatabaseClientConnections),
        ]
        return limits.contains { name, limit in
            guard let limit else { return false }
            return shown[name] != String(limit)
        }
    }
}
