public import Base

/// From where connections come that begin with a PROXY header.
public enum ProxyOrigin: Equatable, Sendable {
    /// Addresses.
    case range(AddressRange)
    /// The Unix socket.
    case unix

    /// Reads `10.0.0.0/8`, `::1` or `unix`; `nil` for anything else.
    public init?(_ text: some StringProtocol) {
        if text == "unix" {
            self = .unix
        } else if let range = AddressRange(text) {
            self = .range(range)
        } else {
            return nil
        }
    }

    /// Whether it is these addresses, and this is one of them.
    public func contains(_ address: IPAddress) -> Bool {
        if case .range(let range) = self { range.contains(address) } else { false }
    }
}
