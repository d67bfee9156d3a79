import Testing

@testable import PoolCore

@Suite struct DroppingTests {
    @Test(
        arguments: [
            ("drop database shop", "shop"), ("  DROP  DATABASE\nIf Exists Shop;", "shop"),
            ("drop database \"My \"\"Shop\"\"\"", "My \"Shop\""),
            ("drop database shop_1 with (force)", "shop_1"),
        ])
    func theNameOfADroppedDatabaseIsRead(text: String, name: String) {
        #expect(unsafe droppedDatabase(Array(text.utf8).span.bytes) == Array(name.utf8))
    }

    @Test(
        arguments: [
            "drop table shop", "drop database", "drop database if shop", "drop database \"open", "drop",
            "dropdatabase x", "delete from database", "",
        ])
    func otherQueriesDropNothing(text: String) {
        #expect(unsafe droppedDatabase(Array(text.utf8).span.bytes) == nil)
    }

    /// PostgreSQL would refuse because of servers that nobody uses.
    @Test func freeServersOfADroppedDatabaseAreClosed() {
        let rig = Rig("default_pool_size = 2")
        let (client, server) = rig.session()
        let other = rig.client()
        _ = rig.raw(other)
        rig.receive(client, Send.query("begin"))
        rig.receive(other, Send.query("begin"))
        let second = rig.server()
        rig.receive(second, Send.complete("BEGIN") + Send.ready("T"))
        rig.receive(server, Send.complete("BEGIN") + Send.ready("T"))
        rig.run(other, second, "commit")
        rig.run(client, server, "commit")
        let idle = [server, second]
        #expect(idle.allSatisfy(rig.isOpen))
        rig.tell(.databaseDropped(Array("another".utf8)))
        #expect(idle.allSatisfy(rig.isOpen))
        rig.receive(client, Send.query("drop database db; -- not really, while connected to it"))
        #expect(idle.count(where: rig.isOpen) == 1, "the client's own stays")
        #expect(rig.drops == [Array("db".utf8)])
    }
}
