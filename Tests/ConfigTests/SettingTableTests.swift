import Testing

@testable import Config

@Suite struct SettingTableTests {
    /// What PgBouncer 1.26 prints for SHOW CONFIG, key by key.
    static let pgbouncerOrder = """
        admin_users application_name_add_host auth_dbname auth_file auth_hba_file \
        auth_ident_file auth_ldap_options auth_query auth_type auth_user autodb_idle_timeout \
        cancel_wait_timeout client_idle_timeout client_login_timeout client_tls13_ciphers \
        client_tls_ca_file client_tls_cert_file client_tls_ciphers client_tls_dheparams \
        client_tls_ecdhcurve client_tls_key_file client_tls_protocols client_tls_sslmode \
        conffile default_pool_size disable_pqexec dns_max_ttl dns_nxdomain_ttl \
        dns_zone_check_period idle_transaction_timeout ignore_startup_parameters job_name \
        listen_addr listen_backlog listen_port log_connections log_disconnections \
        log_pooler_errors log_stats logfile login_notify_message max_client_conn \
        max_db_client_connections max_db_connections max_packet_size max_prepared_statements \
        max_user_client_connections max_user_connections min_pool_size peer_id pidfile pkt_buf \
        pool_mode pool_idle_timeout query_timeout query_wait_notify query_wait_timeout \
        reserve_pool_size reserve_pool_timeout resolv_conf sbuf_loopcnt scram_iterations \
        server_check_delay server_check_query server_connect_timeout server_fast_close \
        server_idle_timeout server_lifetime server_login_retry server_reset_query \
        server_reset_query_always server_round_robin server_tls13_ciphers server_tls_ca_file \
        server_tls_cert_file server_tls_ciphers server_tls_key_file server_tls_protocols \
        server_tls_sslmode so_reuseport stats_period stats_users suspend_timeout syslog \
        syslog_facility syslog_ident tcp_defer_accept tcp_keepalive tcp_keepcnt tcp_keepidle \
        tcp_keepintvl tcp_socket_buffer tcp_user_timeout track_extra_parameters \
        transaction_timeout unix_socket_dir unix_socket_group unix_socket_mode user verbose
        """

    @Test func theOrderIsPgBouncersAndThenOurs() {
        let expected = Self.pgbouncerOrder.split(separator: " ").map(String.init)
        #expect(expected.count == 100)
        #expect(
            SettingTable.settings.map(\.setting.name)
                == expected + [
                    "workers", "io_backend", "worker_hang_timeout", "max_pools", "busy_poll",
                    "control_dir", "metrics_listen", "metrics_pgbouncer_names", "log_format",
                    "auth_query_cache", "shutdown_timeout", "restart_drain_timeout", "drain_delay",
                    "proxy_protocol_from", "max_login_conn",
                    "max_login_conn_per_address",
                    "max_login_failures_per_address", "max_login_failures_per_user",
                    "client_login_step_timeout", "test_keep_clients",
                ])
    }

    @Test func theSettingsThatOnlyARestartAppliesArePgBouncersAndOurs() {
        let fixed = SettingTable.settings.filter { !$0.setting.isReloadable }.map(\.setting.name)
        #expect(
            fixed == [
                "disable_pqexec", "job_name", "listen_addr", "listen_backlog", "listen_port", "pidfile",
                "pkt_buf",
                "resolv_conf", "so_reuseport", "track_extra_parameters", "unix_socket_dir",
                "unix_socket_group",
                "unix_socket_mode", "user", "io_backend", "max_pools", "control_dir",
            ])
    }

    @Test func noKeyIsTwiceInItsSection() {
        for section in Setting.Section.allCases {
            let names = SettingTable.rows(of: section).map(\.name)
            #expect(Set(names).count == names.count)
            #expect(!names.isEmpty)
        }
    }

    @Test func defaultsAreTyped() {
        let settings = Settings()
        #expect(settings.listenPort == 6432)
        #expect(settings.poolMode == .session)
        #expect(settings.defaultPoolSize == 20)
        #expect(settings.queryWaitTimeoutNanoseconds == 120_000_000_000)
        #expect(settings.queryWaitNotifyNanoseconds == 5_000_000_000)
        #expect(settings.authType == .md5)
        #expect(settings.authFile == nil)
        #expect(settings.serverCheckQuery == "")
        #expect(settings.serverResetQuery == "DISCARD ALL")
        #expect(settings.trackExtraParameters == ["IntervalStyle"])
        #expect(settings.listenAddresses == [])
        #expect(settings.unixSocketMode == 0o777)
        #expect(settings.workers == nil)
        #expect(settings.ioBackend == .auto)
        #expect(settings.busyPollMicroseconds == 100)
        #expect(settings.logConnections)
        #expect(settings.maxPacketSizeByteCount == 2_147_483_647)
        #expect(settings.serverTLS.mode == .prefer)
    }

    @Test func rowsOfShowConfigCarryTheDefaults() {
        let rows = Configuration().configRows()
        #expect(rows.count == 119)
        for row in rows where row.key != "verbose" { #expect(row.value == row.defaultText, "\(row.key)") }
        #expect(rows.last { $0.key == "verbose" }?.value == "0")
        let port = rows.first { $0.key == "listen_port" }
        #expect(port?.isChangeable == false)
    }
}
