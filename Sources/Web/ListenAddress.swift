/// Where to listen: a host, `*` for all addresses, and a port.
struct ListenAddress: CustomStringConvertible {
    let description: String
    /// Hosts, of which the first that can be listened at is taken.
    let hosts: [String]
    let port: Int

    /// Reads `127.0.0.1:9127`, `[::1]:9127`, `*:9127`.
    init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...])
        else { return nil }
        let host = text[..<colon].filter { $0 != "[" && $0 != "]" }
        description = text
        hosts = host == "*" ? ["::", "0.0.0.0"] : [host]
        self.port = Int(port)
    }
}
