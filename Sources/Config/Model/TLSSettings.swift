/// The `client_tls_*` or `server_tls_*` settings, with what is in the files that they name.
public struct TLSSettings: Equatable, Sendable {
    /// `*_tls_sslmode`.
    public var mode = TLSMode.disable
    /// `*_tls_key_file`; empty for none.
    public var keyFile = ""
    /// `*_tls_cert_file`; empty for none.
    public var certificateFile = ""
    /// `*_tls_ca_file`; empty for none, which towards servers is the system's bundle.
    public var authorityFile = ""
    /// `*_tls_protocols`.
    public var protocols = "secure"
    /// `*_tls_ciphers`.
    public var ciphers = "default"
    /// `*_tls13_ciphers`; empty for OpenSSL's own.
    public var suites = ""
    /// `client_tls_ecdhcurve`.
    public var curve = "auto"
    /// `client_tls_dheparams`.
    public var dhParameters = "auto"

    /// What was in the key file.
    public internal(set) var key: [UInt8] = []
    /// What was in the certificate file.
    public internal(set) var certificate: [UInt8] = []
    /// What was in the file of authorities.
    public internal(set) var authorities: [UInt8] = []

    /// All defaults.
    public init() {}

    /// Where the authorities are that a system trusts; the first one that there is counts.
    static let systemBundles = [
        "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem",
    ]

    /// The files that are needed with these settings, by what they are for.
    public var files: [(setting: String, path: String)] {
        guard mode != .disable else { return [] }
        return [("key_file", keyFile), ("cert_file", certificateFile), ("ca_file", authorityFile)]
            .filter { !$0.1.isEmpty }
    }

    /// Takes in what is in the files.
    ///
    /// - Parameters:
    ///   - usesBundle: Without a file of authorities the system's bundle counts.
    ///   - read: what is in the file at a path; `nil` when it cannot be read.
    public mutating func load(usesBundle: Bool, read: (String) -> [UInt8]?) {
        guard mode != .disable else { return }
        key = keyFile.isEmpty ? [] : read(keyFile) ?? []
        certificate = certificateFile.isEmpty ? [] : read(certificateFile) ?? []
        if !authorityFile.isEmpty {
            authorities = read(authorityFile) ?? []
        } else if usesBundle, mode >= .verifyCA {
            for path in TLSSettings.systemBundles where authorities.isEmpty { authorities = read(path) ?? [] }
        }
    }
}

/// What an entry of `[databases]` says of TLS towards its servers; `nil` where the general setting holds.
public struct TLSOverrides: Equatable, Sendable {
    /// `server_tls_sslmode`.
    public var mode: TLSMode?
    /// `server_tls_key_file`.
    public var keyFile: String?
    /// `server_tls_cert_file`.
    public var certificateFile: String?
    /// `server_tls_ca_file`.
    public var authorityFile: String?
    /// `server_tls_protocols`.
    public var protocols: String?
    /// `server_tls_ciphers`.
    public var ciphers: String?
    /// `server_tls13_ciphers`.
    public var suites: String?

    /// Says nothing.
    public init() {}

    /// The general settings with these in place of theirs.
    func applied(to general: TLSSettings) -> TLSSettings {
        var settings = general
        settings.mode = mode ?? general.mode
        settings.keyFile = keyFile ?? general.keyFile
        settings.certificateFile = certificateFile ?? general.certificateFile
        settings.authorityFile = authorityFile ?? general.authorityFile
        settings.protocols = protocols ?? general.protocols
        settings.ciphers = ciphers ?? general.ciphers
        settings.suites = suites ?? general.suites
        return settings
    }
}

extension Configuration {
    /// TLS towards the servers of a database, by its entry and the general settings, with the files' bytes.
    public func serverTLS(of definition: DatabaseDefinition) -> TLSSettings {
        guard definition.serverTLS != TLSOverrides() else { return settings.serverTLS }
        var settings = definition.serverTLS.applied(to: settings.serverTLS)
        (settings.key, settings.certificate, settings.authorities) = ([], [], [])
        settings.load(usesBundle: true) { tlsFiles[$0] }
        return settings
    }

    /// Every way in which servers are connected by TLS, without repetition.
    public var allServerTLS: [TLSSettings] {
        var all = [settings.serverTLS]
        for definition in databases + [autoDatabase].compactMap(\.self) {
            let settings = serverTLS(of: definition)
            if !all.contains(settings) { all.append(settings) }
        }
        return all
    }

    /// Takes in what is in the files that TLS needs.
    mutating func loadTLS(read: (String) -> [UInt8]?) {
        tlsFiles = [:]
        func recorded(_ path: String) -> [UInt8]? {
            let bytes = read(path)
            tlsFiles[path] = bytes
            return bytes
        }
        settings.clientTLS.load(usesBundle: false, read: recorded)
        settings.serverTLS.load(usesBundle: true, read: recorded)
        for definition in databases + [autoDatabase].compactMap(\.self)
        where definition.serverTLS != TLSOverrides() {
            var settings = definition.serverTLS.applied(to: settings.serverTLS)
            settings.load(usesBundle: true, read: recorded)
        }
    }
}
