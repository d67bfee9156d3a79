public import Crypto

/// How an LDAP server is asked whether a password is right.
public struct LDAPOptions: Equatable, Sendable, Redacted {
    /// `name=value`.
    struct Pair {
        let name: String
        let value: String
    }

    /// Why options cannot be used. Values are not in it: one of them is a password.
    public struct Malformed: Error, Equatable {
        /// In words.
        public let reason: String
    }

    /// How far below the base entries are looked for.
    public enum Scope: String, Sendable {
        case base, one
        case subtree = "sub"
    }

    /// `ldap` or `ldaps`.
    public var scheme = "ldap"
    /// StartTLS is done first.
    public var startsTLS = false
    /// Names or addresses, separated by blanks, tried in turn.
    public var servers = ""
    /// 0 for the usual one.
    public var port: UInt16 = 0
    /// What stands before and behind the user's name in the name that is logged in with; both empty for
    /// search and then log in.
    public var prefix = ""
    public var suffix = ""
    /// With what the search is done; empty for anonymously.
    public var bindName = ""
    public var bindPassword: [UInt8] = []
    /// Below what is searched; empty for no search.
    public var base = ""
    public var scope = Scope.subtree
    /// The attribute that is the user's name.
    public var attribute = "uid"
    /// A filter in which `$username` is the user's name, instead of the attribute.
    public var filter = ""

    /// Reads `auth_ldap_options`.
    public init(text: String) throws(Malformed) {
        let fields: [[AccessToken]]
        do throws(AccessLine.Malformed) { fields = try AccessLine.fields(of: Array(text.utf8)) } catch {
            throw Malformed(reason: error.reason)
        }
        var pairs: [Pair] = []
        for token in fields.joined() {
            guard let equals = token.text.firstIndex(of: UInt8(ascii: "=")) else {
                throw Malformed(reason: "LDAP options are name=value")
            }
            pairs.append(
                Pair(
                    name: String(decoding: token.text[..<equals], as: UTF8.self),
                    value: String(decoding: token.text[(equals + 1)...], as: UTF8.self)))
        }
        try self.init(pairs)
    }

    init(_ pairs: [Pair]) throws(Malformed) {
        guard pairs.reduce(0, { $0 + $1.value.utf8.count + 1 }) <= 1024 else {
            throw Malformed(reason: "LDAP options can have 1024 bytes in all")
        }
        var given: Set<String> = []
        for pair in pairs {
            guard !pair.value.isEmpty else { throw Malformed(reason: "\(pair.name) is empty") }
            try read(pair, &given)
        }
        try check(given)
    }

    private mutating func read(_ pair: Pair, _ given: inout Set<String>) throws(Malformed) {
        given.insert(pair.name)
        switch pair.name {
        case "ldapscheme":
            guard ["ldap", "ldaps"].contains(pair.value) else {
                throw Malformed(reason: "ldapscheme is ldap or ldaps")
            }
            scheme = pair.value
        case "ldaptls": startsTLS = pair.value == "1"
        case "ldapserver": servers = pair.value
        case "ldapport":
            guard let number = UInt16(pair.value), number > 0 else {
                throw Malformed(reason: "ldapport is a number from 1 to 65535")
            }
            port = number
        case "ldapbinddn": bindName = pair.value
        case "ldapbindpasswd": bindPassword = Array(pair.value.utf8)
        case "ldapbasedn": base = pair.value
        case "ldapsearchattribute": attribute = pair.value
        case "ldapsearchfilter": filter = pair.value
        case "ldapprefix": prefix = pair.value
        case "ldapsuffix": suffix = pair.value
        case "ldapurl": try read(url: pair.value, &given)
        default: throw Malformed(reason: "there is no LDAP option \"\(pair.name)\"")
        }
    }

    private func check(_ given: Set<String>) throws(Malformed) {
        let searching = [
            "ldapbasedn", "ldapbinddn", "ldapbindpasswd", "ldapsearchattribute", "ldapsearchfilter",
        ]
        if given.contains("ldapprefix") || given.contains("ldapsuffix") {
            if let other = searching.first(where: given.contains) {
                throw Malformed(reason: "ldapprefix and ldapsuffix do not go with \(other)")
            }
        } else if !given.contains("ldapbasedn") {
            throw Malformed(reason: "LDAP needs ldapbasedn, ldapprefix or ldapsuffix")
        }
        guard !given.contains("ldapsearchattribute") || !given.contains("ldapsearchfilter") else {
            throw Malformed(reason: "ldapsearchattribute does not go with ldapsearchfilter")
        }
        guard !servers.isEmpty else {
            throw Malformed(reason: "LDAP needs ldapserver: it is not looked for in DNS here")
        }
        guard !startsTLS || scheme == "ldap" else {
            throw Malformed(reason: "ldaptls does not go with ldaps")
        }
    }

    /// `ldap[s]://host[:port]/base[?attribute[?scope[?filter]]]`, with %xx.
    private mutating func read(url: String, _ given: inout Set<String>) throws(Malformed) {
        let wrong = Malformed(reason: "ldapurl is ldap[s]://host[:port]/base[?attribute[?scope[?filter]]]")
        let ends = url.split(separator: "://", maxSplits: 1, omittingEmptySubsequences: false)
        guard ends.count == 2, ["ldap", "ldaps"].contains(ends[0]) else { throw wrong }
        scheme = String(ends[0])
        let parts = ends[1].split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        var host = parts[0]
        if let colon = host.lastIndex(of: ":"), !host[colon...].contains("]") {
            guard let number = UInt16(host[host.index(after: colon)...]), number > 0 else { throw wrong }
            port = number
            host = host[..<colon]
        }
        servers = String(host)
        guard parts.count == 2 else { return }
        var rest = parts[1].split(separator: "?", omittingEmptySubsequences: false).map { decoded($0) }
        guard rest.count <= 4, rest.allSatisfy({ $0 != nil }) else { throw wrong }
        rest += [String?](repeating: "", count: 4 - rest.count)
        if let text = rest[0], !text.isEmpty {
            base = text
            given.insert("ldapbasedn")
        }
        if let text = rest[1]?.split(separator: ",").first {
            attribute = String(text)
            given.insert("ldapsearchattribute")
        }
        if let text = rest[2], !text.isEmpty {
            guard let found = Scope(rawValue: text) else { throw wrong }
            scope = found
        } else {
            scope = .base
        }
        if let text = rest[3], !text.isEmpty {
            filter = text
            given.insert("ldapsearchfilter")
        }
    }

    private func decoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2,
                let code = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16), code > 0
            else { return nil }
            bytes.append(code)
            rest = rest.dropFirst(2)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
