/// What has been found out lately about users, for `auth_query_cache`. Who was not found is not in it, so
/// strangers cannot fill it.
struct LookupCache {
    /// What was asked.
    struct Key: Hashable {
        var purpose: LookupPurpose
        /// The database the client asked for.
        var database: [UInt8]
        /// The user's name.
        var name: [UInt8]
    }

    private struct Entry {
        var result: LookupResult
        /// On the clock that all workers share.
        var foundAt: UInt64
    }

    private static let capacity = 4096
    /// Who is in more groups is asked for at every login.
    private static let groupCapacity = 100
    private var entries: [Key: Entry] = [:]

    /// What was found under this key since then.
    func result(_ key: Key, since: UInt64) -> LookupResult? {
        guard let entry = entries[key], entry.foundAt >= since else { return nil }
        return entry.result
    }

    /// Remembers what was found, if it was. When there is too much, it begins anew.
    mutating func keep(_ result: LookupResult, at time: UInt64, for key: Key) {
        switch result {
        case .nobody: return
        case .groups(let groups) where groups.isEmpty || groups.count > LookupCache.groupCapacity: return
        case .found, .groups: break
        }
        if entries.count >= LookupCache.capacity { removeAll() }
        entries[key] = Entry(result: result, foundAt: time)
    }

    /// What is known under this key is not so any more.
    mutating func forget(_ key: Key) { entries.removeValue(forKey: key) }

    /// Another configuration is in force: another query may find something else.
    mutating func removeAll() { entries.removeAll() }
}
