public import Crypto

/// What an LDAP server is asked about one user.
public struct LDAPQuery: Equatable, Sendable, Redacted {
    /// One or more addresses, separated by blanks.
    public let uris: String
    /// What is logged in with where nothing is searched.
    public let name: String
    /// The entry that is searched.
    public let filter: String

    /// The query of a user; `nil` for a name that would mean something else in a filter or a name.
    init?(_ options: LDAPOptions, user: [UInt8]) {
        let special = Array("*()\\/".utf8)
        guard !user.contains(where: { special.contains($0) || $0 < 0x20 }) else { return nil }
        let text = String(decoding: user, as: UTF8.self)
        let port = options.port > 0 ? ":\(options.port)" : ""
        uris = options.servers.split(separator: " ").map { "\(options.scheme)://\($0)\(port)" }
            .joined(separator: " ")
        name = options.prefix + text + options.suffix
        guard !options.filter.isEmpty else {
            filter = "(\(options.attribute)=\(text))"
            return
        }
        let parts = options.filter.split(separator: "$username", omittingEmptySubsequences: false)
        let found = parts.joined(separator: text)
        // PostgreSQL's filters have brackets; those in an address may lack them.
        filter = found.hasPrefix("(") ? found : "(\(found))"
    }
}

extension LDAPOptions {
    /// What is asked about a user; `nil` when nobody can have that name.
    public func query(for user: [UInt8]) -> LDAPQuery? { LDAPQuery(self, user: user) }
}

/// Overwrites a secret that is not needed any more.
public func forget(_ secret: inout [UInt8]) { Zeroing.zero(&secret) }
