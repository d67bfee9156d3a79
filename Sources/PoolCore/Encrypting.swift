public import Base
public import Config
import SharedState
import Wire

/// TLS, as far as it is decided here: who is offered it, who is asked for it. The sessions are the worker's.
extension PoolCore {
    /// First byte of a TLS handshake; no startup packet is long enough to begin with it.
    static var handshakeByte: UInt8 { 0x16 }

    // MARK: Clients

    /// Whether a client may have TLS.
    func offersTLS(_ client: Handle<Client>) -> Bool {
        configuration.settings.clientTLS.mode != .disable && clientOrigins[client]?.isUnix == false
    }

    /// Whether a client has to have TLS and does not.
    func lacksTLS(_ client: Handle<Client>) -> Bool {
        configuration.settings.clientTLS.mode >= .require && clientOrigins[client]?.isUnix == false
            && clientEncryptions[client] == nil
    }

    /// A client asks for TLS.
    ///
    /// - Parameter isLast: nothing has come behind the request.
    mutating func requestTLS(_ client: Handle<Client>, isLast: Bool) {
        guard clientEncryptions[client] == nil else {
            return closeClient(client, .now, reason: "SSL request inside of TLS")
        }
        guard offersTLS(client) else {
            return refuseEncryption(client, isLast, .unencryptedDataAfterSSLRequest)
        }
        guard isLast else { return fail(client, .startup(.unencryptedDataAfterSSLRequest)) }
        let start = output.count
        output.append(UInt8(ascii: "S"))
        send(clients[client].connection, from: start)
        actions.append(.encrypt(clients[client].connection))
    }

    /// Whether what a client sends first is a TLS handshake (direct TLS), which it may begin.
    mutating func beginsDirectTLS(_ client: Handle<Client>, _ bytes: RawSpan) -> Bool {
        guard unsafe bytes.unsafeLoad(fromByteOffset: 0, as: UInt8.self) == PoolCore.handshakeByte,
            offersTLS(client), clientEncryptions[client] == nil
        else { return false }
        actions.append(.encrypt(clients[client].connection))
        return true
    }

    // MARK: Servers

    /// How a server is connected by TLS, and the host it is to be; nil for an address that has no name.
    public func serverTLS(of server: Handle<Server>) -> (settings: TLSSettings, host: String, isName: Bool) {
        let definition = databases[Int(pools[servers[server].pool].database)].definition
        let settings = configuration.serverTLS(of: definition)
        guard !definition.hosts.isEmpty else { return (settings, "", false) }
        switch definition.hosts[Int(servers[server].host) % definition.hosts.count] {
        case .unixDirectory: return (settings, "", false)
        case .address(let text): return (settings, text, false)
        case .name(let text): return (settings, text, true)
        }
    }

    /// Asks a server that has just been connected for TLS; false when it is to be in plain.
    mutating func asksForTLS(_ server: Handle<Server>) -> Bool {
        guard serverAddresses[server]?.remote != "unix", serverTLS(of: server).settings.mode != .disable
        else { return false }
        serverLogins[server]?.awaitsTLS = true
        let start = output.count
        output.appendSSLRequest()
        send(servers[server].connection, from: start)
        return true
    }

    /// A server answers whether it has TLS.
    mutating func answerTLS(_ server: Handle<Server>, _ bytes: RawSpan) -> Consumption {
        let answer = unsafe bytes.unsafeLoad(fromByteOffset: 0, as: UInt8.self)
        serverLogins[server]?.awaitsTLS = false
        guard bytes.byteCount == 1 || answer == UInt8(ascii: "E") else {
            // Somebody in between hopes that we take it for encrypted.
            loginFailed(server, "received unencrypted data after SSL response", state: nil)
            return Consumption(consumed: bytes.byteCount, needed: 0)
        }
        switch answer {
        case UInt8(ascii: "S"):
            serverLogins[server]?.isShakingHands = true
            actions.append(.encrypt(servers[server].connection))
        case UInt8(ascii: "N"):
            if serverTLS(of: server).settings.mode >= .require {
                loginFailed(server, "server refused SSL", state: .connectionFailure)
            } else {
                startUp(server)
            }
        case UInt8(ascii: "E"):
            // An error from somebody who does not know the request: as any error of a login.
            return serverLoginBytes(server, bytes)
        default:
            loginFailed(server, "server sent an unknown answer to the SSL request", state: nil)
        }
        return Consumption(consumed: bytes.byteCount, needed: 0)
    }

    /// Whether the TLS session of a server is this worker's.
    func holdsSession(of server: Handle<Server>) -> Bool {
        serverAddresses[server]?.sessionWorker == Int16(identity.index)
    }

    /// Whether the TLS session of a server is another worker's that is to go, and would be kept by it.
    func keepsWorker(_ server: Handle<Server>) -> Bool {
        guard let worker = serverAddresses[server]?.sessionWorker, worker >= 0 else { return false }
        return Int(worker) != identity.index && segment.worker(Int(worker)).state != .ready
    }

    // MARK: Both

    /// The handshake of a client or server is done.
    mutating func encrypted(_ peer: Peer, _ encryption: Encryption) {
        switch peer {
        case .client(let client):
            guard clients.contains(client) else { return }
            clientEncryptions[client] = encryption
        case .server(let server):
            guard servers.contains(server), servers[server].state == .startup else { return }
            serverAddresses[server]?.encryption = encryption.description
            serverAddresses[server]?.sessionWorker = Int16(identity.index)
            serverLogins[server]?.isShakingHands = false
            serverLogins[server]?.endPoint = encryption.endPoint
            startUp(server)
        case .console:
            preconditionFailure("the supervisor's end is a socket pair")
        }
    }
}
