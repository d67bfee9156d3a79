import Testing

@testable import PoolCore

@Suite struct PreparedTests {
    /// A client that has prepared `a` on its server.
    private func prepared(_ rig: Rig) -> (client: ConnectionID, server: ConnectionID) {
        let (client, server) = rig.session()
        rig.receive(client, Send.parse("a", "select 1") + Send.sync)
        rig.receive(server, Send.parseComplete + Send.ready())
        _ = rig.raw(client)
        _ = rig.raw(server)
        return (client, server)
    }

    private func begin(_ rig: Rig, _ client: ConnectionID, _ server: ConnectionID) {
        rig.run(client, server, "begin", "T")
    }

    @Test func aNameInUseIsPostgresErrorWithTheClientsName() {
        let rig = Rig()
        let (client, server) = prepared(rig)
        rig.receive(client, Send.parse("a", "select 2") + Send.sync)
        let parse = rig.messages(server)[0]
        let name = parse.text.prefix { $0 != "\0" }
        #expect(name.hasPrefix("pgsluice_"))
        rig.receive(
            server, Send.error("42P05", "prepared statement \"\(name)\" already exists") + Send.ready())
        #expect(rig.error(client) == "42P05 prepared statement \"a\" already exists")
        rig.receive(client, Send.bind("a") + Send.sync)
        #expect(rig.types(server) == "BS")
        rig.receive(server, Send.bindComplete + Send.ready())
        rig.expectEmptiness()
    }

    @Test func anUnknownNameIsPostgresErrorWithTheClientsName() {
        let rig = Rig()
        let (client, server) = rig.session()
        for message in [Send.bind("b"), Send.describe("b")] {
            rig.receive(client, message + Send.sync)
            #expect(rig.types(server).last == "S")
            rig.receive(
                server,
                Send.error("26000", "prepared statement \"pgsluice: unknown\" does not exist") + Send.ready())
            #expect(rig.error(client) == "26000 prepared statement \"b\" does not exist")
        }
        rig.expectEmptiness()
    }

    @Test func theLeastRecentlyUsedStatementIsClosedForANewOne() {
        let rig = Rig("max_prepared_statements = 2")
        let (client, server) = rig.session()
        for name in ["a", "b"] {
            rig.receive(client, Send.parse(name, "select '\(name)'") + Send.sync)
            rig.receive(server, Send.parseComplete + Send.ready())
        }
        rig.receive(client, Send.bind("a") + Send.sync)
        rig.receive(server, Send.bindComplete + Send.ready())
        _ = rig.raw(server)
        _ = rig.raw(client)
        rig.receive(client, Send.parse("c", "select 'c'") + Send.sync)
        #expect(rig.types(server) == "CPS")
        rig.receive(server, Send.closeComplete + Send.parseComplete + Send.ready())
        #expect(rig.types(client) == "1Z")
        rig.receive(client, Send.bind("a") + Send.bind("b") + Send.sync)
        #expect(rig.types(server) == "BCPBS")
        rig.receive(
            server,
            Send.bindComplete + Send.closeComplete + Send.parseComplete + Send.bindComplete + Send.ready())
        #expect(rig.types(client) == "22Z")
        rig.expectEmptiness()
    }

    /// A pipeline that fails leaves everything as it was before the part that PostgreSQL skipped.
    @Test func aFailedPipelineIsUndoneFromItsEnd() {
        let rig = Rig("max_prepared_statements = 1")
        let (client, server) = prepared(rig)
        // The bad Parse evicts `a`; Close and Parse of `a` under the same name follow.
        rig.receive(
            client,
            Send.parse("bad", "selec") + Send.close("a") + Send.parse("a", "select 3") + Send.bind("a")
                + Send.sync)
        #expect(rig.types(server) == "CPCPBS")
        rig.receive(server, Send.closeComplete + Send.error("42601", "syntax error") + Send.ready())
        #expect(rig.types(client) == "EZ")
        rig.receive(client, Send.bind("a") + Send.sync)
        let messages = rig.messages(server)
        #expect(String(messages.map(\.type)) == "PBS")
        #expect(messages[0].text.contains("select 1"))
        rig.receive(server, Send.parseComplete + Send.bindComplete + Send.ready())
        #expect(rig.types(client) == "2Z")
        rig.expectEmptiness()
    }

    /// PostgreSQL ignores a simple query too while it skips to the next Sync.
    @Test func aQueryInsideAFailedPipelineIsSkipped() {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(client, Send.parse("", "selec") + Send.query("select 1") + Send.sync)
        rig.receive(server, Send.error("42601", "syntax error") + Send.ready())
        #expect(rig.types(client) == "EZ")
        #expect(rig.record(of: server)?.state == .idle)
        rig.run(client, server)
        #expect(rig.core.firewallHits == 0)
    }

    @Test func messagesAfterAnErrorGoOnToSyncWithoutBeingOwedFor() {
        let rig = Rig()
        let (client, server) = prepared(rig)
        rig.receive(client, Send.parse("", "selec"))
        rig.receive(server, Send.error("42601", "syntax error"))
        rig.receive(client, Send.bind("") + Send.parse("a", "x") + Send.query("select 1") + Send.sync)
        rig.receive(server, Send.ready())
        #expect(rig.types(client) == "EZ")
        #expect(rig.record(of: server)?.state == .idle)
    }

    /// Whether a Parse of an earlier group succeeds is not known before its answer; nothing may hang
    /// meanwhile.
    @Test func aStatementInDoubtHoldsItsUserUntilTheFirstAnswer() {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(
            client,
            Send.parse("a", "select 1") + Send.sync + Send.parse("", "select 2") + Send.bind("")
                + Send.execute
                + Send.bind("a") + Send.execute + Send.sync)
        #expect(rig.types(server) == "PSPBE")
        // PostgreSQL answers the second group only when its Sync has come.
        rig.receive(server, Send.parseComplete + Send.ready())
        #expect(rig.types(server) == "BES")
        rig.receive(
            server,
            Send.parseComplete + Send.bindComplete + Send.complete("SELECT 1") + Send.bindComplete
                + Send.complete("SELECT 1") + Send.ready())
        #expect(rig.types(client) == "1Z12C2CZ")
        rig.expectEmptiness()
    }

    @Test func aStatementInDoubtThatFailsIsUnknownAfterwards() {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(client, Send.parse("a", "selec") + Send.sync + Send.bind("a") + Send.sync)
        #expect(rig.types(server) == "PS")
        rig.receive(server, Send.error("42601", "syntax error") + Send.ready())
        #expect(rig.types(server) == "BS")
        rig.receive(
            server,
            Send.error("26000", "prepared statement \"pgsluice: unknown\" does not exist") + Send.ready())
        #expect(rig.error(client) == "26000 prepared statement \"a\" does not exist")
    }

    @Test(arguments: ["DISCARD ALL", "DEALLOCATE ALL"])
    func whatDestroysStatementsIsNoticed(tag: String) {
        let rig = Rig()
        let (client, server) = prepared(rig)
        let other = rig.client()
        rig.receive(other, Send.parse("mine", "select 1") + Send.sync)
        #expect(rig.types(server) == "S")
        rig.receive(server, Send.ready())
        rig.receive(client, Send.query(tag))
        rig.receive(server, Send.complete(tag) + Send.ready())
        _ = rig.raw(server)
        rig.receive(client, Send.parse("a", "select 5") + Send.sync)
        #expect(rig.types(server) == "PS")
        rig.receive(server, Send.parseComplete + Send.ready())
        rig.receive(other, Send.bind("mine") + Send.sync)
        #expect(rig.types(server) == "PBS")
        rig.receive(server, Send.parseComplete + Send.bindComplete + Send.ready())
        rig.expectEmptiness()
    }

    /// Drivers put DISCARD ALL in front of the first request on a connection of their pool.
    @Test func whatIsPreparedBehindDiscardAllStays() {
        let rig = Rig()
        let (client, server) = prepared(rig)
        rig.receive(client, Send.query("DISCARD ALL") + Send.parse("n", "select 7") + Send.sync)
        rig.receive(server, Send.complete("DISCARD ALL") + Send.ready())
        rig.receive(server, Send.parseComplete + Send.ready())
        #expect(rig.types(client) == "CZ1Z")
        _ = rig.raw(server)
        rig.receive(client, Send.bind("n") + Send.sync)
        #expect(rig.types(server) == "BS")
    }

    /// The Parse that stands behind DEALLOCATE ALL in its group is confirmed, although the end of that group
    /// has been sent when the answers come; who uses the statement later does not wait for anything.
    @Test func whatIsPreparedInTheGroupOfDeallocateAllIsConfirmed() {
        let rig = Rig()
        let (client, server) = prepared(rig)
        let deallocate = Send.parse("", "deallocate all") + Send.bind("") + Send.execute
        rig.receive(client, deallocate + Send.parse("n", "select 7") + Send.sync)
        #expect(rig.types(server) == "PBEPS")
        rig.receive(
            server,
            Send.parseComplete + Send.bindComplete + Send.complete("DEALLOCATE ALL") + Send.parseComplete
                + Send.ready())
        #expect(rig.types(client) == "12C1Z")
        for _ in 0..<3 {
            rig.receive(client, Send.bind("n") + Send.sync)
            #expect(rig.types(server) == "BS")
            rig.receive(server, Send.bindComplete + Send.ready())
            #expect(rig.types(client) == "2Z")
        }
        rig.expectEmptiness()
    }

    /// With one server and two clients of different settings, what one has prepared is not the other's: a
    /// date written in its text means another day.
    @Test func statementsAreNotSharedBetweenDifferentSettings() {
        let rig = Rig()
        let (client, server) = rig.session()
        let other = rig.client("alice", [("datestyle", "ISO, DMY")])
        _ = rig.raw(other)
        rig.receive(client, Send.parse("a", "select '03/02/2024'::date::text") + Send.sync)
        let first = rig.messages(server)[0]
        rig.receive(server, Send.parseComplete + Send.ready())
        rig.receive(other, Send.parse("a", "select '03/02/2024'::date::text") + Send.sync)
        let messages = rig.messages(server)
        #expect(String(messages.map(\.type)) == "QPS")
        #expect(messages[1].text != first.text)
        rig.receive(server, Send.prelude(("DateStyle", "ISO, DMY")) + Send.parseComplete + Send.ready())
        // The first client's again, on a server that has it: only its settings are restored.
        rig.receive(client, Send.bind("a") + Send.sync)
        #expect(rig.types(server) == "QBS")
        rig.receive(server, Send.prelude(("DateStyle", "ISO, MDY")) + Send.bindComplete + Send.ready())
        rig.expectEmptiness()
    }

    /// What is prepared behind something that may have changed settings is its client's alone.
    @Test func aStatementPreparedBehindASettingOnItsWayIsNotShared() {
        let rig = Rig()
        let (client, server) = prepared(rig)
        rig.receive(
            client,
            Send.parse("", "set datestyle to dmy") + Send.bind("") + Send.execute
                + Send.parse("d", "select 1")
                + Send.sync)
        // `select 1` is on the server, but as what it means under other settings.
        #expect(rig.types(server) == "PBEPS")
        rig.receive(
            server,
            Send.parseComplete + Send.bindComplete + Send.complete("SET") + Send.parseComplete
                + Send.parameter("DateStyle", "ISO, DMY") + Send.ready())
        // A transaction's begin changes nothing, so what follows it is shared.
        rig.receive(client, Send.query("set datestyle to mdy"))
        rig.receive(server, Send.complete("SET") + Send.parameter("DateStyle", "ISO, MDY") + Send.ready())
        _ = rig.raw(server)
        rig.receive(
            client,
            Send.parse("", "BEGIN") + Send.bind("") + Send.execute + Send.parse("e", "select 1") + Send.sync)
        #expect(rig.types(server) == "PBES")
        rig.receive(
            server,
            Send.parseComplete + Send.bindComplete + Send.complete("BEGIN") + Send.ready("T"))
        rig.hangUp(client)
        rig.expectEmptiness()
    }

    /// A client that changed its settings after Parse has its statement parsed under those of then.
    @Test func aStatementIsPreparedAgainUnderTheSettingsOfItsParse() {
        let rig = Rig("max_prepared_statements = 1")
        let (client, server) = prepared(rig)
        rig.receive(client, Send.query("set datestyle to dmy"))
        rig.receive(server, Send.complete("SET") + Send.parameter("DateStyle", "ISO, DMY") + Send.ready())
        rig.receive(client, Send.parse("b", "select 2") + Send.sync)
        rig.receive(server, Send.closeComplete + Send.parseComplete + Send.ready())
        _ = rig.raw(server)
        _ = rig.raw(client)
        rig.receive(client, Send.bind("a") + Send.execute + Send.sync)
        let messages = rig.messages(server)
        #expect(String(messages.map(\.type)) == "PBECCCPPBECCBES")
        #expect(messages[0].text.contains("set_config('DateStyle','ISO, MDY',false)"))
        #expect(messages[7].text.contains("set_config('DateStyle','ISO, DMY',false)"))
        let settings =
            Send.parseComplete + Send.bindComplete + Send.message("D", [0, 0]) + Send.complete("SELECT 1")
            + Send.closeComplete + Send.closeComplete
        rig.receive(
            server,
            settings + Send.closeComplete + Send.parseComplete + settings + Send.bindComplete
                + Send.complete("SELECT 1") + Send.ready())
        #expect(rig.types(client) == "2CZ")
        rig.expectEmptiness()
    }

    /// PostgreSQL refuses to run what was prepared before a table changed; a new client has a right to
    /// see the table as it is.
    @Test(arguments: ["tag", "error"])
    func whoPreparesAfterATableHasChangedGetsAStatementOfItsOwn(notice: String) {
        let rig = Rig()
        let (client, server) = prepared(rig)
        let other = rig.client()
        _ = rig.raw(other)
        if notice == "tag" {
            rig.run(client, server, "begin", "T")
            rig.receive(client, Send.query("alter table t add b int"))
            rig.receive(server, Send.complete("ALTER TABLE") + Send.ready("T"))
            rig.run(client, server, "commit")
        } else {
            rig.receive(client, Send.bind("a") + Send.sync)
            rig.receive(
                server, Send.error("0A000", "cached plan must not change result type") + Send.ready())
            #expect(rig.error(client) == "0A000 cached plan must not change result type")
        }
        _ = rig.raw(server)
        rig.receive(other, Send.parse("a", "select 1") + Send.sync)
        #expect(rig.types(server) == "PS")
        rig.receive(server, Send.parseComplete + Send.ready())
        rig.expectEmptiness()
    }

    /// A Close of ours in a group that fails is skipped, and the statement still there.
    @Test func aStatementWhoseCloseMayBeSkippedIsInDoubt() {
        let rig = Rig("max_prepared_statements = 1")
        let (client, server) = prepared(rig)
        rig.receive(
            client,
            Send.bind("nosuch") + Send.parse("y", "select 'y'") + Send.sync + Send.bind("a") + Send.sync)
        #expect(rig.types(server) == "BCPS")
        rig.receive(
            server,
            Send.error("26000", "prepared statement \"pgsluice: unknown\" does not exist") + Send.ready())
        // It is there, so nothing has to be prepared.
        #expect(rig.types(server) == "BS")
        rig.receive(server, Send.bindComplete + Send.ready())
        #expect(rig.types(client) == "EZ2Z")
        rig.expectEmptiness()
    }

    /// The one that comes back when a group is skipped is destroyed by the query behind it all the same.
    @Test func aQueryDestroysAnUnnamedStatementThatASkippedMessageGivesBack() {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(client, Send.parse("", "select 1") + Send.sync)
        rig.receive(server, Send.parseComplete + Send.ready())
        rig.receive(client, Send.bind("nosuch") + Send.close("") + Send.sync + Send.query("select 2"))
        rig.receive(
            server,
            Send.error("26000", "prepared statement \"pgsluice: unknown\" does not exist") + Send.ready())
        rig.receive(server, Send.complete("SELECT 1") + Send.ready())
        _ = rig.raw(server)
        rig.receive(client, Send.describe("") + Send.sync)
        #expect(rig.types(server) == "CDS")
        rig.receive(server, Send.closeComplete + Send.error("26000", "unnamed") + Send.ready())
        rig.expectEmptiness()
    }

    /// A later group does not close what an earlier one may not even prepare.
    @Test func aStatementInDoubtIsNotEvicted() {
        let rig = Rig("max_prepared_statements = 1")
        let (client, server) = rig.session()
        for name in ["a", "b", "c"] {
            // Behind something that may change settings it is the client's alone, and nothing has to be known
            // of the settings to prepare it again.
            let before = Send.parse("", "select 9") + Send.bind("") + Send.execute
            rig.receive(client, before + Send.parse(name, "select '\(name)'") + Send.sync)
            rig.receive(
                server,
                Send.parseComplete + Send.bindComplete + Send.complete("SELECT 1")
                    + (name == "a" ? [] : Send.closeComplete) + Send.parseComplete + Send.ready())
        }
        _ = rig.raw(server)
        rig.receive(
            client, Send.bind("nosuch") + Send.bind("a") + Send.sync + Send.bind("b") + Send.sync)
        #expect(rig.types(server) == "BCPBSPBS")
        rig.receive(
            server,
            Send.error("26000", "prepared statement \"pgsluice: unknown\" does not exist") + Send.ready())
        rig.receive(server, Send.parseComplete + Send.bindComplete + Send.ready())
        rig.receive(client, Send.bind("a") + Send.sync)
        #expect(rig.types(server) == "CCPBS")
        rig.receive(
            server,
            Send.closeComplete + Send.closeComplete + Send.parseComplete + Send.bindComplete + Send.ready())
        rig.expectEmptiness()
    }

    /// Should PostgreSQL ever accept what was sent to be refused, the shared name means another text there.
    @Test func aServerThatAcceptsANameInUseIsNotUsedAgain() {
        let rig = Rig()
        let (client, server) = prepared(rig)
        rig.receive(client, Send.parse("a", "select 'another'") + Send.sync)
        rig.receive(server, Send.parseComplete + Send.ready())
        #expect(!rig.isOpen(server))
        rig.expectEmptiness()
    }

    /// What is held for replies, with its Sync behind it, is skipped like everything else up to there.
    @Test func aHeldMessageGoesOnWhenAllUpToItsSyncIsSkipped() {
        let rig = Rig()
        let (client, server) = prepared(rig)
        rig.receive(
            client, Send.execute + Send.query("deallocate all") + Send.parse("a", "select 1") + Send.sync)
        #expect(rig.types(server) == "EQ")
        rig.receive(server, Send.error("34000", "portal \"\" does not exist"))
        #expect(rig.types(server) == "PS")
        rig.receive(server, Send.ready())
        #expect(rig.types(client) == "EZ")
        rig.expectEmptiness()
    }

    /// The name is the client's even if it has been closed by the time the error comes.
    @Test func anErrorNamesAStatementThatWasClosedBehindIt() {
        let rig = Rig()
        let (client, server) = prepared(rig)
        rig.receive(client, Send.bind("a") + Send.close("a") + Send.sync)
        let name = rig.messages(server)[0].text.split(separator: "\0").first.map(String.init) ?? ""
        #expect(name.hasPrefix("pgsluice_"))
        rig.receive(server, Send.error("08P01", "statement \"\(name)\" requires 1") + Send.ready())
        #expect(rig.error(client) == "08P01 statement \"a\" requires 1")
        rig.expectEmptiness()
    }

    /// A group that has not been answered may leave the transaction failed, in which PostgreSQL must answer.
    @Test func aParseBehindAGroupThatMayFailIsAskedOfPostgres() {
        let rig = Rig()
        let (client, server) = prepared(rig)
        begin(rig, client, server)
        rig.receive(client, Send.parse("x", "selec") + Send.sync + Send.describe("") + Send.sync)
        _ = rig.raw(server)
        rig.receive(server, Send.error("42601", "syntax error") + Send.ready("E"))
        rig.receive(server, Send.closeComplete + Send.error("26000", "unnamed") + Send.ready("E"))
        rig.receive(client, Send.query("rollback") + Send.parse("b", "select 1") + Send.sync)
        #expect(rig.types(server).hasSuffix("Q"))
        rig.receive(server, Send.complete("ROLLBACK") + Send.ready())
        #expect(rig.types(server) == "S")
        rig.receive(server, Send.ready())
        rig.expectEmptiness()
    }

    @Test func anUnnamedStatementFollowsItsClientOverASync() {
        let rig = Rig("default_pool_size = 2")
        let (client, server) = rig.session()
        let second = rig.client()
        _ = rig.types(second)
        rig.receive(client, Send.parse("", "select 1") + Send.sync)
        rig.receive(server, Send.parseComplete + Send.ready())
        begin(rig, second, server)
        rig.receive(client, Send.bind("") + Send.execute + Send.sync)
        let other = rig.server()
        #expect(rig.types(other) == "PBES")
        rig.receive(
            other, Send.parseComplete + Send.bindComplete + Send.complete("SELECT 1") + Send.ready())
        #expect(rig.types(client) == "1Z2CZ")
    }

    /// What a server has under no name after a failure may be another client's.
    @Test func anUnnamedStatementThatWasSkippedIsNotUsed() {
        let rig = Rig()
        let (client, server) = rig.session()
        let second = rig.client()
        _ = rig.types(second)
        rig.receive(client, Send.parse("", "select 1") + Send.sync)
        rig.receive(server, Send.parseComplete + Send.ready())
        rig.receive(second, Send.parse("", "delete from all_of_it") + Send.sync)
        rig.receive(server, Send.parseComplete + Send.ready())
        // A simple BEGIN would destroy it.
        rig.receive(client, Send.parse("b", "begin") + Send.bind("b") + Send.execute + Send.sync)
        rig.receive(server, Send.parseComplete + Send.bindComplete + Send.complete("BEGIN") + Send.ready("T"))
        _ = rig.raw(server)
        // Behind the failure its own unnamed statement is prepared anew, in vain.
        rig.receive(client, Send.parse("x", "selec") + Send.bind("") + Send.sync)
        #expect(rig.types(server) == "PPBS")
        rig.receive(server, Send.error("42601", "syntax error") + Send.ready("E"))
        rig.receive(client, Send.bind("") + Send.sync)
        #expect(rig.types(server) == "PBS")
    }

    @Test func aLateFailureOfAnUnnamedStatementDoesNotHitTheNext() {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(client, Send.parse("", "selec") + Send.sync + Send.parse("", "select 2"))
        rig.receive(server, Send.error("42601", "syntax error") + Send.ready())
        _ = rig.raw(server)
        rig.receive(client, Send.bind("") + Send.sync)
        let bind = rig.messages(server)[0]
        #expect(bind.type == "B")
        #expect(bind.body.prefix(2) == [0, 0])
    }

    @Test func aSimpleQueryDestroysTheUnnamedStatement() {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(client, Send.parse("", "select 1") + Send.sync)
        rig.receive(server, Send.parseComplete + Send.ready())
        rig.run(client, server)
        _ = rig.raw(server)
        rig.receive(client, Send.bind("") + Send.sync)
        // Another client's must not be found.
        #expect(rig.types(server) == "CBS")
        let text = "unnamed prepared statement does not exist"
        rig.receive(server, Send.closeComplete + Send.error("26000", text) + Send.ready())
        #expect(rig.error(client) == "26000 \(text)")
        rig.expectEmptiness()
    }

    /// A Parse that is skipped leaves another client's unnamed statement on the server.
    @Test func anUnnamedStatementInDoubtIsNotBoundBeforeItsGroupIsAnswered() {
        let rig = Rig()
        let (client, server) = rig.session()
        let other = rig.client()
        _ = rig.raw(other)
        rig.receive(other, Send.parse("", "select 'secret'") + Send.sync)
        rig.receive(server, Send.parseComplete + Send.ready())
        _ = rig.raw(server)
        rig.receive(
            client,
            Send.bind("unknown") + Send.parse("", "select 1") + Send.sync + Send.bind("") + Send.execute
                + Send.sync)
        #expect(rig.types(server) == "BPS")
        rig.receive(
            server,
            Send.error("26000", "prepared statement \"pgsluice: unknown\" does not exist") + Send.ready())
        #expect(rig.types(server) == "CBES")
        rig.receive(
            server,
            Send.closeComplete + Send.error("26000", "unnamed prepared statement does not exist")
                + Send.ready())
        #expect(rig.types(client) == "EZEZ")
        rig.expectEmptiness()
    }

    /// What is skipped has not happened: the statement before is there, in the same and in later groups.
    @Test(arguments: ["parse", "close", "query"])
    func aSkippedChangeOfTheUnnamedStatementLeavesTheOneBefore(change: String) {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(client, Send.parse("", "select 'first'") + Send.sync)
        rig.receive(server, Send.parseComplete + Send.ready())
        rig.run(client, server, "begin", "T")
        rig.receive(client, Send.parse("", "select 'kept'") + Send.sync)
        rig.receive(server, Send.parseComplete + Send.ready("T"))
        _ = rig.raw(server)
        _ = rig.raw(client)
        let skipped =
            switch change {
            case "parse": Send.parse("", "select 'lost'")
            case "close": Send.close("")
            default: Send.query("select 'lost'")
            }
        rig.receive(client, Send.bind("unknown") + skipped + Send.sync)
        rig.receive(
            server,
            Send.error("26000", "prepared statement \"pgsluice: unknown\" does not exist") + Send.ready("E"))
        _ = rig.raw(server)
        rig.receive(client, Send.bind("") + Send.sync)
        #expect(rig.types(server) == "BS")
        rig.receive(server, Send.error("25P02", "aborted") + Send.ready("E"))
        // Not a query, which would destroy it.
        rig.receive(client, Send.parse("r", "rollback") + Send.bind("r") + Send.execute + Send.sync)
        rig.receive(
            server, Send.parseComplete + Send.bindComplete + Send.complete("ROLLBACK") + Send.ready())
        _ = rig.raw(server)
        rig.receive(client, Send.bind("") + Send.sync)
        let messages = rig.messages(server)
        #expect(String(messages.map(\.type)) == "PBS")
        #expect(messages.first?.text.contains("kept") == true)
        rig.receive(server, Send.parseComplete + Send.bindComplete + Send.ready())
        rig.expectEmptiness()
    }

    /// Two changes in flight, both skipped: what comes back is what was before the first.
    @Test func changesOfTheUnnamedStatementInSeveralSkippedGroupsAreUndone() {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(client, Send.parse("", "select 'kept'") + Send.sync)
        rig.receive(server, Send.parseComplete + Send.ready())
        _ = rig.raw(server)
        let group = Send.bind("unknown") + Send.parse("", "select 'lost'") + Send.sync
        rig.receive(client, group + group)
        #expect(rig.types(server) == "BPSBPS")
        let failure = Send.error("26000", "prepared statement \"pgsluice: unknown\" does not exist")
        rig.receive(server, failure + Send.ready())
        rig.receive(server, failure + Send.ready())
        rig.receive(client, Send.bind("") + Send.sync)
        let messages = rig.messages(server)
        #expect(String(messages.map(\.type)) == "PBS")
        #expect(messages.first?.text.contains("kept") == true)
        rig.receive(server, Send.parseComplete + Send.bindComplete + Send.ready())
        rig.expectEmptiness()
    }

    /// A name given in a group that fails is free again in the next one, also when that is in flight already.
    @Test func aNameInDoubtHoldsItsUserUntilItsGroupIsAnswered() {
        let rig = Rig()
        let (client, server) = prepared(rig)
        rig.receive(
            client,
            Send.bind("unknown") + Send.parse("n", "select 1") + Send.sync + Send.parse("n", "select 2")
                + Send.sync)
        #expect(rig.types(server) == "BS")
        rig.receive(
            server,
            Send.error("26000", "prepared statement \"pgsluice: unknown\" does not exist") + Send.ready())
        #expect(rig.types(server) == "PS")
        rig.receive(server, Send.parseComplete + Send.ready())
        #expect(rig.types(client) == "EZ1Z")
        rig.expectEmptiness()
    }

    /// The name of ours is replaced and nothing else, in whatever language and quotes.
    /// Closed, prepared again and closed again in one group: the answer to the first Close says nothing about
    /// the second.
    @Test func theAnswerToAnEarlierCloseIsNotTakenForThatToALaterOne() {
        let rig = Rig("max_prepared_statements = 1")
        let (client, server) = rig.session()
        rig.receive(client, Send.parse("a", "select 1") + Send.sync)
        rig.receive(server, Send.parseComplete + Send.ready())
        _ = rig.types(server)
        rig.receive(client, Send.parse("b", "select 2") + Send.bind("a") + Send.bind("b") + Send.sync)
        #expect(rig.types(server) == "CPCPBCPBS")
        rig.receive(server, Send.closeComplete + Send.parseComplete)
        // Closed in a group that may yet be skipped: nobody knows whether it is there.
        rig.receive(server, Send.closeComplete + Send.parseComplete + Send.bindComplete)
        rig.receive(client, Send.bind("a") + Send.sync)
        #expect(rig.types(server) == "")
        rig.receive(
            server, Send.closeComplete + Send.parseComplete + Send.error("22012", "no") + Send.ready())
        #expect(rig.types(server) == "CPBS")
        rig.receive(server, Send.closeComplete + Send.parseComplete + Send.bindComplete + Send.ready())
        #expect(rig.types(client) == "112EZ2Z" || rig.types(client).isEmpty)
        rig.expectEmptiness()
    }

    /// Prepared, closed to make room, and prepared again in one group: the answer to the first Parse says
    /// nothing about the second, which is skipped here.
    @Test func theAnswerToAnEarlierParseIsNotTakenForThatToALaterOne() {
        let rig = Rig("max_prepared_statements = 1")
        let (client, server) = prepared(rig)
        // Behind a Bind, which may change settings, these are nobody else's, and stay as they are.
        rig.receive(
            client, Send.bind("a") + Send.parse("b", "select 2") + Send.parse("c", "select 3") + Send.sync)
        #expect(rig.types(server) == "BCPCPS")
        rig.receive(
            server,
            Send.bindComplete + Send.closeComplete + Send.parseComplete + Send.closeComplete
                + Send.parseComplete + Send.ready())
        #expect(rig.types(client) == "211Z")
        rig.receive(client, Send.bind("b") + Send.bind("c") + Send.bind("b") + Send.sync)
        #expect(rig.types(server) == "CPBCPBCPBS")
        rig.receive(server, Send.closeComplete + Send.parseComplete)
        rig.receive(client, Send.bind("b") + Send.sync)
        #expect(rig.types(server) == "")
        rig.receive(
            server,
            Send.bindComplete + Send.closeComplete + Send.parseComplete
                + Send.error("42P03", "cursor already exists") + Send.ready())
        #expect(rig.types(client) == "2EZ")
        #expect(rig.types(server) == "CPBS")
        rig.receive(
            server, Send.closeComplete + Send.parseComplete + Send.bindComplete + Send.ready())
        #expect(rig.types(client) == "2Z")
        rig.expectEmptiness()
    }

    @Test func onlyOurOwnNamesAreReplacedInErrors() {
        let rig = Rig()
        let (client, server) = prepared(rig)
        let cases: [([UInt8], (String) -> String, String)] = [
            (
                Send.parse("a", "selec \"x\""), { _ in "syntax error at or near \"selec\"" },
                "syntax error at or near \"selec\""
            ),
            (
                Send.bind("a"), { "la requête préparée « \($0) » demande 2" },
                "la requête préparée « a » demande 2"
            ),
        ]
        var name = ""
        for (message, error, expected) in cases {
            _ = rig.raw(server)
            rig.receive(client, message + Send.sync)
            let sent = rig.messages(server)[0]
            if sent.type == "P" { name = String(sent.text.prefix { $0 != "\0" }) }
            rig.receive(server, Send.error("08P01", error(name)) + Send.ready())
            #expect(rig.error(client) == "08P01 \(expected)")
        }
        rig.expectEmptiness()
    }

    @Test func anAbortedTransactionNeverAnswersForPostgres() {
        let rig = Rig()
        let (client, server) = prepared(rig)
        begin(rig, client, server)
        rig.receive(client, Send.query("selec"))
        rig.receive(server, Send.error("42601", "syntax error") + Send.ready("E"))
        _ = rig.raw(client)
        _ = rig.raw(server)
        rig.receive(client, Send.parse("b", "select 1") + Send.sync)
        #expect(rig.types(server) == "CPS")
        rig.receive(
            server,
            Send.closeComplete + Send.error("25P02", "current transaction is aborted") + Send.ready("E"))
        #expect(rig.types(client) == "EZ")
    }

    @Test func aMadeUpReplyDoesNotCutAMessageInTwo() {
        let rig = Rig()
        let (client, server) = prepared(rig)
        begin(rig, client, server)
        rig.receive(client, Send.bind("a") + Send.execute + Send.flush)
        let complete = Send.complete("SELECT 12345")
        rig.receive(server, Send.bindComplete + complete.prefix(9))
        rig.receive(client, Send.close("a"))
        rig.receive(server, Array(complete.dropFirst(9)))
        let messages = rig.messages(client)
        #expect(String(messages.map(\.type)) == "2C3")
        #expect(messages[1].text == "SELECT 12345\0")
    }

    @Test func closeIsAnsweredWithAndWithoutAServer() {
        let rig = Rig()
        let (client, server) = prepared(rig)
        rig.receive(client, Send.close("a"), pieceSize: 2)
        #expect(rig.types(client) == "3")
        rig.receive(client, Send.sync)
        rig.receive(server, Send.ready())
        #expect(rig.types(client) == "Z")
        rig.receive(client, Send.parse("", "select 9") + Send.close("nothing") + Send.sync)
        #expect(rig.types(server) == "SPS")
        rig.receive(server, Send.parseComplete + Send.ready())
        #expect(rig.types(client) == "13Z")
    }

    @Test(arguments: [1, 7, 1000, 100_000])
    func largeStatementsAndValuesPassInPieces(pieceSize: Int) {
        let rig = Rig()
        let (client, server) = rig.session()
        let text = "select '" + String(repeating: "x", count: pieceSize == 1 ? 3000 : 300_000) + "'"
        for name in ["", "a"] {
            rig.receive(client, Send.parse(name, text) + Send.sync, pieceSize: pieceSize)
            #expect(rig.messages(server)[0].text.contains(text))
            rig.receive(server, Send.parseComplete + Send.ready())
            #expect(rig.types(client) == "1Z")
        }
        let value = Array(repeating: UInt8(ascii: "v"), count: text.utf8.count)
        let bind = Send.message("B", Send.text("", "a") + [0, 0, 0, 1] + value)
        rig.receive(client, bind + Send.sync, pieceSize: pieceSize)
        let sent = rig.messages(server)
        #expect(String(sent.map(\.type)) == "BS")
        #expect(sent[0].body.suffix(value.count) == value[...])
    }

    @Test func statementModeEndsTransactions() {
        let rig = Rig("pool_mode = statement")
        let (client, server) = rig.session()
        rig.receive(client, Send.query("begin"))
        rig.receive(server, Send.complete("BEGIN") + Send.ready("T"))
        #expect(rig.error(client) == "0A000 transaction blocks not allowed in statement pooling mode")
        #expect(!rig.isOpen(server))
        rig.expectEmptiness()
    }
}
