import Testing

@testable import PoolCore

@Suite struct CopyTests {
    /// Everything is over: the server is free and serves the next query.
    private func expectFree(_ rig: Rig, _ client: ConnectionID, _ server: ConnectionID) {
        #expect(rig.record(of: server)?.state == .idle)
        rig.receive(client, Send.query("select 1"))
        rig.receive(server, Send.complete("SELECT 1") + Send.ready())
        #expect(rig.types(client) == "CZ")
        #expect(rig.core.firewallHits == 0)
        rig.expectEmptiness()
    }

    @Test func copyInBySimpleQuery() {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(client, Send.query("copy t from stdin"))
        rig.receive(server, Send.copyIn)
        rig.receive(client, Send.copyData("a\n") + Send.copyData("b\n") + Send.copyDone)
        #expect(rig.types(server) == "Qddc")
        rig.receive(server, Send.complete("COPY 2") + Send.ready())
        #expect(rig.types(client) == "GCZ")
        expectFree(rig, client, server)
    }

    @Test(arguments: [true, false])
    func aFailedCopyInBySimpleQuery(isEarly: Bool) {
        let rig = Rig()
        let (client, server) = rig.session()
        let failure = Send.error("22P02", "bad input") + Send.ready()
        rig.receive(client, Send.query("copy t from stdin"))
        rig.receive(server, Send.copyIn)
        rig.receive(client, Send.copyData("a\n"))
        if isEarly { rig.receive(server, failure) }
        rig.receive(client, Send.copyData("b\n") + Send.copyDone)
        if !isEarly { rig.receive(server, failure) }
        #expect(rig.types(client) == "GEZ")
        expectFree(rig, client, server)
    }

    private static let request = Send.parse("", "copy t from stdin") + Send.bind("") + Send.execute

    /// libpq sends Sync right behind Execute, which PostgreSQL ignores when it copies, and another at the
    /// end.
    @Test func copyInByExtendedQuery() {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(client, CopyTests.request + Send.sync)
        rig.receive(server, Send.parseComplete + Send.bindComplete + Send.copyIn)
        rig.receive(client, Send.copyData("a\n") + Send.copyDone + Send.sync)
        rig.receive(server, Send.complete("COPY 1") + Send.ready())
        #expect(rig.types(client) == "12GCZ")
        _ = rig.raw(server)
        expectFree(rig, client, server)
    }

    @Test(arguments: [true, false], [true, false])
    func aFailedCopyInByExtendedQuery(isEarly: Bool, hasFirstSync: Bool) {
        let rig = Rig()
        let (client, server) = rig.session()
        let failure = Send.error("22P02", "bad input")
        rig.receive(client, CopyTests.request + (hasFirstSync ? Send.sync : Send.flush))
        rig.receive(server, Send.parseComplete + Send.bindComplete + Send.copyIn)
        rig.receive(client, Send.copyData("a\n"))
        if isEarly { rig.receive(server, failure) }
        rig.receive(client, Send.message("f", Send.text("never mind")) + Send.sync)
        rig.receive(server, (isEarly ? [] : failure) + Send.ready())
        #expect(rig.types(client) == "12GEZ")
        expectFree(rig, client, server)
    }

    @Test func copyOut() {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(client, Send.query("copy t to stdout"))
        rig.receive(
            server,
            Send.message("H", [0, 0, 0]) + Send.copyData("a\n") + Send.copyDone + Send.complete("COPY 1")
                + Send.ready())
        #expect(rig.types(client) == "HdcCZ")
        expectFree(rig, client, server)
    }

    @Test func aClientThatLeavesInTheMiddleTakesTheServerWithIt() {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(client, Send.query("copy t from stdin"))
        rig.receive(server, Send.copyIn)
        rig.receive(client, Array(Send.copyData("abcdef").dropLast(2)))
        rig.hangUp(client)
        #expect(!rig.isOpen(server))
        rig.expectEmptiness()
    }

    /// PostgreSQL eats such a message together with the COPY; nobody can say what is answered then.
    @Test(arguments: ["simple", "extended"])
    func anotherMessageInTheMiddleOfACopyIsAnError(kind: String) {
        let rig = Rig()
        let (client, server) = rig.session()
        if kind == "simple" {
            rig.receive(client, Send.query("copy t from stdin"))
            rig.receive(server, Send.copyIn)
        } else {
            rig.receive(
                client, Send.parse("", "copy t from stdin") + Send.bind("") + Send.execute + Send.message("H")
            )
            rig.receive(server, Send.parseComplete + Send.bindComplete + Send.copyIn)
        }
        _ = rig.raw(client)
        rig.receive(client, Send.parse("bad", "select 1"))
        #expect(rig.error(client).hasPrefix("08P01 unexpected message of type"))
        #expect(!rig.isOpen(client))
        #expect(!rig.isOpen(server))
        rig.expectEmptiness()
    }

    /// Data, its end and Sync in one go with the COPY itself; the data is refused.
    @Test(arguments: [true, false])
    func aCopyThatDoesNotWaitToBeAskedMayFail(isStarted: Bool) {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(
            client,
            Send.parse("", "copy t from stdin") + Send.bind("") + Send.execute + Send.copyData("bad")
                + Send.copyDone + Send.sync)
        rig.receive(
            server,
            Send.parseComplete + Send.bindComplete + (isStarted ? Send.copyIn : [])
                + Send.error("22P04", "bad data") + Send.ready())
        #expect(rig.types(client) == (isStarted ? "12GEZ" : "12EZ"))
        #expect(rig.record(of: server)?.state == .idle)
        #expect(rig.core.firewallHits == 0)
        rig.expectEmptiness()
    }

    /// It is held until it is known what the names mean that came before it, which PostgreSQL does not say
    /// before the COPY is over.
    @Test func aMessageThatIsHeldWhenACopyBeginsIsAnErrorToo() {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(client, Send.query("copy t from stdin") + Send.parse("held", "select 1"))
        #expect(rig.types(server) == "Q")
        rig.receive(server, Send.copyIn)
        #expect(rig.error(client).hasPrefix("08P01 unexpected message of type"))
        #expect(!rig.isOpen(client))
        #expect(!rig.isOpen(server))
        rig.expectEmptiness()
    }

    /// PostgreSQL has eaten the Sync in front of it, so no answer to that will ever let it go on.
    @Test(arguments: [true, false])
    func aMessageThatIsHeldBehindACopyGoesOnWhenTheCopyIsOver(isGood: Bool) {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(
            client,
            CopyTests.request + Send.sync + Send.copyDone + Send.parse("held", "select 1") + Send.sync)
        #expect(rig.types(server) == "PBESc")
        rig.receive(server, Send.parseComplete + Send.bindComplete + Send.copyIn)
        rig.receive(server, isGood ? Send.complete("COPY 0") : Send.error("22P04", "bad data"))
        #expect(rig.types(server) == "PS")
        rig.receive(server, (isGood ? Send.parseComplete : []) + Send.ready())
        #expect(rig.types(client) == (isGood ? "12GC1Z" : "12GEZ"))
        #expect(rig.record(of: server)?.state == .idle)
        rig.expectEmptiness()
    }

    /// Each COPY has an end of its own.
    @Test func aMessageBehindTheSecondOfTwoCopiesInFlightIsAllowed() {
        let rig = Rig()
        let (client, server) = rig.session()
        let copy = Send.query("copy t from stdin") + Send.copyDone
        rig.receive(client, copy + copy)
        let answer = Send.copyIn + Send.complete("COPY 0") + Send.ready()
        rig.receive(server, answer + Send.copyIn)
        rig.receive(client, Send.query("select 1"))
        rig.receive(
            server, Send.complete("COPY 0") + Send.ready() + Send.complete("SELECT 1") + Send.ready())
        #expect(rig.types(client) == "GCZGCZCZ")
        rig.expectEmptiness()
    }

    /// PostgreSQL ignores a Sync among the data of a COPY. When the query has been answered nothing is in
    /// doubt any more, also not what was sent with that Sync: a name that is used twice is refused, and not
    /// held for an answer that will never come.
    @Test func aSyncIgnoredByASimpleCopyIsSettledWithIt() {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(client, Send.parse("a", "select 1") + Send.sync)
        rig.receive(server, Send.parseComplete + Send.ready())
        rig.run(client, server, "begin", "T")
        rig.receive(client, Send.query("copy t from stdin"))
        rig.receive(server, Send.copyIn)
        rig.receive(client, Send.sync + Send.copyData("1") + Send.copyDone)
        rig.receive(server, Send.complete("COPY 1") + Send.ready("T"))
        _ = rig.raw(server)
        _ = rig.raw(client)
        rig.receive(client, Send.parse("a", "select 2") + Send.sync)
        #expect(rig.types(server) == "PS")
        rig.receive(server, Send.error("42P05", "it exists") + Send.ready("E"))
        #expect(rig.types(client) == "EZ")
        rig.expectEmptiness()
    }

    @Test func functionCallsAndPipelinesOfSyncs() {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(
            client,
            Send.parse("", "select 1") + Send.message("F", [0, 0, 0, 1]) + Send.sync + Send.sync
                + Send.bind("") + Send.execute + Send.sync)
        rig.receive(
            server,
            Send.parseComplete + Send.message("V", [0]) + Send.ready() + Send.ready() + Send.ready())
        rig.receive(server, Send.bindComplete + Send.complete("SELECT 1") + Send.ready())
        #expect(rig.types(client) == "1VZZZ2CZ")
        _ = rig.raw(server)
        expectFree(rig, client, server)
    }

    /// A query that is followed by a goodbye in the same piece reaches PostgreSQL all the same.
    @Test func whatStandsBeforeTerminateIsSent() {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(client, Send.query("insert") + Send.terminate)
        #expect(rig.raw(server) == Send.query("insert"))
        #expect(!rig.isOpen(client))
    }
}
