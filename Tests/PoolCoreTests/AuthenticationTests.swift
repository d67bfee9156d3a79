import Auth
import Base
import Testing

@testable import PoolCore

@Suite struct AuthenticationTests {
    private static let users = "\"alice\" \"secret\"\n\"empty\" \"\"\n"

    @Test(arguments: [
        ("alice", "secret", true), ("alice", "wrong", false), ("eve", "secret", false), ("empty", "x", false),
    ])
    func plainPasswordsAreCompared(user: String, password: String, isRight: Bool) {
        let rig = Rig("auth_type = plain", users: AuthenticationTests.users)
        let client = rig.client(user)
        #expect(rig.messages(client)[0].body == [0, 0, 0, 3])
        rig.receive(client, Send.password(password), pieceSize: 3)
        #expect(rig.isOpen(client) == isRight)
        if !isRight {
            #expect(rig.error(client) == "28P01 password authentication failed for user \"\(user)\"")
        }
    }

    @Test(arguments: [true, false])
    func md5PasswordsAreCompared(isRight: Bool) {
        let rig = Rig("auth_type = md5", users: AuthenticationTests.users)
        let client = rig.client()
        let request = rig.messages(client)[0].body
        #expect(request.prefix(4) == [0, 0, 0, 5])
        let salt = request.suffix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        let secret = StoredSecret.plain(Array((isRight ? "secret" : "wrong").utf8))
        let response = secret.md5Response(user: Array("alice".utf8), salt: salt)!
        rig.receive(client, Send.message("p", response + [0]))
        #expect(rig.isOpen(client) == isRight)
    }

    @Test func scramLetsInThoseWhoKnowThePassword() {
        let rig = Rig("auth_type = scram-sha-256", users: AuthenticationTests.users)
        let (client, types) = rig.scram("alice", "secret")
        #expect(types == "RRR")
        #expect(rig.isOpen(client))
    }

    /// Who does not exist, or has no password, sees the same messages as who gives a wrong password.
    @Test(arguments: ["alice", "eve", "empty"])
    func scramFailsForAllOthersAlike(user: String) {
        let rig = Rig("auth_type = scram-sha-256", users: AuthenticationTests.users)
        let (client, types) = rig.scram(user, "wrong")
        #expect(types == "RRE")
        #expect(!rig.isOpen(client))
        rig.expectEmptiness()
    }

    @Test func aLimitHoldsForClientsThatProveThemselvesAtTheSameTime() {
        let rig = Rig("auth_type = plain\nmax_db_client_connections = 1", users: AuthenticationTests.users)
        let first = rig.client()
        let second = rig.client()
        rig.receive(first, Send.password("secret"))
        rig.receive(second, Send.password("secret"))
        #expect(rig.isOpen(first))
        #expect(rig.error(second).contains("client connections exceeded (max_db_client_connections)"))
    }

    @Test func aDatabaseThatIsRemovedDuringTheLoginIsGone() {
        let databases = "db = host=10.0.0.1\nother = host=10.0.0.1"
        let rig = Rig("auth_type = plain", databases: databases, users: AuthenticationTests.users)
        let client = rig.client("alice", database: "other")
        let (new, list) = Rig.configuration("auth_type = plain", users: AuthenticationTests.users)
        rig.tell(.configuration(new, userList: list, epoch: 3))
        #expect(rig.acknowledged == [3])
        rig.receive(client, Send.password("secret"))
        #expect(rig.error(client) == "3D000 no such database: other")
    }

    @Test func nobodyRegistersADatabaseBeforeItIsKnownWhoAsks() {
        let rig = Rig("auth_type = plain", databases: "* = host=10.0.0.1", users: AuthenticationTests.users)
        let client = rig.client("alice", database: "anything")
        #expect(rig.core.databases.isEmpty)
        rig.receive(client, Send.password("secret"))
        #expect(rig.core.databases.count == 1)
    }

    // MARK: To PostgreSQL

    @Test func serversAreLoggedInToBySCRAMAgainAndAgain() {
        let rig = Rig("default_pool_size = 2", users: "\"alice\" \"secret\"\n")
        let verifier = ScramVerifier(deriving: Array("secret".utf8), salt: Array(1...16), iterations: 4096)
        let first = rig.client()
        for round in 0..<2 {
            let connection = rig.connectServer()
            #expect(rig.scramServer(connection, verifier), "login \(round)")
            rig.receive(connection, Send.ready())
            #expect(rig.record(of: connection)?.isReady == true)
            guard round == 0 else { break }
            rig.run(first, connection, "begin", "T")
            let second = rig.client()
            rig.receive(second, Send.query("select 2"))
        }
    }

    @Test func aServerThatSkipsItsProofIsNotTrusted() {
        let rig = Rig(users: "\"alice\" \"secret\"\n")
        let client = rig.client()
        let connection = rig.connectServer()
        rig.receive(connection, Send.message("R", [0, 0, 0, 10] + Send.text("SCRAM-SHA-256") + [0]))
        rig.receive(connection, Send.ready())
        #expect(!rig.isOpen(connection))
        #expect(rig.isOpen(client))
    }

    /// The keys learnt from a client's proof open PostgreSQL, after a reload too.
    @Test func keysSurviveAReloadThatLeavesTheSecretAsItIs() {
        let verifier = ScramVerifier(deriving: Array("secret".utf8), salt: Array(1...16), iterations: 4096)
        let list = "\"alice\" \"\(String(decoding: verifier.text, as: UTF8.self))\"\n"
        let rig = Rig("auth_type = scram-sha-256\nmax_prepared_statements = 1", users: list)
        let (client, _) = rig.scram("alice", "secret")
        let (new, bytes) = Rig.configuration("auth_type = scram-sha-256", users: list)
        rig.tell(.configuration(new, userList: bytes, epoch: 1))
        #expect(rig.scramServer(rig.connectServer(), verifier))
        #expect(rig.isOpen(client))
    }
}
