import Base
import Testing

@testable import PoolCore

/// Who is offered TLS and who is asked for it; the sessions themselves are not the core's.
@Suite struct EncryptingTests {
    private func rig(client mode: String = "prefer", server: String = "disable") -> Rig {
        Rig(
            """
            client_tls_sslmode = \(mode)
            client_tls_key_file = key
            client_tls_cert_file = certificate
            client_tls_ca_file = authority
            server_tls_sslmode = \(server)
            """)
    }

    // MARK: Clients

    @Test func aClientThatAsksIsAnsweredAndEncrypted() {
        let rig = rig(client: "require")
        let client = rig.accept()
        rig.receive(client, Send.encryption)
        #expect(rig.bytes(client) == [UInt8(ascii: "S")])
        #expect(rig.encrypting == [client])
        rig.encrypt(client)
        rig.receive(client, Send.startup([("user", "alice"), ("database", "db")]))
        #expect(rig.state(of: client) == .waitingForWelcome)
        #expect(rig.log.contains { $0.contains("tls=TLSv1.3/C") })
    }

    @Test func withoutTLSTheAnswerIsNo() {
        let rig = Rig()
        let client = rig.accept()
        rig.receive(client, Send.encryption)
        #expect(rig.bytes(client) == [UInt8(ascii: "N")])
        #expect(rig.encrypting.isEmpty)
    }

    @Test func aSecondRequestInsideOfTLSEndsTheConnection() {
        let rig = rig()
        let client = rig.accept()
        rig.receive(client, Send.encryption)
        rig.encrypt(client)
        rig.receive(client, Send.encryption)
        #expect(!rig.isOpen(client))
    }

    @Test func whatStandsBehindTheRequestIsNotTakenForEncrypted() {
        let rig = rig()
        let client = rig.accept()
        rig.receive(client, Send.encryption + [1])
        #expect(rig.error(client).contains("received unencrypted data after SSL request"))
        #expect(rig.encrypting.isEmpty)
        #expect(!rig.isOpen(client))
    }

    @Test func aHandshakeMayComeFirst() {
        let rig = rig()
        let client = rig.accept()
        rig.receive(client, [0x16, 3, 1])
        #expect(rig.encrypting == [client])
        #expect(rig.bytes(client).isEmpty)
    }

    @Test func whoHasToHaveTLSIsToldSo() {
        for mode in ["require", "verify-ca", "verify-full"] {
            let rig = rig(client: mode)
            #expect(rig.error(rig.client()).contains("SSL required"), "\(mode)")
        }
        let rig = rig(client: "prefer")
        #expect(rig.state(of: rig.client()) == .waitingForWelcome)
    }

    @Test func anEncryptedClientStaysWhereItsSessionIs() throws {
        let rig = rig()
        let connection = rig.accept()
        rig.receive(connection, Send.encryption)
        rig.encrypt(connection)
        rig.receive(connection, Send.startup([("user", "alice"), ("database", "db")]))
        _ = rig.server()
        let client = try #require(rig.clientHandle(of: connection))
        #expect(rig.core.clients[client].state == .idle)
        rig.core.move(client, to: 1)
        #expect(rig.core.clients[client].state == .idle)
    }

    // MARK: Servers

    @Test func aServerIsAskedFirst() {
        let rig = rig(server: "prefer")
        _ = rig.client()
        let server = rig.connectServer()
        #expect(rig.bytes(server) == Send.encryption)
        rig.receive(server, [UInt8(ascii: "S")])
        #expect(rig.encrypting == [server])
        #expect(rig.bytes(server).isEmpty, "nothing goes in plain")
        rig.encrypt(server)
        #expect(rig.messages(server, isFirst: true).first?.type == "?")
    }

    @Test(arguments: [("prefer", true), ("allow", true), ("require", false), ("verify-full", false)])
    func aServerMayHaveNone(mode: String, goesOn: Bool) {
        let rig = rig(server: mode)
        let client = rig.client()
        let server = rig.connectServer()
        #expect(rig.bytes(server) == Send.encryption)
        rig.receive(server, [UInt8(ascii: "N")])
        if goesOn {
            #expect(rig.messages(server, isFirst: true).first?.type == "?")
        } else {
            #expect(!rig.isOpen(server))
            #expect(rig.error(client).contains("server refused SSL"))
        }
    }

    @Test(arguments: [[UInt8(ascii: "S"), 1], [UInt8(ascii: "N"), 1], [0x78]] as [[UInt8]])
    func anAnswerIsOneByte(answer: [UInt8]) {
        let rig = rig(server: "prefer")
        _ = rig.client()
        let server = rig.connectServer()
        rig.receive(server, answer)
        #expect(!rig.isOpen(server))
        #expect(rig.encrypting.isEmpty)
    }

    @Test func anErrorInsteadOfAnAnswerIsPassedOn() {
        let rig = rig(server: "prefer")
        let client = rig.client()
        let server = rig.connectServer()
        rig.receive(server, Send.error("53300", "too many clients"))
        #expect(rig.error(client).contains("too many clients"))
    }
}
