public import Base

/// What a Describe or Close names.
@frozen
public enum StatementOrPortal: UInt8, BitwiseCopyable, Sendable {
    /// `S`: a prepared statement.
    case statement = 0x53
    /// `P`: a portal.
    case portal = 0x50
}

/// Messages that a client sends, for when we are the client of PostgreSQL.
extension ByteBuffer {
    /// The startup packet of protocol 3.`minor`, without parameters yet: append each with
    /// `appendStartupParameter`, then call `endStartupPacket` with what this returned.
    public mutating func beginStartupPacket(minor: Int = 0) -> Int {
        let packet = beginUntypedMessage()
        append(bigEndian: UInt32(0x3_0000 + minor))
        return packet
    }

    /// One parameter of a startup packet.
    public mutating func appendStartupParameter(_ name: StaticString, _ value: RawSpan) {
        appendCString(name)
        appendCString(value)
    }

    /// One parameter of a startup packet.
    public mutating func appendStartupParameter(_ name: RawSpan, _ value: RawSpan) {
        appendCString(name)
        appendCString(value)
    }

    /// Ends a startup packet.
    public mutating func endStartupPacket(at packet: Int) {
        append(0)
        endMessage(at: packet)
    }

    /// SSLRequest: the server answers with one byte, `S` or `N`.
    public mutating func appendSSLRequest() {
        let packet = beginUntypedMessage()
        append(bigEndian: StartupPacket.sslRequestCode)
        endMessage(at: packet)
    }

    /// CancelRequest, the only packet of its connection.
    public mutating func appendCancelRequest(processID: Int32, key: RawSpan) {
        let packet = beginUntypedMessage()
        append(bigEndian: StartupPacket.cancelRequestCode)
        append(bigEndian: processID)
        append(key)
        endMessage(at: packet)
    }

    /// PasswordMessage: a password in clear, or its md5 form.
    public mutating func appendPasswordMessage(_ password: RawSpan) {
        let message = beginMessage(FrontendMessage.password)
        appendCString(password)
        endMessage(at: message)
    }

    /// SASLInitialResponse.
    public mutating func appendSASLInitialResponse(mechanism: StaticString, _ data: RawSpan) {
        let message = beginMessage(FrontendMessage.password)
        appendCString(mechanism)
        append(bigEndian: Int32(data.byteCount))
        append(data)
        endMessage(at: message)
    }

    /// SASLResponse.
    public mutating func appendSASLResponse(_ data: RawSpan) {
        let message = beginMessage(FrontendMessage.password)
        append(data)
        endMessage(at: message)
    }

    /// Query.
    public mutating func appendQuery(_ text: RawSpan) {
        let message = beginMessage(FrontendMessage.query)
        appendCString(text)
        endMessage(at: message)
    }

    /// Query from a text.
    public mutating func appendQuery(_ text: String) {
        let message = beginMessage(FrontendMessage.query)
        appendCString(text)
        endMessage(at: message)
    }

    /// Parse; `typesAndCount` is the tail of a Parse message: a 16-bit count and that many type numbers.
    public mutating func appendParse(name: RawSpan, text: RawSpan, typesAndCount: RawSpan) {
        let message = beginMessage(FrontendMessage.parse)
        appendCString(name)
        appendCString(text)
        append(typesAndCount)
        endMessage(at: message)
    }

    /// Parse with the types of the first parameters; 0 leaves a type to the server.
    public mutating func appendParse(name: RawSpan, text: RawSpan, types: [Int32] = []) {
        precondition(types.count <= Int(Int16.max), "parameter types are counted in 16 bits")
        let message = beginMessage(FrontendMessage.parse)
        appendCString(name)
        appendCString(text)
        append(bigEndian: Int16(types.count))
        for type in types { append(bigEndian: type) }
        endMessage(at: message)
    }

    /// Close.
    public mutating func appendClose(_ kind: StatementOrPortal, name: RawSpan) {
        let message = beginMessage(FrontendMessage.close)
        append(kind.rawValue)
        appendCString(name)
        endMessage(at: message)
    }

    /// Describe.
    public mutating func appendDescribe(_ kind: StatementOrPortal, name: RawSpan) {
        let message = beginMessage(FrontendMessage.describe)
        append(kind.rawValue)
        appendCString(name)
        endMessage(at: message)
    }

    /// Sync.
    public mutating func appendSync() { appendEmptyMessage(FrontendMessage.sync) }

    /// Flush.
    public mutating func appendFlush() { appendEmptyMessage(FrontendMessage.flush) }

    /// Terminate.
    public mutating func appendTerminate() { appendEmptyMessage(FrontendMessage.terminate) }
}
