public import Base

/// A client on its way from one worker to another, between two of its requests: everything but the
/// descriptor, which travels beside it.
///
/// Times are on the monotonic clock, which all processes share.
public struct MovedClient: Equatable, Sendable {
    /// The worker it comes from, and what its ledger slot says.
    public var sender: UInt16
    public var ticket: TransferTicket
    /// Its pool.
    public var pool: PoolDescription
    /// The user it logged in as.
    public var user: [UInt8]
    /// Its number in SHOW.
    public var id: UInt64 = 0
    /// Its cancel key: process id, and 4 or 32 bytes.
    public var processID: Int32 = 0
    public var secret: [UInt8] = []
    /// Exempt from limits, and what it counts in.
    public var isExempt = false
    public var isAdmitted = false
    public var isInLedger = false
    public var connectedAt: UInt64 = 0
    public var connectedAtWall: UInt64 = 0
    public var lastActivity: UInt64 = 0
    /// Where it comes from, for display and rules.
    public var address: [UInt8] = []
    public var port: UInt16 = 0
    public var localAddress: [UInt8] = []
    public var localPort: UInt16 = 0
    public var isUnix = false
    public var isOwnUser = false
    public var peerProcessID: Int32 = -1
    public var peerUserID: Int64 = -1
    /// Its tracked parameters.
    public var parameters: [Parameter] = []
    /// Its prepared statements, and the parameters that they were parsed under.
    public var statements: [MovedStatement] = []
    public var environments: [[Parameter]] = []
    /// What it has sent and no worker has read; the worker that sends the record puts it behind the rest.
    public var input: [UInt8] = []

    /// A client of a pool, without anything that may be left out.
    public init(sender: UInt16, ticket: TransferTicket, pool: PoolDescription, user: [UInt8]) {
        self.sender = sender
        self.ticket = ticket
        self.pool = pool
        self.user = user
    }

    /// Appends the record's bytes; `input` may follow piece by piece.
    public func append(to output: inout ByteBuffer) {
        output.append(bigEndian: sender)
        output.append(ticket.slot)
        output.append(bigEndian: ticket.token)
        pool.append(to: &output)
        output.append(text: user)
        for number in [id, connectedAt, connectedAtWall, lastActivity] { output.append(bigEndian: number) }
        output.append(bigEndian: processID)
        output.append(text: secret)
        for flag in [isExempt, isAdmitted, isInLedger, isUnix, isOwnUser] { output.append(flag: flag) }
        output.append(text: address)
        output.append(bigEndian: port)
        output.append(text: localAddress)
        output.append(bigEndian: localPort)
        output.append(bigEndian: peerProcessID)
        output.append(bigEndian: peerUserID)
        output.append(list: parameters)
        output.append(bigEndian: UInt32(environments.count))
        for environment in environments { output.append(list: environment) }
        output.append(bigEndian: UInt32(statements.count))
        for statement in statements { statement.append(to: &output) }
        output.append(input)
    }

    /// The record in these bytes.
    public init(decoding bytes: [UInt8]) throws(ControlError) {
        var reader = RecordReader(bytes)
        let sender: UInt16 = try reader.number()
        let slot: UInt8 = try reader.number()
        let ticket = TransferTicket(slot: slot, token: try reader.number())
        let pool = try PoolDescription(&reader)
        self.init(sender: sender, ticket: ticket, pool: pool, user: try reader.text())
        id = try reader.number()
        connectedAt = try reader.number()
        connectedAtWall = try reader.number()
        lastActivity = try reader.number()
        processID = try reader.number()
        secret = try reader.text()
        guard secret.count == 4 || secret.count == 32 else { throw .truncated }
        isExempt = try reader.flag()
        isAdmitted = try reader.flag()
        isInLedger = try reader.flag()
        isUnix = try reader.flag()
        isOwnUser = try reader.flag()
        address = try reader.text()
        port = try reader.number()
        localAddress = try reader.text()
        localPort = try reader.number()
        peerProcessID = try reader.number()
        peerUserID = try reader.number()
        parameters = try reader.parameters()
        let environmentCount: UInt32 = try reader.number()
        guard Int(environmentCount) <= bytes.count else { throw .truncated }
        for _ in 0..<environmentCount { environments.append(try reader.parameters()) }
        let statementCount: UInt32 = try reader.number()
        guard Int(statementCount) <= bytes.count else { throw .truncated }
        for _ in 0..<statementCount { statements.append(try MovedStatement(&reader)) }
        input = reader.rest()
    }
}

/// A prepared statement of a client that moves.
public struct MovedStatement: Equatable, Sendable {
    /// What the client calls it; `nil` for its unnamed statement.
    public var name: [UInt8]?
    public var hash: Hash128
    /// What follows the name in its Parse message.
    public var body: [UInt8]
    /// Which parameters it was first parsed under, as a number that means the same in every worker.
    public var environment: UInt64

    /// A statement from its parts.
    public init(name: [UInt8]?, hash: Hash128, body: [UInt8], environment: UInt64) {
        self.name = name
        self.hash = hash
        self.body = body
        self.environment = environment
    }

    fileprivate func append(to output: inout ByteBuffer) {
        output.append(flag: name != nil)
        output.append(text: name ?? [])
        output.append(bigEndian: hash.low)
        output.append(bigEndian: hash.high)
        output.append(bigEndian: environment)
        output.append(text: body)
    }

    fileprivate init(_ reader: inout RecordReader) throws(ControlError) {
        let isNamed = try reader.flag()
        let name = try reader.text()
        let low: UInt64 = try reader.number()
        let hash = Hash128(low: low, high: try reader.number())
        let environment: UInt64 = try reader.number()
        self.init(name: isNamed ? name : nil, hash: hash, body: try reader.text(), environment: environment)
    }
}
