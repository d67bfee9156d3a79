public import Base

/// How grave an error or notice is.
public enum Severity: Equatable, Sendable {
    /// The statement failed; the connection goes on.
    case error
    /// The connection ends with this message.
    case fatal
    /// Something to look at; nothing failed.
    case warning
    /// Something to know.
    case notice

    /// The word in the message.
    var text: StaticString {
        switch self {
        case .error: "ERROR"
        case .fatal: "FATAL"
        case .warning: "WARNING"
        case .notice: "NOTICE"
        }
    }
}

/// ErrorResponse and NoticeResponse.
extension ByteBuffer {
    /// ErrorResponse with the fields S, V, C, M and, when given, D and H.
    public mutating func appendErrorResponse(
        _ severity: Severity, _ sqlState: SQLState, _ message: String, detail: String? = nil,
        hint: String? = nil
    ) {
        appendReport(BackendMessage.errorResponse, severity, sqlState, message, detail, hint)
    }

    /// ErrorResponse for an error of ours.
    public mutating func appendErrorResponse(_ error: ClientError) {
        appendErrorResponse(error.closesConnection ? .fatal : .error, error.sqlState, error.message)
    }

    /// NoticeResponse with the fields S, V, C, M and, when given, D and H.
    public mutating func appendNoticeResponse(
        _ severity: Severity, _ sqlState: SQLState, _ message: String, detail: String? = nil,
        hint: String? = nil
    ) {
        appendReport(BackendMessage.noticeResponse, severity, sqlState, message, detail, hint)
    }

    private mutating func appendReport(
        _ type: UInt8, _ severity: Severity, _ sqlState: SQLState, _ message: String, _ detail: String?,
        _ hint: String?
    ) {
        let offset = beginMessage(type)
        append(UInt8(ascii: "S"))
        appendCString(severity.text)
        append(UInt8(ascii: "V"))
        appendCString(severity.text)
        append(UInt8(ascii: "C"))
        for index in 0..<5 { append(sqlState[index]) }
        append(0)
        append(UInt8(ascii: "M"))
        appendCString(message)
        if let detail {
            append(UInt8(ascii: "D"))
            appendCString(detail)
        }
        if let hint {
            append(UInt8(ascii: "H"))
            appendCString(hint)
        }
        append(0)
        endMessage(at: offset)
    }
}
