import Testing

@testable import Config

@Suite struct EntryTests {
    private func database(_ text: String) throws -> DatabaseDefinition {
        try #require(try configuration("[databases]\nd = " + text).databases.first)
    }

    @Test func everyKeyOfADatabaseIsRead() throws {
        var expected = DatabaseDefinition(name: "d")
        expected.databaseName = "other"
        expected.hosts = [
            .name("h1"), .address("::1"), .address("10.0.0.1"), .unixDirectory("/run"), .unixDirectory("@x"),
        ]
        expected.port = 5433
        expected.user = "u"
        expected.password = "p w"
        expected.clientEncoding = "UTF8"
        expected.dateStyle = "ISO"
        expected.timeZone = "GMT"
        expected.applicationName = "app"
        expected.poolSize = 0
        expected.minPoolSize = 1
        expected.reservePoolSize = 2
        expected.queryWaitTimeoutNanoseconds = 0
        expected.maxDatabaseConnections = 3
        expected.maxDatabaseClientConnections = 4
        expected.serverLifetimeNanoseconds = 60_000_000_000
        expected.loadBalanceHosts = .disable
        expected.poolMode = .transaction
        expected.connectQuery = "select 'x'"
        let found = try database(
            """
            dbname=other host=h1,::1,10.0.0.1,/run,@x port=5433 user=u password='p w' client_encoding=UTF8 \
            datestyle=ISO timezone=GMT application_name=app pool_size=0 min_pool_size=1 reserve_pool_size=2 \
            query_wait_timeout=0 max_db_connections=3 max_db_client_connections=4 server_lifetime=60 \
            load_balance_hosts=disable pool_mode=Transaction connect_query='select ''x'''
            """)
        #expect(found == expected)
    }

    @Test func everyKeyOfAUserIsRead() throws {
        var expected = UserDefinition(name: "u")
        expected.poolMode = .statement
        expected.poolSize = 1
        expected.reservePoolSize = 2
        expected.maxUserConnections = 3
        expected.maxUserClientConnections = 4
        expected.transactionTimeoutNanoseconds = 5_000_000_000
        expected.idleTransactionTimeoutNanoseconds = 6_000_000_000
        expected.queryTimeoutNanoseconds = 7_000_000_000
        expected.queryWaitTimeoutNanoseconds = 0
        expected.clientIdleTimeoutNanoseconds = 8_000_000_000
        let configuration = try configuration(
            """
            [users]
            a =
            u = pool_mode = statement pool_size=1 reserve_pool_size=2 max_user_connections = 3 \
            max_user_client_connections=4 transaction_timeout=5 idle_transaction_timeout=6 query_timeout=7 \
            query_wait_timeout=0 client_idle_timeout=8
            """)
        #expect(configuration.users == [UserDefinition(name: "a"), expected])
        #expect(configuration.user(named: "u") == expected)
    }

    @Test func zeroStandsForTheGeneralValueWherePgBouncerSaysSo() throws {
        let found = try database(
            "max_db_connections=0 max_db_client_connections=0 server_lifetime=0 pool_size=-1")
        #expect(found == DatabaseDefinition(name: "d"))
        let user = try configuration("[users]\nu = query_timeout=0 max_user_connections=0").users
        #expect(user == [UserDefinition(name: "u")])
    }

    @Test func theOlderNameOfTheReserveWorks() throws {
        #expect(try database("reserve_pool=3").reservePoolSize == 3)
    }

    @Test func numbersInEntriesAreDecimalAndReadUpToJunk() throws {
        #expect(try database("pool_size=010").poolSize == 10)
        let parsed = parse("[databases]\nd = port=5433,5434 pool_size=20;")
        #expect(parsed.configuration?.databases.first?.port == 5433)
        #expect(parsed.configuration?.databases.first?.poolSize == 20)
        #expect(parsed.warnings.filter { $0.line == 2 }.count == 2)
        #expect(parse("[databases]\nd = pool_size=many").errors.count == 1)
    }

    @Test(arguments: [
        "port=0", "port=65536", "port=-1", "host=,", "pool_size=-2", "pool_mode=x", "server_lifetime=-1",
    ])
    func valuesOutOfBoundsAreErrors(text: String) {
        #expect(parse("[databases]\nd = \(text)").errors.count == 1)
    }

    @Test func aTemplateTakesTheRequestedName() throws {
        let template = try #require(try configuration("[databases]\n* = host=h pool_size=3").autoDatabase)
        let made = template.instantiated(as: "shop")
        #expect(made.name == "shop")
        #expect(made.serverDatabaseName == "shop")
        #expect(made.poolSize == 3)
        let fixed = try #require(try configuration("[databases]\n* = dbname=one").autoDatabase)
        #expect(fixed.instantiated(as: "shop").serverDatabaseName == "one")
    }

    @Test func peersAreReadInOrderOfTheirIds() throws {
        let configuration = try configuration("[peers]\n10 = host=b\n2 = host=/tmp port=7000 pool_size=4\n")
        #expect(configuration.peers.map(\.id) == [2, 10])
        #expect(configuration.peers[0].host == .unixDirectory("/tmp"))
        #expect(configuration.peers[1].port == 6432)
        #expect(configuration.peers.map(\.poolSize) == [4, nil])
        let directory = "/" + String(repeating: "d", count: 100)
        for bad in [
            "1 = port=1", "0 = host=a", "16384 = host=a", "x = host=a", "1 = host=a,b", "1 =",
            "1 = host=a port=0", "1 = host=a dbname=b", "1 = host=\(directory)",
        ] {
            #expect(parse("[peers]\n\(bad)").errors.count == 1, "\(bad)")
        }
        #expect(
            parse("[peers]\n1 = port=1").errors.first?.description
                == "test.ini:2: peer 1 has no host: add host=, its address or the directory of its Unix "
                + "socket")
    }

    @Test func hostsAreToldApartByTheirLook() {
        for text in ["10.0.0.1", "::1", "fe80::1%eth0"] { #expect(Host(text) == .address(text)) }
        for text in ["/tmp", "@abstract"] { #expect(Host(text) == .unixDirectory(text)) }
        for text in ["db", "10.0.0", "10.0.0.256", "1.2.3.4.5", "a.b.c.d", "1..2.3", "+1.2.3.4"] {
            #expect(Host(text) == .name(text))
        }
    }
}
