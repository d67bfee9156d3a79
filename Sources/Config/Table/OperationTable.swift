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
                "drain_delay", "0", \.drainDelayNanoseconds,
                """
                How long after DRAIN new connections are still taken, so that a load balancer can notice \
                that we are not ready any more.
                """),
        ]
    }()
}
