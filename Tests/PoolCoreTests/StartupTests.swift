import Testing

@testable import PoolCore

@Suite struct StartupTests {
    private static let faults: [(name: String, bytes: [UInt8], error: String)] = [
        ("protocol 2", Send.packet(0x2_0000), "0A000 old V2 protocol not supported"),
        ("no user", Send.startup([("database", "db")]), "28000 no username supplied"),
        (
            "unknown parameter", Send.startup([("user", "alice"), ("database", "db"), ("nonsense", "1")]),
            "unsupported startup parameter: nonsense"
        ),
        (
            "unknown option",
            Send.startup([("user", "alice"), ("database", "db"), ("options", "-c nonsense=1")]),
            "unsupported startup parameter in options: nonsense"
        ),
        (
            "options that are none",
            Send.startup([("user", "alice"), ("database", "db"), ("options", "junk")]),
            "unsupported options startup parameter"
        ),
        (
            "extra_float_digits 0",
            Send.startup([("user", "alice"), ("database", "db"), ("extra_float_digits", "0")]),
            "unsupported startup parameter: extra_float_digits"
        ),
        (
            "no such database", Send.startup([("user", "alice"), ("database", "no")]),
            "3D000 no such database: no"
        ),
        ("no such user", Send.startup([("user", "eve"), ("database", "db")]), "28000 "),
        ("unknown code", Send.packet(0x4_0000), "08P01 bad packet header: '0000000800040000'"),
        ("a query", Send.query("select 1"), "08P01 bad packet header"),
        (
            "a layout without an end", Send.packet(0x3_0000, Array("user\0alice".utf8)),
            "invalid startup packet layout"
        ),
        ("behind SSLRequest", Send.encryption + [1], "received unencrypted data after SSL request"),
        ("behind GSSENCRequest", Send.gssEncryption + [1], "received unencrypted data after GSSAPI"),
    ]

    @Test(arguments: StartupTests.faults.indices)
    func aBadFirstPacketIsRefusedWithItsReason(index: Int) {
        let rig = Rig()
        let fault = StartupTests.faults[index]
        let client = rig.accept()
        rig.receive(client, fault.bytes)
        #expect(rig.error(client).contains(fault.error), "\(fault.name)")
        #expect(!rig.isOpen(client))
        rig.expectEmptiness()
    }

    @Test func firstPacketsMayComeInAnyPieces() {
        let packets = Send.startup([
            ("user", "alice"), ("database", "db"),
            ("options", "-c DateStyle=German --application_name=a\\ b"),
            ("extra_float_digits", "3"),
        ])
        for split in 1..<packets.count {
            let rig = Rig()
            let client = rig.accept()
            rig.receive(client, Send.encryption)
            #expect(rig.raw(client) == [UInt8(ascii: "N")])
            rig.receive(client, Send.gssEncryption, pieceSize: split)
            #expect(rig.raw(client) == [UInt8(ascii: "N")])
            rig.receive(client, Array(packets[..<split]))
            rig.receive(client, Array(packets[split...]))
            _ = rig.server()
            let welcome = rig.messages(client)
            #expect(welcome.contains { $0.text == "DateStyle\0German\0" })
            #expect(welcome.contains { $0.text == "application_name\0a b\0" })
            #expect(welcome.last?.type == "Z")
        }
    }

    @Test func aNewerProtocolIsNegotiatedAndGetsALongKey() {
        let rig = Rig()
        let body = Send.text("user", "alice", "database", "db", "_pq_.what", "1") + [0]
        let client = rig.accept()
        rig.receive(client, Send.packet(0x3_0009, body))
        _ = rig.server()
        let messages = rig.messages(client)
        #expect(messages[0].type == "v")
        #expect(messages[0].body.prefix(8) == [0, 3, 0, 2, 0, 0, 0, 1])
        #expect(messages.first { $0.type == "K" }?.body.count == 36)
        let plain = rig.accept()
        rig.receive(plain, Send.packet(0x3_0002, Send.text("user", "alice", "database", "db") + [0]))
        let others = rig.messages(plain)
        #expect(others[0].type == "R")
        #expect(others.first { $0.type == "K" }?.body.count == 36)
    }

    /// A client that needs no password may send its first query without waiting for the welcome.
    @Test func whatFollowsTheStartupPacketIsServed() {
        let rig = Rig()
        let (_, server) = rig.session()
        let hasty = rig.accept()
        let startup = Send.startup([("user", "alice"), ("database", "db")])
        rig.receive(hasty, startup + Send.query("select 'hasty'"))
        #expect(rig.raw(server) == Send.query("select 'hasty'"))
        rig.receive(server, Send.complete("SELECT 1") + Send.ready())
        #expect(rig.types(hasty).hasSuffix("ZCZ"))
    }

    @Test func whatFollowsThePasswordIsServed() {
        let rig = Rig("auth_type = plain", users: "\"alice\" \"secret\"\n")
        let first = rig.client()
        rig.receive(first, Send.password("secret"))
        let server = rig.server()
        let hasty = rig.client()
        rig.receive(hasty, Send.password("secret") + Send.query("select 'hasty'"))
        #expect(rig.raw(server) == Send.query("select 'hasty'"))
        #expect(rig.types(hasty).hasSuffix("Z"))
    }

    /// The first messages behind a login may be for the client that has been given the server.
    @Test func whatFollowsTheLoginOfAServerGoesToItsClient() {
        let rig = Rig("default_pool_size = 2")
        let (first, server) = rig.session()
        rig.run(first, server, "begin", "T")
        let second = rig.client()
        _ = rig.types(second)
        rig.receive(second, Send.query("select 2"))
        let other = rig.connectServer()
        let login =
            Send.message("R", [0, 0, 0, 0]) + Send.message("K", [0, 0, 0, 7, 0, 0, 0, 8]) + Send.ready()
        let notice = Send.message("N", Send.text("SNOTICE", "C00000", "Mhello") + [0])
        rig.receive(other, login + notice)
        #expect(rig.messages(second).first?.field("M") == "hello")
    }

    @Test func consoleSessionsAreHandedOnWithWhatTheClientSaidBehindItsPassword() {
        let rig = Rig("auth_type = plain\nadmin_users = alice", users: "\"alice\" \"secret\"\n")
        let client = rig.client("alice", database: "pgbouncer")
        rig.receive(client, Send.password("secret") + Send.query("SHOW POOLS"))
        #expect(rig.consoles.count == 1)
        let relay = rig.openConsole()
        #expect(rig.raw(relay) == Send.query("SHOW POOLS"))
        rig.receive(relay, Send.ready())
        #expect(rig.types(client).hasSuffix("Z"))
        rig.hangUp(client)
        #expect(!rig.isOpen(relay))
    }

    @Test func aClientThatSaysNothingIsSentAway() {
        let rig = Rig("client_login_timeout = 5")
        let client = rig.accept()
        let waiting = rig.client()
        rig.advance(milliseconds: 6000)
        #expect(rig.error(client).contains("client_login_timeout"))
        #expect(rig.error(waiting).contains("server down"))
        rig.expectEmptiness()
    }
}
