public import Base

/// A connection to PostgreSQL on its way from one worker to another: everything but the descriptor, which
/// travels beside it.
///
/// Times are on the monotonic clock, which all processes share. Statements are named by hashes that mean the
/// same in every worker.
public struct LentServer: Equatable, Sendable {
    /// The worker it comes from, and what its ledger slot says.
    public var sender: UInt16
    public var ticket: TransferTicket
    /// Its pool.
    public var pool: PoolDescription
    /// Its number in SHOW.
    public var id: UInt64
    /// Process id and secret from BackendKeyData.
    public var processID: Int32
    public var secret: UInt32
    /// Which of the database's hosts it was opened to.
    public var host: Int32
    public var isUsed: Bool
    public var isFresh: Bool
    public var connectedAt: UInt64
    public var connectedAtWall: UInt64
    public var lastActivity: UInt64
    /// Its addresses, for display.
    public var remote: [UInt8]
    public var remotePort: UInt16
    public var local: [UInt8]
    public var localPort: UInt16
    /// Version and cipher of its TLS session, which stays where it was opened; empty in plain.
    public var encryption: [UInt8]
    /// The worker that holds the session; -1 in plain.
    public var sessionWorker: Int16
    /// Its tracked parameters.
    public var parameters: [Parameter]
    /// What is prepared on it, least recently used first.
    public var statements: [Hash128]

    /// A server of a pool, without anything that may be left out.
    public init(sender: UInt16, ticket: TransferTicket, pool: PoolDescription) {
        self.sender = sender
        self.ticket = ticket
        self.pool = pool
        id = 0
        processID = 0
        secret = 0
        host = 0
        isUsed = false
        isFresh = false
        connectedAt = 0
        connectedAtWall = 0
        lastActivity = 0
        remote = []
        remotePort = 0
        local = []
        localPort = 0
        encryption = []
        sessionWorker = -1
        parameters = []
        statements = []
    }

    /// The record's bytes.
    func encoded() -> [UInt8] {
        var output = ByteBuffer(capacity: 2048)
        output.append(bigEndian: sender)
        output.append(ticket.slot)
        output.append(bigEndian: ticket.token)
        for number in [id, connectedAt, connectedAtWall, lastActivity] {
            output.append(bigEndian: number)
        }
        output.append(bigEndian: processID)
        output.append(bigEndian: secret)
        output.append(bigEndian: host)
        output.append(UInt8(isUsed ? 1 : 0) | (isFresh ? 2 : 0))
        output.append(bigEndian: remotePort)
        output.append(bigEndian: localPort)
        output.append(text: remote)
        output.append(text: local)
        output.append(text: encryption)
        output.append(bigEndian: sessionWorker)
        pool.append(to: &output)
        output.append(list: parameters)
        output.append(bigEndian: UInt32(statements.count))
        for statement in statements {
            output.append(bigEndian: statement.low)
            output.append(bigEndian: statement.high)
        }
        return unsafe output.bytes.withUnsafeBytes { unsafe Array($0) }
    }

    /// The record in these bytes.
    init(decoding bytes: [UInt8]) throws(ControlError) {
        var reader = RecordReader(bytes)
        let sender: UInt16 = try reader.number()
        let slot: UInt8 = try reader.number()
        let token: UInt64 = try reader.number()
        self.init(
            sender: sender, ticket: TransferTicket(slot: slot, token: token),
            pool: PoolDescription(epoch: 0, database: [], user: []))
        id = try reader.number()
        connectedAt = try reader.number()
        connectedAtWall = try reader.number()
        lastActivity = try reader.number()
        processID = try reader.number()
        secret = try reader.number()
        host = try reader.number()
        let flags: UInt8 = try reader.number()
        isUsed = flags & 1 != 0
        isFresh = flags & 2 != 0
        remotePort = try reader.number()
        localPort = try reader.number()
        remote = try reader.text()
        local = try reader.text()
        encryption = try reader.text()
        sessionWorker = try reader.number()
        pool = try PoolDescription(&reader)
        parameters = try reader.parameters()
        let count: UInt32 = try reader.number()
        guard Int(count) <= bytes.count / 16 else { throw .truncated }
        for _ in 0..<count {
            let low: UInt64 = try reader.number()
            statements.append(Hash128(low: low, high: try reader.number()))
        }
    }
}

/// What workers tell each other of a pool.
public struct PoolDescription: Equatable, Sendable {
    /// The last order that who tells this has obeyed: what later orders have changed may not be so any more.
    public var epoch: UInt64
    public var database: [UInt8]
    public var user: [UInt8]
    /// What the pool's clients are welcomed with: tracked parameters, and the others as messages.
    public var welcomeParameters: [Parameter] = []
    public var welcomeMessages: [UInt8] = []
    /// The secret of its user as `auth_query` found it, with the keys that a client has shown, and when it
    /// was learnt; empty where `auth_file` has one. Not for any log.
    public var secret: [UInt8] = []
    public var keys: [UInt8] = []
    public var secretTime: UInt64 = 0

    /// A pool whose welcome is not known.
    public init(epoch: UInt64, database: [UInt8], user: [UInt8]) {
        self.epoch = epoch
        self.database = database
        self.user = user
    }

    /// The description's bytes.
    func encoded() -> [UInt8] {
        var output = ByteBuffer(capacity: 1024)
        append(to: &output)
        return unsafe output.bytes.withUnsafeBytes { unsafe Array($0) }
    }

    /// The description in these bytes.
    init(decoding bytes: [UInt8]) throws(ControlError) {
        var reader = RecordReader(bytes)
        try self.init(&reader)
    }

    func append(to output: inout ByteBuffer) {
        output.append(bigEndian: epoch)
        output.append(text: database)
        output.append(text: user)
        output.append(text: welcomeMessages)
        output.append(list: welcomeParameters)
        output.append(text: secret)
        output.append(text: keys)
        output.append(bigEndian: secretTime)
    }

    init(_ reader: inout RecordReader) throws(ControlError) {
        epoch = try reader.number()
        database = try reader.text()
        user = try reader.text()
        welcomeMessages = try reader.text()
        welcomeParameters = try reader.parameters()
        secret = try reader.text()
        keys = try reader.text()
        secretTime = try reader.number()
    }
}
