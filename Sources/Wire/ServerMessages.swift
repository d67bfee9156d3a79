public import Base

/// Messages that a server sends, for when we answer a client ourselves.
extension ByteBuffer {
    /// AuthenticationOk.
    public mutating func appendAuthenticationOk() { appendAuthentication(0) }

    /// AuthenticationCleartextPassword.
    public mutating func appendAuthenticationCleartext() { appendAuthentication(3) }

    /// AuthenticationMD5Password; the salt's four bytes in network order.
    public mutating func appendAuthenticationMD5(salt: UInt32) {
        let message = beginMessage(BackendMessage.authentication)
        append(bigEndian: Int32(5))
        append(bigEndian: salt)
        endMessage(at: message)
    }

    /// AuthenticationSASL: the mechanisms to choose from, best first.
    public mutating func appendAuthenticationSASL(mechanisms: [StaticString]) {
        let message = beginMessage(BackendMessage.authentication)
        append(bigEndian: Int32(10))
        for mechanism in mechanisms { appendCString(mechanism) }
        append(0)
        endMessage(at: message)
    }

    /// AuthenticationSASLContinue.
    public mutating func appendAuthenticationSASLContinue(_ data: RawSpan) { appendAuthentication(11, data) }

    /// AuthenticationSASLFinal.
    public mutating func appendAuthenticationSASLFinal(_ data: RawSpan) { appendAuthentication(12, data) }

    /// ParameterStatus.
    public mutating func appendParameterStatus(name: RawSpan, value: RawSpan) {
        let message = beginMessage(BackendMessage.parameterStatus)
        appendCString(name)
        appendCString(value)
        endMessage(at: message)
    }

    /// ParameterStatus from texts.
    public mutating func appendParameterStatus(name: String, value: String) {
        let message = beginMessage(BackendMessage.parameterStatus)
        appendCString(name)
        appendCString(value)
        endMessage(at: message)
    }

    /// BackendKeyData; the key has 4 to 256 bytes, 4 in protocol 3.0.
    public mutating func appendBackendKeyData(processID: Int32, key: RawSpan) {
        let message = beginMessage(BackendMessage.backendKeyData)
        append(bigEndian: processID)
        append(key)
        endMessage(at: message)
    }

    /// ReadyForQuery.
    public mutating func appendReadyForQuery(_ status: TransactionStatus) {
        let message = beginMessage(BackendMessage.readyForQuery)
        append(status.rawValue)
        endMessage(at: message)
    }

    /// NegotiateProtocolVersion: the newest minor version of protocol 3, and the startup options not known.
    ///
    /// The whole version goes over the wire (0x30000 and the minor): that is what PostgreSQL sends and
    /// libpq compares with, although the documentation speaks of the minor version alone.
    public mutating func appendNegotiateProtocolVersion(newestMinor: Int, unsupportedNames: [[UInt8]]) {
        let message = beginMessage(BackendMessage.negotiateProtocolVersion)
        append(bigEndian: UInt32(0x3_0000 + newestMinor))
        append(bigEndian: Int32(unsupportedNames.count))
        for name in unsupportedNames { unsafe appendCString(name.span.bytes) }
        endMessage(at: message)
    }

    /// CommandComplete.
    public mutating func appendCommandComplete(_ tag: String) {
        let message = beginMessage(BackendMessage.commandComplete)
        appendCString(tag)
        endMessage(at: message)
    }

    /// EmptyQueryResponse.
    public mutating func appendEmptyQueryResponse() { appendEmptyMessage(BackendMessage.emptyQueryResponse) }

    /// ParseComplete.
    public mutating func appendParseComplete() { appendEmptyMessage(BackendMessage.parseComplete) }

    /// BindComplete.
    public mutating func appendBindComplete() { appendEmptyMessage(BackendMessage.bindComplete) }

    /// CloseComplete.
    public mutating func appendCloseComplete() { appendEmptyMessage(BackendMessage.closeComplete) }

    /// NoData.
    public mutating func appendNoData() { appendEmptyMessage(BackendMessage.noData) }

    /// PortalSuspended.
    public mutating func appendPortalSuspended() { appendEmptyMessage(BackendMessage.portalSuspended) }

    /// ParameterDescription with the types of a statement's parameters.
    public mutating func appendParameterDescription(types: [Int32]) {
        precondition(types.count <= Int(Int16.max), "parameter types are counted in 16 bits")
        let message = beginMessage(BackendMessage.parameterDescription)
        append(bigEndian: Int16(types.count))
        for type in types { append(bigEndian: type) }
        endMessage(at: message)
    }

    private mutating func appendAuthentication(_ code: Int32, _ data: RawSpan = RawSpan()) {
        let message = beginMessage(BackendMessage.authentication)
        append(bigEndian: code)
        append(data)
        endMessage(at: message)
    }
}
