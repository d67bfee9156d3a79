extension SettingTable {
    static let listening: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .listening)
        return [
            row.list(
                "listen_addr", "", \.listenAddresses,
                "Addresses and host names to listen on, separated by commas; * is all. Empty is no TCP."
            ).startupOnly,
            row.integer(
                "listen_port", "6432", 1...65535, .none, \.listenPort,
                "The TCP port, and the number in the name of the Unix socket."
            ).startupOnly,
            row.integer(
                "listen_backlog", "128", 0...maxCount, .connections, \.listenBacklog,
                "Connections the kernel holds for us until they are accepted."
            ).startupOnly,
            row.text(
                "unix_socket_dir", "/tmp", \.unixSocketDirectory,
                """
                Where the Unix socket is made, and where servers of databases without host are looked for. \
                @name is an abstract socket; empty is none.
                """
            ).startupOnly,
            row.custom(
                "unix_socket_mode", .mode, .none, "0777", "Permissions of the Unix socket, in octal."
            ) { settings, value in
                if case .integer(let bits) = value { settings.unixSocketMode = bits }
            }.startupOnly,
            row.text(
                "unix_socket_group", "", \.unixSocketGroup, "Group of the Unix socket, by name or number."
            ).startupOnly,
            row.boolean(
                "so_reuseport", "0", \.reusePort,
                """
                Let further, independent instances listen on the same TCP port. The workers of one instance \
                share the port without it.
                """
            ).startupOnly,
        ]
    }()

    static let authentication: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .authentication)
        return [
            row.choice(
                "auth_type", "md5", \.authType,
                """
                How clients prove who they are. With md5, users whose secret is stored for SCRAM log in by \
                SCRAM. With hba, rules say it for each login. cert needs client_tls_sslmode = verify-full. \
                ldap and pam have the client send its password in clear and ask others whether it is right.
                """),
            row.optionalText(
                "auth_file", nil, \.authFile, "The file with users and their passwords or secrets."),
            row.optionalText(
                "auth_hba_file", "", \.authHBAFile,
                """
                The file with rules for auth_type = hba, as pg_hba.conf has them: who may come from where, \
                and how they prove who they are.
                """),
            row.optionalText(
                "auth_ident_file", nil, \.authIdentFile,
                """
                The file with the maps that rules name: who may log in as whom, known to the system or by a \
                certificate under another name.
                """),
            row.text(
                "auth_ldap_options", nil, \.authLDAPOptions,
                """
                With auth_type = ldap, how a server is asked: the options that pg_hba.conf has behind its \
                method ldap, separated by blanks.
                """),
            row.text(
                "auth_query",
                """
                SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END \
                FROM pg_authid WHERE rolname=$1 AND rolcanlogin
                """,
                \.authQuery,
                """
                Looks up the secret of a user that has none in auth_file: one parameter, the name; two \
                columns, the name to go on under and the secret.
                """),
            row.optionalText(
                "auth_user", nil, \.authUser,
                """
                The user that runs auth_query, with a secret in auth_file; without one, users have to be in \
                auth_file. It is also the one who asks for the groups that rules name.
                """),
            row.optionalText(
                "auth_dbname", nil, \.authDatabaseName,
                """
                The entry of [databases] in which auth_query runs, and groups are asked for; by default the \
                one the client asks for.
                """),
            row.integer(
                "scram_iterations", "4096", 1...10_000_000, .iterations, \.scramIterations,
                "Iterations of the SCRAM verifiers made from plain passwords."),
        ]
    }()

    static let protocols: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .protocols)
        return [
            row.integer(
                "max_prepared_statements", "200", 0...1_000_000, .statements, \.maxPreparedStatements,
                """
                Prepared statements kept on each server in transaction and statement mode; the least \
                recently used one makes room. 0 passes them through untouched.
                """),
            row.integer(
                "max_packet_size", "2147483647", 16...maxCount, .bytes, \.maxPacketSizeByteCount,
                "Largest protocol message accepted from either side."),
            row.list(
                "ignore_startup_parameters", "", \.ignoreStartupParameters,
                """
                Startup parameters that are accepted and dropped. With options in the list, unknown settings \
                inside options are dropped too.
                """),
            row.list(
                "track_extra_parameters", "IntervalStyle", \.trackExtraParameters,
                """
                Parameters besides client_encoding, datestyle, timezone, standard_conforming_strings and \
                application_name that follow a client from server to server. The server must report them.
                """
            ).startupOnly,
            row.boolean(
                "application_name_add_host", "0", \.applicationNameAddHost,
                "Append the client's address and port to its application_name."),
            row.text(
                "login_notify_message", "", \.loginNotifyMessage,
                "A notice for every client at the end of its login."),
            row.boolean(
                "disable_pqexec", "0", \.disablePQExec, "Refuse the simple query protocol."
            ).startupOnly,
            row.unread(
                "pkt_buf", "4096", kind: .integer(16...16_777_216), unit: .bytes,
                "Size of PgBouncer's buffers. Ours have their own sizes."
            ).startupOnly.noEffect,
            row.unread(
                "sbuf_loopcnt", "5", kind: .integer(0...maxCount), unit: .rounds,
                "How often PgBouncer reads from one socket before the next. Our loops are fair by themselves."
            ).noEffect,
        ]
    }()

    static let console: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .console)
        return [
            row.list(
                "admin_users", "", \.adminUsers, "Users that may run every command of the console."),
            row.list("stats_users", "", \.statsUsers, "Users that may only look at the console."),
            row.wholeSeconds(
                "stats_period", "60", 1...1_000_000_000, \.statsPeriodNanoseconds,
                "The period of averages and of the statistics line in the log."
            ),
        ]
    }()

    static let control: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .console)
        return [
            row.text(
                "control_dir", "", \.controlDirectory,
                """
                A directory of its own for the control socket, which our own user and root use the console \
                through without a password. By default .pgsluice.PORT in unix_socket_dir, or beside the \
                pidfile when that is empty or abstract; where there is neither, there is no control socket.
                """
            ).startupOnly
        ]
    }()

    static let peering: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .peering)
        return [
            row.integer(
                "peer_id", "0", 0...16383, .none, \.peerID,
                "Our own number among [peers], which pass cancel requests on to each other. 0 is none."
            )
        ]
    }()
}
