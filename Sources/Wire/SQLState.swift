/// The five characters that name a kind of error (PostgreSQL documentation, appendix A).
@frozen
public struct SQLState: BitwiseCopyable, Hashable, Sendable {
    /// The characters, first in the lowest byte.
    public let packed: UInt64

    /// A state from five characters.
    ///
    /// - Precondition: there are five, each a digit or an upper-case letter.
    public init(_ text: StaticString) {
        precondition(text.utf8CodeUnitCount == 5, "a SQLSTATE has five characters")
        let bytes = unsafe UnsafeRawBufferPointer(start: text.utf8Start, count: 5)
        guard let state = unsafe SQLState(RawSpan(_unsafeBytes: bytes)) else {
            preconditionFailure("a SQLSTATE consists of digits and upper-case letters")
        }
        self = state
    }

    /// A state from bytes that somebody sent, or `nil` when they are none.
    public init?(_ bytes: RawSpan) {
        guard bytes.byteCount == 5 else { return nil }
        var packed: UInt64 = 0
        for offset in 0..<5 {
            let byte = unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            guard SQLState.allows(byte) else { return nil }
            packed |= UInt64(byte) << UInt64(offset * 8)
        }
        self.packed = packed
    }

    /// The characters as text.
    public var text: String { String(decoding: (0..<5).map { self[$0] }, as: UTF8.self) }

    /// One character.
    public subscript(_ index: Int) -> UInt8 { UInt8(truncatingIfNeeded: packed >> UInt64(index * 8)) }

    private static func allows(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
    }
}

extension SQLState {
    /// 00000: successful completion.
    public static var successfulCompletion: SQLState { SQLState("00000") }
    /// 08006: connection failure.
    public static var connectionFailure: SQLState { SQLState("08006") }
    /// 08P01: protocol violation.
    public static var protocolViolation: SQLState { SQLState("08P01") }
    /// 0A000: feature not supported.
    public static var featureNotSupported: SQLState { SQLState("0A000") }
    /// 22023: invalid parameter value.
    public static var invalidParameterValue: SQLState { SQLState("22023") }
    /// 25P01: no active transaction.
    public static var noActiveTransaction: SQLState { SQLState("25P01") }
    /// 25P02: failed transaction.
    public static var failedTransaction: SQLState { SQLState("25P02") }
    /// 25P03: idle in transaction timeout.
    public static var idleInTransactionTimeout: SQLState { SQLState("25P03") }
    /// 25P04: transaction timeout.
    public static var transactionTimeout: SQLState { SQLState("25P04") }
    /// 26000: invalid statement name.
    public static var invalidStatementName: SQLState { SQLState("26000") }
    /// 28000: invalid authorization.
    public static var invalidAuthorization: SQLState { SQLState("28000") }
    /// 28P01: invalid password.
    public static var invalidPassword: SQLState { SQLState("28P01") }
    /// 34000: invalid cursor name.
    public static var invalidCursorName: SQLState { SQLState("34000") }
    /// 3D000: invalid catalog name.
    public static var invalidCatalogName: SQLState { SQLState("3D000") }
    /// 42601: syntax error.
    public static var syntaxError: SQLState { SQLState("42601") }
    /// 42704: undefined object.
    public static var undefinedObject: SQLState { SQLState("42704") }
    /// 42P03: duplicate cursor.
    public static var duplicateCursor: SQLState { SQLState("42P03") }
    /// 42P05: duplicate prepared statement.
    public static var duplicatePreparedStatement: SQLState { SQLState("42P05") }
    /// 53000: insufficient resources.
    public static var insufficientResources: SQLState { SQLState("53000") }
    /// 53200: out of memory.
    public static var outOfMemory: SQLState { SQLState("53200") }
    /// 53300: too many connections.
    public static var tooManyConnections: SQLState { SQLState("53300") }
    /// 54000: program limit exceeded.
    public static var programLimitExceeded: SQLState { SQLState("54000") }
    /// 55000: object not in prerequisite state.
    public static var objectNotInPrerequisiteState: SQLState { SQLState("55000") }
    /// 57014: query canceled.
    public static var queryCanceled: SQLState { SQLState("57014") }
    /// 57P01: admin shutdown.
    public static var adminShutdown: SQLState { SQLState("57P01") }
    /// 57P02: crash shutdown.
    public static var crashShutdown: SQLState { SQLState("57P02") }
    /// 57P03: cannot connect now.
    public static var cannotConnectNow: SQLState { SQLState("57P03") }
    /// 57P04: database dropped.
    public static var databaseDropped: SQLState { SQLState("57P04") }
    /// 57P05: idle session timeout.
    public static var idleSessionTimeout: SQLState { SQLState("57P05") }
    /// F0000: configuration file error.
    public static var configurationFileError: SQLState { SQLState("F0000") }
    /// XX000: internal error.
    public static var internalError: SQLState { SQLState("XX000") }
}
