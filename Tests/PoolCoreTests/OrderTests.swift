import Base
import SharedState
import Testing

@testable import PoolCore

@Suite struct OrderTests {
    private func order(
        _ rig: Rig, _ kind: OrderKind, _ epoch: UInt64, _ database: String? = nil, argument: UInt64 = 0
    ) {
        rig.tell(
            .order(
                Order(
                    epoch: epoch, kind: kind, database: database.map { Array($0.utf8) }, argument: argument)))
    }

    @Test(arguments: [nil, "db"])
    func aPauseWaitsForTransactionsAndHoldsTheRest(database: String?) {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.run(client, server, "begin", "T")
        let other = rig.client()
        _ = rig.raw(other)
        order(rig, .pause, 1, database)
        #expect(rig.acknowledged.isEmpty)
        rig.receive(other, Send.query("select 2"))
        rig.run(client, server, "commit")
        #expect(rig.acknowledged == [1])
        #expect(!rig.isOpen(server))
        rig.advance(milliseconds: 2000)
        #expect(rig.connecting.isEmpty)
        order(rig, .resume, 2, database)
        #expect(rig.acknowledged == [1, 2])
        #expect(rig.raw(rig.server()) == Send.query("select 2"))
        rig.expectEmptiness()
    }

    @Test func aPausedPoolOpensNothingForClientsThatLogIn() {
        let rig = Rig()
        let client = rig.client()
        order(rig, .pause, 1)
        #expect(rig.acknowledged == [1])
        #expect(rig.connecting.isEmpty)
        rig.advance(milliseconds: 1000)
        #expect(rig.connecting.isEmpty)
        order(rig, .resume, 2)
        _ = rig.server()
        #expect(rig.types(client).hasSuffix("Z"))
    }

    @Test func aReconnectReplacesServersWhenTheirClientsAreDone() {
        let rig = Rig("default_pool_size = 2")
        let (client, server) = rig.session()
        rig.run(client, server, "begin", "T")
        let second = rig.client()
        rig.receive(second, Send.query("select 2"))
        order(rig, .reconnect, 1)
        #expect(rig.acknowledged == [1])
        #expect(rig.connecting.count == 1)
        #expect(rig.raw(rig.server()) == Send.query("select 2"))
        rig.run(client, server, "commit")
        #expect(!rig.isOpen(server))
        rig.expectEmptiness()
    }

    @Test func anOrderlyEndWaitsForClients() {
        let rig = Rig()
        let (client, server) = rig.session()
        order(rig, .shutdownWaitForClients, 1)
        #expect(rig.error(rig.client()) == "57P03 pooler is shutting down")
        rig.run(client, server)
        #expect(!rig.isDrained)
        rig.hangUp(client)
        #expect(rig.isDrained)
    }

    @Test func anEndForServersSendsThoseAwayWhoWouldWait() {
        let rig = Rig("default_pool_size = 1")
        let (client, server) = rig.session()
        rig.run(client, server, "begin", "T")
        let waiting = rig.client()
        rig.receive(waiting, Send.query("select 2"))
        order(rig, .shutdownWaitForServers, 1)
        #expect(rig.error(waiting) == "57P01 server shutting down")
        #expect(!rig.isDrained)
        rig.run(client, server, "commit")
        #expect(rig.isDrained)
        rig.receive(client, Send.query("select 3"))
        #expect(rig.error(client) == "57P01 server shutting down")
    }

    @Test func aReloadWithoutADatabaseSendsItsClientsAway() {
        let rig = Rig(databases: "db = host=10.0.0.1\nother = host=10.0.0.1")
        let (client, server) = rig.session()
        let other = rig.client("alice", database: "other")
        let otherServer = rig.server()
        _ = rig.raw(other)
        rig.run(other, otherServer, "begin", "T")
        let (new, list) = Rig.configuration()
        rig.tell(.configuration(new, userList: list, epoch: 1))
        #expect(rig.error(other).contains("database removed"))
        #expect(!rig.isOpen(otherServer))
        #expect(rig.isOpen(server))
        rig.run(client, server)
        rig.advance(milliseconds: 2000)
        #expect(rig.core.pools.count == 1)
        rig.expectEmptiness()
    }

    @Test func aReloadWithAnotherHostReplacesServers() {
        let rig = Rig("default_pool_size = 3")
        let (client, server) = rig.session()
        rig.run(client, server, "begin", "T")
        let waiting = (0..<4).map { _ in rig.client() }
        for client in waiting { rig.receive(client, Send.query("select 2")) }
        #expect(rig.connecting.count == 2)
        let (new, list) = Rig.configuration("default_pool_size = 3", databases: "db = host=10.0.0.2")
        rig.tell(.configuration(new, userList: list, epoch: 1))
        rig.run(client, server, "commit")
        #expect(!rig.isOpen(server))
        while !rig.connecting.isEmpty {
            guard case .network(let host, _) = rig.core.endpoint(of: rig.connecting[0]) else {
                Issue.record("a network address was configured")
                break
            }
            #expect(host == "10.0.0.2")
            _ = rig.server()
        }
        rig.expectEmptiness()
    }

    @Test func aDisabledDatabaseTakesNobodyIn() {
        let rig = Rig()
        order(rig, .disable, 1, "db")
        #expect(rig.error(rig.client()).contains("database \"db\" is disabled"))
        order(rig, .enable, 2, "db")
        #expect(rig.isOpen(rig.client()))
    }

    /// Goal: whatever a client is doing, it is told and gone, and after RESUME the next one is served.
    @Test(arguments: [nil, "db"], [nil, "db"])
    func aKillSendsEverybodyAwayAndAResumeServesAgain(database: String?, resumed: String?) {
        // A KILL of one database is not ended by a general RESUME, as PgBouncer has it.
        if database != nil, resumed == nil { return }
        let rig = Rig("default_pool_size = 1")
        let (working, server) = rig.session()
        rig.run(working, server, "begin", "T")
        let (idle, waiting) = (rig.client(), rig.client())
        for client in [idle, waiting] { _ = rig.raw(client) }
        rig.receive(waiting, Send.query("select 2"))
        order(rig, .kill, 1, database)
        #expect(rig.acknowledged == [1])
        for client in [working, idle, waiting] {
            #expect(rig.error(client) == "57P01 database removed")
            #expect(!rig.isOpen(client))
        }
        #expect(!rig.isOpen(server))
        let next = rig.client()
        rig.receive(next, Send.query("select 1"))
        rig.advance(milliseconds: 2000)
        #expect(rig.connecting.isEmpty)
        order(rig, .resume, 2, resumed)
        #expect(rig.acknowledged == [1, 2])
        _ = rig.server()
        rig.expectEmptiness()
    }

    @Test func aKillLeavesOtherDatabasesAlone() {
        let rig = Rig(databases: "db = host=10.0.0.1\nother = host=10.0.0.1")
        let (client, server) = rig.session()
        order(rig, .kill, 1, "other")
        rig.run(client, server)
        #expect(rig.isOpen(client) && rig.isOpen(server))
        order(rig, .kill, 2, "unknown")
        #expect(rig.acknowledged == [1, 2])
    }

    /// A database of the `*` entry that nobody has asked for here is meant too.
    @Test func aDatabaseIsPausedBeforeAnybodyHasAskedForIt() {
        let rig = Rig(databases: "* = host=10.0.0.1")
        order(rig, .pause, 1, "db")
        order(rig, .disable, 2, "closed")
        rig.advance(milliseconds: 7_200_000)
        let client = rig.client()
        _ = client
        #expect(rig.connecting.isEmpty)
        #expect(
            rig.error(rig.client("alice", database: "closed")).contains("database \"closed\" is disabled"))
        order(rig, .resume, 3, "db")
        _ = rig.server()
        order(rig, .kill, 4)
        _ = rig.client("alice", database: "another")
        #expect(rig.connecting.isEmpty)
        order(rig, .resume, 5)
        #expect(rig.connecting.count == 1)
    }

    @Test func oneClientIsKilledByItsNumber() {
        let rig = Rig("default_pool_size = 1")
        let (client, server) = rig.session()
        rig.run(client, server, "begin", "T")
        let other = rig.client()
        _ = rig.raw(other)
        let id = rig.core.clients[rig.clientHandle(of: client)!].id
        order(rig, .killClient, 1, argument: id)
        #expect(rig.acknowledged == [1] && rig.missing.isEmpty)
        #expect(rig.error(client) == "57P01 admin forced disconnect")
        #expect(rig.isOpen(other))
        order(rig, .killClient, 2, argument: id)
        order(rig, .killClient, 3, argument: 0)
        #expect(rig.acknowledged == [1] && rig.missing == [2, 3])
    }

    @Test(arguments: [nil, "db"])
    func whoWaitsForClosedServersHearsWhenTheLastOneHasGone(database: String?) {
        let rig = Rig()
        let (client, server) = rig.session()
        order(rig, .waitClose, 1, database)
        #expect(rig.acknowledged == [1])
        rig.run(client, server, "begin", "T")
        order(rig, .reconnect, 2, database)
        order(rig, .waitClose, 3, database)
        order(rig, .waitClose, 4, "other")
        #expect(rig.acknowledged == [1, 2, 4])
        rig.run(client, server, "commit")
        #expect(rig.acknowledged == [1, 2, 4, 3])
        rig.expectEmptiness()
    }

    /// Goal: a RESUME ends the pause it names and no other.
    @Test func aGeneralResumeDoesNotEndThePauseOfADatabase() {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.run(client, server, "begin", "T")
        order(rig, .pause, 1, "db")
        order(rig, .pause, 2)
        order(rig, .resume, 3)
        #expect(rig.acknowledged == [2, 3])
        rig.run(client, server, "commit")
        #expect(rig.acknowledged == [2, 3, 1])
        rig.receive(client, Send.query("select 1"))
        #expect(rig.connecting.isEmpty)
        order(rig, .resume, 4, "db")
        _ = rig.server()
        rig.expectEmptiness()
    }
}
