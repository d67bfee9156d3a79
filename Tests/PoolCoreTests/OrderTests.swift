import Base
import SharedState
import Testing

@testable import PoolCore

@Suite struct OrderTests {
    private func order(_ rig: Rig, _ kind: OrderKind, _ epoch: UInt64, _ database: String? = nil) {
        rig.tell(.order(Order(epoch: epoch, kind: kind, database: database.map { Array($0.utf8) })))
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
}
