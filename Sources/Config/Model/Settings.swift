/// The values of `[pgbouncer]`, typed. Times are nanoseconds; a limit or time of 0 means what the setting's
/// description says, mostly "no limit".
///
/// `init()` fills every field from the default texts of `SettingTable`, which are the only place where
/// defaults are stated; the literals beside the fields are overwritten by it.
public struct Settings: Equatable, Sendable {
    // Where clients connect.
    /// Addresses and names to listen on; `*` for all.
    public var listenAddresses: [String] = []
    /// `listen_port`.
    public var listenPort = 0
    /// `listen_backlog`.
    public var listenBacklog = 0
    /// Directory of our Unix socket and default one of the servers', `@name` for abstract, empty for none.
    public var unixSocketDirectory = ""
    /// `unix_socket_group`.
    public var unixSocketGroup = ""
    /// `unix_socket_mode`.
    public var unixSocketMode = 0
    /// `so_reuseport`.
    public var reusePort = false
    /// `proxy_protocol_from`: whose connections begin with a PROXY header.
    public var proxyProtocolFrom: [ProxyOrigin] = []
    /// `control_dir`: the folder of the control socket, empty for one beside our other files.
    public var controlDirectory = ""
    /// `metrics_listen`: where metrics are served, empty for nowhere.
    public var metricsListen = ""
    /// `metrics_pgbouncer_names`.
    public var metricsHavePgBouncerNames = false
    /// `max_client_conn`.
    public var maxClientConnections = 0
    /// `max_db_client_connections`.
    public var maxDatabaseClientConnections = 0
    /// `max_user_client_connections`.
    public var maxUserClientConnections = 0
    /// `max_login_conn`.
    public var maxLoginConnections = 0
    /// `max_login_conn_per_address`.
    public var maxLoginConnectionsPerAddress = 0
    /// `max_login_failures_per_address`.
    public var maxLoginFailuresPerAddress = 0
    /// `max_login_failures_per_user`.
    public var maxLoginFailuresPerUser = 0
    /// `client_login_step_timeout`.
    public var clientLoginStepTimeoutNanoseconds: UInt64 = 0
    /// `client_login_timeout`.
    public var clientLoginTimeoutNanoseconds: UInt64 = 0
    /// `client_idle_timeout`.
    public var clientIdleTimeoutNanoseconds: UInt64 = 0
    /// `login_notify_message`.
    public var loginNotifyMessage = ""
    /// `ignore_startup_parameters`.
    public var ignoreStartupParameters: [String] = []
    /// `track_extra_parameters`.
    public var trackExtraParameters: [String] = []
    /// `application_name_add_host`.
    public var applicationNameAddHost = false
    /// `disable_pqexec`.
    public var disablePQExec = false
    /// `max_packet_size`.
    public var maxPacketSizeByteCount = 0
    /// `peer_id`: our own number in `[peers]`, 0 for none.
    public var peerID = 0

    // Pools.
    /// `pool_mode`.
    public var poolMode = PoolMode.session
    /// `default_pool_size`.
    public var defaultPoolSize = 0
    /// `min_pool_size`.
    public var minPoolSize = 0
    /// `reserve_pool_size`.
    public var reservePoolSize = 0
    /// `reserve_pool_timeout`.
    public var reservePoolTimeoutNanoseconds: UInt64 = 0
    /// `max_db_connections`.
    public var maxDatabaseConnections = 0
    /// `max_user_connections`.
    public var maxUserConnections = 0
    /// `autodb_idle_timeout`.
    public var autodbIdleTimeoutNanoseconds: UInt64 = 0
    /// `pool_idle_timeout`.
    public var poolIdleTimeoutNanoseconds: UInt64 = 0
    /// `max_prepared_statements`.
    public var maxPreparedStatements = 0

    // Servers.
    /// `server_round_robin`.
    public var serverRoundRobin = false
    /// `server_fast_close`.
    public var serverFastClose = false
    /// `server_reset_query`.
    public var serverResetQuery = ""
    /// `server_reset_query_always`.
    public var serverResetQueryAlways = false
    /// `nil` for no check; empty for an empty query, which is the default.
    public var serverCheckQuery: String?
    /// `server_check_delay`.
    public var serverCheckDelayNanoseconds: UInt64 = 0
    /// `server_connect_timeout`.
    public var serverConnectTimeoutNanoseconds: UInt64 = 0
    /// `server_idle_timeout`.
    public var serverIdleTimeoutNanoseconds: UInt64 = 0
    /// `server_lifetime`.
    public var serverLifetimeNanoseconds: UInt64 = 0
    /// `server_login_retry`.
    public var serverLoginRetryNanoseconds: UInt64 = 0

    // Queries and transactions.
    /// `query_timeout`.
    public var queryTimeoutNanoseconds: UInt64 = 0
    /// `query_wait_timeout`.
    public var queryWaitTimeoutNanoseconds: UInt64 = 0
    /// `query_wait_notify`.
    public var queryWaitNotifyNanoseconds: UInt64 = 0
    /// `transaction_timeout`.
    public var transactionTimeoutNanoseconds: UInt64 = 0
    /// `idle_transaction_timeout`.
    public var idleTransactionTimeoutNanoseconds: UInt64 = 0
    /// `cancel_wait_timeout`.
    public var cancelWaitTimeoutNanoseconds: UInt64 = 0

    // Who may log in.
    /// `auth_type`.
    public var authType = AuthType.md5
    /// The user list; `nil` when there is none.
    public var authFile: String?
    /// `auth_query`.
    public var authQuery = ""
    /// `auth_user`; `nil` when there is none.
    public var authUser: String?
    /// `auth_dbname`; `nil` when the query runs in the client's own database.
    public var authDatabaseName: String?
    /// `auth_query_cache`.
    public var authQueryCacheNanoseconds: UInt64 = 0
    /// The file of rules, with `auth_type = hba`; `nil` when there is none.
    public var authHBAFile: String?
    /// The file of maps that rules name; `nil` when there is none.
    public var authIdentFile: String?
    /// How an LDAP server is asked; there may be a password in it.
    public var authLDAPOptions = ""
    /// `admin_users`.
    public var adminUsers: [String] = []
    /// `stats_users`.
    public var statsUsers: [String] = []
    /// `scram_iterations`.
    public var scramIterations = 0
    /// `client_tls_*`.
    public var clientTLS = TLSSettings()
    /// `server_tls_*`.
    public var serverTLS = TLSSettings()

    // Names.
    /// `dns_max_ttl`.
    public var dnsMaxTTLNanoseconds: UInt64 = 0
    /// `dns_nxdomain_ttl`.
    public var dnsNegativeTTLNanoseconds: UInt64 = 0

    // TCP.
    /// `tcp_defer_accept`.
    public var tcpDeferAccept = 0
    /// `tcp_keepalive`.
    public var tcpKeepalive = false
    /// `tcp_keepcnt`.
    public var tcpKeepaliveCount = 0
    /// `tcp_keepidle`.
    public var tcpKeepaliveIdleSeconds = 0
    /// `tcp_keepintvl`.
    public var tcpKeepaliveIntervalSeconds = 0
    /// `tcp_socket_buffer`.
    public var tcpSocketBufferByteCount = 0
    /// `tcp_user_timeout`.
    public var tcpUserTimeoutMilliseconds = 0

    // Process and log.
    /// The operating system user to become; `nil` to stay.
    public var user: String?
    /// The file that the next reload reads; `nil` for the one given at start.
    public var configurationFile: String?
    /// `pidfile`.
    public var pidFile = ""
    /// `logfile`.
    public var logFile = ""
    /// `syslog`.
    public var syslog = false
    /// `syslog_ident`.
    public var syslogIdentity = ""
    /// `syslog_facility`.
    public var syslogFacility = ""
    /// `log_connections`.
    public var logConnections = false
    /// `log_disconnections`.
    public var logDisconnections = false
    /// `log_pooler_errors`.
    public var logPoolerErrors = false
    /// `log_stats`.
    public var logStats = false
    /// `stats_period`.
    public var statsPeriodNanoseconds: UInt64 = 0
    /// `verbose`.
    public var verbose = 0

    // Ours.
    /// `log_format`.
    public var logFormat = LogFormat.text
    /// `shutdown_timeout`: how long clients may stay during a shutdown; 0 for as long as they like.
    public var shutdownTimeoutNanoseconds: UInt64 = 0
    /// `restart_drain_timeout`: how long clients may keep workers that a restart has replaced; 0 for as long
    /// as they like.
    public var restartDrainTimeoutNanoseconds: UInt64 = 3600 * 1_000_000_000
    /// `suspend_timeout`: how long SUSPEND waits until everything has been sent.
    public var suspendTimeoutNanoseconds: UInt64 = 10 * 1_000_000_000
    /// `drain_delay`: how long new clients are still taken after DRAIN.
    public var drainDelayNanoseconds: UInt64 = 0
    /// Worker processes; `nil` for `auto`.
    public var workers: Int?
    /// `max_pools`.
    public var maxPools = 0
    /// `worker_hang_timeout`; 0 for never.
    public var workerHangTimeoutNanoseconds: UInt64 = 0
    /// `test_keep_clients`: clients stay with the worker that has accepted them.
    public var keepsClients = false
    /// `io_backend`.
    public var ioBackend = IOBackend.auto
    /// Longest time a worker polls before it blocks, in microseconds; 0 for never.
    public var busyPollMicroseconds: UInt32 = 0

    /// What `SHOW CONFIG` prints for each row of `SettingTable.settings`, same order; `nil` for unset.
    var texts: [String?] = []

    /// All defaults.
    public init() {
        texts = Array(repeating: nil, count: SettingTable.settings.count)
        for index in SettingTable.settings.indices { restoreDefault(at: index) }
    }

    /// The value of a setting as `SHOW CONFIG` prints it; `nil` when it is unset or unknown.
    public func text(of name: String) -> String? {
        SettingTable.settingIndex(name).flatMap { texts[$0] }
    }

    /// The value of a setting for people, who need not see the secrets in it: what stands behind the word
    /// that a password follows is left out.
    func shownText(at index: Int) -> String? {
        guard let text = texts[index] else { return nil }
        let word = "ldapbindpasswd"
        guard SettingTable.settings[index].setting.name == "auth_ldap_options",
            let start = text.indices.first(where: { text[$0...].hasPrefix(word) })
        else { return text }
        return String(text[..<start]) + word + "=***"
    }

    /// Puts one setting back to its default.
    mutating func restoreDefault(at index: Int) {
        put(index, SettingTable.settings[index].setting.defaultText)
    }

    /// Reads `text` as the value of one setting and stores it; stores nothing when it throws.
    mutating func set(_ index: Int, to text: String) throws(SettingError) {
        let field = SettingTable.settings[index]
        let value = try field.setting.kind.value(of: text)
        field.store(&self, value)
        // The words of a list are shown as they were written.
        texts[index] = field.setting.kind == .list ? text : value.text(as: field.setting.kind)
    }

    /// Takes over one setting from other settings.
    mutating func copy(_ index: Int, from other: Settings) {
        put(index, other.texts[index])
    }

    /// Changes one setting, as the console's SET does.
    ///
    /// - Returns: `false` when there is no such setting, or only a restart could apply it.
    /// - Throws: why `text` is no value of it.
    public mutating func change(_ name: String, to text: String) throws(SettingError) -> Bool {
        guard let index = SettingTable.settingIndex(name), SettingTable.settings[index].setting.isReloadable
        else { return false }
        try set(index, to: text)
        return true
    }

    /// Stores a text that is known to be good, or unsets the setting.
    private mutating func put(_ index: Int, _ text: String?) {
        guard let text else {
            let field = SettingTable.settings[index]
            field.store(&self, .unset)
            // A number that nobody has set is shown as 0.
            if case .integer = field.setting.kind { texts[index] = "0" } else { texts[index] = nil }
            return
        }
        do throws(SettingError) {
            try set(index, to: text)
        } catch {
            preconditionFailure("a setting accepts its default and what it shows")
        }
    }
}
