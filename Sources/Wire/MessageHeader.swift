/// The five bytes in front of every message but the first: its type, and its length.
@frozen
public struct MessageHeader: BitwiseCopyable, Equatable, Sendable {
    /// Bytes a header takes.
    @inlinable
    public static var byteCount: Int {
        @_noLocks
        get { 5 }
    }

    /// The type, a constant of `FrontendMessage` or `BackendMessage`.
    public let type: UInt8
    /// Bytes that follow the header.
    public let bodyByteCount: Int

    /// A header from its parts.
    @_noLocks
    @inlinable
    public init(type: UInt8, bodyByteCount: Int) {
        self.type = type
        self.bodyByteCount = bodyByteCount
    }

    /// Bytes of the message with its header.
    @inlinable
    public var messageByteCount: Int { bodyByteCount &+ 5 }

    /// Reads a header, or returns `nil` and consumes nothing while fewer than five bytes are there.
    ///
    /// Throws `invalidLength` when the length is smaller than the field that holds it. It is checked against
    /// nothing else: the largest message somebody accepts is the caller's to decide.
    @_noLocks
    @inlinable
    @_lifetime(reader: copy reader)
    public static func read(_ reader: inout MessageReader) throws(WireError) -> MessageHeader? {
        guard reader.remaining >= byteCount, let start = unsafe reader.start else { return nil }
        let position = reader.position
        let length = unsafe Int32(
            bigEndian: start.loadUnaligned(fromByteOffset: position &+ 1, as: Int32.self))
        guard length >= 4 else { throw .invalidLength }
        let type = unsafe start.load(fromByteOffset: position, as: UInt8.self)
        reader.position = position &+ byteCount
        return MessageHeader(type: type, bodyByteCount: Int(length) &- 4)
    }
}
