import Base
import SharedState
import Testing

@testable import PoolCore

/// The end of a shutdown's patience: clients are sent away, but nothing that runs is cut off.
@Suite struct DismissalTests {
    private func dismiss(_ rig: Rig) {
        rig.tell(.order(Order(epoch: 1, kind: .shutdownWaitForClients)))
        #expect(!rig.isDrained)
        rig.tell(.order(Order(epoch: 2, kind: .dismissClients)))
        #expect(rig.acknowledged == [1, 2])
    }

    private static let farewell = "57P01 server shutting down"

    @Test(arguments: ["transaction", "session"])
    func eachGoesWhenItsTransactionIsOver(mode: String) {
        let rig = Rig("pool_mode = \(mode)")
        let (client, server) = rig.session()
        rig.run(client, server, "begin", "T")
        let idle = rig.client("bob")
        let idleServer = rig.server()
        _ = rig.types(idle)
        rig.run(idle, idleServer)
        dismiss(rig)
        #expect(rig.error(idle) == Self.farewell)
        #expect(!rig.isOpen(idle))
        rig.run(client, server, "select 2", "T")
        #expect(rig.isOpen(client) && !rig.isDrained)
        rig.receive(client, Send.query("commit"))
        rig.receive(server, Send.complete("COMMIT") + Send.ready())
        let last = rig.messages(client)
        #expect(String(last.map(\.type)) == "CZE")
        #expect(last.last?.field("C") == "57P01")
        #expect(!rig.isOpen(client))
        #expect(rig.isDrained)
        rig.expectEmptiness()
    }

    /// A pipeline is answered to its end.
    @Test(arguments: ["transaction", "session"])
    func whatHasBeenAskedIsAnswered(mode: String) {
        let rig = Rig("pool_mode = \(mode)")
        let (client, server) = rig.session()
        rig.receive(client, Send.query("select 1") + Send.query("select 2"))
        dismiss(rig)
        rig.receive(server, Send.complete("SELECT 1") + Send.ready())
        #expect(rig.types(client) == "CZ")
        #expect(rig.isOpen(client))
        rig.receive(server, Send.complete("SELECT 1") + Send.ready())
        #expect(rig.types(client) == "CZE")
        #expect(rig.isDrained)
    }

    @Test func whoWaitsAndWhoLogsInGoesAtOnce() {
        let rig = Rig("default_pool_size = 1")
        let (client, server) = rig.session()
        rig.run(client, server, "begin", "T")
        let waiting = rig.client()
        _ = rig.raw(waiting)
        rig.receive(waiting, Send.query("select 2"))
        let silent = rig.accept()
        dismiss(rig)
        #expect(rig.error(waiting) == Self.farewell)
        #expect(!rig.isOpen(silent))
        rig.run(client, server, "commit")
        #expect(rig.isDrained)
    }

    /// The client is sent away in the middle of what it is being read for.
    @Test func aRequestThatIsHalfThereIsWaitedFor() {
        let rig = Rig("pool_mode = session")
        let (client, server) = rig.session()
        let bytes = Send.copyData("long enough")
        rig.receive(client, Send.query("copy t from stdin"))
        rig.receive(server, Send.copyIn)
        rig.receive(client, Array(bytes.prefix(9)))
        rig.receive(server, Send.error("22P04", "no such column") + Send.ready())
        dismiss(rig)
        #expect(rig.isOpen(client))
        rig.receive(client, Array(bytes.dropFirst(9)) + Send.copyDone)
        #expect(rig.error(client) == Self.farewell)
        #expect(rig.isDrained)
    }
}
