/// How a client broke the protocol after its startup packet.
public enum ProtocolFault: Error, Equatable, Sendable {
    /// A message of a type that clients do not send.
    case unknownMessage(type: UInt8)
    /// A message other than COPY data while PostgreSQL reads COPY data.
    case unexpectedInCopy(type: UInt8)
    /// A length that no message can have; carries the header in hexadecimal.
    case invalidHeader(hexadecimal: String)
    /// A message longer than `max_packet_size`.
    case messageTooLarge(byteCount: Int, limit: Int)
    /// A simple query where `disable_pqexec` forbids them.
    case queryDisallowed
    /// A message whose fields do not fit its length.
    case malformed(messageName: String)
    /// A message that must be whole in memory is not readable.
    case unreadable
    /// Requests without end: more answers are owed than are kept account of.
    case tooManyOutstanding(limit: Int)

    var report: ErrorReport {
        switch self {
        case .unknownMessage(let type):
            ErrorReport(.protocolViolation, "unknown pkt (type \(typeName(type)))")
        case .unexpectedInCopy(let type):
            ErrorReport(
                .protocolViolation,
                "unexpected message of type \(typeName(type)) during COPY from stdin;"
                    + " send CopyDone or CopyFail first")
        case .invalidHeader(let hexadecimal):
            ErrorReport(.protocolViolation, "bad packet header: '\(hexadecimal)'")
        case .messageTooLarge(let byteCount, let limit):
            ErrorReport(
                .programLimitExceeded,
                "message of \(byteCount) bytes is too long (max_packet_size is \(limit))")
        case .queryDisallowed: ErrorReport(.protocolViolation, "PQexec disallowed")
        case .malformed(let messageName):
            ErrorReport(.protocolViolation, "broken \(messageName) packet")
        case .unreadable: ErrorReport(.protocolViolation, "failed to parse packet")
        case .tooManyOutstanding(let limit):
            ErrorReport(.programLimitExceeded, "more than \(limit) requests without reading the answers")
        }
    }
}
