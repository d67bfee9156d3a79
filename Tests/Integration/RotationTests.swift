import CLibPQ
import Testing

/// The pooler's certificate is replaced while clients come, go and work.
@Suite(.enabled(if: Options.isOurs)) struct RotationTests {
    private static let files = Certificates.shared

    /// A key and a certificate in one place, which the configuration names, with what they are replaced by.
    private struct Place {
        let key: String
        let certificate: String

        init() throws {
            let folder = try Folder.shared.make("rotation")
            (key, certificate) = ("\(folder)/key", "\(folder)/certificate")
        }

        func put(_ pair: Certificates.Pair) throws {
            try writeFile(key, try readFile(pair.key))
            try writeFile(certificate, try readFile(pair.certificate))
        }

        var settings: [String: String] { ["client_tls_key_file": key, "client_tls_cert_file": certificate] }
    }

    /// Two certificates of different authorities: who knows only one of these sees which it is. The second
    /// has another kind of key.
    private static let pairs: [(pair: Certificates.Pair, authority: String)] = {
        do {
            let other = try files.make(
                "other", common: "localhost", names: "DNS:localhost", signer: "foreign", key: "rsa:2048")
            return [(files.pooler, files.authority), (other, files.foreignAuthority)]
        } catch { preconditionFailure("\(error)") }
    }()

    private static func configuration(_ place: Place, _ more: [String: String] = [:]) -> Configuration {
        var configuration = Configuration(
            settings: [
                "auth_type": "scram-sha-256", "client_tls_sslmode": "require", "default_pool_size": "3",
                "server_tls_sslmode": "require",
            ], postgres: .encrypted)
        configuration.settings.merge(place.settings) { $1 }
        configuration.settings.merge(more) { $1 }
        return configuration
    }

    /// Connects and proves itself in a way that a certificate other than the one shown would break.
    private static func connect(_ pooler: Pooler, authority: String? = nil) throws -> Connection {
        try pooler.connect(
            user: "scram_user", password: Postgres.password,
            [
                "host": "localhost", "hostaddr": "127.0.0.1", "channel_binding": "require",
                "sslmode": authority == nil ? "require" : "verify-full",
                "sslrootcert": authority ?? "/nowhere",
            ])
    }

    /// What is put in the place of a good pair.
    private static func spoil(_ place: Place, _ round: Int) throws {
        switch round % 4 {
        case 0: try writeFile(place.certificate, "nonsense")
        case 1: try writeFile(place.key, try readFile(files.server.key))
        case 2: try writeFile(place.certificate, "")
        default:
            let whole = try readFile(place.certificate)
            try writeFile(place.certificate, String(whole.prefix(whole.count / 2)))
        }
    }

    /// Goal: no connection is lost and no login fails, however often the certificate is replaced; what is
    /// broken is refused and changes nothing.
    @Test(arguments: Setup.transaction)
    func underLoad(setup: Setup) async throws {
        try await onThread {
            let place = try Place()
            try place.put(Self.pairs[0].pair)
            try Pooler(setup, Self.configuration(place)).run { pooler in
                try eventually("all workers are there") { pooler.workers().count == setup.workers }
                let (isOver, queries, logins) = (Shared(false), Shared(0), Shared(0))
                let steady = Thread {
                    try Thread.concurrently(4) { thread in
                        let client = try Self.connect(pooler)
                        while !isOver.current {
                            let value = "\(thread) \(queries.with { $0 += 1; return $0 })"
                            let found = try client.query("select '\(value)'").value
                            guard found == value else { throw Failure("\(value): \(found ?? "")") }
                        }
                    }
                }
                let restless = Thread {
                    try Thread.concurrently(2) { _ in
                        while !isOver.current {
                            let client = try Self.connect(pooler)
                            try client.query("select 1")
                            logins.with { $0 += 1 }
                        }
                    }
                }
                defer { isOver.with { $0 = true } }
                for round in 0..<4 {
                    let (pair, authority) = Self.pairs[(round + 1) % 2]
                    try Self.spoil(place, round)
                    let error = #expect(throws: PostgresError.self) {
                        try pooler.console(tls: true).query("RELOAD")
                    }
                    #expect(error?.message.contains("TLS setup failed") == true, "\(round): \(error as Any)")
                    try Self.goOn(queries, logins)
                    try Self.check(pooler, Self.pairs[round % 2].authority, not: authority)
                    try place.put(pair)
                    try pooler.console(tls: true).query("RELOAD")
                    try Self.check(pooler, authority, not: Self.pairs[round % 2].authority)
                    try Self.goOn(queries, logins)
                }
                isOver.with { $0 = true }
                try steady.join()
                try restless.join()
            }
        }
    }

    /// Waits until others have worked and connected.
    private static func goOn(_ queries: Shared<Int>, _ logins: Shared<Int>) throws {
        let before = (queries.current, logins.current)
        try eventually("clients work and connect") {
            queries.current > before.0 + 20 && logins.current > before.1 + 4
        }
    }

    /// Every worker shows a certificate of this authority and none of the other.
    private static func check(_ pooler: Pooler, _ authority: String, not other: String) throws {
        for _ in 0..<6 * pooler.setup.workers { _ = try connect(pooler, authority: authority) }
        let error = #expect(throws: PostgresError.self) { try connect(pooler, authority: other) }
        #expect(error?.message.contains("certificate verify failed") == true, "\(error as Any)")
    }

    /// What the pooler shows to PostgreSQL is replaced too: servers with the old certificate go when they
    /// are free, and nobody notices.
    @Test(arguments: Setup.transaction)
    func towardsPostgres(setup: Setup) async throws {
        try await onThread {
            let place = try Place()
            let more = [
                "client_tls_key_file": Self.files.pooler.key,
                "client_tls_cert_file": Self.files.pooler.certificate, "server_tls_key_file": place.key,
                "server_tls_cert_file": place.certificate, "auth_type": "trust",
            ]
            let pairs = try (0..<2).map {
                try Self.files.make(
                    "towards-\(setup.backend)-\(setup.workers)-\($0)", common: "cert_user",
                    names: "DNS:cert_user.test")
            }
            try place.put(pairs[0])
            var configuration = Self.configuration(place, more)
            configuration.secrets["cert_user"] = ""
            try Pooler(setup, configuration).run { pooler in
                let clients = try (0..<4).map { _ in
                    try pooler.connect(user: "cert_user", ["sslmode": "require"])
                }
                let serial =
                    "select client_serial::text || ' ' || ssl from pg_stat_ssl where pid = pg_backend_pid()"
                var last: Set<String?> = []
                for round in 1..<4 {
                    try clients[0].query("begin")
                    let before = try clients[0].query(serial).value
                    try place.put(pairs[round % 2])
                    try pooler.console(tls: true).query("RELOAD")
                    let after = Set(try clients.dropFirst().map { try $0.query(serial).value })
                    #expect(after.count == 1 && !after.contains(before))
                    #expect(last.isEmpty || last == [before])
                    // Its transaction stays where it is.
                    #expect(try clients[0].query(serial).value == before)
                    try clients[0].query("commit")
                    #expect(Set([try clients[0].query(serial).value]) == after)
                    last = after
                }
            }
        }
    }
}
