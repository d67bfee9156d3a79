import Auth
import Base
import SharedState
import Testing

@testable import PoolCore

/// What is learnt of users that `auth_query` finds: what opens PostgreSQL for them, and what is used again.
@Suite struct CredentialTests {
    private static let users = "\"asker\" \"asks\"\n\"alice\" \"listed\"\n"

    private func rig(
        _ settings: String = "auth_type = plain", databases: String = "db = host=10.0.0.1",
        sharing shared: SharedMemory = SharedMemory(workers: 1), worker: Int = 0
    ) -> Rig {
        Rig(
            "auth_user = asker\nauth_dbname = secrets\n" + settings,
            databases: databases + "\nsecrets = host=10.0.0.1", users: CredentialTests.users, sharing: shared,
            worker: worker)
    }

    private func verifier(_ password: String, salt: UInt8 = 1) -> ScramVerifier {
        ScramVerifier(
            deriving: Array(password.utf8), salt: Array(repeating: salt, count: 16), iterations: 4096)
    }

    private func text(_ verifier: ScramVerifier) -> String { String(decoding: verifier.text, as: UTF8.self) }

    /// A login whose user is looked up with the server that does that, opened if there is none.
    private func found(
        _ rig: Rig, _ asker: inout ConnectionID?, _ user: String, _ secret: String, database: String = "db"
    ) -> ConnectionID {
        let client = rig.client(user, database: database)
        if asker == nil { asker = rig.server() }
        rig.receive(asker!, Answer.user(user, secret))
        _ = rig.raw(asker!)
        return client
    }

    /// A login that proves itself with a password in clear.
    private func enter(
        _ rig: Rig, _ asker: inout ConnectionID?, _ user: String, _ secret: String, database: String = "db"
    ) -> ConnectionID {
        let client = found(rig, &asker, user, secret, database: database)
        rig.receive(client, Send.password(secret))
        return client
    }

    // MARK: Towards PostgreSQL

    @Test func keysOfAUserThatWasLookedUpOpenPostgreSQL() {
        let rig = rig("auth_type = scram-sha-256")
        let verifier = verifier("secret")
        var asker: ConnectionID?
        let client = found(rig, &asker, "carol", text(verifier))
        #expect(rig.types(client) + rig.prove(client, "secret") == "RRR")
        let server = rig.connectServer()
        #expect(rig.scramServer(server, verifier))
        rig.finishLogin(server)
        #expect(rig.record(of: server)?.isReady == true)
    }

    @Test func aChangedSecretReplacesTheOld() {
        let rig = rig("auth_type = scram-sha-256\ndefault_pool_size = 2")
        var asker: ConnectionID?
        let (old, new) = (verifier("old"), verifier("new", salt: 2))
        let first = found(rig, &asker, "carol", text(old))
        _ = rig.prove(first, "old")
        let server = rig.connectServer()
        #expect(rig.scramServer(server, old))
        rig.finishLogin(server)
        rig.run(first, server, "begin", "T")
        let second = found(rig, &asker, "carol", text(new))
        #expect(rig.prove(second, "new").hasPrefix("RR"))
        rig.receive(second, Send.query("select 1"))
        #expect(rig.scramServer(rig.connectServer(), new))
    }

    /// The databases may be of two clusters, with two roles of the same name.
    @Test func theSameNameHasASecretInEachDatabase() {
        let rig = rig(databases: "db = host=10.0.0.1\nother = host=10.0.0.2")
        var asker: ConnectionID?
        _ = enter(rig, &asker, "carol", "one")
        _ = enter(rig, &asker, "carol", "two", database: "other")
        #expect(rig.plainServer(rig.connectServer()) == "one")
        #expect(rig.plainServer(rig.connectServer()) == "two")
    }

    @Test func whatAReloadListsComesFirst() {
        let rig = rig("auth_type = plain\ndefault_pool_size = 2")
        var asker: ConnectionID?
        let client = enter(rig, &asker, "carol", "found")
        let server = rig.connectServer()
        #expect(rig.plainServer(server) == "found")
        rig.run(client, server, "begin", "T")
        let list = CredentialTests.users + "\"carol\" \"listed\"\n"
        let (new, bytes) = Rig.configuration("auth_type = plain\nauth_user = asker", users: list)
        rig.tell(.configuration(new, userList: bytes, epoch: 1))
        let second = rig.client("carol")
        rig.receive(second, Send.password("listed") + Send.query("select 1"))
        #expect(rig.plainServer(rig.connectServer()) == "listed")
    }

    /// What a client has shown is the secret of its own user; the one that is forced has another.
    @Test func theForcedUsersPoolHasItsOwnSecret() {
        let rig = rig(
            "auth_type = scram-sha-256",
            databases: "db = host=10.0.0.1 user=app password=pw\nmore = host=10.0.0.1 user=alice")
        var asker: ConnectionID?
        for (database, password) in [("db", "pw"), ("more", "listed")] {
            let client = found(rig, &asker, "carol", text(verifier("secret")), database: database)
            #expect(rig.types(client) + rig.prove(client, "secret") == "RRR")
            #expect(rig.plainServer(rig.connectServer()) == password)
            #expect(rig.types(client).hasSuffix("Z"))
        }
        #expect(rig.core.credentials.isEmpty)
    }

    /// Also when the forced user has none of his own: his client's is not his.
    @Test func aForcedUserWithoutASecretGetsNone() {
        let rig = rig(databases: "db = host=10.0.0.1 user=app")
        var asker: ConnectionID?
        _ = enter(rig, &asker, "carol", "secret")
        #expect(rig.plainServer(rig.connectServer()) == "nothing")
    }

    @Test func theAskerIsNotGivenThePasswordOfTheForcedUser() {
        let rig = Rig(
            "auth_type = plain\nauth_user = asker", databases: "db = host=10.0.0.1 user=app password=pw",
            users: CredentialTests.users)
        let client = rig.client("carol")
        let server = rig.connectServer()
        #expect(rig.plainServer(server) == "asks")
        #expect(rig.types(server).hasPrefix("PBDES"))
        rig.receive(server, Answer.user("carol", "secret"))
        rig.receive(client, Send.password("secret"))
        #expect(rig.plainServer(rig.connectServer()) == "pw")
    }

    // MARK: Other workers

    /// Carries every message where it is meant to go; answers what it brought.
    private func carry(_ rigs: [Rig]) throws -> [(worker: Int, connection: ConnectionID)] {
        var brought: [(worker: Int, connection: ConnectionID)] = []
        var isQuiet = false
        while !isQuiet {
            isQuiet = true
            for rig in rigs {
                for post in rig.takePosted() {
                    isQuiet = false
                    if let connection = try rigs[post.worker].take(post) {
                        brought.append((post.worker, connection))
                    }
                }
            }
        }
        return brought
    }

    /// A client that goes to the home of its pool takes along what opens PostgreSQL for it.
    @Test func aClientThatMovesBringsTheSecret() throws {
        let shared = SharedMemory(workers: 2)
        for index in 0..<2 { shared.segment.worker(index).state = .ready }
        let settings = "auth_type = plain\ndefault_pool_size = 1"
        let rigs = (0..<2).map { rig(settings, sharing: shared, worker: $0) }
        var asker: ConnectionID?
        for index in 0..<50 {
            let client = enter(rigs[0], &asker, "user\(index)", "secret\(index)")
            let own = rigs[0].connectServer()
            #expect(rigs[0].plainServer(own) == "secret\(index)")
            let moved = try carry(rigs).first { rigs[$0.worker].state(of: $0.connection) != nil }
            guard let moved else {
                rigs[0].hangUp(client)
                continue
            }
            rigs[0].hangUp(own)
            rigs[1].receive(moved.connection, Send.query("select 1"))
            _ = try carry(rigs)
            #expect(rigs[1].plainServer(rigs[1].connectServer()) == "secret\(index)")
            return
        }
        Issue.record("none of fifty pools has its home in the other worker")
    }

    @Test func anotherWorkerHearsOfAChangedSecret() throws {
        let shared = SharedMemory(workers: 2)
        let settings = "auth_type = plain\ntest_keep_clients = 1\ndefault_pool_size = 3"
        let rigs = (0..<2).map { rig(settings, sharing: shared, worker: $0) }
        var askers: [ConnectionID?] = [nil, nil]
        let first = enter(rigs[0], &askers[0], "carol", "old")
        let server = rigs[0].connectServer()
        #expect(rigs[0].plainServer(server) == "old")
        _ = try carry(rigs)
        rigs[1].core.now = rigs[0].core.now + 1_000_000
        let second = rigs[1].client("carol")
        _ = try carry(rigs)
        // The query may run on the first worker's server, lent, or on one of its own.
        let asker = rigs[1].server()
        rigs[1].receive(asker, Answer.user("carol", "new"))
        rigs[1].receive(second, Send.password("new"))
        _ = try carry(rigs)
        rigs[0].run(first, server, "begin", "T")
        rigs[0].hangUp(server)
        let third = enter(rigs[0], &askers[0], "carol", "new")
        rigs[0].receive(third, Send.query("select 1"))
        #expect(rigs[0].plainServer(rigs[0].connectServer()) == "new")
    }

    /// What was found first does not replace what was found later, whoever is the slower to prove himself.
    @Test func whatWasFoundLaterHolds() {
        let rig = rig()
        var asker: ConnectionID?
        let slow = found(rig, &asker, "carol", "old")
        rig.advance(milliseconds: 10)
        let quick = found(rig, &asker, "carol", "new")
        rig.receive(quick, Send.password("new"))
        rig.receive(slow, Send.password("old"))
        #expect(rig.isOpen(slow))
        #expect(rig.plainServer(rig.connectServer()) == "new")
    }

    // MARK: auth_query_cache

    @Test func whatWasFoundLatelyIsNotAskedAgain() {
        let rig = rig("auth_type = plain\nauth_query_cache = 10")
        var asker: ConnectionID?
        let first = enter(rig, &asker, "carol", "secret")
        #expect(rig.plainServer(rig.connectServer()) == "secret")
        #expect(rig.types(first).hasSuffix("Z"))
        rig.advance(milliseconds: 9_000)
        let second = rig.client("carol")
        #expect(rig.raw(asker!) == [])
        rig.receive(second, Send.password("secret"))
        #expect(rig.types(second).hasSuffix("Z"))
        rig.advance(milliseconds: 2_000)
        _ = rig.client("carol")
        #expect(rig.types(asker!) == "PBDES")
    }

    @Test(arguments: ["plain", "md5"])
    func aChangedPasswordWorksAtOnce(type: String) {
        let rig = rig("auth_type = \(type)\nauth_query_cache = 100")
        var asker: ConnectionID?
        func proof(_ client: ConnectionID, _ password: String) -> [UInt8] {
            guard type == "md5" else { return Send.password(password) }
            let salt = rig.messages(client)[0].body.suffix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            let secret = StoredSecret.plain(Array(password.utf8))
            return Send.message("p", secret.md5Response(user: Array("carol".utf8), salt: salt)! + [0])
        }
        let first = found(rig, &asker, "carol", "old")
        rig.receive(first, proof(first, "old"))
        #expect(rig.isOpen(first))
        let second = rig.client("carol")
        rig.receive(second, proof(second, "new"))
        #expect(rig.types(asker!) == "PBDES")
        rig.receive(asker!, Answer.user("carol", "new"))
        #expect(rig.state(of: second) == .waitingForWelcome)
        // A wrong one is refused after one question.
        let third = rig.client("carol")
        rig.receive(third, proof(third, "wrong"))
        #expect(rig.types(asker!) == "PBDES")
        rig.receive(asker!, Answer.user("carol", "new"))
        #expect(rig.error(third) == "28P01 password authentication failed for user \"carol\"")
        #expect(rig.raw(asker!) == [])
    }

    @Test func whoHasGoneMeanwhileIsRefused() {
        let rig = rig("auth_type = plain\nauth_query_cache = 100")
        var asker: ConnectionID?
        _ = enter(rig, &asker, "carol", "secret")
        let second = rig.client("carol")
        rig.receive(second, Send.password("other"))
        rig.receive(asker!, Answer.nobody)
        #expect(rig.error(second) == "28P01 password authentication failed for user \"carol\"")
        #expect(rig.isOpen(asker!))
    }

    /// A SCRAM exchange cannot go over to another salt: the next one has the new one.
    @Test func aChangedPasswordWorksAtTheSecondTryWithSCRAM() {
        let rig = rig("auth_type = scram-sha-256\nauth_query_cache = 100")
        var asker: ConnectionID?
        let first = found(rig, &asker, "carol", text(verifier("old")))
        #expect(rig.types(first) + rig.prove(first, "old") == "RRR")
        let second = rig.client("carol")
        #expect(rig.types(second) + rig.prove(second, "new") == "RRE")
        let third = found(rig, &asker, "carol", text(verifier("new", salt: 2)))
        #expect(rig.types(third) + rig.prove(third, "new") == "RRR")
    }

    @Test func aReloadForgetsWhatWasFound() {
        let settings = "auth_type = plain\nauth_user = asker\nauth_query_cache = 100"
        let rig = Rig(settings, users: CredentialTests.users)
        var asker: ConnectionID?
        _ = enter(rig, &asker, "carol", "secret")
        let (new, list) = Rig.configuration(
            settings + "\nauth_query = select other", users: CredentialTests.users)
        rig.tell(.configuration(new, userList: list, epoch: 1))
        _ = rig.client("carol")
        #expect(String(decoding: rig.raw(asker!), as: UTF8.self).contains("select other"))
    }
}
