import Base
import Testing

@testable import PoolCore

/// Clients that come through a proxy which says whose connection it is.
@Suite struct ProxyTests {
    private static let line = Array("PROXY TCP4 192.0.2.7 192.0.2.1 5555 6432\r\n".utf8)
    private static let login = Send.startup([("user", "alice"), ("database", "db")])

    @Test(arguments: [1, 3, 1000])
    func theClientIsWhereTheHeaderSays(pieceSize: Int) throws {
        let rig = Rig("proxy_protocol_from = 10.0.0.0/8, ::1\napplication_name_add_host = 1")
        let client = rig.accept(from: "10.0.0.5")
        rig.receive(client, Self.line + Send.encryption, pieceSize: pieceSize)
        #expect(rig.raw(client) == [UInt8(ascii: "N")])
        rig.receive(client, Self.login, pieceSize: pieceSize)
        let server = rig.server()
        #expect(rig.isOpen(server))
        #expect(rig.messages(client).contains { $0.text == "application_name\0app - 192.0.2.7:5555\0" })
        #expect(rig.log.contains { $0.contains("alice@192.0.2.7:5555 login attempt") })
        let handle = try #require(rig.clientHandle(of: client))
        #expect(rig.core.clientOrigins[handle]?.localAddress == "192.0.2.1")
        rig.expectEmptiness()
    }

    @Test func aConnectionOfTheProxyItselfKeepsItsAddress() {
        let rig = Rig("proxy_protocol_from = 10.0.0.5")
        let client = rig.accept(from: "10.0.0.5")
        rig.receive(client, Array("PROXY UNKNOWN\r\n".utf8) + Self.login)
        #expect(rig.log.contains { $0.contains("alice@10.0.0.5:4711 login attempt") })
    }

    @Test func whoMustSendAHeaderAndDoesNotIsRefused() {
        let rig = Rig("proxy_protocol_from = 10.0.0.5")
        let client = rig.accept(from: "10.0.0.5")
        rig.receive(client, Self.login)
        #expect(rig.error(client).hasPrefix("08P01 no PROXY header where proxy_protocol_from requires one"))
        rig.expectEmptiness()
    }

    /// Otherwise anybody could be anybody.
    @Test func nobodyElseMaySendOne() {
        let rig = Rig("proxy_protocol_from = 10.0.0.5")
        let client = rig.accept(from: "10.0.0.6")
        rig.receive(client, Self.line + Self.login)
        #expect(rig.error(client).hasPrefix("08P01 bad packet header"))
        let second = rig.accept(from: "10.0.0.5")
        // One header, and not another in it.
        rig.receive(second, Self.line + Self.line + Self.login)
        #expect(rig.error(second).hasPrefix("08P01 bad packet header"))
    }

    @Test func aHeaderThatDoesNotComeInTimeEndsTheConnection() {
        let rig = Rig("proxy_protocol_from = 10.0.0.5\nclient_login_step_timeout = 2")
        let client = rig.accept(from: "10.0.0.5")
        rig.receive(client, Array(Self.line.prefix(9)))
        rig.advance(milliseconds: 2500)
        #expect(rig.error(client).contains("client_login_step_timeout"))
    }

    @Test func limitsAreThoseOfTheClientsAddress() {
        let rig = Rig("proxy_protocol_from = 10.0.0.5\nmax_login_conn_per_address = 1")
        let clients = (1...3).map { number in
            let client = rig.accept(from: "10.0.0.5")
            rig.receive(client, Array("PROXY TCP4 192.0.2.\(number) 192.0.2.99 1 2\r\n".utf8))
            return client
        }
        #expect(clients.allSatisfy(rig.isOpen))
        let other = rig.accept(from: "10.0.0.5")
        rig.receive(other, Array("PROXY TCP4 192.0.2.1 192.0.2.99 1 2\r\n".utf8))
        #expect(!rig.isOpen(clients[0]))
        #expect(rig.isOpen(other))
        rig.expectEmptiness()
    }
}
