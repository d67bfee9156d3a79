extension SettingTable {
    /// Limits on those who have not proved who they are. PgBouncer has none, so the defaults are wide.
    static let strangers: [SettingField<Settings>] = {
        let limits = SettingRows<Settings>(section: .pgbouncer, group: .limits)
        let listening = SettingRows<Settings>(section: .pgbouncer, group: .listening)
        let timeouts = SettingRows<Settings>(section: .pgbouncer, group: .timeouts)
        return [
            listening.custom(
                "proxy_protocol_from", .list, .none, "",
                """
                Proxies whose connections begin with a PROXY header (version 1 or 2) that says where the \
                client is: addresses, ranges such as 10.0.0.0/8, and unix for the Unix socket, separated by \
                commas. From them a header is required; from everybody else it is an error.
                """
            ) { settings, value in
                guard case .list(let words) = value else { return }
                settings.proxyProtocolFrom = words.compactMap { ProxyOrigin($0) }
            },
            limits.integer(
                "max_login_conn", "10000", 0...maxCount, .connections, \.maxLoginConnections,
                """
                Connections that have not logged in yet, and no more than half of the descriptors a worker \
                may open. One more sends away the oldest one from the address that has most of them. Each \
                worker has its share. 0 is no limit but that of the descriptors.
                """),
            limits.integer(
                "max_login_conn_per_address", "0", 0...maxCount, .connections,
                \.maxLoginConnectionsPerAddress,
                """
                The same for each address; of IPv6 the first 64 bits count, and of a Unix socket the user at \
                its other end. 0 is no limit.
                """),
            limits.integer(
                "max_login_failures_per_address", "60000", 0...maxCount, .none,
                \.maxLoginFailuresPerAddress,
                """
                Failed logins of an address in a minute, beyond which further logins from there are refused \
                until as many have been forgiven, evenly over a minute. 0 is no limit.
                """),
            limits.integer(
                "max_login_failures_per_user", "0", 0...maxCount, .none, \.maxLoginFailuresPerUser,
                """
                The same for each user name, whether or not there is such a user. Whoever may connect can \
                keep somebody out with it. 0 is no limit.
                """),
            timeouts.seconds(
                "client_login_step_timeout", "15", \.clientLoginStepTimeoutNanoseconds,
                """
                Longest time a client may take for its first packet, and for each further answer in its \
                login. 0 leaves it at client_login_timeout.
                """),
        ]
    }()
}
