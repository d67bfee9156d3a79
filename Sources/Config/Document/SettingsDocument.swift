/// The two documents that are made from `SettingTable`: the commented example file and the manual.
public enum SettingsDocument {
    /// The text of `Config/pgsluice.ini`: every setting with its default, commented out.
    public static func example() -> String {
        var text = """
            ;; An example for pgsluice with every setting there is. A line that begins with ; or # is a
            ;; comment; take the ; away to use a setting. All values shown are the defaults.
            ;;
            ;; This file is made from the table of settings in Sources/Config/Table; change it there.

            ;; The databases clients can ask for, and where their servers are: name = key=value key=value ...
            ;; The name * stands for all that are not listed.
            [databases]

            ;app = host=127.0.0.1 port=5432 dbname=app_production pool_size=30
            ;* = host=127.0.0.1


            """
        text += entryKeys(of: .databases)
        text += """

            ;; Limits and times of single users: name = key=value key=value ...
            [users]

            ;batch = pool_size=5 query_timeout=3600


            """
        text += entryKeys(of: .users)
        text += """

            ;; Other poolers that cancel requests may belong to: peer_id = key=value key=value ...
            [peers]

            ;1 = host=pooler1.example port=6432


            """
        text += entryKeys(of: .peers)
        text += "\n[pgbouncer]\n"
        for group in Setting.Group.allCases {
            let rows = SettingTable.documented.filter { $0.group == group }
            if rows.isEmpty { continue }
            text += "\n;;;;\n;;;; \(group.rawValue)\n;;;;\n"
            for row in rows { text += "\n" + exampleLines(row) }
        }
        return text
    }

    private static func exampleLines(_ setting: Setting) -> String {
        var meaning = setting.meaning
        let facts = exampleFacts(setting)
        if !facts.isEmpty { meaning += " (\(facts.joined(separator: "; ")))" }
        let value = exampleValue(setting)
        return wrapped(meaning, prefix: ";; ") + ";\(setting.name) =\(value.isEmpty ? "" : " " + value)\n"
    }

    /// What stands behind the meaning in the example: words to choose from, unit, restart, support.
    private static func exampleFacts(_ setting: Setting) -> [String] {
        var facts: [String] = []
        if case .choice(let words) = setting.kind { facts.append("one of " + words.joined(separator: ", ")) }
        if setting.unit != .none { facts.append(setting.unit.rawValue) }
        if !setting.isReloadable { facts.append("needs a restart") }
        if setting.support == .notYet { facts.append("no effect in this release") }
        if setting.support == .noEffect { facts.append("no effect") }
        return facts
    }

    /// The default, or for settings without one a value that changes nothing.
    static func exampleValue(_ setting: Setting) -> String {
        if let text = setting.defaultText { return text }
        if case .integer(let range) = setting.kind { return String(range.lowerBound) }
        return ""
    }

    /// The keys of one section's entries as comments.
    private static func entryKeys(of section: Setting.Section) -> String {
        var text = ""
        for row in SettingTable.rows(of: section) {
            let mark = row.support == .implemented ? "" : " (no effect in this release)"
            text += wrapped("\(row.name): \(row.meaning)\(mark)", prefix: ";;   ", hanging: "  ")
        }
        return text
    }

    /// `text` in lines of at most 100 columns that all begin with `prefix`, and with `hanging` from the
    /// second on.
    static func wrapped(_ text: String, prefix: String, hanging: String = "") -> String {
        var lines = ""
        var line = prefix
        var isEmpty = true
        for word in text.split(separator: " ") {
            if !isEmpty, line.utf8.count + 1 + word.utf8.count > 100 {
                lines += line + "\n"
                line = prefix + hanging
                isEmpty = true
            }
            line += isEmpty ? String(word) : " " + word
            isEmpty = false
        }
        return lines + line + "\n"
    }
}
