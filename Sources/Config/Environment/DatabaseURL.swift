/// A connection URL, `postgres://user:password@host:port/database?option=value`, in the parts we use.
///
/// Every part may be percent-encoded. There may be several hosts, separated by commas, with one port in
/// common.
struct DatabaseURL: Equatable {
    /// Why a text is no such URL; reads on after the variable's name. Never repeats a password.
    struct Malformed: Error, Equatable {
        let reason: String
    }

    var user: String?
    var password: String?
    var hosts: [String] = []
    var port: String?
    var database: String?
    /// The value of `sslmode`.
    var tlsMode: String?
    var applicationName: String?
    var clientEncoding: String?

    /// Nothing known.
    init() {}

    /// Reads a URL. Options other than `host port user password dbname sslmode application_name
    /// client_encoding` are passed over: they mean something to the client library only.
    init(_ text: String) throws(Malformed) {
        guard let separator = DatabaseURL.find("://", in: text) else {
            throw Malformed(reason: "is not of the form postgres://user:password@host:port/database")
        }
        let scheme = SettingKind.lowercased(String(text[..<separator.lowerBound]))
        guard ["postgres", "postgresql"].contains(String(scheme.prefix { $0 != "+" })) else {
            throw Malformed(reason: "begins with \(scheme)://, not postgres:// or postgresql://")
        }
        var rest = text[separator.upperBound...].utf8
        var query = Substring().utf8
        if let mark = rest.firstIndex(of: UInt8(ascii: "?")) {
            query = rest[rest.index(after: mark)...]
            rest = rest[..<mark]
        }
        if let slash = rest.firstIndex(of: UInt8(ascii: "/")) {
            database = try DatabaseURL.decoded(rest[rest.index(after: slash)...])
            rest = rest[..<slash]
        }
        if let at = rest.lastIndex(of: UInt8(ascii: "@")) {
            let login = rest[..<at]
            let colon = login.firstIndex(of: UInt8(ascii: ":")) ?? login.endIndex
            user = try DatabaseURL.decoded(login[..<colon])
            password = try DatabaseURL.decoded(login[colon...].dropFirst())
            rest = rest[rest.index(after: at)...]
        }
        for host in rest.split(separator: UInt8(ascii: ",")) { try takeHost(host) }
        for option in query.split(separator: UInt8(ascii: "&")) { try take(option: option) }
    }

    private mutating func takeHost(_ text: Substring.UTF8View) throws(Malformed) {
        var host = text
        var port = Substring().utf8
        if host.first == UInt8(ascii: "["), let close = host.firstIndex(of: UInt8(ascii: "]")) {
            port = host[host.index(after: close)...]
            host = host[..<close].dropFirst()
        } else if let colon = host.firstIndex(of: UInt8(ascii: ":")) {
            port = host[colon...]
            host = host[..<colon]
        }
        guard port.isEmpty || port.first == UInt8(ascii: ":") else {
            throw Malformed(reason: "has something between a host and its port")
        }
        if let host = try DatabaseURL.decoded(host) { hosts.append(host) }
        guard let port = try DatabaseURL.decoded(port.dropFirst()) else { return }
        guard self.port == nil || self.port == port else {
            throw Malformed(reason: "has hosts with different ports; they need one port in common")
        }
        self.port = port
    }

    private mutating func take(option: Substring.UTF8View) throws(Malformed) {
        let equals = option.firstIndex(of: UInt8(ascii: "=")) ?? option.endIndex
        let value = try DatabaseURL.decoded(option[equals...].dropFirst())
        switch String(Substring(option[..<equals])) {
        case "host": hosts = value.map { $0.split(separator: ",").map(String.init) } ?? hosts
        case "port": port = value ?? port
        case "user": user = value ?? user
        case "password": password = value ?? password
        case "dbname": database = value ?? database
        case "sslmode": tlsMode = value
        case "application_name": applicationName = value
        case "client_encoding": clientEncoding = value
        default: break
        }
    }

    /// The text with `%41` and the like replaced by what they stand for; `nil` when it is empty.
    private static func decoded(_ text: Substring.UTF8View) throws(Malformed) -> String? {
        func digit(_ byte: UInt8?) -> UInt8? {
            switch byte {
            case .some(let byte) where byte >= 0x30 && byte <= 0x39: byte - 0x30
            case .some(let byte) where byte | 0x20 >= 0x61 && byte | 0x20 <= 0x66: (byte | 0x20) - 0x61 + 10
            case .some, .none: nil
            }
        }
        var bytes: [UInt8] = []
        var rest = text
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = digit(rest.popFirst()), let low = digit(rest.popFirst()) else {
                throw Malformed(
                    reason: "has a % that is not followed by two hexadecimal digits; a % itself is %25")
            }
            bytes.append(high << 4 | low)
        }
        guard let decoded = String(validating: bytes, as: UTF8.self) else {
            throw Malformed(reason: "is not valid UTF-8 text after decoding")
        }
        return decoded.isEmpty ? nil : decoded
    }

    private static func find(_ mark: String, in text: String) -> Range<String.Index>? {
        let bytes = Array(mark.utf8)
        var start = text.utf8.startIndex
        while start < text.utf8.endIndex {
            let rest = text.utf8[start...]
            if rest.starts(with: bytes) { return start..<text.utf8.index(start, offsetBy: bytes.count) }
            start = text.utf8.index(after: start)
        }
        return nil
    }
}
