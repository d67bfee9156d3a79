import Auth
import Base
import SharedState
import Testing

@testable import PoolCore

@Suite struct AuthQueryTests {
    private static let users = "\"asker\" \"asks\"\n\"alice\" \"listed\"\n"

    private func rig(_ settings: String = "", databases: String = "db = host=10.0.0.1") -> Rig {
        let type = settings.contains("auth_type") ? "" : "auth_type = plain\n"
        return Rig(type + "auth_user = asker\n" + settings, databases: databases, users: AuthQueryTests.users)
    }

    /// A client whose user is looked up, and the server that has been sent the query.
    private func asked(
        _ rig: Rig, _ user: String = "carol", database: String = "db"
    ) -> (client: ConnectionID, server: ConnectionID) {
        let client = rig.client(user, database: database)
        let server = rig.server()
        #expect(rig.types(server) == "PBDES")
        return (client, server)
    }

    // MARK: What PostgreSQL says

    @Test(arguments: [Int.max, 1, 7])
    func whoIsFoundHasToProveIt(pieceSize: Int) {
        let rig = rig("auth_query = select a, b from c where d = $1")
        let client = rig.client("carol")
        let server = rig.connectServer()
        let startup = rig.messages(server, isFirst: true)[0].text
        #expect(startup.contains("user\0asker\0database\0db\0"))
        rig.receive(server, Send.message("R", [0, 0, 0, 0]) + Send.ready())
        let query = rig.messages(server)
        #expect(query.map(\.type) == Array("PBDES"))
        #expect(query[0].body == Send.text("", "select a, b from c where d = $1") + [0, 0])
        #expect(query[1].body == [0, 0, 0, 0, 0, 1, 0, 0, 0, 5] + Array("carol".utf8) + [0, 0])
        #expect(rig.types(client) == "")
        rig.receive(server, Answer.user("carol", "secret"), pieceSize: pieceSize)
        #expect(rig.messages(client)[0].body == [0, 0, 0, 3])
        #expect(rig.record(of: server)?.state == .idle)
        rig.receive(client, Send.password("secret"))
        // Her pool's servers log in with what was found.
        let own = rig.connectServer()
        rig.receive(own, Send.message("R", [0, 0, 0, 3]))
        #expect(rig.messages(own, isFirst: true).last?.text == "secret\0")
        rig.receive(own, Send.message("R", [0, 0, 0, 0]) + Send.ready())
        #expect(rig.types(client).hasSuffix("Z"))
        rig.hangUp(client)
        rig.expectEmptiness()
    }

    @Test func whoIsListedIsNotLookedUp() {
        let rig = rig()
        let client = rig.client("alice")
        rig.receive(client, Send.password("listed"))
        #expect(rig.isOpen(client))
        _ = rig.server()
        #expect(rig.types(client).hasSuffix("Z"))
    }

    /// Nobody can tell from the messages who exists.
    @Test(arguments: ["plain", "md5", "scram-sha-256"])
    func whoIsNotFoundSeesWhatAWrongPasswordSees(type: String) {
        var seen: [[String]] = []
        let verifier = ScramVerifier(deriving: Array("s".utf8), salt: Array(1...16), iterations: 4096)
        for answer in [
            Answer.user("carol", String(decoding: verifier.text, as: UTF8.self)), Answer.nobody,
            Answer.user("carol", nil), Answer.rows([(nil, nil)]),
        ] {
            let rig = rig("auth_type = \(type)")
            let (client, server) = asked(rig)
            rig.receive(server, answer)
            let request = rig.messages(client).map { "\($0.type) \($0.body)" }
            if type == "plain" {
                rig.receive(client, Send.password("wrong"))
                seen.append(request + [rig.types(client)])
            } else {
                seen.append(request + [rig.prove(client, "wrong")])
            }
            seen[seen.count - 1] += rig.log.filter { $0.contains("pooler error: ") }
            #expect(!rig.isOpen(client))
            rig.expectEmptiness()
        }
        #expect(seen[0].last?.contains("authentication failed for user \"carol\"") == true)
        #expect(seen[0] == seen[1])
        #expect(seen[0] == seen[2])
        #expect(seen[0] == seen[3])
    }

    /// Where secrets are of the older form, who does not exist is asked for the older proof.
    @Test func theMockIsOfTheFormOfTheOthers() {
        let rig = rig("auth_type = md5")
        let (client, server) = asked(rig)
        rig.receive(server, Answer.user("carol", "md5" + String(repeating: "0", count: 32)))
        #expect(rig.messages(client)[0].body.prefix(4) == [0, 0, 0, 5])
        let unknown = rig.client("nobody")
        rig.receive(server, Answer.nobody)
        #expect(rig.messages(unknown)[0].body.prefix(4) == [0, 0, 0, 5])
    }

    @Test func strangersAreNotRemembered() {
        let rig = rig("client_login_timeout = 5")
        let (client, server) = asked(rig, "stranger")
        rig.receive(server, Answer.user("stranger", "secret"))
        rig.receive(client, Send.password("wrong"))
        for index in 0..<20 {
            let client = rig.client("s\(index)")
            rig.receive(server, Answer.nobody)
            rig.receive(client, Send.password("wrong"))
            #expect(!rig.isOpen(client))
        }
        #expect(rig.core.users.map { String(decoding: $0.name, as: UTF8.self) } == ["asker", "alice"])
    }

    @Test func theLoginGoesOnUnderTheNameThatIsReturned() {
        let rig = rig()
        let (client, server) = asked(rig, "carol@example.com")
        rig.receive(server, Answer.rows([("other", "x"), ("carol", "secret")]))
        rig.receive(client, Send.password("secret"))
        let own = rig.connectServer()
        #expect(rig.messages(own, isFirst: true)[0].text.contains("user\0carol\0"))
        #expect(rig.isOpen(client))
    }

    @Test func trustLetsInWhoIsFoundAndNobodyElse() {
        let rig = rig("auth_type = trust")
        let (client, server) = asked(rig)
        rig.receive(server, Answer.user("carol", nil))
        #expect(rig.state(of: client) == .waitingForWelcome)
        let unknown = rig.client("nobody")
        rig.receive(server, Answer.nobody)
        #expect(rig.error(unknown) == "28000 \"trust\" authentication failed for user \"nobody\"")
    }

    @Test func anErrorIsLoggedAndNotTold() {
        let rig = rig()
        let (client, server) = asked(rig)
        rig.receive(server, Send.error("42501", "permission denied for pg_authid") + Send.ready())
        #expect(rig.error(client) == "F0000 bouncer config error")
        #expect(rig.log.contains { $0.contains("auth_query failed: permission denied for pg_authid") })
        #expect(rig.record(of: server)?.state == .idle)
        rig.expectEmptiness()
    }

    @Test(arguments: [
        Answer.start + Send.message("T", [0, 1]), Answer.start + Send.message("T", [0, 3]),
        Answer.start + Send.noData, Answer.start + Send.message("T", [0, 2]) + Send.message("D", [0, 1]),
        Answer.start + Send.message("T", [0, 2]) + Answer.row("", "x"),
        Answer.start + Send.message("T", [0, 2]) + Answer.row(String(repeating: "n", count: 128), "x"),
        Answer.start + Send.message("T", [0, 2]) + Send.message("D", [0, 2, 0, 0, 0, 9]),
        Send.ready(), Send.complete("SELECT 1"), Send.bindComplete, Send.message("G", [0, 0, 0]),
        Answer.start + Send.message("T", [0, 2]) + Send.ready(), [68, 0, 0, 0, 3], [68, 0, 1, 0, 1],
    ])
    func whatIsNoAnswerEndsTheServer(bytes: [UInt8]) {
        let rig = rig()
        let (client, server) = asked(rig)
        rig.receive(server, bytes)
        #expect(rig.error(client) == "F0000 bouncer config error")
        #expect(!rig.isOpen(server))
        #expect(rig.log.contains { $0.contains("auth_query: the server ") })
        rig.expectEmptiness()
    }

    @Test func aTransactionThatIsLeftOpenEndsTheServer() {
        let rig = rig()
        let (client, server) = asked(rig)
        rig.receive(server, Array(Answer.nobody.dropLast(6)) + Send.ready("T"))
        #expect(!rig.isOpen(server))
        #expect(rig.messages(client)[0].body == [0, 0, 0, 3])
    }

    @Test func noticesAndParametersMayComeInBetween() {
        let rig = rig()
        let (client, server) = asked(rig)
        let notice = Send.message("N", Send.text("SNOTICE", "Mhello") + [0])
        rig.receive(server, notice + Send.parameter("TimeZone", "Mars") + Answer.user("carol", "secret"))
        #expect(rig.types(client) == "R")
    }

    /// Whatever stands in place of one byte of the answer, the client is refused or asked for its password,
    /// and nothing is left over.
    @Test(arguments: [0, 1, 2, 5, 0x45, 0x53, 0x5A, 0xFF] as [UInt8])
    func noByteOfTheAnswerIsTrusted(byte: UInt8) {
        let answer = Answer.user("carol", "secret")
        for place in answer.indices {
            let rig = rig("client_login_timeout = 2\nserver_connect_timeout = 3")
            let (client, server) = asked(rig)
            var changed = answer
            changed[place] = byte
            rig.receive(server, changed)
            rig.advance(milliseconds: 6_000)
            #expect(!rig.isOpen(client))
            #expect(rig.record(of: server)?.state != .lookingUp)
            rig.expectEmptiness()
        }
    }

    @Test func theConsoleShowsWhoIsLookedUp() throws {
        let rig = rig("default_pool_size = 1")
        _ = asked(rig)
        _ = rig.client("dave")
        let clients = try rig.rows(.clients)
        #expect(
            clients.map { Array($0[1...4]) } == [
                ["carol", "db", "none", "active"], ["dave", "db", "none", "waiting"],
            ])
        #expect(try rig.rows(.servers).map { Array($0[1...4]) } == [["asker", "db", "none", "active"]])
        let waiters = try rig.rows(.waiters)
        #expect(waiters.map { [$0[1], $0[2], $0[7]] } == [["db", "asker", "pool_size"]])
        let pool = try rig.rows(.pools).first { $0[1] == "asker" }
        #expect(pool.map { Array($0[2...6]) } == ["1", "1", "0", "0", "1"])
        let lists = try rig.rows(.lists)
        #expect(lists.first { $0[0] == "login_clients" }?[1] == "2")
    }

    /// The one server that may ask goes to the worker where somebody has to be looked up.
    @Test func aServerIsLentToAsk() throws {
        let shared = SharedMemory(workers: 2)
        let rigs = (0..<2).map { worker in
            Rig(
                "auth_type = plain\nauth_user = asker\ndefault_pool_size = 1", users: AuthQueryTests.users,
                sharing: shared, worker: worker)
        }
        let (first, server) = asked(rigs[0])
        let second = rigs[1].client("dave")
        #expect(rigs[1].connecting.isEmpty)
        rigs[0].receive(server, Answer.user("carol", "secret"))
        #expect(rigs[0].types(first) == "R")
        var lent: ConnectionID?
        for _ in 0..<20 where lent == nil {
            for rig in rigs {
                rig.advance(milliseconds: 2)
                for post in rig.takePosted() { lent = try rigs[post.worker].take(post) ?? lent }
            }
        }
        let there = try #require(lent)
        #expect(rigs[1].types(there) == "PBDES")
        rigs[1].receive(there, Answer.user("dave", "secret"))
        #expect(rigs[1].types(second) == "R")
    }

    // MARK: What happens meanwhile

    @Test func whatAClientSendsTooEarlyIsHeld() {
        let rig = rig()
        let client = rig.accept()
        let startup = Send.startup([("user", "carol"), ("database", "db")])
        rig.receive(client, startup + Send.password("secret"))
        let server = rig.server()
        rig.receive(server, Answer.user("carol", "secret"))
        #expect(rig.state(of: client) == .waitingForWelcome)
    }

    /// The client is asked after the query: its step begins then.
    @Test func theTimeOfTheQueryIsNotTheClients() {
        let rig = rig("client_login_step_timeout = 2")
        let (client, server) = asked(rig)
        rig.advance(milliseconds: 3000)
        rig.receive(server, Answer.user("carol", "secret"))
        #expect(rig.messages(client)[0].body == [0, 0, 0, 3])
        rig.advance(milliseconds: 1500)
        #expect(rig.isOpen(client))
        rig.advance(milliseconds: 1500)
        #expect(rig.error(client).contains("client_login_step_timeout"))
    }

    @Test func aClientThatLeavesCostsNoServer() {
        let rig = rig("default_pool_size = 1")
        let (client, server) = asked(rig)
        let waiting = rig.client("dave")
        let second = rig.client("eve")
        rig.hangUp(client)
        rig.hangUp(waiting)
        rig.receive(server, Answer.user("carol", "secret"))
        // The next one's turn.
        #expect(rig.types(server) == "PBDES")
        rig.receive(server, Answer.user("eve", "secret"))
        #expect(rig.types(second) == "R")
        #expect(rig.isOpen(server))
        rig.expectEmptiness()
    }

    @Test func anAnswerThatNobodyWaitsForAndNeverComesEndsTheServer() {
        let rig = rig("server_connect_timeout = 3")
        let (client, server) = asked(rig)
        rig.hangUp(client)
        rig.advance(milliseconds: 2500)
        #expect(rig.isOpen(server))
        rig.advance(milliseconds: 1000)
        #expect(!rig.isOpen(server))
        rig.expectEmptiness()
    }

    /// A server may have gone while nobody looked; the first to notice is not to suffer.
    @Test func aLostServerIsReplacedOnce() {
        let rig = rig()
        let (client, server) = asked(rig)
        rig.hangUp(server)
        #expect(rig.state(of: client) == .waitingForLookup)
        let second = rig.server()
        #expect(rig.types(second) == "PBDES")
        rig.hangUp(second)
        #expect(rig.error(client) == "F0000 bouncer config error")
        rig.expectEmptiness()
    }

    @Test func aServerThatCannotLogInIsNotSpokenOf() {
        let rig = rig()
        let client = rig.client("carol")
        let server = rig.connectServer()
        rig.receive(server, Send.error("28P01", "password authentication failed for user \"asker\""))
        #expect(rig.error(client) == "F0000 bouncer config error")
        #expect(rig.log.contains { $0.contains("failed for user \"asker\"") })
        rig.expectEmptiness()
    }

    @Test func theLimitsOfThePoolHold() {
        let rig = rig("default_pool_size = 1")
        let (first, server) = asked(rig)
        let second = rig.client("dave")
        #expect(rig.connecting.isEmpty)
        #expect(rig.state(of: second) == .waitingForLookup)
        rig.receive(server, Answer.user("carol", "secret"))
        #expect(rig.types(first) == "R")
        #expect(rig.types(server) == "PBDES")
        rig.receive(server, Answer.user("dave", "secret"))
        #expect(rig.types(second) == "R")
        rig.expectEmptiness()
    }

    /// The one connection of the database goes from the query's pool to the client's own.
    @Test func aFullDatabaseMakesRoom() {
        let rig = rig("max_db_connections = 1")
        let (client, server) = asked(rig)
        rig.receive(server, Answer.user("carol", "secret"))
        rig.receive(client, Send.password("secret"))
        #expect(!rig.isOpen(server))
        _ = rig.server()
        #expect(rig.types(client).hasSuffix("Z"))
        rig.expectEmptiness()
    }

    @Test func aPauseHoldsTheQueryAndWaitsForTheOneThatRuns() {
        let rig = rig("default_pool_size = 1")
        let (_, server) = asked(rig)
        rig.tell(.order(Order(epoch: 1, kind: .pause)))
        #expect(rig.acknowledged.isEmpty)
        let second = rig.client("dave")
        rig.receive(server, Answer.user("carol", "secret"))
        #expect(rig.acknowledged == [1])
        #expect(!rig.isOpen(server))
        rig.advance(milliseconds: 1000)
        #expect(rig.connecting.isEmpty)
        rig.tell(.order(Order(epoch: 2, kind: .resume)))
        let other = rig.server()
        rig.receive(other, Answer.user("dave", "secret"))
        #expect(rig.types(second) == "R")
        rig.expectEmptiness()
    }

    @Test(arguments: [true, false])
    func theLoginTimeoutHolds(isAsked: Bool) {
        let rig = rig("client_login_timeout = 2")
        let client = rig.client("carol")
        if isAsked { _ = rig.server() }
        rig.advance(milliseconds: 1500)
        #expect(rig.isOpen(client))
        rig.advance(milliseconds: 1000)
        #expect(!rig.isOpen(client))
        #expect(rig.error(client).contains("client_login_timeout"))
        rig.expectEmptiness()
    }

    @Test func theWaitTimeoutHoldsAndNamesNobodyElse() {
        let rig = rig("query_wait_timeout = 2")
        let client = rig.client("carol")
        rig.advance(milliseconds: 3000)
        let error = rig.error(client)
        #expect(error.contains("carol") && !error.contains("asker"), "\(error)")
        rig.expectEmptiness()
    }

    @Test func theQueryTimeoutHolds() {
        let rig = rig("query_timeout = 2")
        let (client, server) = asked(rig)
        rig.advance(milliseconds: 3000)
        #expect(rig.error(client) == "F0000 bouncer config error")
        #expect(!rig.isOpen(server))
    }

    @Test(arguments: [true, false])
    func aShutdownEndsIt(isAsked: Bool) {
        let rig = rig()
        let client = rig.client("carol")
        var server: ConnectionID?
        if isAsked { server = rig.server() }
        rig.tell(.order(Order(epoch: 1, kind: .shutdownWaitForServers)))
        #expect(!rig.isOpen(client))
        if let server { rig.receive(server, Answer.nobody) }
        #expect(rig.isDrained)
        rig.expectEmptiness()
    }

    @Test(arguments: [true, false])
    func aReloadThatRemovesTheDatabaseEndsIt(isAsked: Bool) {
        let rig = rig(
            "auth_dbname = db\nauth_query = q", databases: "db = host=10.0.0.1\nother = host=10.0.0.1")
        let client = rig.client("carol", database: "other")
        if isAsked { _ = rig.server() }
        let (new, list) = Rig.configuration(databases: "other = host=10.0.0.1", users: AuthQueryTests.users)
        rig.tell(.configuration(new, userList: list, epoch: 1))
        #expect(rig.error(client) == "F0000 bouncer config error")
        rig.expectEmptiness()
    }

    // MARK: Where it is asked

    private func startup(_ rig: Rig, _ database: String) -> String {
        _ = rig.client("carol", database: database)
        guard !rig.connecting.isEmpty else { return "" }
        return rig.messages(rig.connectServer(), isFirst: true)[0].text
    }

    @Test func theDatabasesOwnSettingsComeFirst() {
        let rig = rig(
            "auth_dbname = general",
            databases: """
                general = host=10.0.0.1
                own = host=10.0.0.1
                told = host=10.0.0.1 auth_dbname=own auth_user=alice auth_query='select 1'
                """)
        #expect(startup(rig, "own").contains("user\0asker\0database\0general\0"))
        #expect(startup(rig, "told").contains("user\0alice\0database\0own\0"))
        // A database that does not exist is asked nothing.
        #expect(startup(rig, "nothing") == "")
    }

    @Test func aDatabaseOfTheTemplateIsAskedItself() {
        let rig = rig(databases: "* = host=10.0.0.1")
        #expect(startup(rig, "some").contains("user\0asker\0database\0some\0"))
    }

    /// Strangers can have databases asked that nobody has; what is made for that goes again.
    @Test func databasesThatNobodyHasAreForgotten() {
        let rig = rig(databases: "* = host=10.0.0.1")
        for index in 0..<60 {
            let client = rig.client("carol", database: "made up \(index)")
            let server = rig.connectServer()
            rig.receive(server, Send.error("3D000", "database \"made up \(index)\" does not exist"))
            #expect(rig.error(client) == "F0000 bouncer config error")
            rig.advance(milliseconds: 2_000)
        }
        #expect(rig.core.pools.count < 5)
        #expect(rig.core.databases.count < 5)
        // One that there is stays.
        let (client, server) = asked(rig, "carol", database: "real")
        rig.receive(server, Answer.user("carol", "secret"))
        rig.receive(client, Send.password("secret"))
        _ = rig.server()
        rig.hangUp(client)
        rig.advance(milliseconds: 60_000)
        #expect(rig.core.databases.contains { $0.name == Array("real".utf8) && !$0.isRemoved })
    }

    @Test func theLowestSizeOfAPoolIsNotForTheQuery() {
        let rig = rig(
            "min_pool_size = 3\nauth_dbname = app",
            databases: "db = host=10.0.0.1\napp = host=10.0.0.1 user=app password=pw")
        for _ in 0..<3 {
            rig.advance(milliseconds: 1_000)
            _ = rig.server()
        }
        let (client, _) = asked(rig)
        rig.advance(milliseconds: 5_000)
        #expect(rig.isOpen(client))
        #expect(rig.connecting.isEmpty)
    }

    @Test func aQueryElsewhereRegistersNoDatabase() {
        let rig = rig("auth_dbname = general", databases: "* = host=10.0.0.1\ngeneral = host=10.0.0.1")
        #expect(startup(rig, "some").contains("database\0general\0"))
        #expect(rig.core.databases.count == 1)
    }

    @Test func aDatabaseThatIsNotThereIsAMistakeOfTheConfiguration() {
        let rig = rig("auth_dbname = missing")
        #expect(rig.error(rig.client("carol")) == "F0000 bouncer config error")
        #expect(rig.log.contains { $0.contains("authentication database \"missing\" is not configured") })
    }

    @Test func aDisabledDatabaseIsNamed() {
        let rig = rig("auth_dbname = a", databases: "db = host=10.0.0.1\na = host=10.0.0.1")
        rig.tell(.order(Order(epoch: 1, kind: .disable, database: Array("a".utf8))))
        #expect(rig.error(rig.client("carol")) == "55000 authentication database \"a\" is disabled")
    }

    @Test func theConsoleAsksOnlyWhereTheQueryHasADatabaseOfItsOwn() {
        let without = rig("admin_users = carol")
        _ = without.client("carol", database: "pgbouncer")
        #expect(without.connecting.isEmpty)
        let rig = rig("admin_users = carol\nauth_dbname = db")
        let client = rig.client("carol", database: "pgbouncer")
        rig.receive(rig.server(), Answer.user("carol", "secret"))
        rig.receive(client, Send.password("secret"))
        #expect(rig.consoles.count == 1)
    }
}

/// What PostgreSQL answers to `auth_query`.
enum Answer {
    static let start = Send.parseComplete + Send.bindComplete

    static func row(_ name: String?, _ secret: String?) -> [UInt8] {
        var body: [UInt8] = [0, 2]
        for value in [name, secret] {
            guard let value else {
                body += [255, 255, 255, 255]
                continue
            }
            body += [0, 0, UInt8(value.utf8.count >> 8), UInt8(value.utf8.count & 255)] + Array(value.utf8)
        }
        return Send.message("D", body)
    }

    static func rows(_ rows: [(String?, String?)]) -> [UInt8] {
        start + Send.message("T", [0, 2]) + rows.flatMap { row($0.0, $0.1) }
            + Send.complete("SELECT \(rows.count)") + Send.ready()
    }

    static func user(_ name: String, _ secret: String?) -> [UInt8] { rows([(name, secret)]) }
    static let nobody = rows([])
}
