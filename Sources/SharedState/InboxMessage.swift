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

    private static let cancelKind: UInt8 = 1
    private static let cancelAnswerKind: UInt8 = 2
    private static let dropKind: UInt8 = 3

    /// Appends the message as one record of at most 4 KiB.
    ///
    /// - Parameter incarnation: of the worker that is to receive it; a successor ignores what was meant for
    ///   its   predecessor.
    public func encode(incarnation: UInt64, into buffer: inout ByteBuffer) throws(ControlError) {
        switch self {
        case .cancel(let key, let timeToLive, let sender, let ticket):
            var writer = FieldWriter(kind: InboxMessage.cancelKind)
            writer.add(.incarnation, incarnation)
            writer.add(.cancelKey, key)
            writer.add(.timeToLive, UInt64(timeToLive))
            writer.add(.sender, UInt64(sender))
            writer.add(.ticket, ticket)
            try writer.finish(into: &buffer)
        case .cancelAnswer(let ticket, let isFound):
            var writer = FieldWriter(kind: InboxMessage.cancelAnswerKind)
            writer.add(.incarnation, incarnation)
            writer.add(.ticket, ticket)
            writer.add(.isFound, isFound ? 1 : 0)
            try writer.finish(into: &buffer)
        case .drop(let database):
            var writer = FieldWriter(kind: InboxMessage.dropKind)
            writer.add(.incarnation, incarnation)
            writer.add(.payload, database)
            try writer.finish(into: &buffer)
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
        default:
            throw .unknownMessage(kind: reader.kind)
        }
        return (try reader.number(.incarnation), message)
    }
}
