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

    // MARK: Passwords that others judge

    /// Plays who judges; answers whether the password that was to be judged is the given one.
    private func judge(_ rig: Rig, isRight: Bool, _ password: String = "letter") -> Bool {
        let client = rig.verifying.removeFirst()
        let asked = rig.core.passwordToVerify(of: client)?.password
        rig.tell(.verified(client, isRight: isRight, reason: isRight ? "" : "they say no"))
        return asked == Array(password.utf8)
    }

    @Test func whoeverJudgesKnowsUsersThatNothingHereKnows() {
        let rig = rig("host all all all pam")
        let client = logIn(rig, "carol", from: network("10.1.1.1"))
        #expect(rig.messages(client)[0].body == [0, 0, 0, 3])
        rig.receive(client, Send.password("letter"))
        #expect(rig.state(of: client) == .authenticating)
        #expect(judge(rig, isRight: true))
        #expect(rig.state(of: client) == .waitingForWelcome)
        // The password opens PostgreSQL too.
        let server = rig.connectServer()
        _ = rig.messages(server, isFirst: true)
        rig.receive(server, Send.message("R", [0, 0, 0, 3]))
        #expect(rig.messages(server)[0].body == Array("letter".utf8) + [0])
        rig.expectEmptiness()
    }

    @Test(arguments: [("pam", "PAM"), ("ldap ldapserver=h ldapprefix=cn=", "LDAP")])
    func whoIsJudgedWrongIsRefused(method: String, name: String) {
        let rig = rig("host all all all \(method)")
        let client = logIn(rig, from: network("10.1.1.1"))
        rig.receive(client, Send.password("letter"))
        #expect(judge(rig, isRight: false))
        #expect(rig.error(client) == "28P01 \(name) authentication failed for user \"alice\"")
        #expect(rig.log.contains { $0.contains("they say no") })
        rig.expectEmptiness()
    }

    @Test func aNameThatMeansSomethingToLDAPIsNobodys() {
        let rig = rig("host all all all ldap ldapserver=h ldapbasedn=b")
        for name in ["a*", "a(b", "a)", "a\\b", "a/b"] {
            let client = logIn(rig, name, from: network("10.1.1.1"))
            rig.receive(client, Send.password("letter"))
            #expect(rig.error(client) == "28P01 LDAP authentication failed for user \"\(name)\"")
        }
        #expect(rig.verifying.isEmpty)
    }

    @Test func anEmptyPasswordIsNeverJudged() {
        let rig = rig("host all all all ldap ldapserver=h ldapbasedn=b")
        let client = logIn(rig, from: network("10.1.1.1"))
        rig.receive(client, Send.password(""))
        #expect(rig.error(client) == "28P01 empty password returned by client")
        #expect(rig.verifying.isEmpty)
    }

    @Test func aVerdictThatComesTooLateIsForNobody() {
        let rig = rig("host all all all pam")
        let client = logIn(rig, from: network("10.1.1.1"))
        rig.receive(client, Send.password("letter"))
        rig.hangUp(client)
        rig.tell(.verified(rig.verifying.removeFirst(), isRight: true, reason: ""))
        rig.expectEmptiness()
    }

    /// What comes behind the password is neither lost nor taken for another one.
    @Test func inputIsHeldWhileOthersJudge() {
        let rig = rig("host all all all pam")
        let client = logIn(rig, from: network("10.1.1.1"))
        rig.receive(client, Send.password("letter") + Send.query("select 1"))
        #expect(rig.verifying.count == 1)
        #expect(judge(rig, isRight: true))
        _ = rig.server()
        #expect(rig.state(of: client) == .linked)
    }

    /// A client that comes to one worker has its server opened by another.
    @Test func aProvenPasswordIsThereForAllWorkers() {
        let shared = SharedMemory(workers: 2)
        let settings = "auth_type = pam"
        let one = Rig(settings, users: RuleTests.users, sharing: shared, worker: 0)
        let two = Rig(settings, users: RuleTests.users, sharing: shared, worker: 1)
        let client = logIn(one, "carol", from: network("10.1.1.1"))
        one.receive(client, Send.password("letter"))
        #expect(judge(one, isRight: true))
        let index = two.core.userNumber(Array("carol".utf8))
        let pool = two.core.poolNumber(0, index)
        let secret = pool.map { two.core.provenSecret($0) }
        #expect(secret == .plain(Array("letter".utf8)))
    }
}
