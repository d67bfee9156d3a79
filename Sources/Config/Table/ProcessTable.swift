extension SettingTable {
    static let logging: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .logging)
        return [
            row.text(
                "logfile", "", \.logFile, "File to log to, opened anew at each reload. Empty is none."),
            row.boolean(
                "log_connections", "1", \.logConnections, "Log logins of clients and new servers."),
            row.boolean(
                "log_disconnections", "1", \.logDisconnections, "Log the end of connections, with the reason."
            ),
            row.boolean(
                "log_pooler_errors", "1", \.logPoolerErrors, "Log the errors that we send to clients."),
            row.boolean("log_stats", "1", \.logStats, "Log a line of statistics each stats_period."),
            row.integer(
                "verbose", nil, 0...maxCount, .none, \.verbose, "How much more is logged, 0 to 3, as with -v."
            ),
            row.boolean("syslog", "0", \.syslog, "Log to syslog too."),
            row.text("syslog_ident", "pgbouncer", \.syslogIdentity, "The name syslog lines begin with."),
            row.text(
                "syslog_facility", "daemon", \.syslogFacility,
                "The kind of program syslog takes us for: auth, authpriv, daemon, user, local0 to local7."
            ),
        ]
    }()

    static let process: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .process)
        return [
            row.optionalText(
                "user", nil, \.user,
                "The operating system user to become at start; -u on the command line wins."
            ).startupOnly,
            row.text(
                "pidfile", "", \.pidFile, "File for the process id. Needed by -d."
            ).startupOnly,
            row.optionalText(
                "conffile", nil, \.configurationFile,
                "The file the next reload reads; by default the one given on the command line."),
            row.unread(
                "job_name", "pgbouncer", "Name of the service in syslog."
            ).startupOnly.notYet,
        ]
    }()

    static let names: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .names)
        return [
            row.seconds(
                "dns_max_ttl", "15", \.dnsMaxTTLNanoseconds, "How long the addresses of a name are kept."),
            row.seconds(
                "dns_nxdomain_ttl", "15", \.dnsNegativeTTLNanoseconds,
                "How long it is remembered that a name could not be resolved."),
            row.unread(
                "dns_zone_check_period", "0", kind: .seconds, unit: .seconds,
                "How often a zone's serial number is looked at for changes. 0 is never."
            ).notYet,
            row.unread(
                "resolv_conf", "", "A resolver configuration to use instead of the system's."
            ).startupOnly.notYet,
        ]
    }()

    static let network: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .network)
        return [
            row.integer(
                "tcp_defer_accept", "1", 0...maxCount, .seconds, \.tcpDeferAccept,
                "Let the kernel hold a connection until the client has sent something. 0 turns it off."),
            row.boolean(
                "tcp_keepalive", "1", \.tcpKeepalive, "Have the kernel probe quiet connections."),
            row.integer(
                "tcp_keepcnt", "0", 0...maxCount, .probes, \.tcpKeepaliveCount,
                "Probes without an answer after which a connection is dead. 0 is the system's default."),
            row.integer(
                "tcp_keepidle", "0", 0...maxCount, .seconds, \.tcpKeepaliveIdleSeconds,
                "Silence before the first probe. 0 is the system's default."),
            row.integer(
                "tcp_keepintvl", "0", 0...maxCount, .seconds, \.tcpKeepaliveIntervalSeconds,
                "Time between probes. 0 is the system's default."),
            row.integer(
                "tcp_socket_buffer", "0", 0...maxCount, .bytes, \.tcpSocketBufferByteCount,
                "Size of the kernel's send and receive buffers. 0 is the system's default."),
            row.integer(
                "tcp_user_timeout", "0", 0...maxCount, .milliseconds, \.tcpUserTimeoutMilliseconds,
                "How long sent bytes may stay unacknowledged. 0 is the system's default."),
        ]
    }()

    static let clientTLS: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .clientTLS)
        return [
            row.choice(
                "client_tls_sslmode", "disable", \.clientTLSMode,
                """
                How much TLS is asked of clients. This release has no TLS and refuses to start with \
                anything but disable.
                """
            ).notYet,
            row.unread("client_tls_key_file", "", "Our private key.").notYet,
            row.unread("client_tls_cert_file", "", "Our certificate.").notYet,
            row.unread("client_tls_ca_file", "", "Authorities that vouch for clients' certificates.").notYet,
            row.unread("client_tls_protocols", "secure", "TLS versions, separated by commas.").notYet,
            row.unread("client_tls_ciphers", "default", "Ciphers up to TLS 1.2, as OpenSSL writes them.")
                .notYet,
            row.unread("client_tls13_ciphers", nil, "Cipher suites of TLS 1.3.").notYet,
            row.unread("client_tls_ecdhcurve", "auto", "Curve of the key exchange: auto, none or a name.")
                .notYet,
            row.unread("client_tls_dheparams", "auto", "Finite-field key exchange: auto, legacy or none.")
                .notYet,
        ]
    }()

    static let serverTLS: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .serverTLS)
        return [
            row.choice(
                "server_tls_sslmode", "prefer", \.serverTLSMode,
                """
                How much TLS is asked of servers. This release has no TLS: it goes on in plain with allow \
                and prefer, and refuses to start with require and above.
                """
            ).notYet,
            row.unread("server_tls_key_file", "", "Private key of our certificate for servers.").notYet,
            row.unread("server_tls_cert_file", "", "Our certificate for servers.").notYet,
            row.unread("server_tls_ca_file", "", "Authorities that vouch for servers' certificates.").notYet,
            row.unread("server_tls_protocols", "secure", "TLS versions, separated by commas.").notYet,
            row.unread("server_tls_ciphers", "default", "Ciphers up to TLS 1.2, as OpenSSL writes them.")
                .notYet,
            row.unread("server_tls13_ciphers", nil, "Cipher suites of TLS 1.3.").notYet,
        ]
    }()
}
