import Glibc

/// Keys and certificates of the tests, made with the `openssl` program: an authority, one certificate each
/// for PostgreSQL and the pooler, those of clients, and an authority that nobody trusts.
struct Certificates: Sendable {
    /// Paths of a certificate and its key.
    struct Pair: Sendable {
        let certificate: String
        let key: String
    }

    /// The certificate of the authority.
    let authority: String
    /// The certificate of an authority that has signed nothing of ours.
    let foreignAuthority: String
    /// For `localhost` and 127.0.0.1.
    let server: Pair
    /// For `localhost` and 127.0.0.1.
    let pooler: Pair
    /// A client certificate for the role `cert_user`.
    let certUser: Pair
    /// One that says the same, of the authority that nobody trusts.
    let foreignUser: Pair
    private let folder: String

    static let shared: Certificates = {
        do { return try Certificates() } catch { preconditionFailure("\(error)") }
    }()

    init() throws {
        folder = try Folder.shared.make("certificates")
        authority = try Self.makeAuthority("authority", in: folder)
        foreignAuthority = try Self.makeAuthority("foreign", in: folder)
        let names = "DNS:localhost,IP:127.0.0.1"
        server = try Self.make("server", common: "localhost", names: names, in: folder)
        pooler = try Self.make("pooler", common: "localhost", names: names, in: folder)
        certUser = try Self.make("cert_user", common: "cert_user", names: "DNS:cert_user.test", in: folder)
        foreignUser = try Self.make(
            "foreign_user", common: "cert_user", names: "DNS:cert_user.test", signer: "foreign", in: folder)
    }

    /// A further certificate of an authority, `authority` or `foreign`.
    func make(
        _ name: String, common: String, names: String, signer: String = "authority", key: String = "ec"
    ) throws -> Pair {
        try Self.make(name, common: common, names: names, signer: signer, key: key, in: folder)
    }

    private static func makeAuthority(_ name: String, in folder: String) throws -> String {
        try Child.run([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "30", "-subj", "/CN=\(name) of the tests", "-keyout", "\(folder)/\(name).key", "-out",
            "\(folder)/\(name).crt",
        ])
        return "\(folder)/\(name).crt"
    }

    private static func make(
        _ name: String, common: String, names: String, signer: String = "authority", key: String = "ec",
        in folder: String
    ) throws -> Pair {
        let path = "\(folder)/\(name)"
        try writeFile("\(path).ext", "subjectAltName=\(names)\n")
        try Child.run(
            [
                "openssl", "req", "-newkey", key, "-nodes", "-subj", "/CN=\(common)", "-keyout",
                "\(path).key", "-out",
                "\(path).csr",
            ] + (key == "ec" ? ["-pkeyopt", "ec_paramgen_curve:prime256v1"] : []))
        try Child.run([
            "openssl", "x509", "-req", "-in", "\(path).csr", "-CA", "\(folder)/\(signer).crt", "-CAkey",
            "\(folder)/\(signer).key", "-set_serial", "\(UInt32.random(in: 1...UInt32.max))", "-days", "30",
            "-extfile", "\(path).ext", "-out",
            "\(path).crt",
        ])
        chmod("\(path).key", 0o600)
        return Pair(certificate: "\(path).crt", key: "\(path).key")
    }
}
