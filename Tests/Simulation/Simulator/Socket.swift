import Base
import PoolCore

/// Bytes in the order in which they were put in.
struct ByteQueue {
    private var bytes: [UInt8] = []
    private var start = 0

    var count: Int { bytes.count - start }
    var isEmpty: Bool { start == bytes.count }

    mutating func append(_ more: [UInt8]) {
        if isEmpty {
            bytes = more
            start = 0
        } else {
            bytes += more
        }
    }

    mutating func take(_ count: Int) -> [UInt8] {
        if start == 0, count == bytes.count {
            defer { bytes = [] }
            return bytes
        }
        defer { start += count }
        return Array(bytes[start..<(start + count)])
    }

    /// Forgets all but so many of the first bytes.
    mutating func truncate(to count: Int) {
        guard count < self.count else { return }
        bytes.removeSubrange((start + count)...)
    }

    mutating func removeAll() {
        bytes = []
        start = 0
    }
}

/// How one side of a connection has ended.
enum Ending { case closed, reset }

/// Whoever is at the other end of a connection of the worker's.
protocol FarEnd: AnyObject {
    /// Bytes of the worker's have arrived.
    func received(_ bytes: [UInt8])
    /// The worker has closed the connection.
    func ended(_ ending: Ending)
    /// It does not read for now.
    var isStalled: Bool { get }
    /// The network has room for more of its bytes.
    func roomCame()
}

/// A connection as the worker has it, and the network between it and the far end.
final class Socket {
    enum State { case open, flushing, closed }

    let id: ConnectionID
    var state = State.open
    /// Whose bytes these are; nil until the core has said so.
    var peer: Peer?
    unowned let far: any FarEnd
    /// Whose it is.
    var worker: Worker
    /// It is to be handed to another worker; the message with it is on its way.
    var isDetaching = false
    var isPassed = false

    // From the far end.
    var incoming = ByteQueue()
    var incomingEnd: Ending?
    var isArriving = false

    // What the worker keeps of it.
    var held: [UInt8] = []
    var needed = 0
    var isHeld = false
    var isPaused = false
    var isResumed = false

    // What the worker has to send.
    var queued = ByteQueue()
    var isSending = false
    var waitsForRoom = false
    var isDirty = false
    var isWriteShut = false
    var blocks: Socket?

    // To the far end.
    var outgoing = ByteQueue()
    var outgoingEnd: Ending?
    var isDeparting = false

    init(_ id: ConnectionID, _ far: any FarEnd, _ worker: Worker) {
        self.id = id
        self.worker = worker
        self.far = far
    }
}
