/// Where a server listens, as the configuration names it.
public enum Host: Hashable, Sendable {
    /// A directory that holds PostgreSQL's Unix socket, or `@name` for an abstract one.
    case unixDirectory(String)
    /// A literal IPv4 or IPv6 address; needs no resolver.
    case address(String)
    /// A name for the resolver.
    case name(String)

    /// The kind that `text` is, by its look: a leading `/` or `@`, a colon, four numbers, else a name.
    public init(_ text: String) {
        let first = text.utf8.first
        if first == UInt8(ascii: "/") || first == UInt8(ascii: "@") {
            self = .unixDirectory(text)
        } else if text.utf8.contains(UInt8(ascii: ":")) || Host.isIPv4(text) {
            self = .address(text)
        } else {
            self = .name(text)
        }
    }

    /// The host as it was written.
    public var text: String {
        switch self {
        case .unixDirectory(let text), .address(let text), .name(let text): text
        }
    }

    private static func isIPv4(_ text: String) -> Bool {
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return false }
        return parts.allSatisfy { part in
            guard part.count <= 3, let number = Int(Substring(part)) else { return false }
            return number >= 0 && number <= 255 && part.first != UInt8(ascii: "+")
        }
    }
}
