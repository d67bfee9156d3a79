import Base
import Config
import SharedState
import Wire

/// Clients that come through a proxy which says whose connection it is.
///
/// Whether a connection begins with a header is never guessed: `proxy_protocol_from` names the addresses
/// whose connections must begin with one. From everywhere else a header is a startup packet that nobody can
/// read, so nobody else can claim to be somebody else.
extension PoolCore {
    /// Whether the connection of such an origin has to begin with a header.
    func mustSayWhoseItIs(_ origin: ClientOrigin) -> Bool {
        let trusted = configuration.settings.proxyProtocolFrom
        if trusted.isEmpty { return false }
        if origin.isUnix { return trusted.contains(.unix) }
        guard let address = IPAddress(origin.address) else { return false }
        return trusted.contains { $0.contains(address) }
    }

    /// Reads the header of a client's connection. Answers how many bytes it has; `nil` when more are needed,
    /// as `needed` says, or the client is gone.
    mutating func proxyHeader(_ client: Handle<Client>, _ bytes: RawSpan, needed: inout Int) -> Int? {
        switch ProxyHeader.read(bytes) {
        case .incomplete(let byteCount):
            needed = byteCount
            return nil
        case .invalid:
            fail(client, .startup(.invalidProxyHeader(hexadecimal: StartupFault.hexadecimal(bytes))))
            return nil
        case .complete(let header, let byteCount):
            clients[client].awaitsProxyHeader = false
            clients[client].lastActivity = now
            if let ends = header.ends { comesFrom(client, ends) }
            // Its place among the strangers is that of its own address from now on, or it may have lost it.
            return clients.contains(client) ? byteCount : nil
        }
    }

    /// The client is at the other end of the proxy: that is where logs, tables, rules and limits see it.
    private mutating func comesFrom(_ client: Handle<Client>, _ ends: ProxyHeader.Ends) {
        let origin = ClientOrigin(
            address: ends.source.text, port: Int(ends.sourcePort), localAddress: ends.destination.text,
            localPort: Int(ends.destinationPort))
        clientOrigins[client] = origin
        strangerLeft(client)
        strangerArrived(client, origin)
    }
}
