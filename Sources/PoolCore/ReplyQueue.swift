import Base

/// What a server owes for one message sent to it.
struct Reply: BitwiseCopyable {
    /// The message that is to be answered.
    enum Kind: UInt8, BitwiseCopyable {
        case query, parse, bind, describe, execute, close, sync, functionCall
        /// CopyDone or CopyFail: not answered by itself, removed by the end of the COPY.
        case copyEnd
    }

    /// What becomes of the answer.
    enum Fate: UInt8, BitwiseCopyable {
        /// It goes to the client.
        case forward
        /// We asked; nobody else hears of it.
        case swallow
        /// The server was never asked: the answer is made here when all before it have been given.
        case synthesise
    }

    var kind: Kind
    var fate: Fate
    /// The client's mapping that was made (parse) or removed (close) when the message was read, to be undone
    /// if the server never gets to it.
    var isClientMapping = false
    /// The statement meant: registered on the server by ParseComplete, forgotten by CloseComplete. 0: none.
    var statement: UInt32 = 0
    /// The client's name of it in the byte pool, to put back into an error text. 0: none.
    var name: UInt32 = 0
    /// The client's name of it, hashed; 0 for the unnamed one.
    var nameHash: UInt64 = 0
    /// The `Server.syncGroup` it was sent in; noted for what ends in ReadyForQuery and for what prepares.
    var group: UInt32 = 0

    /// The message changed its client's unnamed statement; the rest is about what was before.
    var changesUnnamed = false
    /// The server's unnamed statement was the client's own.
    var hadUnnamedOnServer = false
    /// Which change it was of its client's, by `Client.unnamedSerial`.
    var serial: UInt32 = 0
    /// The client's unnamed statement before, or 0. It comes back if PostgreSQL skips the message.
    var unnamed: UInt32 = 0

    /// ReadyForQuery belongs to it.
    var endsGroup: Bool { kind == .sync || kind == .query || kind == .functionCall }

    init(_ kind: Kind, _ fate: Fate) {
        self.kind = kind
        self.fate = fate
    }
}

/// One piece of a reply queue.
struct ReplyChunk: BitwiseCopyable {
    static let capacity = 8
    var replies = InlineArray<8, Reply>(repeating: Reply(.query, .forward))
    var next: Handle<ReplyChunk> = .none
}

/// The replies a server owes, oldest first, in chunks that are shared by all servers.
///
/// An empty queue holds no chunk.
struct ReplyQueue: BitwiseCopyable {
    private var firstChunk: Handle<ReplyChunk> = .none
    private var lastChunk: Handle<ReplyChunk> = .none
    private var firstOffset: Int32 = 0
    private var endOffset: Int32 = 0
    /// How many replies are owed.
    private(set) var count: Int32 = 0

    init() {}

    var isEmpty: Bool { count == 0 }

    /// Adds a reply at the end. Answers false when the chunks are used up.
    mutating func append(_ reply: Reply, in chunks: inout Slab<ReplyChunk>) -> Bool {
        if lastChunk.isNone || endOffset == ReplyChunk.capacity {
            guard let chunk = chunks.insert(ReplyChunk()) else { return false }
            if lastChunk.isNone {
                firstChunk = chunk
                firstOffset = 0
            } else {
                chunks[lastChunk].next = chunk
            }
            lastChunk = chunk
            endOffset = 0
        }
        chunks[lastChunk].replies[Int(endOffset)] = reply
        endOffset &+= 1
        count &+= 1
        return true
    }

    /// The oldest reply.
    ///
    /// - Precondition: the queue is not empty.
    func first(in chunks: borrowing Slab<ReplyChunk>) -> Reply {
        precondition(count > 0, "only a queue that owes something has a first reply")
        return chunks[firstChunk].replies[Int(firstOffset)]
    }

    /// Removes the oldest reply.
    ///
    /// - Precondition: the queue is not empty.
    mutating func removeFirst(in chunks: inout Slab<ReplyChunk>) {
        precondition(count > 0, "only a queue that owes something can be served")
        firstOffset &+= 1
        count &-= 1
        if count == 0 {
            chunks.remove(firstChunk)
            self = ReplyQueue()
        } else if firstOffset == ReplyChunk.capacity {
            let done = firstChunk
            firstChunk = chunks[done].next
            firstOffset = 0
            chunks.remove(done)
        }
    }

    /// Shows all replies, oldest first, until `body` answers false. What it changes stays changed.
    func forEach(in chunks: inout Slab<ReplyChunk>, _ body: (inout Reply) -> Bool) {
        var chunk = firstChunk
        var offset = Int(firstOffset)
        for _ in 0..<count {
            if offset == ReplyChunk.capacity {
                chunk = chunks[chunk].next
                offset = 0
            }
            guard body(&chunks[chunk].replies[offset]) else { return }
            offset += 1
        }
    }

    /// All replies, oldest first: a copy, for the rare occasions that look at them together.
    func all(in chunks: borrowing Slab<ReplyChunk>) -> [Reply] {
        var result: [Reply] = []
        var chunk = firstChunk
        var offset = Int(firstOffset)
        for _ in 0..<count {
            if offset == ReplyChunk.capacity {
                chunk = chunks[chunk].next
                offset = 0
            }
            result.append(chunks[chunk].replies[offset])
            offset += 1
        }
        return result
    }
}
