import Testing

@testable import PoolCore

@Suite struct SessionTests {
    @Test func aClientIsWelcomedWithTheParametersOfItsPool() {
        let rig = Rig()
        let client = rig.client()
        let server = rig.connectServer()
        let startup = rig.messages(server, isFirst: true)
        #expect(startup[0].text.contains("user\0alice\0database\0db\0"))
        rig.receive(server, Send.message("R", [0, 0, 0, 0]) + Send.parameter("server_version", "15.1"))
        rig.receive(server, Send.message("K", [0, 0, 0, 7, 0, 0, 0, 8]) + Send.ready())
        let welcome = rig.messages(client)
        #expect(String(welcome.map(\.type)) == "RSKZ")
        #expect(welcome[1].text == "server_version\0" + "15.1\0")
    }

    @Test(arguments: [1, 2, 3, 5, 7, 64, 4096])
    func aQueryAndItsAnswerPassInAnyPieces(pieceSize: Int) {
        let rig = Rig()
        let (client, server) = rig.session()
        rig.receive(client, Send.query("select 1"), pieceSize: pieceSize)
        #expect(rig.raw(server) == Send.query("select 1"))
        let answer =
            Send.message("T", [0, 0]) + Send.message("D", Array(repeating: 9, count: 100))
            + Send.complete("SELECT 1") + Send.ready()
        rig.receive(server, answer, pieceSize: pieceSize)
        #expect(rig.raw(client) == answer)
        #expect(rig.core.firewallHits == 0)
    }

    @Test func aServerServesTheOldestWaiterWhenATransactionEnds() {
        let rig = Rig("default_pool_size = 1")
        let (first, server) = rig.session()
        let second = rig.client()
        _ = rig.types(second)
        rig.receive(first, Send.query("begin"))
        rig.receive(server, Send.complete("BEGIN") + Send.ready("T"))
        _ = rig.raw(server)
        rig.receive(second, Send.query("select 2"))
        #expect(rig.raw(server).isEmpty)
        rig.receive(first, Send.query("commit"))
        #expect(rig.raw(server) == Send.query("commit"))
        rig.receive(server, Send.complete("COMMIT") + Send.ready())
        #expect(rig.raw(server) == Send.query("select 2"))
        #expect(rig.types(first) == "CZCZ")
    }

    @Test func preparedStatementsFollowTheirClientFromServerToServer() {
        let rig = Rig("default_pool_size = 2")
        let (first, server) = rig.session()
        let second = rig.client()
        for client in [first, second] {
            _ = rig.raw(server)
            rig.receive(client, Send.parse("a", "select 1") + Send.sync)
            let isFirst = client == first
            #expect(rig.types(server) == (isFirst ? "PS" : "S"))
            rig.receive(server, (isFirst ? Send.parseComplete : []) + Send.ready())
            _ = rig.types(client)
        }
        rig.receive(first, Send.query("begin"))
        rig.receive(server, Send.complete("BEGIN") + Send.ready("T"))
        rig.receive(second, Send.bind("a") + Send.execute + Send.sync)
        let other = rig.server()
        #expect(rig.types(other) == "PBES")
        rig.receive(
            other,
            Send.parseComplete + Send.bindComplete + Send.complete("SELECT 1") + Send.ready())
        #expect(rig.types(second) == "2CZ")
        #expect(rig.core.firewallHits == 0)
    }

    /// In a transaction, statement after statement is prepared and run, as pgbench does.
    @Test func statementsArePreparedInsideATransaction() {
        let rig = Rig("default_pool_size = 1")
        let (client, server) = rig.session()
        for round in 0..<3 {
            for (name, text) in [("p0", "begin"), ("p1", "update a"), ("p2", "update b"), ("p3", "end")] {
                let status: Character = name == "p3" ? "I" : "T"
                if round == 0 {
                    rig.receive(client, Send.parse(name, text) + Send.sync)
                    #expect(rig.types(server) == "PS", "\(name) is new")
                    rig.receive(server, Send.parseComplete + Send.ready(name == "p0" ? "I" : "T"))
                    #expect(rig.types(client) == "1Z")
                }
                rig.receive(client, Send.bind(name) + Send.message("D", [80, 0]) + Send.execute + Send.sync)
                #expect(rig.types(server) == "BDES", "\(name) in round \(round)")
                rig.receive(
                    server, Send.bindComplete + Send.message("n") + Send.complete("X") + Send.ready(status))
                #expect(rig.types(client) == "2nCZ")
            }
        }
    }

    /// A client's parameters go in front of its first message, and nothing it asked for is lost behind them.
    @Test func parametersGoInFrontOfPreparedStatements() {
        let rig = Rig("default_pool_size = 1")
        let client = rig.client("alice", [("application_name", "bench")])
        let server = rig.server()
        _ = rig.types(client)
        rig.receive(client, Send.parse("p0", "BEGIN") + Send.sync)
        #expect(rig.types(server) == "QPS")
        let prelude =
            Send.complete("BEGIN") + Send.message("T", [0, 0]) + Send.message("D", [0, 0])
            + Send.complete("SELECT 1") + Send.complete("COMMIT")
            + Send.parameter("application_name", "bench")
            + Send.ready()
        rig.receive(server, prelude + Send.parseComplete + Send.ready())
        #expect(rig.types(client) == "1Z")
        rig.receive(client, Send.bind("p0") + Send.execute + Send.sync)
        #expect(rig.types(server) == "BES")
        rig.receive(server, Send.bindComplete + Send.complete("BEGIN") + Send.ready("T"))
        #expect(rig.types(client) == "2CZ")
        rig.receive(client, Send.parse("p1", "UPDATE x") + Send.sync)
        #expect(rig.types(server) == "PS")
    }

    /// Many attempts that fail together make one pause, so that service is back soon after PostgreSQL is.
    @Test func attemptsThatFailTogetherLengthenThePauseOnce() {
        let rig = Rig()
        let clients = (0..<8).map { _ in rig.client() }
        let (first, server) = (clients[0], rig.server())
        for client in clients { rig.receive(client, Send.query("select 1")) }
        let attempts = rig.connecting.count
        #expect(attempts > 4)
        rig.hangUp(server)
        for _ in 0..<attempts {
            let attempt = rig.connectServer()
            rig.receive(attempt, Send.error("57P03", "the database system is shutting down"))
        }
        #expect(rig.connecting.isEmpty)
        rig.advance(milliseconds: 150)
        #expect(rig.connecting.count == 1, "one attempt finds out whether PostgreSQL is back")
        _ = first
    }
}
