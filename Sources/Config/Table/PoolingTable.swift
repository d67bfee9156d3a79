extension SettingTable {
    static let workers: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .workers)
        return [
            row.custom(
                "workers", .integerOrAuto(1...64), .none, "auto",
                """
                Worker processes. With auto, one for each processor that the affinity mask and the \
                control group's quota leave us; the choice and its reason are logged. A reload may change \
                the number: a worker that is not wanted any more hands its clients and servers to the others.
                """
            ) { settings, value in
                if case .integer(let number) = value {
                    settings.workers = number
                } else {
                    settings.workers = nil
                }
            },
            row.choice(
                "io_backend", "auto", \.ioBackend,
                "The kernel interface of event loops; auto takes io_uring where it is allowed, else epoll."
            ).startupOnly,
            row.seconds(
                "worker_hang_timeout", "30", \.workerHangTimeoutNanoseconds,
                """
                A worker whose event loop has not turned for so long is ended and replaced; its clients are \
                lost. Long before, after 0.6 s, new connections go to the other workers. 0 lets it hang.
                """),
            row.integer(
                "max_pools", "1024", 16...16_384, .none, \.maxPools,
                """
                Pools, pairs of database and user, that may be in use at one time over all workers. A client \
                who needs another one is refused.
                """
            ).startupOnly,
            row.custom(
                "busy_poll", .integer(0...10_000), .microseconds, "100",
                """
                How long a busy worker polls at most for the next event before it blocks. It does so only \
                while waits are short: up to twice the processor time that blocking takes, which it \
                measures. Idle workers always block. 0 turns it off.
                """
            ) { settings, value in
                if case .integer(let number) = value { settings.busyPollMicroseconds = UInt32(number) }
            },
        ]
    }()

    static let pooling: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .pooling)
        return [
            row.choice(
                "pool_mode", "session", \.poolMode,
                """
                When a server goes back to its pool: after the client disconnects (session), after each \
                transaction (transaction), or after each statement (statement, which allows no transaction \
                of several statements).
                """),
            row.integer(
                "default_pool_size", "20", 0...maxCount, .connections, \.defaultPoolSize,
                "Servers per pool, that is per database and user. 0 is no limit."),
            row.integer(
                "min_pool_size", "0", 0...maxCount, .connections, \.minPoolSize,
                "Servers a pool keeps open even when nobody needs them, so that a burst finds them ready."),
            row.integer(
                "reserve_pool_size", "0", 0...maxCount, .connections, \.reservePoolSize,
                "Servers a pool may open beyond its size when clients have waited for reserve_pool_timeout."),
            row.seconds(
                "reserve_pool_timeout", "5", \.reservePoolTimeoutNanoseconds,
                "How long the oldest client waits before the reserve is used. 0 turns the reserve off."),
            row.boolean(
                "server_round_robin", "0", \.serverRoundRobin,
                "Use idle servers in turn instead of the most recently used one first."),
            row.seconds(
                "pool_idle_timeout", "0", \.poolIdleTimeoutNanoseconds,
                "Forget a pool that has had neither clients nor servers for this long. 0 keeps pools."),
            row.seconds(
                "autodb_idle_timeout", "3600", \.autodbIdleTimeoutNanoseconds,
                "Forget a database made from the * entry when unused for this long. 0 keeps them."
            ),
        ]
    }()

    static let limits: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .limits)
        return [
            row.integer(
                "max_client_conn", "100", 1...maxCount, .connections, \.maxClientConnections,
                "Client connections that have logged in; only the console is exempt."),
            row.integer(
                "max_db_client_connections", "0", 0...maxCount, .connections, \.maxDatabaseClientConnections,
                "Client connections per database. 0 is no limit."),
            row.integer(
                "max_user_client_connections", "0", 0...maxCount, .connections, \.maxUserClientConnections,
                "Client connections per user. 0 is no limit."),
            row.integer(
                "max_db_connections", "0", 0...maxCount, .connections, \.maxDatabaseConnections,
                "Server connections per database, over all its users. 0 is no limit."),
            row.integer(
                "max_user_connections", "0", 0...maxCount, .connections, \.maxUserConnections,
                "Server connections per user, over all databases. 0 is no limit."),
        ]
    }()

    static let timeouts: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .timeouts)
        return [
            row.seconds(
                "query_timeout", "0", \.queryTimeoutNanoseconds,
                "Longest time a query may run, waiting for a server included. 0 is no limit."),
            row.seconds(
                "query_wait_timeout", "120", \.queryWaitTimeoutNanoseconds,
                "Longest time a client may wait for a server before it is disconnected. 0 is no limit."),
            row.wholeSeconds(
                "query_wait_notify", "5", 0...1_000_000_000, \.queryWaitNotifyNanoseconds,
                "After this time a client that waits for a server is told so in a notice. 0 is never."),
            row.seconds(
                "transaction_timeout", "0", \.transactionTimeoutNanoseconds,
                "Longest time a transaction may last. 0 is no limit."),
            row.seconds(
                "idle_transaction_timeout", "0", \.idleTransactionTimeoutNanoseconds,
                "Longest pause of a client inside a transaction. 0 is no limit."),
            row.seconds(
                "cancel_wait_timeout", "10", \.cancelWaitTimeoutNanoseconds,
                "Longest time a cancel request may wait to be sent on. 0 is no limit."),
            row.seconds(
                "client_idle_timeout", "0", \.clientIdleTimeoutNanoseconds,
                "Disconnect clients that have been idle outside a transaction for this long. 0 is never."),
            row.seconds(
                "client_login_timeout", "60", \.clientLoginTimeoutNanoseconds,
                "Longest time a client may take to log in. 0 is no limit."),
            row.seconds(
                "suspend_timeout", "10", \.suspendTimeoutNanoseconds,
                "How long SUSPEND waits for buffers to empty before it drops the connections left."),
        ]
    }()

    static let servers: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .servers)
        return [
            row.seconds(
                "server_lifetime", "3600", \.serverLifetimeNanoseconds,
                "Close servers older than this once they are unused. 0 uses every server once."),
            row.seconds(
                "server_idle_timeout", "600", \.serverIdleTimeoutNanoseconds,
                "Close servers that have been idle for this long, down to min_pool_size. 0 is never."),
            row.seconds(
                "server_connect_timeout", "15", \.serverConnectTimeoutNanoseconds,
                "Longest time that connecting and logging in to a server may take. 0 is no limit."),
            row.seconds(
                "server_login_retry", "15", \.serverLoginRetryNanoseconds,
                "Longest pause after a failed login to a server before the next attempt."),
            row.text(
                "server_reset_query", "DISCARD ALL", \.serverResetQuery,
                "Run on a server after a client in session mode has left it. Empty runs nothing."),
            row.boolean(
                "server_reset_query_always", "0", \.serverResetQueryAlways,
                "Run server_reset_query in transaction and statement mode too."),
            row.custom(
                "server_check_query", .text, .none, "<empty>",
                """
                Run on a server that has been idle for server_check_delay before it is used again. <empty> \
                sends a query without text; an empty value turns the check off.
                """
            ) { settings, value in
                guard case .text(let text) = value, !text.isEmpty else {
                    return settings.serverCheckQuery = nil
                }
                settings.serverCheckQuery = text == "<empty>" ? "" : text
            },
            row.seconds(
                "server_check_delay", "30", \.serverCheckDelayNanoseconds,
                "A server idle for no longer than this is used without a check. 0 checks each time."),
            row.boolean(
                "server_fast_close", "0", \.serverFastClose,
                "Close a server that is to be replaced once it is between transactions, in session mode too."
            ),
        ]
    }()
}
