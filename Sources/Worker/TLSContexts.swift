import Config
import TLS

/// What a worker's TLS sessions are made from: one context for clients, and one for each way in which servers
/// are connected.
struct TLSContexts {
    /// For clients; `nil` where they are offered no TLS.
    let client: TLSContext?
    /// There are few, and equal settings share the memory of their files: comparing them costs less than a
    /// hash over a bundle of authorities.
    private let servers: [(settings: TLSSettings, context: TLSContext)]

    /// The contexts that a configuration asks for.
    init(_ configuration: Configuration) throws(TLSError) {
        let settings = configuration.settings.clientTLS
        client = settings.mode == .disable ? nil : try TLSContext(.server, settings)
        var servers: [(TLSSettings, TLSContext)] = []
        for settings in configuration.allServerTLS where settings.mode != .disable {
            servers.append((settings, try TLSContext(.client, settings)))
        }
        self.servers = servers
    }

    /// For servers that are connected like this.
    func server(_ settings: TLSSettings) -> TLSContext? {
        servers.first { $0.settings == settings }?.context
    }
}
