import Testing

@testable import PoolCore

@Suite struct LimitTests {
    @Test func noMoreClientsThanTheLimit() {
        let rig = Rig("max_client_conn = 2")
        let (client, _) = rig.session()
        let second = rig.client()
        let third = rig.client()
        #expect(rig.error(third).hasPrefix("53300 no more connections allowed (max_client_conn)"))
        rig.hangUp(second)
        #expect(rig.types(rig.client()).hasSuffix("Z"))
        rig.hangUp(client)
        rig.expectEmptiness()
    }

    @Test func noMoreClientsOfAUserThanTheLimit() {
        let rig = Rig("max_user_client_connections = 1")
        _ = rig.session()
        #expect(rig.error(rig.client()).contains("(max_user_client_connections)"))
        let bob = rig.client("bob")
        #expect(rig.isOpen(bob))
    }

    @Test func thePoolGrowsToItsSizeAndThenByItsReserve() {
        let rig = Rig("default_pool_size = 2\nreserve_pool_size = 1\nreserve_pool_timeout = 2")
        let (first, server) = rig.session()
        rig.run(first, server, "begin", "T")
        let clients = (0..<4).map { _ in rig.client() }
        for client in clients { rig.receive(client, Send.query("select 1")) }
        #expect(rig.connecting.count == 1)
        let second = rig.server()
        #expect(rig.raw(second) == Send.query("select 1"))
        #expect(rig.connecting.isEmpty)
        rig.advance(milliseconds: 2500)
        #expect(rig.connecting.count == 1)
        #expect(rig.log.contains { $0.contains("taking connection from reserve_pool") })
        _ = rig.server()
        rig.advance(milliseconds: 5000)
        #expect(rig.connecting.isEmpty)
        rig.expectEmptiness()
    }

    @Test func waitersAreServedInTheirOrder() {
        let rig = Rig("default_pool_size = 1")
        let (first, server) = rig.session()
        rig.run(first, server, "begin", "T")
        let clients = (0..<5).map { _ in rig.client() }
        for (index, client) in clients.enumerated() { rig.receive(client, Send.query("select \(index)")) }
        rig.hangUp(clients[2])
        rig.receive(first, Send.query("commit"))
        rig.receive(server, Send.complete("COMMIT") + Send.ready())
        _ = rig.messages(server)
        for index in [0, 1, 3, 4] {
            #expect(rig.record(of: server)?.state == .linked)
            rig.receive(server, Send.complete("SELECT \(index)") + Send.ready())
            #expect(rig.messages(clients[index]).contains { $0.text == "SELECT \(index)\0" })
        }
        rig.expectEmptiness()
    }

    @Test func anIdleServerGivesWayToAnotherPoolOfItsDatabase() {
        let rig = Rig("max_db_connections = 1")
        let (_, server) = rig.session()
        let bob = rig.client("bob")
        #expect(!rig.isOpen(server))
        _ = rig.server()
        #expect(rig.types(bob).hasSuffix("Z"))
        #expect(rig.log.contains { $0.contains("evicted") })
    }

    @Test func aPoolWaitsUntilTheLimitOfItsUserAllows() {
        let rig = Rig("max_user_connections = 1", databases: "db = host=10.0.0.1\nother = host=10.0.0.1")
        let (client, server) = rig.session()
        rig.run(client, server, "begin", "T")
        let other = rig.client("alice", database: "other")
        #expect(rig.connecting.isEmpty)
        rig.hangUp(client)
        #expect(!rig.isOpen(server))
        rig.advance(milliseconds: 400)
        #expect(rig.connecting.count == 1)
        _ = rig.server()
        #expect(rig.types(other).hasSuffix("Z"))
    }

    @Test func theSmallestSizeIsKeptWithinTheLimits() {
        let rig = Rig("min_pool_size = 3\nmax_db_connections = 2")
        _ = rig.session()
        for _ in 0..<6 {
            rig.advance(milliseconds: 1100)
            while !rig.connecting.isEmpty { _ = rig.server() }
        }
        #expect(rig.core.servers.count == 2)
    }

    @Test func replicationClientsHaveServersOfTheirOwn() {
        let rig = Rig("default_pool_size = 1\nmax_db_connections = 2")
        let (client, server) = rig.session()
        rig.run(client, server, "begin", "T")
        let walker = rig.client("alice", [("replication", "database")])
        rig.receive(walker, Send.query("IDENTIFY_SYSTEM"))
        let own = rig.connectServer()
        let startup = rig.messages(own, isFirst: true)[0].text
        #expect(startup.contains("replication\0database\0"))
        rig.receive(
            own,
            Send.message("R", [0, 0, 0, 0]) + Send.message("K", [0, 0, 0, 9, 0, 0, 0, 9]) + Send.ready())
        #expect(rig.raw(own) == Send.query("IDENTIFY_SYSTEM"))
        rig.receive(own, Send.complete("IDENTIFY_SYSTEM") + Send.ready())
        #expect(rig.record(of: own)?.state == .linked)
        // Another has to wait for the limit of the database, and an ordinary client does not wait behind it.
        let second = rig.client("alice", [("replication", "database")])
        rig.receive(second, Send.query("IDENTIFY_SYSTEM"))
        #expect(rig.connecting.isEmpty)
        rig.run(client, server, "commit", "I")
        let ordinary = rig.client()
        _ = rig.raw(ordinary)
        rig.receive(ordinary, Send.query("select 3"))
        rig.hangUp(walker)
        #expect(!rig.isOpen(own))
        #expect(rig.connecting.count == 1)
        rig.expectEmptiness()
    }

    @Test func aReplicationLoginThatFailsLeavesRoomForTheNext() {
        let rig = Rig()
        _ = rig.session()
        for _ in 0..<3 {
            let walker = rig.client("alice", [("replication", "true")])
            rig.receive(walker, Send.query("IDENTIFY_SYSTEM"))
            #expect(rig.connecting.count == 1)
            let own = rig.connectServer()
            rig.receive(own, Send.error("28000", "no entry in pg_hba.conf"))
            #expect(rig.error(walker).contains("login failed"))
            rig.advance(milliseconds: 20_000)
        }
        rig.expectEmptiness()
    }
}
