import Testing

@testable import PoolCore

@Suite struct CancelTests {
    /// A client that is welcome, its server, and its cancel key.
    private func session(_ rig: Rig) -> (client: ConnectionID, server: ConnectionID, key: [UInt8]) {
        let client = rig.client()
        let server = rig.server()
        return (client, server, rig.messages(client).first { $0.type == "K" }!.body)
    }

    private func request(_ rig: Rig, _ key: [UInt8]) -> ConnectionID {
        let requester = rig.accept()
        rig.receive(requester, Send.cancel(key))
        return requester
    }

    @Test func aRequestReachesTheServerOfItsClient() {
        let rig = Rig()
        let (client, server, key) = session(rig)
        rig.receive(client, Send.query("select pg_sleep(9)"))
        let requester = request(rig, key)
        #expect(rig.isOpen(requester))
        let messenger = rig.connectServer()
        #expect(rig.raw(messenger) == Send.cancel([0, 0, 0, 77, 1, 2, 3, 4]))
        rig.hangUp(messenger)
        #expect(!rig.isOpen(requester))
        #expect(rig.raw(requester).isEmpty)
        #expect(rig.isOpen(server))
        rig.expectEmptiness()
    }

    @Test func aServerIsNotGivenToOthersBeforeTheRequestHasArrived() {
        let rig = Rig("default_pool_size = 1")
        let (client, server, key) = session(rig)
        let other = rig.client()
        _ = rig.raw(other)
        rig.receive(client, Send.query("select pg_sleep(9)"))
        _ = request(rig, key)
        rig.receive(other, Send.query("select 2"))
        rig.receive(server, Send.complete("SELECT 1") + Send.ready())
        #expect(rig.record(of: server)?.state == .beingCancelled)
        _ = rig.raw(server)
        let messenger = rig.connectServer()
        #expect(rig.raw(server).isEmpty)
        rig.hangUp(messenger)
        #expect(rig.raw(server) == Send.query("select 2"))
        rig.expectEmptiness()
    }

    @Test func aMessengerThatCannotConnectReleasesTheServer() {
        let rig = Rig("default_pool_size = 1")
        let (client, server, key) = session(rig)
        rig.receive(client, Send.query("select pg_sleep(9)"))
        let requester = request(rig, key)
        rig.receive(server, Send.complete("SELECT 1") + Send.ready())
        rig.tell(.connectFailed(rig.connecting.removeFirst(), .connect("refused")))
        #expect(!rig.isOpen(requester))
        #expect(rig.record(of: server)?.state == .idle)
        rig.expectEmptiness()
    }

    @Test func aRequestWhoseServerHasGoneIsNotSent() {
        let rig = Rig()
        let (client, server, key) = session(rig)
        rig.receive(client, Send.query("select pg_sleep(9)"))
        let requester = request(rig, key)
        rig.hangUp(server)
        let messenger = rig.connectServer()
        #expect(rig.raw(messenger).isEmpty)
        #expect(!rig.isOpen(messenger))
        #expect(!rig.isOpen(requester))
        rig.expectEmptiness()
    }

    @Test func withoutAQueryThereIsNothingToCancel() {
        let rig = Rig()
        let (_, _, key) = session(rig)
        let requester = request(rig, key)
        #expect(!rig.isOpen(requester))
        #expect(rig.connecting.isEmpty)
        #expect(rig.broadcasts.isEmpty)
    }

    @Test func aKeyNobodyHereHasIsBroadcast() {
        let rig = Rig()
        let (client, _, key) = session(rig)
        rig.receive(client, Send.query("select 1"))
        var other = key
        other[7] ^= 1
        let requester = request(rig, other)
        #expect(!rig.isOpen(requester))
        #expect(rig.broadcasts == [other])
        rig.tell(.cancelRequested(key: other))
        rig.tell(.cancelRequested(key: [1, 2, 3]))
        #expect(rig.connecting.isEmpty)
        rig.tell(.cancelRequested(key: key))
        #expect(rig.connecting.count == 1)
    }

    @Test(arguments: [0, 4, 7, 300])
    func aKeyOfAnotherLengthIsRefusedInSilence(byteCount: Int) {
        let rig = Rig()
        let requester = request(rig, Array(repeating: 1, count: byteCount))
        #expect(!rig.isOpen(requester))
        #expect(rig.raw(requester).isEmpty)
        #expect(rig.broadcasts.isEmpty)
    }

    @Test func aRequestThatIsNotDeliveredIsGivenUp() {
        let rig = Rig("cancel_wait_timeout = 2")
        let (client, _, key) = session(rig)
        rig.receive(client, Send.query("select 1"))
        let requester = request(rig, key)
        let messenger = rig.connectServer()
        rig.advance(milliseconds: 3000)
        #expect(!rig.isOpen(messenger))
        #expect(!rig.isOpen(requester))
        rig.expectEmptiness()
    }
}
