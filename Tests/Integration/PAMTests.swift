import CLibPQ
import Glibc
import Testing

private let module = "/usr/lib/x86_64-linux-gnu/pam_wrapper/pam_matrix.so"
private let isInstalled = access(module, R_OK) == 0

/// Passwords that PAM judges, in services of the tests' own; the module in them is of Debian's package
/// libpam-wrapper.
@Suite(.enabled(if: Options.isOurs && isInstalled, "needs pgsluice and Debian's package libpam-wrapper"))
struct PAMTests {
    /// A configuration in which PAM knows `person` in service `pgbouncer`, and `other` in service `second`.
    private func configuration(_ settings: [String: String]) throws -> Configuration {
        let folder = try Folder.shared.make("pam")
        try writeFile("\(folder)/users", "person:letter:pgbouncer\nother:second letter:second\n")
        for service in ["pgbouncer", "second"] {
            try writeFile(
                "\(folder)/\(service)",
                "auth required \(module) passdb=\(folder)/users\n"
                    + "account required \(module) passdb=\(folder)/users\n")
        }
        try writeFile(
            "\(folder)/hba.conf", "host second all all pam pamservice=second\nhost all all all pam\n")
        var configuration = Configuration(
            settings: settings,
            environment: ["PGSLUICE_TEST_PAM": folder])
        if settings["auth_type"] == "hba" { configuration.settings["auth_hba_file"] = "\(folder)/hba.conf" }
        let host = "host=127.0.0.1 port=\(Postgres.shared.port) dbname=test user=app"
        for name in ["test", "second"] { configuration.databases[name] = host }
        return configuration
    }

    private func attempt(_ pooler: Pooler, _ database: String, _ user: String, _ password: String) -> String {
        do {
            let client = try pooler.connect(database: database, user: user, password: password)
            return try client.query("select 'in'").value ?? "nothing"
        } catch { return (error as? PostgresError)?.message ?? "\(error)" }
    }

    /// With `auth_user` too, which has nobody to look up then.
    @Test(arguments: Setup.transaction, [[:], ["auth_user": "postgres", "auth_dbname": "nowhere"]])
    func pamJudges(setup: Setup, settings: [String: String]) async throws {
        try await onThread {
            var configuration = try configuration(["auth_type": "pam"])
            configuration.settings.merge(settings) { $1 }
            configuration.databases["nowhere"] = "host=127.0.0.1 port=1"
            try Pooler(setup, configuration).run { pooler in
                for _ in 0..<4 { #expect(attempt(pooler, "test", "person", "letter") == "in") }
                for (user, password) in [
                    ("person", "wrong"), ("nobody_here", "letter"), ("other", "second letter"),
                ] {
                    let found = attempt(pooler, "test", user, password)
                    #expect(found.contains("PAM authentication failed for user \"\(user)\""), "\(found)")
                }
                #expect(!pooler.log.contains("letter"))
            }
        }
    }

    @Test(arguments: Setup.once)
    func aRuleNamesItsService(setup: Setup) async throws {
        try await onThread {
            let configuration = try configuration(["auth_type": "hba"])
            try Pooler(setup, configuration).run { pooler in
                #expect(attempt(pooler, "second", "other", "second letter") == "in")
                #expect(attempt(pooler, "second", "person", "letter") != "in")
                #expect(attempt(pooler, "test", "person", "letter") == "in")
            }
        }
    }
}
