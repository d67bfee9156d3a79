/// The fields of an ErrorResponse or NoticeResponse that we look at, borrowed from its body.
///
/// Fields that are absent are empty. The body may come from anywhere and is not trusted.
public struct ErrorFields: ~Escapable {
    /// S: the severity in the server's language.
    public private(set) var localizedSeverity: RawSpan
    /// V: the severity in English; absent before PostgreSQL 9.6.
    public private(set) var severity: RawSpan
    /// C: the five characters of the SQLSTATE; see `sqlState`.
    public private(set) var code: RawSpan
    /// M: the text.
    public private(set) var message: RawSpan
    /// D: a second text.
    public private(set) var detail: RawSpan
    /// H: what to do about it.
    public private(set) var hint: RawSpan

    /// Reads the body of the message.
    @_lifetime(copy body)
    public init(_ body: RawSpan) throws(WireError) {
        let absent = body.extracting(0..<0)
        localizedSeverity = absent
        severity = absent
        code = absent
        message = absent
        detail = absent
        hint = absent
        var reader = MessageReader(body)
        while true {
            let field = try reader.readUInt8()
            if field == 0 { break }
            let value = try reader.readCString()
            switch field {
            case UInt8(ascii: "S"): localizedSeverity = value
            case UInt8(ascii: "V"): severity = value
            case UInt8(ascii: "C"): code = value
            case UInt8(ascii: "M"): message = value
            case UInt8(ascii: "D"): detail = value
            case UInt8(ascii: "H"): hint = value
            default: break
            }
        }
        try reader.expectEnd()
    }

    /// The SQLSTATE, or `nil` when it is none.
    public var sqlState: SQLState? { SQLState(code) }

    /// Whether the sender closes the connection: FATAL or PANIC.
    public var closesConnection: Bool {
        let word = severity.byteCount > 0 ? severity : localizedSeverity
        return word.byteCount == 5 && (word.equals("FATAL") || word.equals("PANIC"))
    }
}
