import Auth
import Base
import Testing

@testable import PoolCore

/// Logins with `auth_type = hba`.
@Suite struct RuleTests {
    private static let users = "\"alice\" \"secret\"\n\"bob\" \"secret\"\n"

    /// A core that has taken over rules and maps.
    private func rig(_ rules: String, maps: String = "", epoch: UInt64 = 1) -> Rig {
        let rig = Rig("auth_type = hba", users: RuleTests.users)
        install(rules, maps: maps, epoch: epoch, in: rig)
        return rig
    }

    private func install(_ rules: String, maps: String = "", epoch: UInt64, in rig: Rig) {
        let (configuration, list) = Rig.configuration("auth_type = hba", users: RuleTests.users)
        let texts = ["rules": Array(rules.utf8), "maps": Array(maps.utf8)]
        let files = AccessFiles(read: { texts[$0] }, list: { _ in nil }) {
            text throws(TextPattern.Malformed) in
            TextPattern { String(decoding: $0, as: UTF8.self).contains(text) ? .init(group: nil) : nil }
        }
        let found = AccessRules.parse("rules", maps: "maps", files: files)
        #expect(found.diagnostics.map(\.description) == [])
        rig.tell(.configuration(configuration, userList: list, rules: found.rules, epoch: epoch))
    }

    private func unix(_ user: String) -> ClientOrigin {
        var origin = ClientOrigin(
            address: "unix", port: 6432, localAddress: "unix", localPort: 6432, isUnix: true)
        origin.peerUserName = Array(user.utf8)
        return origin
    }

    private func network(_ address: String) -> ClientOrigin {
        ClientOrigin(address: address, port: 4711, localAddress: "10.0.0.9", localPort: 6432)
    }

    private func logIn(
        _ rig: Rig, _ user: String = "alice", database: String = "db", from origin: ClientOrigin,
        encryption: Encryption? = nil, _ more: [(String, String)] = []
    ) -> ConnectionID {
        let connection = rig.accept(origin)
        if let client = rig.clientHandle(of: connection) { rig.core.clientEncryptions[client] = encryption }
        rig.receive(connection, Send.startup([("user", user), ("database", database)] + more))
        return connection
    }

    @Test func addressDatabaseAndUserChooseTheMethod() {
        let rig = rig(
            """
            host db     alice 10.0.0.0/8  trust
            host db     bob   10.0.0.0/8  password
            host db     all   11.0.0.0/8  md5
            host db     all   ::1/128     scram-sha-256
            host other  all   all         reject
            local all   all               trust
            """)
        #expect(rig.state(of: logIn(rig, from: network("10.1.1.1"))) == .waitingForWelcome)
        for (user, address, code) in [("bob", "10.1.1.1", 3), ("bob", "11.1.1.1", 5), ("bob", "::1", 10)] {
            let client = logIn(rig, user, from: network(address))
            #expect(Array(rig.messages(client)[0].body.prefix(4)) == [0, 0, 0, UInt8(code)], "\(address)")
        }
        let rejected = logIn(rig, database: "other", from: network("10.1.1.1"))
        #expect(rig.error(rejected) == "28000 login rejected")
        let stranger = logIn(rig, from: network("12.1.1.1"))
        #expect(rig.error(stranger) == "28000 no authentication method is found")
        #expect(rig.state(of: logIn(rig, from: unix("x"))) == .waitingForWelcome)
        rig.expectEmptiness()
    }

    @Test func passwordsAreCheckedByTheMethodOfTheRule() {
        let rig = rig("host all all all password")
        let client = logIn(rig, from: network("10.1.1.1"))
        rig.receive(client, Send.password("secret"))
        #expect(rig.isOpen(client))
        let wrong = logIn(rig, from: network("10.1.1.1"))
        rig.receive(wrong, Send.password("wrong"))
        #expect(rig.error(wrong) == "28P01 password authentication failed for user \"alice\"")
    }

    @Test func withoutRulesNobodyIsLetIn() {
        let rig = Rig("auth_type = hba", users: RuleTests.users)
        #expect(rig.error(logIn(rig, from: unix("alice"))) == "28000 no authentication method is found")
    }

    @Test func trustKnowsItsUsers() {
        let rig = rig("host all all all trust")
        let client = logIn(rig, "nobody", from: network("10.1.1.1"))
        #expect(rig.error(client) == "28000 \"trust\" authentication failed for user \"nobody\"")
    }

    @Test func theConsoleIsMeantByEitherOfItsNames() {
        let rules = "host pgbouncer all all reject\nhost all all all trust"
        for name in ["pgbouncer", "pgsluice"] {
            let rig = Rig("auth_type = hba\nadmin_users = alice", users: RuleTests.users)
            install(rules, epoch: 1, in: rig)
            // The configuration that brings the rules has no administrators.
            rig.core.configuration.settings.adminUsers = ["alice"]
            let client = logIn(rig, database: name, from: network("10.1.1.1"))
            #expect(rig.error(client) == "28000 login rejected")
        }
    }

    @Test func physicalReplicationIsOfNoDatabase() {
        let rig = rig("host all alice all trust\nhost replication bob all trust")
        for (user, replication, isRefused) in [
            ("alice", "true", true), ("alice", "database", false), ("bob", "true", false),
            ("bob", "database", true),
        ] {
            let client = logIn(rig, user, from: network("10.1.1.1"), [("replication", replication)])
            #expect(rig.isOpen(client) != isRefused, "\(user) \(replication)")
        }
    }

    @Test func peersAreWhoTheKernelSaysTheyAre() {
        let rig = rig("local all all peer")
        let wantsPeerNames = rig.core.wantsPeerNames
        #expect(wantsPeerNames)
        #expect(rig.isOpen(logIn(rig, from: unix("alice"))))
        for origin in [unix("bob"), unix("")] {
            #expect(rig.error(logIn(rig, from: origin)) == "28000 unix socket login rejected")
        }
        let unknown = logIn(rig, "carol", from: unix("carol"))
        #expect(rig.error(unknown) == "28000 unix socket login rejected")
    }

    @Test func mapsSayWhoMayBeWhom() {
        let rig = rig("local all all peer map=m", maps: "m root alice")
        #expect(rig.isOpen(logIn(rig, from: unix("root"))))
        #expect(!rig.isOpen(logIn(rig, from: unix("alice"))))
        #expect(!rig.isOpen(logIn(rig, "bob", from: unix("root"))))
    }

    @Test func certificatesNameTheUser() {
        let rig = rig(
            """
            hostssl db all 10.0.0.0/8 cert
            hostssl db all 11.0.0.0/8 cert map=m
            hostssl db all 12.0.0.0/8 trust clientcert=verify-ca
            hostssl db all 13.0.0.0/8 trust clientcert=verify-full
            hostnossl all all all reject
            """, maps: "m shown alice")
        let named = Encryption(
            version: "", cipher: "", verifiedNames: ["host", "alice"].map { Array($0.utf8) })
        let mapped = Encryption(version: "", cipher: "", verifiedNames: [Array("shown".utf8)])
        let none = Encryption(version: "", cipher: "")
        let expected: [(String, Encryption, Bool)] = [
            ("10.1.1.1", named, true), ("10.1.1.1", mapped, false), ("10.1.1.1", none, false),
            ("11.1.1.1", named, false), ("11.1.1.1", mapped, true), ("12.1.1.1", mapped, true),
            ("12.1.1.1", none, false), ("13.1.1.1", named, true), ("13.1.1.1", mapped, false),
        ]
        for (address, encryption, isRight) in expected {
            let client = logIn(rig, from: network(address), encryption: encryption)
            #expect(rig.isOpen(client) == isRight, "\(address) \(encryption.verifiedNames.count)")
            guard !isRight else { continue }
            #expect(rig.error(client) == "28000 certificate authentication failed for user \"alice\"")
        }
        let plain = logIn(rig, from: network("10.1.1.1"))
        #expect(rig.error(plain) == "28000 login rejected")
    }

    @Test func aReloadBringsNewRulesToNewLogins() {
        let rig = rig("host all all all password")
        let first = logIn(rig, from: network("10.1.1.1"))
        install("host all all all reject", epoch: 2, in: rig)
        #expect(rig.acknowledged == [1, 2])
        let second = logIn(rig, from: network("10.1.1.1"))
        #expect(rig.error(second) == "28000 login rejected")
        // Who has been asked for a password may give it.
        rig.receive(first, Send.password("secret"))
        #expect(rig.isOpen(first))
    }
}
