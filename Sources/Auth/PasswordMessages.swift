public import Wire

/// The message with which a client answers a request for its password, in clear or as md5.
public enum PasswordMessage {
    /// The password in the body of a message of type `password`, which is one text and nothing else;
    /// `nil` when it is not.
    @_lifetime(copy body)
    public static func password(in body: RawSpan) -> RawSpan? {
        var reader = MessageReader(body)
        guard let password = try? reader.readCString(), reader.isAtEnd else { return nil }
        return password
    }
}

/// The first message of a SASL exchange, borrowed from its body.
public struct SASLInitialResponse: ~Escapable {
    /// The mechanism the client chose.
    public let mechanism: RawSpan
    /// Whether data came with it; else the client waits for an empty challenge.
    public let hasData: Bool
    /// The mechanism's first message.
    public let data: RawSpan

    /// Reads the body of a message of type `password`.
    @_lifetime(copy body)
    public init(_ body: RawSpan) throws(WireError) {
        var reader = MessageReader(body)
        mechanism = try reader.readCString()
        let byteCount = Int(try reader.readInt32())
        hasData = byteCount != -1
        data = try reader.readBytes(hasData ? byteCount : 0)
        try reader.expectEnd()
    }
}
