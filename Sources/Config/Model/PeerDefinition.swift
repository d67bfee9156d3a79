/// One entry of `[peers]`: another pooler that cancel requests may have to be sent to.
public struct PeerDefinition: Equatable, Sendable {
    /// The peer's `peer_id`, 1...16383.
    public var id: UInt16
    /// Where it listens; always set in a configuration that was accepted.
    public var host: Host?
    /// TCP port, or suffix of the Unix socket.
    public var port: UInt16 = 6432
    /// Connections to the peer; `nil` for `default_pool_size`.
    public var poolSize: UInt32?

    /// A peer that nothing but its id is known of.
    public init(id: UInt16) { self.id = id }
}
