/// A name and its value, borrowed from the packet they came in.
public struct StartupParameter: ~Escapable {
    /// The name, at least one byte.
    public let name: RawSpan
    /// The value; may be empty.
    public let value: RawSpan

    @_lifetime(copy name, copy value)
    init(name: RawSpan, value: RawSpan) {
        self.name = name
        self.value = value
    }
}

/// Walks over names and values: each a text with a zero byte at its end, a further zero byte after the last.
public struct StartupParameters: ~Copyable, ~Escapable {
    private var reader: MessageReader

    /// A walk over the parameters of a startup packet, or over what `StartupOptions` wrote.
    ///
    /// The whole layout is checked here: throws `invalidLayout` unless the last byte, and no earlier one,
    /// ends the list, and every name has a value.
    @_lifetime(copy bytes)
    public init(_ bytes: RawSpan) throws(StartupFault) {
        var check = MessageReader(bytes)
        while true {
            guard let name = try? check.readCString() else { throw .invalidLayout }
            if name.byteCount == 0 { break }
            guard (try? check.readCString()) != nil else { throw .invalidLayout }
        }
        guard check.isAtEnd else { throw .invalidLayout }
        reader = MessageReader(bytes)
    }

    /// The next parameter, or `nil` after the last.
    @_lifetime(copy self)
    @_lifetime(self: copy self)
    public mutating func next() -> StartupParameter? {
        guard let name = try? reader.readCString(), name.byteCount > 0,
            let value = try? reader.readCString()
        else { return nil }
        return StartupParameter(name: name, value: value)
    }
}
