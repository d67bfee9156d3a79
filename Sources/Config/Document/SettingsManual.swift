extension SettingsDocument {
    /// The text of `Docs/CONFIGURATION.md`: how files are read, and every setting in tables.
    public static func manual() -> String {
        var text = introduction
        text += "\n## Settings of `[pgbouncer]`\n"
        text += """

            A setting is applied by a reload (SIGHUP, or `RELOAD` in the console) unless its default is
            followed by *restart*. One that is marked *not in this release* is accepted, and warned about
            when it is set to something else than its default.

            """
        for group in Setting.Group.allCases {
            let rows = SettingTable.documented.filter { $0.group == group }
            if rows.isEmpty { continue }
            text += "\n### \(group.rawValue)\n\n" + table(rows)
        }
        text += databaseIntroduction + table(SettingTable.rows(of: .databases))
        text += userIntroduction + table(SettingTable.rows(of: .users)) + precedence
        text += peerIntroduction + table(SettingTable.rows(of: .peers))
        text += environmentText
        return text
    }

    private static let introduction = """
        # Configuration

        This page is made from the table of settings in `Sources/Config/Table`, as is the commented
        example `Config/pgsluice.ini`. Change the table, then write both anew with
        `PGSLUICE_WRITE_DOCUMENTS=1 swift test --filter SettingsDocumentTests`.

        ## The file

        pgsluice reads the files of PgBouncer, 1.26 and older, unchanged.

        * `[name]` begins a section: `pgbouncer`, `databases`, `users` or `peers`. A section may come
          several times. Each `[pgbouncer]` header puts settings back to their defaults, as in PgBouncer;
          a warning says which ones that undoes.
        * `key = value` sets something. A key with other characters than letters, digits and `_ . - *`
          stands in single quotes. The value is the rest of the line, without the blanks at its end.
        * A line whose first character is `;` or `#` is a comment. Numbers, times, booleans and choices
          may also be followed by a blank, `;` or `#`, and a comment. Text may not, since passwords and
          queries contain such characters: it is kept whole, and a warning says that it looks like a
          comment.
        * `%include path` reads another file in its place. A relative path is relative to the directory
          the process runs in. Ten levels are possible.
        * An entry of `[databases]`, `[users]` and `[peers]` is `name = key=value key=value`, separated by
          spaces. A value with spaces stands in single quotes, with `''` for a quote. An empty value is an
          error.

        A file is applied whole or not at all. All that is wrong with it is reported at once, with file,
        line and, for a misspelt word, the nearest known one.

        | Type | How it is written |
        |---|---|
        | text | anything |
        | integer | decimal, `0x` hexadecimal, or octal with a leading `0` |
        | boolean | `1` or `0`, `yes` or `no`, `on` or `off`, `true` or `false` |
        | time | seconds, with fractions if wanted: `0.5` |
        | choice | one of the words listed, in any case |
        | list | words separated by commas |
        | octal mode | permission bits, `0770` |

        """

    private static let databaseIntroduction = """

        ## Keys of `[databases]`

        The entry's name is what clients ask for, at most 63 bytes; `pgbouncer` and `pgsluice` are taken
        by the console. The entry `*` is the template of databases that are not listed. When a reload
        changes a key marked *replaces servers*, servers of the database are closed as they become free;
        other changes leave them alone. Numbers in entries are decimal.


        """

    private static let userIntroduction = """

        ## Keys of `[users]`

        An entry changes limits and times of one user. It gives the user no password.


        """

    private static let precedence = """

        Where user, database and general settings differ:

        | Setting | Whose entry of `[users]` | Precedence |
        |---|---|---|
        | `pool_mode`, `pool_size`, `reserve_pool_size` | the one servers log in as | user, database, \
        general |
        | `max_user_connections` | the one servers log in as | user, general |
        | `query_timeout`, `transaction_timeout`, `idle_transaction_timeout` | the one servers log in as | \
        user, general |
        | `query_wait_timeout` | the one the client logs in as | user, database, general |
        | `client_idle_timeout`, `max_user_client_connections` | the one the client logs in as | user, \
        general |
        | `min_pool_size`, `server_lifetime`, `max_db_connections`, `max_db_client_connections` | none | \
        database, general |

        """

    private static let peerIntroduction = """

        ## Keys of `[peers]`

        The entry's name is the `peer_id` of another pooler, 1 to 16383.


        """

    private static let environmentText = """

        ## Without a file

        Started without a configuration file, as in a container, pgsluice takes its configuration from
        environment variables:

        * `DATABASE_URL=postgres://user:password@host:port/database`, with percent-encoding where a part
          contains special characters; or `DB_HOST`, `DB_PORT`, `DB_USER`, `DB_PASSWORD` and `DB_NAME`.
          Without a database name, all databases of the server can be asked for. Of the URL's options,
          `sslmode` becomes `server_tls_sslmode`; `application_name`, `client_encoding`, `host`, `port`,
          `user`, `password` and `dbname` are used; all others are passed over.
        * Every setting of `[pgbouncer]` by its name in capitals: `POOL_MODE=transaction`,
          `DEFAULT_POOL_SIZE=50`. The settings `user` and `conffile` cannot be given in this way.
          `LISTEN_ADDR` is `*` unless it is set. A variable that is empty counts as unset.

        The user and password given are those of the only user, and are used towards servers. With
        `AUTH_FILE`, or with `AUTH_TYPE=any`, clients are known from elsewhere and all servers log in as
        that user.

        """

    private static func table(_ rows: [Setting]) -> String {
        var text = "| Setting | Type | Default | Meaning |\n|---|---|---|---|\n"
        for row in rows {
            let cells = ["`\(row.name)`", typeCell(row), defaultCell(row), meaningCell(row)]
            text += "| " + cells.joined(separator: " | ") + " |\n"
        }
        return text
    }

    private static func typeCell(_ setting: Setting) -> String {
        switch setting.kind {
        case .integer(let range), .integerOrAuto(let range):
            let upper = range.upperBound == SettingTable.maxCount ? "" : " to \(range.upperBound)"
            let bounds = upper.isEmpty ? "\(range.lowerBound) or more" : "\(range.lowerBound)\(upper)"
            let unit = setting.unit == .none ? "" : " " + setting.unit.rawValue
            return "\(setting.kind.name), \(bounds)\(unit)"
        case .text, .boolean, .seconds, .choice, .list, .mode:
            return setting.kind.name
        }
    }

    private static func defaultCell(_ setting: Setting) -> String {
        let value: String
        if let text = setting.defaultText {
            value = text.isEmpty ? "empty" : "`\(text)`"
        } else {
            value = "unset"
        }
        return setting.isReloadable ? value : value + ", *restart*"
    }

    private static func meaningCell(_ setting: Setting) -> String {
        var text = setting.meaning
        if case .choice(let words) = setting.kind {
            text += " One of " + words.map { "`\($0)`" }.joined(separator: ", ") + "."
        }
        if setting.replacesServers { text += " *Replaces servers.*" }
        switch setting.support {
        case .implemented: break
        case .notYet: text += " *Not in this release.*"
        case .noEffect: text += " *Accepted, without effect.*"
        }
        // What Markdown or HTML would take for its own.
        var escaped = ""
        for character in text {
            switch character {
            case "|": escaped += "\\|"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            default: escaped.append(character)
            }
        }
        return escaped
    }
}
