/// Types of the messages that a client sends.
///
/// The types are plain bytes, because any byte may arrive.
public enum FrontendMessage {
    /// Query: a text with one or more statements.
    @inlinable
    public static var query: UInt8 { UInt8(ascii: "Q") }
    /// Parse: prepares a statement.
    @inlinable
    public static var parse: UInt8 { UInt8(ascii: "P") }
    /// Bind: makes a portal of a prepared statement and parameters.
    @inlinable
    public static var bind: UInt8 { UInt8(ascii: "B") }
    /// Describe: asks for the shape of a statement or portal.
    @inlinable
    public static var describe: UInt8 { UInt8(ascii: "D") }
    /// Execute: runs a portal.
    @inlinable
    public static var execute: UInt8 { UInt8(ascii: "E") }
    /// Close: forgets a statement or portal.
    @inlinable
    public static var close: UInt8 { UInt8(ascii: "C") }
    /// Sync: ends a series of extended-protocol messages.
    @inlinable
    public static var sync: UInt8 { UInt8(ascii: "S") }
    /// Flush: asks for the answers so far.
    @inlinable
    public static var flush: UInt8 { UInt8(ascii: "H") }
    /// FunctionCall: the old fast path.
    @inlinable
    public static var functionCall: UInt8 { UInt8(ascii: "F") }
    /// CopyData: a piece of a copy.
    @inlinable
    public static var copyData: UInt8 { UInt8(ascii: "d") }
    /// CopyDone: the end of a copy.
    @inlinable
    public static var copyDone: UInt8 { UInt8(ascii: "c") }
    /// CopyFail: a copy that the client gives up.
    @inlinable
    public static var copyFail: UInt8 { UInt8(ascii: "f") }
    /// PasswordMessage, SASLInitialResponse, SASLResponse and GSSResponse share this type; what was asked
    /// for last tells which one it is.
    @inlinable
    public static var password: UInt8 { UInt8(ascii: "p") }
    /// Terminate: the client says goodbye.
    @inlinable
    public static var terminate: UInt8 { UInt8(ascii: "X") }
}
