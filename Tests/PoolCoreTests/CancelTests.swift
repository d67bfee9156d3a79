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

    /// What has no server yet is cancelled without one; the client goes on.
    @Test(arguments: [true, false])
    func aRequestThatWaitsForAServerCanBeCancelled(isSimple: Bool) {
        let rig = Rig("default_pool_size = 1")
        let (client, server, key) = session(rig)
        let other = rig.client()
        _ = rig.types(other)
        rig.run(other, server, "begin", "T")
        let wanted =
            isSimple
            ? Send.query("select 1")
            : Send.parse("", "select 1") + Send.bind("") + Send.execute + Send.sync
        rig.receive(client, wanted + Send.query("select 2"))
        #expect(rig.state(of: client) == .waiting)
        let requester = request(rig, key)
        #expect(!rig.isOpen(requester))
        #expect(rig.connecting.isEmpty)
        let answers = rig.messages(client)
        #expect(String(answers.map(\.type)) == "EZ")
        #expect(answers[0].field("C") == "57014")
        #expect(answers[0].field("S") == "ERROR")
        #expect(rig.state(of: client) == .waiting)
        rig.receive(other, Send.query("commit"))
        _ = rig.raw(server)
        rig.receive(server, Send.complete("COMMIT") + Send.ready())
        #expect(rig.raw(server) == Send.query("select 2"))
        rig.receive(server, Send.complete("SELECT 1") + Send.ready())
        #expect(rig.types(client) == "CZ")
        rig.expectEmptiness()
    }

    /// PostgreSQL skips everything between an error in a group and its Sync, a simple query too.
    @Test func aQueryInACancelledGroupIsSkippedWithIt() {
        let rig = Rig("default_pool_size = 1")
        let (client, server, key) = session(rig)
        let other = rig.client()
        _ = rig.types(other)
        rig.run(other, server, "begin", "T")
        rig.receive(client, Send.parse("", "select 1") + Send.bind("") + Send.execute)
        _ = request(rig, key)
        #expect(rig.types(client) == "E")
        rig.receive(client, Send.query("select 2"))
        #expect(rig.types(client) == "")
        rig.receive(client, Send.sync + Send.query("select 3"))
        #expect(rig.types(client) == "Z")
        rig.receive(other, Send.query("commit"))
        _ = rig.raw(server)
        rig.receive(server, Send.complete("COMMIT") + Send.ready())
        #expect(rig.raw(server) == Send.query("select 3"))
        rig.receive(server, Send.complete("SELECT 1") + Send.ready())
        #expect(rig.types(client) == "CZ")
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
        #expect(rig.isOpen(requester))
        #expect(rig.broadcasts == [other])
        let asking = rig.broadcasters[0]
        rig.tell(.cancelBroadcast(asking, workers: 3))
        rig.tell(.cancelAnswered(asking, isFound: false))
        rig.tell(.cancelAnswered(asking, isFound: false))
        #expect(rig.isOpen(requester), "one has not answered yet")
        rig.tell(.cancelAnswered(asking, isFound: false))
        #expect(!rig.isOpen(requester))
        rig.tell(.cancelAnswered(asking, isFound: true))
    }

    /// libpq takes the close for the sign that the request has arrived.
    @Test func aBroadcastIsOverWithTheAnswerOfTheWorkerThatKnowsTheKey() {
        let rig = Rig()
        let requester = request(rig, Array(repeating: 1, count: 8))
        rig.tell(.cancelBroadcast(rig.broadcasters[0], workers: 3))
        rig.tell(.cancelAnswered(rig.broadcasters[0], isFound: true))
        #expect(!rig.isOpen(requester))
        rig.expectEmptiness()
    }

    @Test func aBroadcastWithoutReceiversOrAnswersEnds() {
        let rig = Rig("cancel_wait_timeout = 2")
        let alone = request(rig, Array(repeating: 1, count: 8))
        rig.tell(.cancelBroadcast(rig.broadcasters[0], workers: 0))
        #expect(!rig.isOpen(alone))
        let unanswered = request(rig, Array(repeating: 1, count: 8))
        rig.tell(.cancelBroadcast(rig.broadcasters[1], workers: 1))
        rig.advance(milliseconds: 3000)
        #expect(!rig.isOpen(unanswered))
        rig.expectEmptiness()
    }

    @Test func anotherWorkersRequestIsAnsweredWhenPostgresHasIt() {
        let rig = Rig()
        let (client, server, key) = session(rig)
        rig.receive(client, Send.query("select 1"))
        var other = key
        other[7] ^= 1
        let tickets = (1...3).map { CancelTicket(worker: 2, number: $0) }
        rig.tell(.cancelRequested(key: other, tickets[0]))
        rig.tell(.cancelRequested(key: [1, 2, 3], tickets[1]))
        #expect(rig.connecting.isEmpty)
        #expect(rig.answers.map(\.0) == Array(tickets[0...1]))
        rig.tell(.cancelRequested(key: key, tickets[2]))
        let messenger = rig.connectServer()
        #expect(!rig.raw(messenger).isEmpty)
        #expect(rig.answers.count == 2)
        rig.hangUp(messenger)
        #expect(rig.answers.last?.0 == tickets[2])
        #expect(rig.answers.map(\.1) == [false, false, true])
        rig.receive(server, Send.error("57014", "canceling statement due to user request") + Send.ready())
        rig.expectEmptiness()
    }

    /// What is to be hit is the client's query, which has not begun yet.
    @Test func aRequestDuringAPreludeIsSentWhenItIsOver() {
        let rig = Rig()
        let (client, server, key) = session(rig)
        rig.receive(client, Send.query("set timezone to 'Asia/Tokyo'"))
        rig.receive(server, Send.complete("SET") + Send.parameter("TimeZone", "Asia/Tokyo") + Send.ready())
        let second = rig.client()
        rig.receive(second, Send.query("select 1"))
        rig.receive(
            server,
            Send.prelude(("TimeZone", "UTC")) + Send.complete("SELECT 1") + Send.ready())
        rig.receive(client, Send.query("select pg_sleep(9)"))
        let requester = request(rig, key)
        let messenger = rig.connectServer()
        #expect(rig.raw(messenger).isEmpty)
        rig.receive(server, Send.prelude(("TimeZone", "Asia/Tokyo")))
        #expect(!rig.raw(messenger).isEmpty)
        rig.hangUp(messenger)
        #expect(!rig.isOpen(requester))
        rig.receive(server, Send.error("57014", "canceling statement due to user request") + Send.ready())
        rig.expectEmptiness()
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
