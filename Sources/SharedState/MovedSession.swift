public import Base

/// A client on its way from one worker to another together with its server: a session in which nothing is
/// under way.
public struct MovedSession: Equatable, Sendable {
    public var client: MovedClient
    public var server: LentServer
    /// The server is to be closed as soon as its client is done with it.
    public var closesServer: Bool

    /// A session from its parts.
    public init(client: MovedClient, server: LentServer, closesServer: Bool) {
        self.client = client
        self.server = server
        self.closesServer = closesServer
    }

    /// Appends the record's bytes; the client's `input` may follow piece by piece.
    public func append(to output: inout ByteBuffer) {
        output.append(flag: closesServer)
        output.append(text: server.encoded())
        client.append(to: &output)
    }

    /// The record in these bytes.
    public init(decoding bytes: [UInt8]) throws(ControlError) {
        var reader = RecordReader(bytes)
        closesServer = try reader.flag()
        server = try LentServer(decoding: try reader.text())
        client = try MovedClient(decoding: reader.rest())
    }
}
