extension SettingTable {
    /// What PgBouncer does not have and whoever operates a service wants.
    static let ownLogging: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .logging)
        return [
            row.choice(
                "log_format", "text", \.logFormat,
                "How lines of the log look: text is PgBouncer's format, json one object per line.")
        ]
    }()

    static let ownAuthentication: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .authentication)
        return [
            row.seconds(
                "auth_query_cache", "0", \.authQueryCacheNanoseconds,
                """
                How long a worker uses again what auth_query has found. A password that does not fit it is \
                held against what the query finds then; with SCRAM, only the next login is. The same holds \
                for the groups that rules name: a grant or its end may count that much later. 0 asks at \
                every login.
                """)
        ]
    }()

    static let ending: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .process)
        return [
            row.seconds(
                "shutdown_timeout", "0", \.shutdownTimeoutNanoseconds,
                """
                How long a shutdown waits for clients or servers. Then clients are sent away, each between \
                two transactions, and after the same time again whoever is left is cut off. 0 waits for ever.
                """),
            row.seconds(
                "restart_drain_timeout", "3600", \.restartDrainTimeoutNanoseconds,
                """
                How long after an online restart clients may keep the workers from before it. Then they are \
                sent away, each between two transactions, and after the same time again whoever is left is \
                cut off. 0 waits for ever.
                """),
            row.seconds(
                "drain_delay", "0", \.drainDelayNanoseconds,
                """
                How long after DRAIN new connections are still taken, so that a load balancer can notice \
                that we are not ready any more.
                """),
        ]
    }()
}
