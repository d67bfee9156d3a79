import Glibc

/// An LDAP server of the tests (Debian's package slapd), on ports of the loopback interface.
///
/// `uid=person,ou=people,dc=example,dc=net` has the password `letter`, and `uid=scram_user` beside it the one
/// that PostgreSQL wants of that role; searches need
/// `cn=admin,dc=example,dc=net` with the password `search me`.
final class LDAPDirectory: @unchecked Sendable {
    static let program = "/usr/sbin/slapd"
    /// Whether the package is installed.
    static let isInstalled = access(program, X_OK) == 0

    let port: Int
    /// The port on which TLS begins at once.
    let encryptedPort: Int
    /// The certificate of the authority that vouches for the server, which is its own.
    let certificate: String
    private let process: Child

    init() throws {
        let folder = try Folder.shared.make("ldap")
        certificate = "\(folder)/certificate"
        try Child.run([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout", "\(folder)/key", "-out", certificate,
        ])
        try Child.run(["mkdir", "\(folder)/data"])
        try writeFile("\(folder)/slapd.conf", Self.settings(folder))
        try writeFile("\(folder)/data.ldif", Self.entries)
        try Child.run([
            "/usr/sbin/slapadd", "-f", "\(folder)/slapd.conf", "-l", "\(folder)/data.ldif",
        ])
        var started: (port: Int, encryptedPort: Int, process: Child)?
        while started == nil {
            let ports = (try freePort(), try freePort())
            let child = try Child(
                [
                    Self.program, "-f", "\(folder)/slapd.conf", "-d", "0", "-h",
                    "ldap://127.0.0.1:\(ports.0) ldaps://127.0.0.1:\(ports.1)",
                ], output: "\(folder)/log")
            try eventually("the LDAP server accepts connections") {
                child.ending() != nil
                    || RawConnection.canConnect(port: ports.0) && RawConnection.canConnect(port: ports.1)
            }
            // It ends when somebody else has taken a port meanwhile.
            if child.ending() == nil { started = (ports.0, ports.1, child) }
        }
        (port, encryptedPort, process) = started!
    }

    /// Ends the server.
    func stop() throws {
        process.signal(SIGTERM)
        try process.wait()
    }

    /// Has the server stop, with everything it was asked, or go on.
    func signal(_ number: Int32) { process.signal(number) }

    private static func settings(_ folder: String) -> String {
        """
        include /etc/ldap/schema/core.schema
        include /etc/ldap/schema/cosine.schema
        include /etc/ldap/schema/inetorgperson.schema
        pidfile \(folder)/slapd.pid
        modulepath /usr/lib/ldap
        moduleload back_mdb
        TLSCACertificateFile \(folder)/certificate
        TLSCertificateFile \(folder)/certificate
        TLSCertificateKeyFile \(folder)/key
        disallow bind_anon
        database mdb
        suffix "dc=example,dc=net"
        rootdn "cn=admin,dc=example,dc=net"
        rootpw "search me"
        directory \(folder)/data
        access to * by anonymous auth by users none

        """
    }

    private static let entries = """
        dn: dc=example,dc=net
        objectClass: dcObject
        objectClass: organization
        dc: example
        o: example

        dn: ou=people,dc=example,dc=net
        objectClass: organizationalUnit
        ou: people

        dn: uid=person,ou=people,dc=example,dc=net
        objectClass: inetOrgPerson
        uid: person
        cn: A Person
        sn: Person
        mail: person@example.net
        userPassword: letter

        dn: uid=scram_user,ou=people,dc=example,dc=net
        objectClass: inetOrgPerson
        uid: scram_user
        cn: Another Person
        sn: Person
        userPassword: \(Postgres.password)

        """
}
