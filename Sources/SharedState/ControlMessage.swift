/// What a worker is told to do, and what a console, a signal or a worker may ask the supervisor for.
/// The numbers stay for ever.
public enum OrderKind: UInt8, CaseIterable, Sendable {
    /// Let transactions end, close idle servers, hold clients.
    case pause = 1
    /// End a pause.
    case resume = 2
    /// Take no clients, end when the last one has gone.
    case shutdownWaitForClients = 3
    /// Pause, close waiting clients, end when the last server has gone.
    case shutdownWaitForServers = 4
    /// End at once.
    case shutdownNow = 5
    /// Open the log file anew.
    case reopen = 6
    /// Close clients and servers of a database and pause it.
    case kill = 7
    /// Close every server as soon as it is free, and connect anew.
    case reconnect = 8
    /// Refuse new clients of a database.
    case disable = 9
    /// Accept them again.
    case enable = 10
    /// Tell when no server is left that `reconnect` marked.
    case waitClose = 11
    /// Close the client whose id is the argument.
    case killClient = 12
    /// Take no new clients because this worker is to go; the others serve on.
    case drain = 13
    /// Begin to take clients, if this worker has started without.
    case open = 14
    /// Send every client away, each as soon as it is between two transactions.
    case dismissClients = 15
    /// Read nothing from clients and servers, and tell when everything queued for them has been sent.
    case suspend = 16
}

/// An order of the supervisor. Orders are numbered; a worker acknowledges each when it is done, locally.
public struct Order: Equatable, Sendable {
    /// The order's number, one series for orders and configurations.
    public var epoch: UInt64
    /// What to do.
    public var kind: OrderKind
    /// To which database; all when `nil`.
    public var database: [UInt8]?
    /// A client's id, for the kinds that name one; else 0.
    public var argument: UInt64

    /// An order from its parts.
    public init(epoch: UInt64, kind: OrderKind, database: [UInt8]? = nil, argument: UInt64 = 0) {
        self.epoch = epoch
        self.kind = kind
        self.database = database
        self.argument = argument
    }
}

/// Which rows the supervisor wants from a worker. The numbers stay for ever.
///
/// `columns` says what a row of each kind holds. A worker tells about its own part only; the console adds the
/// parts up. Yes and no are 1 and 0, what is unknown or not set is NULL.
public enum RowsKind: UInt8, CaseIterable, Sendable {
    /// One row per client that has finished its login, cancel requests and those on the console included.
    case clients = 1
    /// One row per server connection.
    case servers = 2
    /// One row per pool, the console's not. The worker's share of every count; the wait of its oldest waiter.
    case pools = 3
    /// One row per database, used or not, the console not. Limits as configured, counts the worker's share.
    case databases = 4
    /// One row per user that is configured or has a client. Limits as configured, counts the worker's share.
    case users = 5
    /// One row per count of the worker's: `free_clients`, `used_clients`, `login_clients`, `free_servers`,
    /// `used_servers`, `peers`, `peer_pools`, `dns_names`, `dns_zones`, `dns_queries`, `dns_pending`, as
    /// far as it has them.
    case lists = 6
    /// One row per entry of `[peers]`.
    case peers = 7
    /// One row per peer that requests have been passed on to. The worker's share of every count.
    case peerPools = 8
    /// One row: the worker itself.
    case worker = 9
    /// One row per kind of record that is kept in slots. The worker's share.
    case memory = 10
    /// One row per client that waits for a server.
    case waiters = 11

    /// What the fields of a row are, in order: the columns of the console's table of the same name.
    /// `connect_time` and `request_time` may also be microseconds since 1970, which the console writes out.
    public var columns: [String] {
        switch self {
        case .clients, .servers:
            [
                "type", "user", "database", "replication", "state", "addr", "port", "local_addr",
                "local_port",
                "connect_time", "request_time", "wait", "wait_us", "close_needed", "ptr", "link",
                "remote_pid",
                "tls", "application_name", "prepared_statements", "id",
            ]
        case .pools:
            [
                "database", "user", "cl_active", "cl_waiting", "cl_active_cancel_req",
                "cl_waiting_cancel_req", "sv_active", "sv_active_cancel", "sv_being_canceled", "sv_idle",
                "sv_used", "sv_tested", "sv_login", "maxwait", "maxwait_us", "pool_mode",
                "load_balance_hosts",
            ]
        case .databases:
            [
                "name", "host", "port", "database", "force_user", "pool_size", "min_pool_size",
                "reserve_pool_size", "server_lifetime", "pool_mode", "load_balance_hosts", "max_connections",
                "current_connections", "max_client_connections", "current_client_connections", "paused",
                "disabled",
            ]
        case .users:
            [
                "name", "pool_size", "reserve_pool_size", "pool_mode", "max_user_connections",
                "current_connections", "max_user_client_connections", "current_client_connections",
            ]
        case .lists: ["list", "items"]
        case .peers: ["peer_id", "host", "port", "pool_size"]
        case .peerPools:
            ["peer_id", "cl_active_cancel_req", "cl_waiting_cancel_req", "sv_active_cancel", "sv_login"]
        case .worker:
            [
                "worker", "clients", "login_clients", "waiting_clients", "servers", "idle_servers", "pools",
                "io_backend", "logins_failed", "logins_refused",
            ]
        case .memory: ["name", "size", "used", "free", "memtotal"]
        case .waiters:
            [
                "id", "database", "user", "addr", "port", "application_name", "wait_us", "waits_for",
                "servers", "pool_size",
            ]
        }
    }
}

/// A worker's answer to `rowsWanted`, or a part of it.
public struct RowsAnswer: Equatable, Sendable {
    /// Most row bytes that fit into the message itself.
    public static let inlineLimit = 3500

    /// The request's id.
    public var request: UInt64
    /// Rows as `RowWriter` makes them; empty when they are attached.
    public var rows: [UInt8]
    /// Bytes of rows in the attached memory file; 0 when none is attached.
    public var attachedByteCount: UInt64
    /// Whether nothing follows for this request.
    public var isLast: Bool

    /// An answer from its parts.
    public init(request: UInt64, rows: [UInt8], attachedByteCount: UInt64 = 0, isLast: Bool) {
        self.request = request
        self.rows = rows
        self.attachedByteCount = attachedByteCount
        self.isLast = isLast
    }
}

/// What a console session may do. The numbers stay for ever.
public enum ConsoleRole: UInt8, Sendable {
    /// Every command.
    case admin = 1
    /// `SHOW` only.
    case stats = 2
}

/// A startup or session parameter.
public struct Parameter: Equatable, Sendable {
    /// Its name as the client wrote it.
    public var name: [UInt8]
    /// Its value.
    public var value: [UInt8]

    /// A parameter from its parts.
    public init(name: [UInt8], value: [UInt8]) {
        self.name = name
        self.value = value
    }
}

/// A client that a worker authenticated for the console; its end of a socket pair is attached.
public struct ConsoleLogin: Equatable, Sendable {
    /// The client's id.
    public var clientId: UInt64
    /// Who it is.
    public var user: [UInt8]
    /// What it may do. The control pair is the proof: no role is ever read from a client.
    public var role: ConsoleRole
    /// Where it comes from, as text; `unix` for a Unix socket.
    public var address: [UInt8]
    /// From which port.
    public var port: UInt16
    /// Its startup parameters, `user` and `database` not repeated.
    public var parameters: [Parameter]

    /// A login from its parts.
    public init(
        clientId: UInt64, user: [UInt8], role: ConsoleRole, address: [UInt8], port: UInt16,
        parameters: [Parameter]
    ) {
        self.clientId = clientId
        self.user = user
        self.role = role
        self.address = address
        self.port = port
        self.parameters = parameters
    }
}

/// The addresses of a host name.
public struct ResolvedName: Equatable, Sendable {
    /// The name that was asked for.
    public var name: [UInt8]
    /// IPv4 addresses of 4 bytes, IPv6 addresses of 16, or of 20 with their scope id, in network order.
    /// Empty when there are none.
    public var addresses: [[UInt8]]
    /// Why there are none; empty otherwise.
    public var problem: [UInt8]

    /// An answer from its parts.
    public init(name: [UInt8], addresses: [[UInt8]], problem: [UInt8] = []) {
        self.name = name
        self.addresses = addresses
        self.problem = problem
    }
}

/// One message on the pair between the supervisor and a worker (or the resolving helper).
public enum ControlMessage: Equatable, Sendable {
    // To a worker.

    /// Use the configuration in the attached memory file of `byteCount` bytes, and acknowledge.
    case configuration(epoch: UInt64, byteCount: UInt64)
    /// Do this, and acknowledge.
    case order(Order)
    /// Answer with `rows`.
    case rowsWanted(request: UInt64, kind: RowsKind)
    /// The answer to `resolve`.
    case resolved(ResolvedName)
    /// Another worker's process has ended, and what it owned has been given back.
    case workerEnded(index: Int)
    /// There is another worker; the sending end of its inbox is attached.
    case workerAdded(index: Int)

    // To the supervisor.

    /// The worker serves.
    case ready
    /// Done, or why not; `problem` is empty when done.
    case acknowledged(epoch: UInt64, problem: [UInt8])
    /// A console session begins; one end of its socket pair is attached.
    case consoleLogin(ConsoleLogin)
    /// Rows that were wanted.
    case rows(RowsAnswer)
    /// The addresses of this name, please.
    case resolve(name: [UInt8])
    /// Nothing is left to serve. The worker stays for the console until it is told to end at once; one that
    /// was told to leave ends by itself.
    case drained
    /// A wish for everybody; its epoch means nothing.
    case orderRequest(Order)

    /// Whether a descriptor must come with the message.
    public var carriesDescriptor: Bool {
        switch self {
        case .configuration, .consoleLogin, .workerAdded: true
        case .rows(let answer): answer.attachedByteCount > 0
        case .order, .rowsWanted, .resolved, .workerEnded, .ready, .acknowledged, .resolve, .drained,
            .orderRequest:
            false
        }
    }
}
