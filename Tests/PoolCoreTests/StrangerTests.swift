import Base
import Testing

@testable import PoolCore

/// Those who have not proved who they are, and how much of us they get.
@Suite struct StrangerTests {
    private static let users = "\"alice\" \"secret\"\n\"bob\" \"secret\"\n"

    @Test func theOldestOneFromTheBusiestAddressGivesWay() {
        let rig = Rig("max_login_conn = 4\nauth_type = plain", users: Self.users)
        let flood = (0..<3).map { _ in rig.accept(from: "10.1.1.1") }
        let honest = rig.accept(from: "10.2.2.2")
        let newcomer = rig.accept(from: "10.3.3.3")
        #expect(
            rig.error(flood[0])
                == "53300 too many connections that have not logged in (max_login_conn); the limit is 4")
        #expect([flood[1], flood[2], honest, newcomer].allSatisfy(rig.isOpen))
        // One more of the flood costs the flood one.
        let more = rig.accept(from: "10.1.1.1")
        #expect(!rig.isOpen(flood[1]))
        #expect([flood[2], honest, newcomer, more].allSatisfy(rig.isOpen))
        #expect(rig.core.loginsRefused == 2)
        rig.expectEmptiness()
    }

    @Test func aLoginThatGoesOnCountsUntilItHasSucceeded() {
        let rig = Rig("max_login_conn = 2\nauth_type = plain", users: Self.users)
        let first = rig.client()
        let second = rig.client()
        _ = rig.raw(first)
        rig.receive(second, Send.password("secret"))
        // Known now, though its pool has no server yet.
        #expect(rig.state(of: second) == .waitingForWelcome)
        _ = rig.accept()
        #expect(rig.isOpen(first))
        _ = rig.accept()
        #expect(rig.error(first).hasPrefix("53300 too many connections that have not logged in"))
        #expect(rig.isOpen(second))
        rig.expectEmptiness()
    }

    @Test(arguments: [
        ("10.1.1.1", "10.1.1.1", true), ("10.1.1.1", "10.1.1.2", false),
        ("2001:db8::1", "2001:db8::ffff:2", true), ("2001:db8::1", "2001:db8:0:1::1", false),
        ("::ffff:10.1.1.1", "10.1.1.1", true),
    ])
    func anAddressHasALimitOfItsOwn(first: String, second: String, isSame: Bool) {
        let rig = Rig("max_login_conn_per_address = 1")
        let one = rig.accept(from: first)
        let other = rig.accept(from: second)
        #expect(rig.isOpen(one) != isSame)
        #expect(rig.isOpen(other))
        if isSame { #expect(rig.error(one).contains("(max_login_conn_per_address); the limit is 1")) }
    }

    @Test func strangersTakeNoPlacesFromThoseWhoHaveLoggedIn() {
        let rig = Rig("max_client_conn = 1\nauth_type = plain", users: Self.users)
        let strangers = (0..<5).map { _ in rig.client() }
        let client = rig.client("bob")
        rig.receive(client, Send.password("secret"))
        #expect(rig.isOpen(client))
        // The limit is exact, also for those whose login had begun before.
        rig.receive(strangers[0], Send.password("secret"))
        #expect(rig.error(strangers[0]).contains("no more connections allowed (max_client_conn)"))
        #expect(rig.error(rig.client()).contains("no more connections allowed (max_client_conn)"))
        rig.hangUp(client)
        rig.receive(strangers[1], Send.password("secret"))
        #expect(rig.isOpen(strangers[1]))
        rig.expectEmptiness()
    }

    /// Any order of comings and goings; the invariants are checked after each.
    @Test func countsStayRightWhateverComesAndGoes() {
        let rig = Rig(
            "max_login_conn = 20\nmax_login_conn_per_address = 6\nauth_type = plain", users: Self.users)
        var random = Random(seed: 5)
        var all: [ConnectionID] = []
        for _ in 0..<600 {
            switch random.next() % 4 {
            case 0, 1:
                // Low addresses come more often.
                let address = min(random.next() % 9, random.next() % 9)
                all.append(rig.accept(from: "10.0.0.\(address)"))
            case 2:
                let client = all.randomElement(using: &random)
                if let client, rig.state(of: client) == .startup {
                    rig.receive(client, Send.startup([("user", "alice"), ("database", "db")]))
                }
            default:
                if let client = all.randomElement(using: &random) { rig.hangUp(client) }
            }
            #expect(rig.core.strangers.count <= 20)
        }
        rig.expectEmptiness()
        #expect(rig.core.strangers.count == 0)
    }

    // MARK: Failures

    @Test func anAddressFromWhichTooManyLoginsFailIsRefused() {
        let rig = Rig("max_login_failures_per_address = 3\nauth_type = plain", users: Self.users)
        for _ in 0..<3 {
            let client = rig.client()
            rig.receive(client, Send.password("wrong"))
            #expect(rig.error(client).hasPrefix("28P01"))
        }
        let limit = "53300 too many failed logins from this address (max_login_failures_per_address)"
        #expect(rig.error(rig.client("bob")).hasPrefix(limit))
        let elsewhere = rig.accept(from: "10.3.3.3")
        rig.receive(elsewhere, Send.startup([("user", "alice"), ("database", "db")]))
        #expect(rig.isOpen(elsewhere))
        // A third of a minute later one is forgiven.
        rig.advance(milliseconds: 21_000)
        #expect(rig.isOpen(rig.client()))
        #expect(rig.core.loginsFailed > 0)
        #expect(rig.core.loginsRefused == 1)
    }

    @Test(arguments: ["alice", "nobody"])
    func aUserWhoseLoginsFailTooOftenIsRefused(user: String) {
        let rig = Rig("max_login_failures_per_user = 2\nauth_type = plain", users: Self.users)
        for _ in 0..<2 { rig.receive(rig.client(user), Send.password("wrong")) }
        #expect(
            rig.error(rig.client(user)).contains("(max_login_failures_per_user); the limit is 2 a minute"))
        #expect(rig.isOpen(rig.client("bob")))
    }

    @Test func aLoginThatSucceedsIsHeldAgainstNobody() {
        let rig = Rig("max_login_failures_per_address = 1\nauth_type = plain", users: Self.users)
        for _ in 0..<5 {
            let client = rig.client()
            rig.receive(client, Send.password("secret"))
            #expect(rig.isOpen(client))
        }
    }

    @Test func theTableOfFailuresKeepsThoseThatFailMost() {
        var failures = LoginFailures()
        var random = Random(seed: 3)
        for _ in 0..<100 { failures.note(42, now: 1, rate: 50) }
        for _ in 0..<100_000 { failures.note(random.next(), now: 1, rate: 50) }
        #expect(failures.isOver(42, now: 1, rate: 50))
        #expect(!failures.isOver(43, now: 1, rate: 50))
        #expect(!failures.isOver(42, now: 61_000_000_001, rate: 50))
    }

    // MARK: Time

    @Test func everyStepOfALoginHasADeadline() {
        let rig = Rig("client_login_step_timeout = 2\nauth_type = plain", users: Self.users)
        let silent = rig.accept()
        let slow = rig.accept()
        rig.advance(milliseconds: 1500)
        rig.receive(slow, Send.startup([("user", "alice"), ("database", "db")]))
        rig.advance(milliseconds: 1500)
        #expect(rig.error(silent) == "57014 client_login_step_timeout (the limit is 2 s)")
        #expect(rig.isOpen(slow))
        // A part of an answer is no answer.
        rig.receive(slow, Array(Send.password("secret").dropLast(3)))
        rig.advance(milliseconds: 1500)
        #expect(rig.error(slow).contains("client_login_step_timeout"))
        rig.expectEmptiness()
    }

    @Test func aClientThatWaitsForUsIsNotHurried() {
        let rig = Rig("client_login_step_timeout = 2")
        let client = rig.client()
        rig.advance(milliseconds: 5000)
        #expect(rig.state(of: client) == .waitingForWelcome)
    }
}
