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
                "client_tls_sslmode", "disable", \.clientTLS.mode,
                """
                How much TLS is asked of clients: none is offered (disable), it is offered (allow, prefer), \
                it is demanded (require), with a certificate of the client's as well (verify-ca, \
                verify-full). Never over Unix sockets.
                """
            ),
            row.text("client_tls_key_file", "", \.clientTLS.keyFile, "Our private key."),
            row.text(
                "client_tls_cert_file", "", \.clientTLS.certificateFile, "Our certificate, and its chain."),
            row.text(
                "client_tls_ca_file", "", \.clientTLS.authorityFile,
                "Authorities that vouch for clients' certificates."),
            row.text(
                "client_tls_protocols", "secure", \.clientTLS.protocols,
                """
                TLS versions, separated by commas: tlsv1.0 to tlsv1.3, secure (1.2 and 1.3), all; \
                after ! taken away.
                """),
            row.text(
                "client_tls_ciphers", "default", \.clientTLS.ciphers,
                "Ciphers up to TLS 1.2, as OpenSSL writes them, or default, compat, legacy, all."),
            row.text("client_tls13_ciphers", nil, \.clientTLS.suites, "Cipher suites of TLS 1.3."),
            row.text(
                "client_tls_ecdhcurve", "auto", \.clientTLS.curve,
                "Curve of the key exchange: auto, none or a name."),
            row.text(
                "client_tls_dheparams", "auto", \.clientTLS.dhParameters,
                "Finite-field key exchange: auto, legacy or none."),
        ]
    }()

    static let serverTLS: [SettingField<Settings>] = {
        let row = SettingRows<Settings>(section: .pgbouncer, group: .serverTLS)
        return [
            row.choice(
                "server_tls_sslmode", "prefer", \.serverTLS.mode,
                """
                How much TLS is asked of servers: none (disable), if they have it (allow, prefer), always \
                (require), with a certificate of a known authority (verify-ca), which is for the host as \
                well (verify-full). Never over Unix sockets.
                """
            ),
            row.text(
                "server_tls_key_file", "", \.serverTLS.keyFile,
                "Private key of our certificate for servers."),
            row.text(
                "server_tls_cert_file", "", \.serverTLS.certificateFile, "Our certificate for servers."),
            row.text(
                "server_tls_ca_file", "", \.serverTLS.authorityFile,
                "Authorities that vouch for servers' certificates; by default those the system trusts."),
            row.text(
                "server_tls_protocols", "secure", \.serverTLS.protocols, "As client_tls_protocols."),
            row.text("server_tls_ciphers", "default", \.serverTLS.ciphers, "As client_tls_ciphers."),
            row.text("server_tls13_ciphers", nil, \.serverTLS.suites, "Cipher suites of TLS 1.3."),
        ]
    }()
}
