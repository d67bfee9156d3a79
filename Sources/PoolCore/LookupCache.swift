/// Whom `auth_query` has found lately, for `auth_query_cache`. Who was not found is not in it, so strangers
/// cannot fill it.
struct LookupCache {
    /// What was asked.
    struct Key: Hashable {
        /// The database the client asked for.
        var database: [UInt8]
        /// The name it gave.
        var name: [UInt8]
    }

    private static let capacity = 4096
    private var users: [Key: LookupUser] = [:]

    /// Who was found under this key since then.
    func user(_ key: Key, since: UInt64) -> LookupUser? {
        guard let user = users[key], user.foundAt >= since else { return nil }
        return user
    }

    /// Remembers who was found. When there are too many, it begins anew.
    mutating func keep(_ user: LookupUser, for key: Key) {
        if users.count >= LookupCache.capacity { removeAll() }
        users[key] = user
    }

    /// What is known under this key is not so any more.
    mutating func forget(_ key: Key) { users.removeValue(forKey: key) }

    /// Another configuration is in force: another query may find somebody else.
    mutating func removeAll() { users.removeAll() }
}
