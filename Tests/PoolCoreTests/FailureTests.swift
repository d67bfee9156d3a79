import Base
import SharedState
import Testing

@testable import PoolCore

@Suite struct FailureTests {
    @Test func postgresRefusalIsToldToEveryoneWhoWaits() {
        let rig = Rig()
        let clients = [rig.client(), rig.client()]
        rig.receive(rig.connectServer(), Send.error("3D000", "database \"db\" does not exist"))
        for client in clients { #expect(rig.error(client) == "3D000 database \"db\" does not exist") }
        rig.advance(milliseconds: 1000)
        rig.expectEmptiness()
    }

    @Test func whileAnotherServerIsThereNobodyIsSentAway() {
        let rig = Rig()
        let (first, server) = rig.session()
        rig.run(first, server, "begin", "T")
        let second = rig.client()
        rig.receive(second, Send.query("select 1"))
        rig.receive(rig.connectServer(), Send.error("53300", "too many clients"))
        #expect(rig.isOpen(second))
        rig.expectEmptiness()
    }

    @Test func aServerThatStartsUpKeepsItsClientsWaiting() {
        let rig = Rig()
        let client = rig.client()
        for _ in 0..<3 {
            rig.receive(rig.connectServer(), Send.error("57P03", "the database system is starting up"))
            #expect(rig.isOpen(client))
            rig.advance(milliseconds: 1000)
            #expect(rig.connecting.count == 1)
        }
        _ = rig.server()
        #expect(rig.types(client) == "RSSSSSSSKZ")
    }

    @Test func repeatedFailuresAreToldAtOnceWithTheirReason() {
        let rig = Rig("server_login_retry = 15")
        let first = rig.client()
        var pauses = 0
        for _ in 0..<5 {
            while rig.connecting.isEmpty {
                rig.advance(milliseconds: 50)
                pauses += 1
            }
            rig.tell(.connectFailed(rig.connecting.removeFirst(), .connect("connection refused")))
            #expect(rig.connecting.isEmpty)
        }
        #expect(pauses > 10)
        #expect(rig.isOpen(first))
        let second = rig.client()
        #expect(
            rig.error(second)
                .contains("server login has been failing, cached error: connect failed: connection refused"))
        rig.expectEmptiness()
    }

    @Test func anEndDuringTheLoginIsAFailure() {
        let rig = Rig()
        let client = rig.client()
        rig.hangUp(rig.connectServer())
        #expect(rig.isOpen(client))
        rig.advance(milliseconds: 200)
        rig.receive(rig.connectServer(), Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8))
        rig.advance(milliseconds: 400)
        _ = rig.server()
        #expect(rig.types(client).hasSuffix("Z"))
        rig.expectEmptiness()
    }

    @Test func aLoginThatTakesTooLongIsGivenUp() {
        let rig = Rig("server_connect_timeout = 3")
        _ = rig.client()
        rig.advance(milliseconds: 4000)
        #expect(rig.log.contains { $0.contains("connect timeout") })
        rig.expectEmptiness()
    }

    @Test(arguments: ["", "SET x TO 1"])
    func theConnectQueryRunsBeforeTheFirstClient(query: String) {
        let rig = Rig(databases: "db = host=10.0.0.1" + (query.isEmpty ? "" : " connect_query='\(query)'"))
        let client = rig.client()
        let server = rig.server()
        #expect(rig.raw(server) == (query.isEmpty ? [] : Send.query(query)))
        if !query.isEmpty {
            #expect(rig.raw(client).isEmpty)
            rig.receive(server, Send.error("42704", "unknown parameter") + Send.ready())
        }
        #expect(rig.types(client).hasSuffix("Z"))
    }

    @Test func aServerLostInUseIsToldToItsClientAlone() {
        let rig = Rig()
        let (client, server) = rig.session()
        let other = rig.client()
        _ = rig.raw(other)
        rig.receive(client, Send.query("select 1"))
        rig.hangUp(server)
        #expect(rig.error(client) == "08006 server conn crashed?")
        #expect(rig.isOpen(other))
        rig.receive(other, Send.query("select 2"))
        #expect(rig.raw(rig.server()) == Send.query("select 2"))
        rig.expectEmptiness()
    }

    @Test func aFreeServerThatAnnouncesItsEndIsNotGivenToAnybody() {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(server, Send.error("57P01", "terminating connection due to administrator command"))
        #expect(!rig.isOpen(server))
        rig.receive(client, Send.query("select 1"))
        #expect(rig.connecting.count == 1)
    }

    private static let unasked: [[UInt8]] = [
        Send.ready(), Send.complete("SELECT 1"), Send.message("T", [0, 0]), Send.message("D", [0, 0]),
        Send.parseComplete, Send.bindComplete, Send.closeComplete, Send.noData, Send.message("s"),
        Send.message("I"), Send.message("t", [0, 0]), Send.copyIn, Send.message("H", [0, 0, 0]),
        Send.message("W", [0, 0, 0]), Send.copyData("x"), Send.copyDone, Send.message("V"),
        Send.message("R", [0, 0, 0, 0]), Send.message("K", [0, 0, 0, 1, 0, 0, 0, 1]), Send.message("v"),
        Send.message("?"), [UInt8(ascii: "D"), 0, 0, 0, 3], [UInt8(ascii: "D"), 255, 255, 255, 255],
    ]

    @Test(arguments: FailureTests.unasked.indices)
    func whatNobodyAskedForEndsTheConnection(index: Int) {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(server, FailureTests.unasked[index])
        #expect(!rig.isOpen(server))
        #expect(rig.core.firewallHits == 1)
        #expect(rig.raw(client).isEmpty)
        rig.expectEmptiness()
    }

    /// In session mode the next client must not get a server that breaks the rules.
    @Test(arguments: FailureTests.unasked.indices)
    func whatNobodyAskedForEndsTheSession(index: Int) {
        let rig = Rig("pool_mode = session\ndefault_pool_size = 1\nserver_reset_query =")
        let (client, server) = rig.session()
        rig.run(client, server)
        let second = rig.client()
        rig.receive(second, Send.query("select 2"))
        rig.receive(server, FailureTests.unasked[index])
        #expect(!rig.isOpen(server))
        #expect(!rig.isOpen(client))
        #expect(rig.isOpen(second))
        #expect(rig.core.firewallHits == 1)
        #expect(rig.raw(rig.server()) == Send.query("select 2"))
        rig.expectEmptiness()
    }

    @Test func aReplyThatDoesNotBelongToTheRequestEndsBoth() {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(client, Send.parse("", "select 1") + Send.sync)
        rig.receive(server, Send.bindComplete)
        #expect(!rig.isOpen(client))
        #expect(!rig.isOpen(server))
        rig.expectEmptiness()
    }

    @Test(arguments: [UInt8(ascii: "p"), UInt8(ascii: "Z"), UInt8(ascii: "!"), 0])
    func aMessageThatClientsDoNotSendCostsNoServer(type: UInt8) {
        let rig = Rig()
        let client = rig.client("alice", [("application_name", "x")])
        let server = rig.server()
        rig.receive(client, [type, 0, 0, 0, 4])
        #expect(rig.error(client).contains("unknown pkt"))
        #expect(rig.isOpen(server))
        #expect(rig.raw(server).isEmpty)
    }

    @Test func badLengthsAndBrokenMessagesEndTheClient() {
        let broken: [[UInt8]] = [
            [UInt8(ascii: "Q"), 0, 0, 0, 3], [UInt8(ascii: "Q"), 255, 0, 0, 0], Send.message("P"),
            Send.message("P", [0]), Send.message("P", [0, 0, 0]), Send.message("B"),
            Send.message("B", [1, 1]),
            Send.message("D"), Send.message("D", [UInt8(ascii: "S"), 1]),
            Send.message("C", [UInt8(ascii: "S")]),
        ]
        for bytes in broken {
            let rig = Rig()
            let (client, _) = rig.session()
            rig.receive(client, bytes)
            #expect(!rig.isOpen(client), "\(bytes)")
            rig.expectEmptiness()
        }
    }

    @Test func simpleQueriesCanBeForbidden() {
        let rig = Rig("disable_pqexec = 1")
        let (client, server) = rig.session()
        rig.receive(client, Send.query("select 1"))
        #expect(rig.error(client).contains("PQexec disallowed"))
        #expect(rig.isOpen(server))
    }
}
