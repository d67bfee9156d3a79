import Base

/// Which users somebody may log in as whom the system, or a certificate, knows by another name: the lines of
/// `auth_ident_file` that have the same first word.
public struct IdentityMap: Sendable {
    /// One line.
    struct Entry: Sendable {
        let system: SystemName
        let user: UserName
    }

    /// Whom a line speaks of.
    enum SystemName: Sendable {
        case name([UInt8])
        case pattern(TextPattern)
    }

    /// As whom it lets log in.
    enum UserName: Sendable {
        case all
        case name([UInt8])
        case pattern(TextPattern)
        /// The members of a group.
        case member([UInt8])
        /// What stands before and behind `\1`, which is what the first group of the pattern found.
        case group([UInt8], [UInt8])
    }

    private(set) var entries: [Entry] = []

    /// Whether somebody of one of these names may log in as `user`, a member of these groups; `nil` when
    /// groups decide that are not known.
    func allows(_ names: [[UInt8]], as user: [UInt8], memberOf groups: Set<[UInt8]>?) -> Bool? {
        Bool?.any(names) { name in Bool?.any(entries) { $0.allows(name, user, groups) } }
    }

    /// Whether it lets somebody log in as the members of a group.
    var namesGroups: Bool {
        entries.contains { if case .member = $0.user { true } else { false } }
    }

    // MARK: Reading

    /// The maps of a file, by name.
    static func parse(_ path: String, _ reader: inout AccessFileReader) -> [[UInt8]: IdentityMap] {
        var maps: [[UInt8]: IdentityMap] = [:]
        reader.read(path) { (reader, path, line) throws(AccessLineError) in
            guard line.fields.count == 3, line.fields[0].count == 1, line.fields[1].count == 1 else {
                throw AccessLineError("expected a map's name, a system user and a PostgreSQL user")
            }
            let compile = reader.files.compile
            let system = line.fields[1][0]
            let name: SystemName
            if let pattern = try AccessName.pattern(of: system, compile) {
                name = .pattern(pattern)
            } else {
                name = .name(system.text)
            }
            for token in try reader.expand(line.fields[2], namedIn: path) {
                let user = try IdentityMap.user(token, of: name, compile)
                maps[line.fields[0][0].text, default: IdentityMap()].entries.append(
                    Entry(system: name, user: user))
            }
        }
        return maps
    }

    private static func user(
        _ token: AccessToken, of system: SystemName,
        _ compile: (String) throws(TextPattern.Malformed) -> TextPattern
    ) throws(AccessLineError) -> UserName {
        if token.isKeyword("all") { return .all }
        if let group = token.group { return .member(group) }
        if let pattern = try AccessName.pattern(of: token, compile) { return .pattern(pattern) }
        guard case .pattern = system else { return .name(token.text) }
        for index in token.text.indices.dropLast()
        where token.text[index] == UInt8(ascii: "\\") && token.text[index + 1] == UInt8(ascii: "1") {
            return .group(Array(token.text[..<index]), Array(token.text[(index + 2)...]))
        }
        return .name(token.text)
    }
}

extension IdentityMap.Entry {
    func allows(_ name: [UInt8], _ wanted: [UInt8], _ groups: Set<[UInt8]>?) -> Bool? {
        let found: TextPattern.Match
        switch system {
        case .name(let own):
            guard own == name else { return false }
            found = TextPattern.Match(group: nil)
        case .pattern(let pattern):
            guard let match = pattern.match(name) else { return false }
            found = match
        }
        switch user {
        case .all: return true
        case .name(let user): return user == wanted
        case .member(let group): return groups.map { $0.contains(group) }
        case .pattern(let pattern): return pattern.match(wanted) != nil
        case .group(let before, let behind):
            guard let group = found.group else { return false }
            return before + group + behind == wanted
        }
    }
}
