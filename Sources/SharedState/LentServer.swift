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
    /// The last order the sender has obeyed: who has obeyed later ones cannot use this server.
    public var epoch: UInt64
    public var database: [UInt8]
    public var user: [UInt8]
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
    /// Its tracked parameters.
    public var parameters: [Parameter]
    /// What the pool's clients are welcomed with: tracked parameters, and the others as messages.
    public var welcomeParameters: [Parameter]
    public var welcomeMessages: [UInt8]
    /// What is prepared on it, least recently used first.
    public var statements: [Hash128]

    /// A server of a pool, without anything that may be left out.
    public init(sender: UInt16, ticket: TransferTicket, epoch: UInt64, database: [UInt8], user: [UInt8]) {
        self.sender = sender
        self.ticket = ticket
        self.epoch = epoch
        self.database = database
        self.user = user
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
        parameters = []
        welcomeParameters = []
        welcomeMessages = []
        statements = []
    }

    /// The record's bytes.
    func encoded() -> [UInt8] {
        var output = ByteBuffer(capacity: 2048)
        output.append(bigEndian: sender)
        output.append(ticket.slot)
        output.append(bigEndian: ticket.token)
        for number in [epoch, id, connectedAt, connectedAtWall, lastActivity] {
            output.append(bigEndian: number)
        }
        output.append(bigEndian: processID)
        output.append(bigEndian: secret)
        output.append(bigEndian: host)
        output.append(UInt8(isUsed ? 1 : 0) | (isFresh ? 2 : 0))
        output.append(bigEndian: remotePort)
        output.append(bigEndian: localPort)
        for text in [database, user, remote, local, welcomeMessages] { LentServer.append(text, &output) }
        for list in [parameters, welcomeParameters] {
            output.append(bigEndian: UInt16(list.count))
            for parameter in list {
                LentServer.append(parameter.name, &output)
                LentServer.append(parameter.value, &output)
            }
        }
        output.append(bigEndian: UInt32(statements.count))
        for statement in statements {
            output.append(bigEndian: statement.low)
            output.append(bigEndian: statement.high)
        }
        return unsafe output.bytes.withUnsafeBytes { unsafe Array($0) }
    }

    private static func append(_ text: [UInt8], _ output: inout ByteBuffer) {
        output.append(bigEndian: UInt32(text.count))
        output.append(text)
    }

    /// The record in these bytes.
    init(decoding bytes: [UInt8]) throws(ControlError) {
        var reader = RecordReader(bytes)
        let sender: UInt16 = try reader.number()
        let slot: UInt8 = try reader.number()
        let token: UInt64 = try reader.number()
        self.init(
            sender: sender, ticket: TransferTicket(slot: slot, token: token), epoch: try reader.number(),
            database: [], user: [])
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
        database = try reader.text()
        user = try reader.text()
        remote = try reader.text()
        local = try reader.text()
        welcomeMessages = try reader.text()
        parameters = try reader.parameters()
        welcomeParameters = try reader.parameters()
        let count: UInt32 = try reader.number()
        guard Int(count) <= bytes.count / 16 else { throw .truncated }
        for _ in 0..<count {
            let low: UInt64 = try reader.number()
            statements.append(Hash128(low: low, high: try reader.number()))
        }
    }
}

/// Reads a record's numbers and texts in order.
private struct RecordReader {
    private let bytes: [UInt8]
    private var offset = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func number<Number: FixedWidthInteger>() throws(ControlError) -> Number {
        let size = Number.bitWidth / 8
        guard bytes.count - offset >= size else { throw .truncated }
        var number: Number = 0
        for index in 0..<size {
            number =
                Number(truncatingIfNeeded: UInt64(truncatingIfNeeded: number) << 8)
                | Number(truncatingIfNeeded: bytes[offset + index])
        }
        offset += size
        return number
    }

    mutating func text() throws(ControlError) -> [UInt8] {
        let count: UInt32 = try number()
        guard bytes.count - offset >= Int(count) else { throw .truncated }
        defer { offset += Int(count) }
        return Array(bytes[offset..<(offset + Int(count))])
    }

    mutating func parameters() throws(ControlError) -> [Parameter] {
        let count: UInt16 = try number()
        var result: [Parameter] = []
        for _ in 0..<count { result.append(Parameter(name: try text(), value: try text())) }
        return result
    }
}
