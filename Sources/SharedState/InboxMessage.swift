public import Base

/// One datagram between workers.
public enum InboxMessage: Equatable, Sendable {
    /// Somebody presented this cancel key, process id and secret as in the cancel request. Whoever knows it
    /// acts.
    ///
    /// - Parameter timeToLive: how often it may still be passed on.
    case cancel(key: [UInt8], timeToLive: UInt8)

    private static let cancelKind: UInt8 = 1

    /// Appends the message as one record of at most 4 KiB.
    ///
    /// - Parameter incarnation: of the worker that is to receive it; a successor ignores what was meant for
    ///   its   predecessor.
    public func encode(incarnation: UInt64, into buffer: inout ByteBuffer) throws(ControlError) {
        switch self {
        case .cancel(let key, let timeToLive):
            var writer = FieldWriter(kind: InboxMessage.cancelKind)
            writer.add(.incarnation, incarnation)
            writer.add(.cancelKey, key)
            writer.add(.timeToLive, UInt64(timeToLive))
            try writer.finish(into: &buffer)
        }
    }

    /// The message in one record, and the incarnation it is meant for.
    public static func decode(
        _ record: RawSpan
    ) throws(ControlError) -> (incarnation: UInt64, message: InboxMessage) {
        let reader = try FieldReader(record)
        guard reader.kind == InboxMessage.cancelKind else { throw .unknownMessage(kind: reader.kind) }
        let message = InboxMessage.cancel(
            key: try reader.bytes(.cancelKey), timeToLive: try reader.number(.timeToLive, as: UInt8.self))
        return (try reader.number(.incarnation), message)
    }
}
