import Config
import TLS

/// Contexts of TLS, made of one key that is for tests alone and protects nothing.
enum TLSMaterial {
    static let key = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg1YdnY1zptKNwDvk4
        rCPOaq3Bdu9IRu8dVHGrsVEkrTGhRANCAAQpZoKrb5Ykt4m5B1BY4rNq9o2UeYZx
        gKnQhq4SyL9o3kvpZ/508AZiO6+13TW+KtjBXU6kD4+YJ8xQKSqkzwKb
        -----END PRIVATE KEY-----

        """
    /// For `localhost`, and an authority of its own.
    static let certificate = """
        -----BEGIN CERTIFICATE-----
        MIIBnzCCAUagAwIBAgIUClSQ+wFqk6tIENLGjG2E3vp6MiQwCgYIKoZIzj0EAwIw
        EDEOMAwGA1UEAwwFYWxpY2UwIBcNMjYxMTIyMDQ1MTEyWhgPMjEyNjEwMjkwNDUx
        MTJaMBAxDjAMBgNVBAMMBWFsaWNlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
        KWaCq2+WJLeJuQdQWOKzavaNlHmGcYCp0IauEsi/aN5L6Wf+dPAGYjuvtd01virY
        wV1OpA+PmCfMUCkqpM8Cm6N8MHowHQYDVR0OBBYEFOU5rF/Mw1AuI3wYdT20gmy5
        uvq2MB8GA1UdIwQYMBaAFOU5rF/Mw1AuI3wYdT20gmy5uvq2MA8GA1UdEwEB/wQF
        MAMBAf8wGgYDVR0RBBMwEYIJbG9jYWxob3N0hwR/AAABMAsGA1UdDwQEAwIChDAK
        BggqhkjOPQQDAgNHADBEAiA6bsUsFrHNIYCi+tNQJLOb8exTpeIkqKPZm5nMwwQv
        gwIgESeZLJPaOjsfzKA5IMbEGi/A047AeLJec9KWQv1+dbY=
        -----END CERTIFICATE-----

        """

    /// Of ours, as a configuration makes them.
    static func context(_ role: TLSContext.Role, _ lines: String) -> TLSContext {
        let side = role == .server ? "client" : "server"
        let rest = role == .server ? "server_tls_sslmode = disable" : ""
        let ini = """
            [databases]
            db = host=10.0.0.1
            [pgbouncer]
            auth_type = any
            \(rest)
            \(side)_tls_key_file = key
            \(side)_tls_cert_file = certificate
            \(lines)
            """
        let files = [("ini", ini), ("key", key), ("certificate", certificate)]
        let image = ConfigurationImage(
            path: "ini", files: files.map { .init(path: $0.0, bytes: Array($0.1.utf8)) })
        let parsed = Configuration.parse(image)
        guard let settings = parsed.configuration?.settings else {
            preconditionFailure("\(parsed.diagnostics)")
        }
        do throws(TLSError) {
            return try TLSContext(role, role == .server ? settings.clientTLS : settings.serverTLS)
        } catch { preconditionFailure("\(error)") }
    }
}
