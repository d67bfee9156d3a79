public import SharedState
import Wire

/// Rows that workers and the supervisor itself sent for one SHOW.
public struct CollectedRows {
    /// The workers whose answer did not come in time.
    public var missingWorkers: [Int] = []
    /// `listen_port`, shown as the console's own.
    public let listenPort: Int
    /// All console sessions. Workers do not count theirs as clients of a pool or a database.
    public let sessionCount: Int
    /// How many `addControlSession` added.
    private(set) var controlSessionCount = 0
    /// What the supervisor knows of each worker.
    public var workers: [WorkerFacts] = []
    private var sources: [RowsKind: [[UInt8]]] = [:]

    /// No rows yet.
    public init(listenPort: Int, sessionCount: Int) {
        self.listenPort = listenPort
        self.sessionCount = sessionCount
    }

    /// Adds rows as `RowWriter` made them.
    public mutating func add(_ kind: RowsKind, _ rows: [UInt8]) {
        guard !rows.isEmpty else { return }
        sources[kind, default: []].append(rows)
    }

    /// Adds a console session that came over the control socket, so that no worker knows it.
    ///
    /// - Parameters:
    ///   - id: from the counter that clients and servers share.
    ///   - connectedMicroseconds: since 1970.
    ///   - requestedMicroseconds: when its last command arrived, since 1970.
    ///   - peerPid: the process at the other end.
    public mutating func addControlSession(
        id: UInt64, connectedMicroseconds: UInt64, requestedMicroseconds: UInt64, peerPid: Int32
    ) {
        controlSessionCount += 1
        let name = ConsoleSession.databaseName
        let port = String(listenPort)
        var writer = RowWriter(capacity: 512)
        writer.beginRow(fieldCount: RowsKind.clients.columns.count)
        for field in ["C", name, name, "none", "active", "unix", port, "unix", port] { writer.append(field) }
        writer.append(connectedMicroseconds)
        writer.append(requestedMicroseconds)
        for field in ["0", "0", "0", "C-\(id)", ""] { writer.append(field) }
        writer.append(peerPid)
        for field in ["", "", "0"] { writer.append(field) }
        writer.append(id)
        add(.clients, writer.bytes.array)
    }

    /// All rows of a kind, in the order they came, and how many answers made no sense from some row on.
    func rows(_ kind: RowsKind, fieldCount: Int) -> (rows: [[[UInt8]?]], badSources: Int) {
        var result: [[[UInt8]?]] = []
        var badSources = 0
        for source in sources[kind] ?? [] {
            var reader = unsafe RowReader(source.span.bytes)
            do throws(ControlError) {
                while let row = try reader.next() {
                    guard row.count == fieldCount else { throw .truncated }
                    result.append(row)
                }
            } catch {
                badSources += 1
            }
        }
        return (result, badSources)
    }
}
