extension SettingTable {
    /// Keys of one entry of `[databases]`.
    static let databases: [SettingField<DatabaseDefinition>] = {
        let location = SettingRows<DatabaseDefinition>(section: .databases, group: .location)
        let pooling = SettingRows<DatabaseDefinition>(section: .databases, group: .pooling)
        let limits = SettingRows<DatabaseDefinition>(section: .databases, group: .limits)
        let login = SettingRows<DatabaseDefinition>(section: .databases, group: .authentication)
        let session = SettingRows<DatabaseDefinition>(section: .databases, group: .session)
        let tls = SettingRows<DatabaseDefinition>(section: .databases, group: .serverTLS)
        return [
            location.optionalText(
                "dbname", nil, \.databaseName, "The database on the server; by default as the entry."
            ).replacingServers,
            location.custom(
                "host", .list, .none, nil,
                """
                Where servers are: a name, an address, or a directory (or @name) with a Unix socket; several \
                separated by commas. By default a Unix socket in unix_socket_dir.
                """
            ) { database, value in
                if case .list(let words) = value { database.hosts = words.map(Host.init) }
            }.replacingServers,
            location.custom(
                "port", .integer(1...65535), .none, "5432", "The port of every host."
            ) { database, value in
                if case .integer(let number) = value { database.port = UInt16(number) }
            }.replacingServers,
            location.optionalText(
                "user", nil, \.user,
                "Log in to servers as this user, whoever the client is; all clients then share one pool."
            ).replacingServers,
            location.optionalText(
                "password", nil, \.password, "The password of user; by default the one in auth_file."),
            login.optionalText(
                "auth_user", nil, \.authUser, "As the general auth_user, for this database."
            ),
            login.optionalText(
                "auth_query", nil, \.authQuery, "As the general auth_query, for this database."
            ).replacingServers,
            login.optionalText(
                "auth_dbname", nil, \.authDatabaseName, "As the general auth_dbname, for this database."
            ).replacingServers,
            tls.optionalChoice(
                "server_tls_sslmode", \.serverTLS.mode,
                "As the general server_tls_sslmode, for the servers of this database."
            ).replacingServers,
            tls.optionalText(
                "server_tls_key_file", nil, \.serverTLS.keyFile, "As the general one, for this database."
            ).replacingServers,
            tls.optionalText(
                "server_tls_cert_file", nil, \.serverTLS.certificateFile,
                "As the general one, for this database."
            ).replacingServers,
            tls.optionalText(
                "server_tls_ca_file", nil, \.serverTLS.authorityFile, "As the general one, for this database."
            ).replacingServers,
            tls.optionalText(
                "server_tls_protocols", nil, \.serverTLS.protocols, "As the general one, for this database."
            ).replacingServers,
            tls.optionalText(
                "server_tls_ciphers", nil, \.serverTLS.ciphers, "As the general one, for this database."
            ).replacingServers,
            tls.optionalText(
                "server_tls13_ciphers", nil, \.serverTLS.suites, "As the general one, for this database."
            ).replacingServers,
            pooling.optionalChoice(
                "pool_mode", \.poolMode, "As the general pool_mode, for this database."),
            pooling.optionalCount(
                "pool_size", \.poolSize, "Servers per pool; by default the user's, else default_pool_size."),
            pooling.optionalCount(
                "min_pool_size", \.minPoolSize, "As the general min_pool_size, for this database."),
            pooling.optionalCount(
                "reserve_pool_size", \.reservePoolSize, "As the general reserve_pool_size, for this database."
            ),
            pooling.optionalCount(
                "reserve_pool", \.reservePoolSize, "The older name of reserve_pool_size."),
            pooling.choice(
                "load_balance_hosts", "round-robin", \.loadBalanceHosts,
                """
                With several hosts: each new server goes to the next one (round-robin), or all to one until \
                connecting to it fails (disable).
                """
            ).replacingServers,
            limits.optionalCount(
                "max_db_connections", zeroIsUnset: true, \.maxDatabaseConnections,
                "Server connections over all users of this database; 0 for the general value."),
            limits.optionalCount(
                "max_db_client_connections", zeroIsUnset: true, \.maxDatabaseClientConnections,
                "Client connections of this database; 0 for the general value."),
            limits.optionalSeconds(
                "query_wait_timeout", zeroIsUnset: false, \.queryWaitTimeoutNanoseconds,
                "As the general query_wait_timeout, for this database."),
            limits.optionalSeconds(
                "server_lifetime", zeroIsUnset: true, \.serverLifetimeNanoseconds,
                "As the general server_lifetime, for this database; 0 for the general value."),
            session.optionalText(
                "client_encoding", nil, \.clientEncoding, "Asked of servers at login."),
            session.optionalText("datestyle", nil, \.dateStyle, "Asked of servers at login."),
            session.optionalText("timezone", nil, \.timeZone, "Asked of servers at login."),
            session.optionalText(
                "application_name", nil, \.applicationName, "Asked of servers at login."),
            session.optionalText(
                "connect_query", nil, \.connectQuery,
                "Run on every new server; if it fails, that is only logged."
            ).replacingServers,
        ]
    }()

    /// Keys of one entry of `[users]`.
    static let users: [SettingField<UserDefinition>] = {
        let pooling = SettingRows<UserDefinition>(section: .users, group: .pooling)
        let limits = SettingRows<UserDefinition>(section: .users, group: .limits)
        let timeouts = SettingRows<UserDefinition>(section: .users, group: .timeouts)
        return [
            pooling.optionalChoice(
                "pool_mode", \.poolMode, "As the general pool_mode, for pools of this user."),
            pooling.optionalCount("pool_size", \.poolSize, "Servers per pool of this user."),
            pooling.optionalCount(
                "reserve_pool_size", \.reservePoolSize, "As the general reserve_pool_size, for this user."),
            limits.optionalCount(
                "max_user_connections", zeroIsUnset: true, \.maxUserConnections,
                "Server connections of this user over all databases; 0 for the general value."),
            limits.optionalCount(
                "max_user_client_connections", zeroIsUnset: true, \.maxUserClientConnections,
                "Client connections of this user; 0 for the general value."),
            timeouts.optionalSeconds(
                "transaction_timeout", zeroIsUnset: true, \.transactionTimeoutNanoseconds,
                "As the general transaction_timeout, for this user; 0 for the general value."),
            timeouts.optionalSeconds(
                "idle_transaction_timeout", zeroIsUnset: true, \.idleTransactionTimeoutNanoseconds,
                "As the general idle_transaction_timeout, for this user; 0 for the general value."),
            timeouts.optionalSeconds(
                "query_timeout", zeroIsUnset: true, \.queryTimeoutNanoseconds,
                "As the general query_timeout, for this user; 0 for the general value."),
            timeouts.optionalSeconds(
                "query_wait_timeout", zeroIsUnset: false, \.queryWaitTimeoutNanoseconds,
                "As the general query_wait_timeout, for this user; 0 is no limit."),
            timeouts.optionalSeconds(
                "client_idle_timeout", zeroIsUnset: true, \.clientIdleTimeoutNanoseconds,
                "As the general client_idle_timeout, for this user; 0 for the general value."),
        ]
    }()

    /// Keys of one entry of `[peers]`.
    static let peers: [SettingField<PeerDefinition>] = {
        let row = SettingRows<PeerDefinition>(section: .peers, group: .peering)
        return [
            row.custom(
                "host", .text, .none, nil,
                "Where the peer listens: a name, an address or a directory. Required."
            ) { peer, value in
                if case .text(let text) = value { peer.host = Host(text) }
            },
            row.custom("port", .integer(1...65535), .none, "6432", "The port of the peer.") { peer, value in
                if case .integer(let number) = value { peer.port = UInt16(number) }
            },
            row.optionalCount(
                "pool_size", \.poolSize,
                "Connections to the peer, over all workers; by default default_pool_size, 0 for no limit."
            ),
        ]
    }()
}
