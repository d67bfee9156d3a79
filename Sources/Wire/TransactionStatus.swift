/// Where a session stands with its transaction, as ReadyForQuery says.
@frozen
public enum TransactionStatus: UInt8, BitwiseCopyable, Sendable {
    /// `I`: no transaction is open.
    case idle = 0x49
    /// `T`: inside a transaction block.
    case inTransaction = 0x54
    /// `E`: inside a transaction block that failed and waits for its end.
    case failed = 0x45

    /// Reads the body of a ReadyForQuery.
    public static func read(_ body: RawSpan) throws(WireError) -> TransactionStatus {
        var reader = MessageReader(body)
        let byte = try reader.readUInt8()
        try reader.expectEnd()
        guard let status = TransactionStatus(rawValue: byte) else { throw .invalidValue }
        return status
    }
}
