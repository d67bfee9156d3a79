import Config

/// What has to be there before the first child is made.
struct PreparedInstance {
    let configuration: Configuration
    /// The image the configuration was decoded from.
    let image: [UInt8]
    let listeners: ListenerSet
    let workerCount: Int
    /// Where the supervisor itself is reached; `nil` when there is no place for it.
    let control: ControlSocket?
}

extension PreparedInstance {
    /// The configuration in an image that a check has accepted; `nil` when it is none, which is a fault of
    /// ours.
    static func decode(_ bytes: [UInt8]) -> Configuration? {
        guard let image = try? ConfigurationImage(decoding: bytes) else { return nil }
        return Configuration.parse(image).configuration
    }
}
