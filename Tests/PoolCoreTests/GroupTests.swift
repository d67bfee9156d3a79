import Auth
import Base
import Testing

@testable import PoolCore

/// Rules and maps that name groups: PostgreSQL is asked who is in them.
@Suite struct GroupTests {
    private static let users = "\"asker\" \"asks\"\n\"alice\" \"secret\"\n\"bob\" \"secret\"\n"
    private static let staff = "host all +staff all password\nhost all all all reject"

    /// A core that has taken over rules and maps.
    private func rig(
        _ rules: String = staff, maps: String = "", _ settings: String = "auth_user = asker",
        databases: String = "db = host=10.0.0.1"
    ) -> Rig {
        let rig = Rig("auth_type = hba\n" + settings, databases: databases, users: GroupTests.users)
        install(rules, maps: maps, settings, databases: databases, epoch: 1, in: rig)
        return rig
    }

    private func install(
        _ rules: String, maps: String = "", _ settings: String = "auth_user = asker",
        databases: String = "db = host=10.0.0.1", epoch: UInt64, in rig: Rig
    ) {
        let (configuration, list) = Rig.configuration(
            "auth_type = hba\n" + settings, databases: databases, users: GroupTests.users)
        let texts = ["rules": Array(rules.utf8), "maps": Array(maps.utf8)]
        let files = AccessFiles(read: { texts[$0] }, list: { _ in nil }) {
            text throws(TextPattern.Malformed) in
            throw TextPattern.Malformed(reason: "\(text) is not expected")
        }
        let found = AccessRules.parse("rules", maps: "maps", files: files)
        #expect(found.diagnostics.map(\.description) == [])
        rig.tell(.configuration(configuration, userList: list, rules: found.rules, epoch: epoch))
    }

    /// A client whose groups are asked for, and the server that has been sent the query.
    private func asked(
        _ rig: Rig, _ user: String = "alice", database: String = "db"
    ) -> (client: ConnectionID, server: ConnectionID) {
        let client = rig.client(user, database: database)
        let server = rig.server()
        #expect(rig.types(server) == "PBDES")
        return (client, server)
    }

    /// What PostgreSQL answers.
    private func groups(_ names: String...) -> [UInt8] { groups(names) }

    private func groups(_ names: [String]) -> [UInt8] {
        let rows = names.flatMap {
            Send.message("D", [0, 1, 0, 0, 0, UInt8($0.utf8.count)] + Array($0.utf8))
        }
        return Answer.start + Send.message("T", [0, 1]) + rows + Send.complete("SELECT 1") + Send.ready()
    }

    private func isAskedForPassword(_ rig: Rig, _ client: ConnectionID) -> Bool {
        rig.messages(client).first?.body == [0, 0, 0, 3]
    }

    // MARK: Members

    @Test(arguments: [Int.max, 1, 7])
    func aMemberComesByTheRuleOfItsGroup(pieceSize: Int) {
        let rig = rig()
        let client = rig.client("alice")
        let server = rig.connectServer()
        let startup = rig.messages(server, isFirst: true)[0].text
        #expect(startup.contains("user\0asker\0database\0db\0"))
        rig.receive(server, Send.message("R", [0, 0, 0, 0]) + Send.ready())
        let query = rig.messages(server)
        #expect(query.map(\.type) == Array("PBDES"))
        // What a name means must not depend on what was set on the connection before: it is binary.
        #expect(
            query[1].body == [0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 5] + Array("alice".utf8) + [0, 1, 0, 1])
        #expect(rig.types(client) == "")
        rig.receive(server, groups("alice", "all hands", "staff"), pieceSize: pieceSize)
        #expect(isAskedForPassword(rig, client))
        #expect(rig.record(of: server)?.state == .idle)
        rig.receive(client, Send.password("secret"))
        _ = rig.server()
        #expect(rig.types(client).hasSuffix("Z"))
        rig.hangUp(client)
        rig.expectEmptiness()
    }

    /// Somebody who is in no group and nobody are answered alike.
    @Test func whoIsNotInTheGroupIsNotMeant() {
        let rig = rig()
        let (client, server) = asked(rig)
        rig.receive(server, groups("alice", "staffers"))
        #expect(rig.error(client) == "28000 login rejected")
        let stranger = rig.client("nobody")
        rig.receive(server, groups())
        // The secret is looked up before rules are judged: the name may become another.
        rig.receive(server, Answer.nobody)
        #expect(rig.error(stranger) == "28000 login rejected")
        rig.expectEmptiness()
    }

    @Test func whoIsToBeRejectedIsRejected() {
        let rig = rig("host all +banned all reject\nhost all all all password")
        let (client, server) = asked(rig)
        rig.receive(server, groups("banned"))
        #expect(rig.error(client) == "28000 login rejected")
        let other = rig.client("bob")
        rig.receive(server, groups("bob"))
        #expect(isAskedForPassword(rig, other))
    }

    @Test func theDatabaseMayBeAGroup() {
        let rig = rig("host samerole all all password", databases: "team = host=10.0.0.1")
        let (client, server) = asked(rig, database: "team")
        rig.receive(server, groups("alice", "team"))
        #expect(isAskedForPassword(rig, client))
        let other = rig.client("bob", database: "team")
        rig.receive(server, groups("bob"))
        #expect(rig.error(other) == "28000 no authentication method is found")
    }

    @Test func mapsNameGroupsToo() {
        let rig = rig("local all all peer map=m", maps: "m root +staff")
        var origin = ClientOrigin(
            address: "unix", port: 6432, localAddress: "unix", localPort: 6432, isUnix: true)
        origin.peerUserName = Array("root".utf8)
        var server: ConnectionID?
        for (groups, isIn) in [(["alice", "staff"], true), (["alice"], false)] {
            let client = rig.accept(origin)
            rig.receive(client, Send.startup([("user", "alice"), ("database", "db")]))
            if server == nil { server = rig.server() }
            rig.receive(server!, self.groups(groups))
            #expect(rig.isOpen(client) == isIn)
            if !isIn { #expect(rig.error(client) == "28000 unix socket login rejected") }
        }
    }

    @Test func nobodyIsAskedWhereNoRuleThatMayApplyNamesAGroup() {
        let rig = rig("host safe all all password\n" + GroupTests.staff, databases: "safe = host=10.0.0.1")
        let client = rig.client("alice", database: "safe")
        #expect(isAskedForPassword(rig, client))
        #expect(rig.connecting.isEmpty)
    }

    // MARK: With auth_query

    /// First the groups, then the secret, by the same server.
    @Test func whoIsNotListedIsLookedUpToo() {
        let rig = rig()
        let (client, server) = asked(rig, "carol")
        rig.receive(server, groups("carol", "staff"))
        let query = rig.messages(server)
        #expect(query.first?.text.contains("pg_authid") == true)
        #expect(query[1].body == [0, 0, 0, 0, 0, 1, 0, 0, 0, 5] + Array("carol".utf8) + [0, 0])
        #expect(rig.types(client) == "")
        rig.receive(server, Answer.user("carol", "hers"))
        #expect(isAskedForPassword(rig, client))
        rig.receive(client, Send.password("hers"))
        #expect(rig.state(of: client) == .waitingForWelcome)
        let noSecret = rig.client("dave")
        rig.receive(server, groups("dave", "staff"))
        rig.receive(server, Answer.user("dave", nil))
        #expect(isAskedForPassword(rig, noSecret))
        rig.receive(noSecret, Send.password("x"))
        #expect(rig.error(noSecret) == "28P01 password authentication failed for user \"dave\"")
    }

    /// The groups of one name say nothing about another.
    @Test func whoIsReturnedUnderAnotherNameIsInTheGroupsOfThat() {
        let rig = rig("host all +banned all reject\nhost all all all password")
        var server: ConnectionID?
        for (groups, isIn) in [(["carol"], true), (["carol", "banned"], false)] {
            let client = rig.client("carol@here")
            let asker = server ?? rig.server()
            server = asker
            rig.receive(asker, self.groups())
            _ = rig.raw(asker)
            rig.receive(asker, Answer.user("carol", "hers"))
            let query = rig.messages(asker)
            #expect(query.first?.text.contains("pg_auth_members") == true)
            #expect(query[1].text.contains("carol\0"))
            rig.receive(asker, self.groups(groups))
            #expect(rig.isOpen(client) == isIn)
            if !isIn { #expect(rig.error(client) == "28000 login rejected") }
        }
    }

    // MARK: What cannot be known

    @Test func aRuleThatCannotBeJudgedIsNotSkipped() {
        let rig = rig(
            "host all bob all password\n\nhost all +banned all reject\nhost all all all trust", "")
        #expect(rig.error(rig.client("alice")) == "F0000 bouncer config error")
        #expect(
            rig.log.contains {
                $0.contains("rules:3: who is in a group cannot be asked for: set auth_user")
            })
        // What stands in front of it holds.
        #expect(isAskedForPassword(rig, rig.client("bob")))
        #expect(rig.connecting.isEmpty)
        rig.expectEmptiness()
    }

    @Test func aMapThatCannotBeJudgedLetsInWhomItNames() {
        let rig = rig("local all all peer map=m", maps: "m root alice,+staff", "")
        for (user, error) in [("alice", ""), ("bob", "F0000 bouncer config error")] {
            var origin = ClientOrigin(
                address: "unix", port: 6432, localAddress: "unix", localPort: 6432, isUnix: true)
            origin.peerUserName = Array("root".utf8)
            let client = rig.accept(origin)
            rig.receive(client, Send.startup([("user", user), ("database", "db")]))
            #expect(rig.isOpen(client) == error.isEmpty)
            if !error.isEmpty { #expect(rig.error(client) == error) }
        }
        #expect(rig.log.contains { $0.contains("rules:1: who is in a group cannot be asked for") })
    }

    @Test func anErrorIsLoggedAndNotTold() {
        let rig = rig("host all +banned all reject\nhost all all all trust")
        let (client, server) = asked(rig)
        let begun = Answer.start + Send.message("T", [0, 1]) + Send.message("D", [0, 1, 0, 0, 0, 1, 97])
        rig.receive(server, begun + Send.error("42501", "permission denied") + Send.ready())
        #expect(rig.error(client) == "F0000 bouncer config error")
        #expect(rig.log.contains { $0.contains("the query of groups failed: permission denied") })
        #expect(rig.record(of: server)?.state == .idle)
        rig.expectEmptiness()
    }

    @Test(arguments: [
        Answer.start + Send.message("T", [0, 2]), Answer.start + Send.noData,
        Answer.start + Send.message("T", [0, 1]) + Send.message("D", [0, 2]),
        Answer.start + Send.message("T", [0, 1]) + Send.message("D", [0, 1, 255, 255, 255, 255]),
        Answer.start + Send.message("T", [0, 1]) + Send.message("D", [0, 1, 0, 0, 0, 0]),
        Answer.start + Send.message("T", [0, 1]) + Send.message("D", [0, 1, 0, 0, 0, 9]),
        Answer.start + Send.message("T", [0, 1]) + Send.ready(), Send.ready(),
    ])
    func whatIsNoAnswerEndsTheServer(bytes: [UInt8]) {
        let rig = rig()
        let (client, server) = asked(rig)
        rig.receive(server, bytes)
        #expect(rig.error(client) == "F0000 bouncer config error")
        #expect(!rig.isOpen(server))
        #expect(rig.log.contains { $0.contains("the query of groups: the server ") })
        rig.expectEmptiness()
    }

    /// Nobody's groups fill the memory.
    @Test func thereAreNotTooManyGroups() {
        let rig = rig()
        let (client, server) = asked(rig)
        rig.receive(server, groups((0...Lookup.groupLimit).map { "g\($0)" }))
        #expect(rig.error(client) == "F0000 bouncer config error")
        #expect(!rig.isOpen(server))
    }

    @Test func aServerThatIsDownLetsNobodyIn() {
        let rig = rig("host all +banned all reject\nhost all all all trust")
        let client = rig.client("alice")
        rig.receive(rig.connectServer(), Send.error("28P01", "wrong password"))
        #expect(rig.error(client) == "F0000 bouncer config error")
        rig.expectEmptiness()
    }

    // MARK: Where it is asked

    @Test func theConsoleAsksOnlyWhereThereIsADatabaseForIt() {
        let without = rig(GroupTests.staff, "auth_user = asker\nadmin_users = alice")
        #expect(without.error(without.client("alice", database: "pgbouncer")) == "F0000 bouncer config error")
        #expect(without.log.contains { $0.contains("set auth_user and auth_dbname") })
        let rig = rig(GroupTests.staff, "auth_user = asker\nadmin_users = alice\nauth_dbname = db")
        let (client, server) = asked(rig, database: "pgbouncer")
        rig.receive(server, groups("staff"))
        rig.receive(client, Send.password("secret"))
        #expect(rig.consoles.count == 1)
    }

    /// A database that is not there can be asked nothing; elsewhere its clients are asked for as any other's.
    @Test func aDatabaseThatIsNotThereAsksElsewhereOrNowhere() {
        let without = rig()
        #expect(without.error(without.client("alice", database: "no")) == "F0000 bouncer config error")
        let rig = rig(GroupTests.staff, "auth_user = asker\nauth_dbname = db")
        let (client, server) = asked(rig, database: "no")
        rig.receive(server, groups("staff"))
        rig.receive(client, Send.password("secret"))
        #expect(rig.error(client) == "3D000 no such database: no")
    }

    // MARK: What happens meanwhile

    @Test func aReloadBringsRulesForWhoeverIsBeingAskedFor() {
        let rig = rig()
        let (client, server) = asked(rig)
        install("host all +others all password\n" + GroupTests.staff, epoch: 2, in: rig)
        rig.receive(server, groups("alice", "others"))
        #expect(isAskedForPassword(rig, client))
        // Rules that need no groups, and rules that have come to need them.
        let second = rig.client("bob")
        #expect(rig.types(server) == "PBDES")
        install("host all all all password", epoch: 3, in: rig)
        rig.receive(server, groups("bob"))
        #expect(isAskedForPassword(rig, second))
        let third = rig.client("carol")
        #expect(rig.messages(server).first?.text.contains("pg_authid") == true)
        install(GroupTests.staff, epoch: 4, in: rig)
        rig.receive(server, Answer.user("carol", "hers"))
        #expect(rig.messages(server).first?.text.contains("pg_auth_members") == true)
        rig.receive(server, groups("carol"))
        #expect(rig.error(third) == "28000 login rejected")
        rig.expectEmptiness()
    }

    @Test func aClientThatLeavesCostsNoServer() {
        let rig = rig(GroupTests.staff, "auth_user = asker\ndefault_pool_size = 1")
        let (client, server) = asked(rig)
        let second = rig.client("bob")
        rig.hangUp(client)
        rig.receive(server, groups("alice", "staff"))
        // The next one's turn, who is not taken for the first.
        #expect(rig.types(server) == "PBDES")
        rig.receive(server, groups("bob"))
        #expect(rig.error(second) == "28000 login rejected")
        #expect(rig.isOpen(server))
        rig.expectEmptiness()
    }

    /// One that was lost may be replaced for each of the two questions.
    @Test func aLostServerIsReplacedOnce() {
        let rig = rig()
        let (client, server) = asked(rig, "carol")
        rig.hangUp(server)
        let second = rig.server()
        #expect(rig.types(second) == "PBDES")
        rig.receive(second, groups("staff"))
        rig.hangUp(second)
        let third = rig.server()
        #expect(rig.messages(third).first?.text.contains("pg_authid") == true)
        rig.hangUp(third)
        #expect(rig.error(client) == "F0000 bouncer config error")
        rig.expectEmptiness()
    }

    // MARK: What is known already

    @Test func whatWasFoundIsUsedAgainForAWhile() {
        let settings = "auth_user = asker\nauth_query_cache = 10"
        let rig = rig(GroupTests.staff, settings)
        let (_, server) = asked(rig)
        rig.receive(server, groups("alice", "staff"))
        #expect(isAskedForPassword(rig, rig.client("alice")))
        #expect(rig.types(server) == "")
        // Of somebody else, or in another database, nothing is known.
        _ = rig.client("bob")
        #expect(rig.types(server) == "PBDES")
        rig.receive(server, groups("bob"))
        // Who is nobody is asked for every time.
        for _ in 0..<2 {
            let stranger = rig.client("nobody")
            #expect(rig.types(server) == "PBDES")
            rig.receive(server, groups())
            rig.receive(server, Answer.nobody)
            #expect(rig.error(stranger) == "28000 login rejected")
            _ = rig.raw(server)
        }
        rig.advance(milliseconds: 11_000)
        let later = rig.client("alice")
        #expect(rig.types(server) == "PBDES")
        rig.receive(server, groups("alice"))
        #expect(rig.error(later) == "28000 login rejected")
        install(GroupTests.staff, settings, epoch: 2, in: rig)
        _ = rig.client("alice")
        #expect(rig.types(server) == "PBDES")
    }

    /// The groups of a name are not its secret.
    @Test func groupsAndSecretsAreRememberedBesideEachOther() {
        let rig = rig(GroupTests.staff, "auth_user = asker\nauth_query_cache = 10")
        let (client, server) = asked(rig, "carol")
        rig.receive(server, groups("carol", "staff"))
        rig.receive(server, Answer.user("carol", "hers"))
        rig.receive(client, Send.password("hers"))
        _ = rig.raw(server)
        let again = rig.client("carol")
        #expect(isAskedForPassword(rig, again))
        #expect(rig.types(server) == "")
        rig.receive(again, Send.password("hers"))
        #expect(rig.isOpen(again))
    }

    @Test func whatWasAskedBeforeAReloadIsNotRemembered() {
        let settings = "auth_user = asker\nauth_query_cache = 10"
        let rig = rig(GroupTests.staff, settings)
        let (client, server) = asked(rig)
        install(GroupTests.staff, settings, epoch: 2, in: rig)
        rig.receive(server, groups("alice", "staff"))
        #expect(isAskedForPassword(rig, client))
        _ = rig.client("alice")
        #expect(rig.types(server) == "PBDES")
    }

    @Test func manyGroupsAreNotRemembered() {
        let rig = rig(GroupTests.staff, "auth_user = asker\nauth_query_cache = 10")
        let (_, server) = asked(rig)
        rig.receive(server, groups(["staff"] + (0..<100).map { "g\($0)" }))
        _ = rig.client("alice")
        #expect(rig.types(server) == "PBDES")
    }
}
