import Testing

@testable import PoolCore

@Suite struct DeadlineTests {
    @Test(arguments: [
        ("query_timeout = 2", "select pg_sleep(9)", "query timeout"),
        ("transaction_timeout = 2", "begin", "transaction timeout"),
        ("idle_transaction_timeout = 2", "begin", "idle transaction timeout"),
    ])
    func aLinkedClientRunsIntoItsDeadline(setting: String, text: String, error: String) {
        let rig = Rig(setting)
        let (client, server) = rig.session()
        if text == "begin" {
            rig.run(client, server, text, "T")
        } else {
            rig.receive(client, Send.query(text))
        }
        rig.advance(milliseconds: 1500)
        #expect(rig.isOpen(client))
        rig.advance(milliseconds: 1500)
        #expect(rig.error(client).contains(error))
        #expect(!rig.isOpen(server))
        rig.expectEmptiness()
    }

    @Test func aWaitingClientRunsIntoItsDeadlineAndIsToldBefore() {
        let rig = Rig("default_pool_size = 1\nquery_wait_timeout = 5\nquery_wait_notify = 2")
        let (first, server) = rig.session()
        rig.run(first, server, "begin", "T")
        let client = rig.client()
        _ = rig.raw(client)
        rig.receive(client, Send.query("select 1"))
        rig.advance(milliseconds: 3000)
        #expect(rig.types(client) == "N")
        rig.advance(milliseconds: 3000)
        #expect(rig.error(client).contains("query_wait_timeout"))
        #expect(rig.isOpen(server))
        rig.expectEmptiness()
    }

    @Test func anIdleClientIsSentAway() {
        let rig = Rig("client_idle_timeout = 2")
        let (client, _) = rig.session()
        rig.advance(milliseconds: 3000)
        #expect(rig.error(client).contains("client_idle_timeout"))
    }

    /// The rest of an answer that has been cut must not look like a part of it.
    @Test func noErrorIsPutIntoAMessage() {
        let rig = Rig("query_timeout = 1")
        let (client, server) = rig.session()
        rig.receive(client, Send.query("select"))
        let row = Array(Send.message("D", Array(repeating: 7, count: 500)).dropLast(100))
        rig.receive(server, row)
        rig.advance(milliseconds: 2000)
        #expect(rig.raw(client) == row)
        #expect(!rig.isOpen(client))
    }

    @Test func serversAreClosedForTheirAgeAndForIdleness() {
        let rig = Rig("server_lifetime = 10\nserver_idle_timeout = 4")
        let (client, server) = rig.session()
        rig.advance(milliseconds: 3000)
        rig.run(client, server)
        rig.advance(milliseconds: 3000)
        #expect(rig.isOpen(server))
        rig.advance(milliseconds: 2000)
        #expect(!rig.isOpen(server))
        rig.receive(client, Send.query("select 2"))
        let second = rig.server()
        rig.receive(second, Send.complete("SELECT 1") + Send.ready())
        for _ in 0..<6 {
            rig.run(client, second)
            rig.advance(milliseconds: 2000)
        }
        #expect(!rig.isOpen(second))
        rig.expectEmptiness()
    }

    @Test func withALifetimeOfZeroAServerServesOnce() {
        let rig = Rig("server_lifetime = 0")
        let client = rig.client()
        for round in 0..<3 {
            let server = rig.server()
            if round == 0 { rig.receive(client, Send.query("select 0")) }
            #expect(rig.raw(server) == Send.query("select \(round)"))
            rig.receive(server, Send.complete("SELECT 1") + Send.ready())
            #expect(rig.types(client).hasSuffix("CZ"))
            #expect(!rig.isOpen(server))
            rig.receive(client, Send.query("select \(round + 1)"))
        }
        rig.expectEmptiness()
    }

    @Test(arguments: [true, false])
    func aServerIsTestedBeforeItIsUsedAgain(isAlive: Bool) {
        let rig = Rig("server_check_delay = 5\nserver_check_query = select 42")
        let (client, server) = rig.session()
        rig.run(client, server)
        rig.advance(milliseconds: 6000)
        rig.receive(client, Send.query("select 1"))
        #expect(rig.raw(server) == Send.query("select 42"))
        #expect(rig.connecting.isEmpty)
        if isAlive {
            rig.receive(server, Send.message("T", [0, 0]) + Send.complete("SELECT 1") + Send.ready())
            #expect(rig.raw(server) == Send.query("select 1"))
            #expect(rig.raw(client).isEmpty)
        } else {
            rig.receive(server, Send.error("XX000", "no") + Send.ready())
            #expect(!rig.isOpen(server))
            let other = rig.server()
            #expect(rig.raw(other) == Send.query("select 1"))
        }
        rig.expectEmptiness()
    }

    @Test func aTestThatIsNotAnsweredEndsTheServer() {
        let rig = Rig("server_check_delay = 5\nserver_connect_timeout = 3")
        let (client, server) = rig.session()
        rig.advance(milliseconds: 40_000)
        rig.receive(client, Send.query("select 1"))
        #expect(rig.record(of: server)?.state == .tested)
        rig.advance(milliseconds: 4000)
        #expect(!rig.isOpen(server), "\(rig.log)")
        #expect(rig.connecting.count == 1)
    }

    @Test func aSessionIsResetBeforeTheNextClientGetsTheServer() {
        let rig = Rig("pool_mode = session\ndefault_pool_size = 1\nserver_reset_query = DISCARD ALL")
        let (first, server) = rig.session()
        rig.run(first, server)
        #expect(rig.record(of: server)?.state == .linked)
        let second = rig.client()
        rig.receive(second, Send.query("select 2"))
        rig.receive(first, Send.terminate)
        #expect(rig.raw(server) == Send.query("DISCARD ALL"))
        rig.receive(server, Send.complete("DISCARD ALL") + Send.ready())
        #expect(rig.raw(server) == Send.query("select 2"))
        rig.expectEmptiness()
    }

    /// A reset query that keeps prepared statements keeps ours too.
    @Test(arguments: [("RESET ALL", "RESET", "BS"), ("DISCARD ALL", "DISCARD ALL", "PBS")])
    func aResetQueryThatAlwaysRuns(query: String, tag: String, sent: String) {
        let rig = Rig("server_reset_query = \(query)\nserver_reset_query_always = 1")
        let (client, server) = rig.session()
        rig.receive(client, Send.parse("a", "select 1") + Send.sync)
        rig.receive(server, Send.parseComplete + Send.ready())
        #expect(rig.types(server) == "PSQ")
        rig.receive(server, Send.complete(tag) + Send.ready())
        rig.receive(client, Send.bind("a") + Send.sync)
        #expect(rig.types(server) == sent)
    }

    @Test func poolsThatNobodyUsesAreForgotten() {
        let rig = Rig(
            "pool_idle_timeout = 5\nserver_idle_timeout = 2\nautodb_idle_timeout = 5",
            databases: "* = host=10.0.0.1")
        let (client, _) = rig.session()
        rig.hangUp(client)
        rig.advance(milliseconds: 30_000)
        #expect(rig.core.pools.count == 0)
        #expect(rig.core.databaseIndex.isEmpty)
        rig.expectEmptiness()
    }

    /// With a delay of 0 every server is tested before each use, once.
    @Test func aDelayOfZeroTestsOnceBeforeEachUse() {
        let rig = Rig("server_check_delay = 0\nserver_check_query = select 7\ndefault_pool_size = 1")
        let (client, server) = rig.session()
        for _ in 0..<2 {
            rig.advance(milliseconds: 1)
            rig.receive(client, Send.query("select 1"))
            #expect(rig.raw(server) == Send.query("select 7"))
            rig.receive(server, Send.complete("SELECT 1") + Send.ready())
            #expect(rig.raw(server) == Send.query("select 1"))
            rig.receive(server, Send.complete("SELECT 1") + Send.ready())
            #expect(rig.types(client) == "CZ")
        }
    }
}
