/// The body of a ParameterStatus: a name and a value, borrowed.
public struct ParameterStatus: ~Escapable {
    /// The name, in the server's spelling.
    public let name: RawSpan
    /// The value.
    public let value: RawSpan

    /// Reads the body of the message.
    @_lifetime(copy body)
    public init(_ body: RawSpan) throws(WireError) {
        var reader = MessageReader(body)
        name = try reader.readCString()
        value = try reader.readCString()
        try reader.expectEnd()
    }
}

/// The body of a BackendKeyData: what a cancel request has to repeat; the key borrowed.
public struct BackendKeyData: ~Escapable {
    /// The number of the server process.
    public let processID: Int32
    /// The secret, 4 to 256 bytes.
    public let key: RawSpan

    /// Reads the body of the message; `invalidLength` when the key is too short or too long.
    @_lifetime(copy body)
    public init(_ body: RawSpan) throws(WireError) {
        var reader = MessageReader(body)
        processID = try reader.readInt32()
        guard (4...256).contains(reader.remaining) else { throw .invalidLength }
        key = reader.readRest()
    }
}
