public import Base

/// One datagram between workers.
public enum InboxMessage: Equatable, Sendable {
    /// Somebody presented this cancel key, process id and secret as in the cancel request. Whoever knows it
    /// acts.
    ///
    /// - Parameters:
    ///   - timeToLive: how often it may still be passed on.
    ///   - sender: the index of the worker that asks, and is to be answered.
    ///   - ticket: what the answer has to name; the sender alone knows what it means.
    case cancel(key: [UInt8], timeToLive: UInt8, sender: UInt16, ticket: UInt64)
    /// The answer to `cancel`: PostgreSQL has the request, or there is nothing to cancel here.
    ///
    /// - Parameter isFound: the key was one of this worker's, so no other answer matters.
    case cancelAnswer(ticket: UInt64, isFound: Bool)

    /// A client is dropping this database of PostgreSQL's: nobody must stay connected to it.
    case drop(database: [UInt8])

    /// A server for the receiver's clients; its descriptor comes with the message.
    case lend(LentServer)
    /// Somebody waits at the worker `by` for a server of this pool, and the receiver has a free one.
    case wanted(LedgerPool, by: UInt16)
    /// Somebody logs in at the worker `by` to a pool of which that does not know what clients are welcomed
    /// with.
    case welcomeWanted(LedgerPool, by: UInt16)
    /// What clients of a pool are welcomed with.
    case welcome(PoolDescription)
    /// A limit is full for the worker `by`, and a free server of this pool at the receiver counts in it: it
    /// is to be closed.
    case evict(LedgerPool, by: UInt16)
    /// A server has been closed that counted in a limit for which somebody waits at the receiver, or a server
    /// that the receiver wanted is not free any more: it is to try again.
    case freed
    /// A client that has just been accepted, for the receiver to serve; its descriptor comes with the
    /// message.
    case accepted
    /// A client for the receiver to go on serving: the bytes of a `MovedClient`. Its descriptor comes with
    /// the message.
    case move(record: [UInt8])
    /// The same with a record too long for a message: a memory file of so many bytes comes behind the
    /// client's descriptor.
    case moveAttached(byteCount: UInt64)
    /// A client for the receiver to go on serving with its server: the bytes of a `MovedSession`. The
    /// descriptors of both come with the message, the client's first.
    case moveSession(record: [UInt8])
    /// The same with a record too long for a message: a memory file of so many bytes comes behind the
    /// descriptors.
    case moveSessionAttached(byteCount: UInt64)

    private static let cancelKind: UInt8 = 1
    private static let cancelAnswerKind: UInt8 = 2
    private static let dropKind: UInt8 = 3
    private static let lendKind: UInt8 = 4
    private static let wantedKind: UInt8 = 5
    private static let evictKind: UInt8 = 6
    private static let freedKind: UInt8 = 7
    private static let welcomeWantedKind: UInt8 = 8
    private static let welcomeKind: UInt8 = 9
    private static let acceptedKind: UInt8 = 10
    private static let moveKind: UInt8 = 11
    private static let moveAttachedKind: UInt8 = 12
    private static let moveSessionKind: UInt8 = 13
    private static let moveSessionAttachedKind: UInt8 = 14

    /// Appends the message as one record of at most 60 KiB.
    ///
    /// - Parameter incarnation: of the worker that is to receive it; a successor ignores what was meant for
    ///   its   predecessor.
    public func encode(incarnation: UInt64, into buffer: inout ByteBuffer) throws(ControlError) {
        var writer = FieldWriter(kind: kind)
        writer.add(.incarnation, incarnation)
        switch self {
        case .cancel(let key, let timeToLive, let sender, let ticket):
            writer.add(.cancelKey, key)
            writer.add(.timeToLive, UInt64(timeToLive))
            writer.add(.sender, UInt64(sender))
            writer.add(.ticket, ticket)
        case .cancelAnswer(let ticket, let isFound):
            writer.add(.ticket, ticket)
            writer.add(.isFound, isFound ? 1 : 0)
        case .drop(let database):
            writer.add(.payload, database)
        case .lend(let server):
            let record = server.encoded()
            guard record.count < FieldWriter.recordLimit else { throw .tooLong }
            writer.add(.payload, record)
        case .wanted(let pool, let asker), .welcomeWanted(let pool, let asker), .evict(let pool, let asker):
            writer.add(.pool, UInt64(pool.index))
            writer.add(.sender, UInt64(asker))
        case .welcome(let pool):
            let record = pool.encoded()
            guard record.count < FieldWriter.recordLimit else { throw .tooLong }
            writer.add(.payload, record)
        case .move(let record), .moveSession(let record):
            guard record.count < FieldWriter.recordLimit else { throw .tooLong }
            writer.add(.payload, record)
        case .moveAttached(let byteCount), .moveSessionAttached(let byteCount):
            writer.add(.byteCount, byteCount)
        case .freed, .accepted:
            break
        }
        try writer.finish(into: &buffer)
    }

    private var kind: UInt8 {
        switch self {
        case .cancel: InboxMessage.cancelKind
        case .cancelAnswer: InboxMessage.cancelAnswerKind
        case .drop: InboxMessage.dropKind
        case .lend: InboxMessage.lendKind
        case .wanted: InboxMessage.wantedKind
        case .evict: InboxMessage.evictKind
        case .freed: InboxMessage.freedKind
        case .welcomeWanted: InboxMessage.welcomeWantedKind
        case .welcome: InboxMessage.welcomeKind
        case .accepted: InboxMessage.acceptedKind
        case .move: InboxMessage.moveKind
        case .moveAttached: InboxMessage.moveAttachedKind
        case .moveSession: InboxMessage.moveSessionKind
        case .moveSessionAttached: InboxMessage.moveSessionAttachedKind
        }
    }

    /// The message in one record, and the incarnation it is meant for.
    public static func decode(
        _ record: RawSpan
    ) throws(ControlError) -> (incarnation: UInt64, message: InboxMessage) {
        let reader = try FieldReader(record)
        let message: InboxMessage
        switch reader.kind {
        case InboxMessage.cancelKind:
            message = .cancel(
                key: try reader.bytes(.cancelKey), timeToLive: try reader.number(.timeToLive, as: UInt8.self),
                sender: try reader.number(.sender, as: UInt16.self), ticket: try reader.number(.ticket))
        case InboxMessage.cancelAnswerKind:
            message = .cancelAnswer(
                ticket: try reader.number(.ticket),
                isFound: try reader.number(.isFound, as: UInt8.self) != 0)
        case InboxMessage.dropKind:
            message = .drop(database: try reader.bytes(.payload))
        case InboxMessage.lendKind:
            message = .lend(try LentServer(decoding: try reader.bytes(.payload)))
        case InboxMessage.wantedKind:
            message = .wanted(
                LedgerPool(index: try reader.number(.pool, as: Int32.self)),
                by: try reader.number(.sender, as: UInt16.self))
        case InboxMessage.welcomeWantedKind:
            message = .welcomeWanted(
                LedgerPool(index: try reader.number(.pool, as: Int32.self)),
                by: try reader.number(.sender, as: UInt16.self))
        case InboxMessage.welcomeKind:
            message = .welcome(try PoolDescription(decoding: try reader.bytes(.payload)))
        case InboxMessage.evictKind:
            message = .evict(
                LedgerPool(index: try reader.number(.pool, as: Int32.self)),
                by: try reader.number(.sender, as: UInt16.self))
        case InboxMessage.freedKind:
            message = .freed
        case InboxMessage.acceptedKind:
            message = .accepted
        case InboxMessage.moveKind:
            message = .move(record: try reader.bytes(.payload))
        case InboxMessage.moveAttachedKind:
            message = .moveAttached(byteCount: try reader.number(.byteCount))
        case InboxMessage.moveSessionKind:
            message = .moveSession(record: try reader.bytes(.payload))
        case InboxMessage.moveSessionAttachedKind:
            message = .moveSessionAttached(byteCount: try reader.number(.byteCount))
        default:
            throw .unknownMessage(kind: reader.kind)
        }
        return (try reader.number(.incarnation), message)
    }
}
