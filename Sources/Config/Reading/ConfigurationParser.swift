/// Reads a configuration file and what it includes, and collects everything there is to say about them.
///
/// A fault does not stop it: the rest is read so that one look shows all faults. Nothing is checked here that
/// needs more than one setting; see `ConfigurationValidation`.
struct ConfigurationParser {
    /// Where something was said.
    struct Place: Equatable {
        let file: String
        let line: Int
    }

    /// Which section lines belong to.
    private enum Current {
        case none
        /// A section nobody knows: its lines are passed over, the section itself was reported.
        case unknown
        case known(Setting.Section)
    }

    /// How deep files may include files.
    private static let includeDepthLimit = 10
    /// How many includes there may be in all: files that include each other twice would never end.
    private static let includeCountLimit = 1000
    /// After so many errors the rest is not worth reading.
    private static let errorLimit = 100

    /// The path of the file everything begins with.
    let path: String
    /// What was read so far.
    private(set) var configuration = Configuration()
    /// What there is to say so far.
    private(set) var diagnostics: [Diagnostic] = []
    /// Where each row of `SettingTable.settings` was set; `nil` for those that were not.
    private(set) var settingPlaces = [Place?](repeating: nil, count: SettingTable.settings.count)
    /// Where each entry was made, by section and the bytes of its name.
    private(set) var entryPlaces: [Setting.Section: [[UInt8]: Place]] = [:]
    /// Whether there was a `[pgbouncer]` header.
    private(set) var hasMainSection = false

    private var current = Current.none
    private var place: Place
    private var includeCount = 0
    private var errorCount = 0
    /// Keys of entries that have been warned about, so that each is warned about once.
    private var warnedKeys: Set<String> = []
    private var entryIndices: [Setting.Section: [[UInt8]: Int]] = [:]

    /// A parser for the file at `path`.
    init(path: String) {
        self.path = path
        place = Place(file: path, line: 0)
    }

    /// Reads everything. `read` gives the bytes of a file, or `nil` when there are none to be had.
    mutating func parse(read: (String) -> [UInt8]?) {
        guard let bytes = read(path) else { return error("the file cannot be read") }
        parse(bytes, file: path, depth: 0, read: read)
        if errorCount >= ConfigurationParser.errorLimit { error("there are too many errors to read on") }
        configuration.databases.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        configuration.users.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        configuration.peers.sort { $0.id < $1.id }
    }

    /// Has settings be what SET has made them.
    mutating func apply(_ overrides: [ConfigurationImage.Override]) {
        for override in overrides {
            place = Place(file: "SET", line: 0)
            setting(override.key, override.value)
        }
    }

    /// Takes in the files that TLS needs.
    mutating func loadTLS(read: (String) -> [UInt8]?) { configuration.loadTLS(read: read) }

    /// Lets `conffile` show the file that was read when the file itself does not set it.
    mutating func nameConfigurationFile() {
        guard configuration.settings.configurationFile == nil, path != ConfigurationImage.environmentPath,
            let index = SettingTable.settingIndex("conffile")
        else { return }
        configuration.settings.configurationFile = path
        configuration.settings.texts[index] = path
    }

    private mutating func parse(_ bytes: [UInt8], file: String, depth: Int, read: (String) -> [UInt8]?) {
        var reader = INIReader(bytes)
        while errorCount < ConfigurationParser.errorLimit, let item = reader.next() {
            place = Place(file: file, line: reader.line)
            switch item {
            case .malformed(let reason): error(reason)
            case .section(let name): begin(name)
            case .pair(let key, let value): pair(key, value)
            case .include(let path): include(path, depth: depth, read: read)
            }
        }
    }

    private mutating func include(_ path: String, depth: Int, read: (String) -> [UInt8]?) {
        guard depth < ConfigurationParser.includeDepthLimit else {
            return error("files include each other more than \(ConfigurationParser.includeDepthLimit) deep")
        }
        guard includeCount < ConfigurationParser.includeCountLimit else {
            // Stops here: what is left would only say so again.
            errorCount = ConfigurationParser.errorLimit
            return error("there are more than \(ConfigurationParser.includeCountLimit) includes")
        }
        includeCount += 1
        guard let bytes = read(path) else { return error("the included file \"\(path)\" cannot be read") }
        parse(bytes, file: path, depth: depth + 1, read: read)
    }

    private mutating func begin(_ name: String) {
        guard let section = Setting.Section(rawValue: name) else {
            current = .unknown
            let hint = Spelling.suggestion(for: name, among: Setting.Section.allCases.map(\.rawValue))
            return error("unknown section [\(name)]\(hint)")
        }
        current = .known(section)
        if section == .pgbouncer { beginMainSection() }
    }

    /// Puts back to their defaults all settings that have one, as PgBouncer does at each header.
    private mutating func beginMainSection() {
        hasMainSection = true
        var lost: [String] = []
        for (index, field) in SettingTable.settings.enumerated()
        where field.setting.defaultText != nil && settingPlaces[index] != nil {
            configuration.settings.restoreDefault(at: index)
            settingPlaces[index] = nil
            lost.append(field.setting.name)
        }
        guard !lost.isEmpty else { return }
        warn(
            "another [pgbouncer] section puts what was set before back to its default: "
                + lost.joined(separator: ", "))
    }

    private mutating func pair(_ key: String, _ value: String) {
        switch current {
        case .none: error("\"\(key)\" stands before any section")
        case .unknown: break
        case .known(.pgbouncer): setting(key, value)
        case .known(.databases): database(key, value)
        case .known(.users): user(key, value)
        case .known(.peers): peer(key, value)
        }
    }

    private mutating func setting(_ key: String, _ value: String) {
        guard let index = SettingTable.settingIndex(key) else { return unknown(key, in: .pgbouncer) }
        let setting = SettingTable.settings[index].setting
        settingPlaces[index] = place
        let text: String
        if setting.kind.acceptsTrailingComment {
            text = TrailingComment.removed(from: value)
        } else {
            text = value
            if let mark = TrailingComment.mark(in: value) {
                warn(
                    "the value of \(key) includes everything from \"\(mark)\" on; "
                        + "a comment needs a line of its own"
                )
            }
        }
        do throws(SettingError) {
            try configuration.settings.set(index, to: text)
        } catch {
            self.error("\(key) \(error.reason)")
        }
    }

    private mutating func database(_ name: String, _ value: String) {
        var definition = DatabaseDefinition(name: name)
        apply(value, to: &definition, fields: SettingTable.databases, section: .databases, entry: name)
        let isRepeated = note(name, in: .databases)
        if name == "*" {
            configuration.autoDatabase = definition
        } else if isRepeated, let index = entryIndices[.databases]?[Array(name.utf8)] {
            configuration.databases[index] = definition
        } else {
            entryIndices[.databases, default: [:]][Array(name.utf8)] = configuration.databases.count
            configuration.databases.append(definition)
        }
    }

    private mutating func user(_ name: String, _ value: String) {
        var definition = UserDefinition(name: name)
        apply(value, to: &definition, fields: SettingTable.users, section: .users, entry: name)
        if note(name, in: .users), let index = entryIndices[.users]?[Array(name.utf8)] {
            configuration.users[index] = definition
        } else {
            entryIndices[.users, default: [:]][Array(name.utf8)] = configuration.users.count
            configuration.users.append(definition)
        }
    }

    private mutating func peer(_ name: String, _ value: String) {
        guard let id = UInt16(name), id >= 1, id <= 16383 else {
            return error("a peer is named by its peer_id, a number from 1 to 16383, not \"\(name)\"")
        }
        var definition = PeerDefinition(id: id)
        apply(value, to: &definition, fields: SettingTable.peers, section: .peers, entry: name)
        _ = note(name, in: .peers)
        configuration.peers.removeAll { $0.id == id }
        configuration.peers.append(definition)
    }

    /// Remembers where an entry was made; whether it had been made before.
    private mutating func note(_ name: String, in section: Setting.Section) -> Bool {
        let old = entryPlaces[section, default: [:]].updateValue(place, forKey: Array(name.utf8))
        guard let old else { return false }
        warn("\"\(name)\" replaces the entry at \(old.file):\(old.line)")
        return true
    }

    /// Reads the connection string of one entry into it.
    private mutating func apply<Target>(
        _ value: String, to target: inout Target, fields: [SettingField<Target>], section: Setting.Section,
        entry: String
    ) {
        do throws(ConnectionString.Malformed) {
            for pair in try ConnectionString.pairs(of: value) {
                guard let field = fields.first(where: { $0.setting.name == pair.key }) else {
                    unknown(pair.key, in: section)
                    continue
                }
                store(pair, field, &target, entry: entry)
            }
        } catch {
            self.error("\"\(entry)\" \(error.reason)")
        }
    }

    private mutating func store<Target>(
        _ pair: ConnectionString.Pair, _ field: SettingField<Target>, _ target: inout Target, entry: String
    ) {
        let setting = field.setting
        if setting.support == .notYet, setting.section == .databases,
            warnedKeys.insert(setting.name).inserted
        {
            warn("\(setting.name) of \"\(entry)\" has no effect in this release")
        }
        do throws(SettingError) {
            let (text, junk) = EntryNumber.split(pair.value, kind: setting.kind)
            let value = try setting.kind.value(of: text)
            if !junk.isEmpty {
                warn("\(setting.name) of \"\(entry)\" is read as \(text); \"\(junk)\" after it is dropped")
            }
            guard value != .list([]) else {
                throw SettingError(reason: "is \"\(pair.value)\", which names nothing")
            }
            field.store(&target, value)
        } catch {
            self.error("\(setting.name) of \"\(entry)\" \(error.reason)")
        }
    }

    private mutating func unknown(_ key: String, in section: Setting.Section) {
        let names = SettingTable.rows(of: section).map(\.name)
        var hint = Spelling.suggestion(for: key, among: names)
        if let other = SettingTable.all.first(where: { $0.name == key }) {
            hint = "; it belongs to [\(other.section.rawValue)]"
        }
        error("unknown setting \"\(key)\" in [\(section.rawValue)]\(hint)")
    }

    private mutating func error(_ message: String) {
        errorCount += 1
        diagnostics.append(Diagnostic(.error, file: place.file, line: place.line, message))
    }

    private mutating func warn(_ message: String) {
        diagnostics.append(Diagnostic(.warning, file: place.file, line: place.line, message))
    }
}
