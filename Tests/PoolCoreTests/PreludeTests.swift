import Testing

@testable import PoolCore

@Suite struct PreludeTests {
    private func client(_ rig: Rig, _ name: String, _ value: String) -> (ConnectionID, ConnectionID) {
        let client = rig.client("alice", [(name, value)])
        let server = rig.server()
        _ = rig.raw(client)
        return (client, server)
    }

    @Test func aClientIsToldHowPostgresSpellsItsParameter() {
        let rig = Rig()
        let (client, server) = client(rig, "DateStyle", "german")
        rig.receive(client, Send.query("select 1"))
        let sent = rig.messages(server)
        #expect(sent.count == 2)
        #expect(sent[0].text.contains("set_config('DateStyle','german',false)"))
        #expect(sent[0].text.hasSuffix("COMMIT\0"))
        rig.receive(server, Send.prelude(("DateStyle", "German, DMY")))
        rig.receive(server, Send.complete("SELECT 1") + Send.ready())
        let answer = rig.messages(client)
        #expect(String(answer.map(\.type)) == "SCZ")
        #expect(answer[0].text == "DateStyle\0German, DMY\0")
        rig.receive(client, Send.query("select 2"))
        #expect(rig.types(server) == "Q")
        rig.receive(server, Send.complete("SELECT 1") + Send.ready())
        rig.expectEmptiness()
    }

    @Test func aRefusedParameterIsPostgresErrorAndTheEnd() {
        let rig = Rig()
        let (client, server) = client(rig, "TimeZone", "Nowhere")
        rig.receive(client, Send.query("select 1"))
        rig.receive(
            server,
            Send.complete("BEGIN") + Send.error("22023", "invalid value for parameter \"TimeZone\"")
                + Send.ready("E") + Send.error("25P02", "aborted") + Send.ready("E"))
        #expect(
            rig.error(client) == "22023 invalid server parameter: invalid value for parameter \"TimeZone\"")
        #expect(!rig.isOpen(server))
        #expect(!rig.isOpen(client))
        rig.expectEmptiness()
    }

    @Test(arguments: ["commit", " ROLLBACK", "/* x */ end", ""])
    func whatCouldEndTheFailedTransactionWaits(text: String) {
        let rig = Rig()
        let (client, server) = client(rig, "application_name", "a")
        rig.receive(client, Send.query(text), pieceSize: 3)
        #expect(rig.types(server) == "Q")
        rig.receive(server, Send.prelude(("application_name", "a")))
        #expect(rig.raw(server) == Send.query(text))
        rig.receive(server, Send.complete("COMMIT") + Send.ready())
        #expect(rig.types(client) == "CZ")
        rig.expectEmptiness()
    }

    @Test(arguments: ["pool_mode = session", "max_prepared_statements = 0", ""])
    func anExtendedCommitWaitsToo(settings: String) {
        let rig = Rig(settings)
        let (client, server) = client(rig, "application_name", "a")
        let request = Send.parse("", "commit") + Send.bind("") + Send.execute + Send.sync
        rig.receive(client, request)
        #expect(rig.types(server) == "Q")
        rig.receive(server, Send.prelude(("application_name", "a")))
        #expect(rig.types(server) == "PBES")
        let other = Send.parseComplete + Send.bindComplete + Send.complete("COMMIT") + Send.ready()
        rig.receive(server, other)
        #expect(rig.types(client) == "12CZ")
        rig.expectEmptiness()
    }

    @Test(arguments: ["pool_mode = session", "max_prepared_statements = 0", ""])
    func anExtendedSelectDoesNotWait(settings: String) {
        let rig = Rig(settings)
        let (client, server) = client(rig, "application_name", "a")
        rig.receive(client, Send.parse("", "select 1") + Send.bind("") + Send.execute + Send.sync)
        #expect(rig.types(server) == "QPBES")
    }

    /// An encoding holds only from the next message on, so that what is written in it comes in a second one.
    @Test func anEncodingIsChangedInAMessageOfItsOwn() {
        let rig = Rig()
        let client = rig.client("alice", [("client_encoding", "latin1"), ("application_name", "it's \\ me")])
        let server = rig.server()
        _ = rig.raw(client)
        rig.receive(client, Send.query("select 1"))
        let sent = rig.messages(server)
        #expect(sent.count == 3)
        #expect(sent[0].text.contains("'client_encoding','latin1',false"))
        #expect(sent[1].text.contains("set_config('application_name',E'it''s \\\\ me',false);COMMIT"))
        let first =
            Send.complete("BEGIN") + Send.message("T", [0, 0]) + Send.message("D", [0, 0])
            + Send.complete("SELECT 1") + Send.parameter("client_encoding", "LATIN1") + Send.ready("T")
        let second =
            Send.message("T", [0, 0]) + Send.message("D", [0, 0]) + Send.complete("SELECT 1")
            + Send.parameter("application_name", "it's \\ me") + Send.complete("COMMIT") + Send.ready()
        rig.receive(server, first + second + Send.complete("SELECT 1") + Send.ready())
        #expect(rig.types(client) == "SCZ")
        rig.expectEmptiness()
    }

    /// A Parse that need not be sent is answered behind the prelude.
    @Test func aMadeUpReplyComesBehindThePrelude() {
        let rig = Rig()
        let (first, server) = rig.session()
        rig.receive(first, Send.parse("a", "select 1") + Send.sync)
        rig.receive(server, Send.parseComplete + Send.ready())
        _ = rig.raw(server)
        let client = rig.client("alice", [("application_name", "b")])
        _ = rig.raw(client)
        rig.receive(client, Send.parse("x", "select 1") + Send.bind("x") + Send.execute + Send.sync)
        #expect(rig.types(server) == "QBES")
        rig.receive(
            server,
            Send.prelude(("application_name", "b")) + Send.bindComplete + Send.complete("SELECT 1")
                + Send.ready())
        #expect(rig.types(client) == "12CZ")
        #expect(rig.core.firewallHits == 0)
        rig.expectEmptiness()
    }

    @Test func noticesAndParametersOfThePreludeAreNotForTheClient() {
        let rig = Rig()
        let (client, server) = client(rig, "application_name", "a")
        rig.receive(client, Send.query("set datestyle to german"))
        let notice = Send.message("N", Send.text("SNOTICE", "C00000", "Mhello") + [0])
        let notification = Send.message("A", [0, 0, 0, 1] + Send.text("channel", ""))
        rig.receive(server, notice + Send.prelude(("application_name", "a")))
        #expect(rig.raw(client).isEmpty)
        rig.receive(
            server,
            notice + notification + Send.parameter("DateStyle", "German, DMY")
                + Send.parameter("in_hot_standby", "off")
                + Send.complete("SET") + Send.ready())
        #expect(rig.types(client) == "NASSCZ")
        // Nobody is linked: nobody hears.
        rig.receive(server, notice + notification + Send.parameter("in_hot_standby", "on"))
        #expect(rig.raw(client).isEmpty)
        #expect(rig.core.firewallHits == 0)
    }
}
