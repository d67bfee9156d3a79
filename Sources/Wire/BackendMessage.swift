/// Types of the messages that a server sends.
///
/// The types are plain bytes, because any byte may arrive.
public enum BackendMessage {
    /// Authentication…: what the client has to prove, or that it has.
    @inlinable
    public static var authentication: UInt8 { UInt8(ascii: "R") }
    /// BackendKeyData: what a cancel request has to name.
    @inlinable
    public static var backendKeyData: UInt8 { UInt8(ascii: "K") }
    /// ParameterStatus: the value of a parameter.
    @inlinable
    public static var parameterStatus: UInt8 { UInt8(ascii: "S") }
    /// ReadyForQuery: the end of a cycle, with the transaction status.
    @inlinable
    public static var readyForQuery: UInt8 { UInt8(ascii: "Z") }
    /// ErrorResponse.
    @inlinable
    public static var errorResponse: UInt8 { UInt8(ascii: "E") }
    /// NoticeResponse.
    @inlinable
    public static var noticeResponse: UInt8 { UInt8(ascii: "N") }
    /// NotificationResponse: somebody notified a channel that is listened to.
    @inlinable
    public static var notificationResponse: UInt8 { UInt8(ascii: "A") }
    /// NegotiateProtocolVersion: the newest version and the options that are not known.
    @inlinable
    public static var negotiateProtocolVersion: UInt8 { UInt8(ascii: "v") }
    /// CommandComplete: the end of a statement, with its tag.
    @inlinable
    public static var commandComplete: UInt8 { UInt8(ascii: "C") }
    /// EmptyQueryResponse: the answer to an empty query text.
    @inlinable
    public static var emptyQueryResponse: UInt8 { UInt8(ascii: "I") }
    /// RowDescription: names and types of the columns that follow.
    @inlinable
    public static var rowDescription: UInt8 { UInt8(ascii: "T") }
    /// DataRow: one row.
    @inlinable
    public static var dataRow: UInt8 { UInt8(ascii: "D") }
    /// NoData: a statement that returns no rows was described.
    @inlinable
    public static var noData: UInt8 { UInt8(ascii: "n") }
    /// ParameterDescription: the types of a statement's parameters.
    @inlinable
    public static var parameterDescription: UInt8 { UInt8(ascii: "t") }
    /// ParseComplete.
    @inlinable
    public static var parseComplete: UInt8 { UInt8(ascii: "1") }
    /// BindComplete.
    @inlinable
    public static var bindComplete: UInt8 { UInt8(ascii: "2") }
    /// CloseComplete.
    @inlinable
    public static var closeComplete: UInt8 { UInt8(ascii: "3") }
    /// PortalSuspended: the row limit of an Execute was reached.
    @inlinable
    public static var portalSuspended: UInt8 { UInt8(ascii: "s") }
    /// CopyInResponse: the server waits for copy data.
    @inlinable
    public static var copyInResponse: UInt8 { UInt8(ascii: "G") }
    /// CopyOutResponse: copy data follow.
    @inlinable
    public static var copyOutResponse: UInt8 { UInt8(ascii: "H") }
    /// CopyBothResponse: both sides send copy data (replication).
    @inlinable
    public static var copyBothResponse: UInt8 { UInt8(ascii: "W") }
    /// CopyData: a piece of a copy.
    @inlinable
    public static var copyData: UInt8 { UInt8(ascii: "d") }
    /// CopyDone: the end of a copy.
    @inlinable
    public static var copyDone: UInt8 { UInt8(ascii: "c") }
    /// FunctionCallResponse: the result of the old fast path.
    @inlinable
    public static var functionCallResponse: UInt8 { UInt8(ascii: "V") }
}
