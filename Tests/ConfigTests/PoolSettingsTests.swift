import Testing

@testable import Config

@Suite struct PoolSettingsTests {
    private func resolved(_ entries: String, poolUser: String = "p", loginUser: String = "l") throws
        -> ResolvedPoolSettings
    {
        let text = """
            [pgbouncer]
            default_pool_size = 1
            reserve_pool_size = 1
            min_pool_size = 1
            max_user_connections = 1
            max_user_client_connections = 1
            max_db_connections = 1
            max_db_client_connections = 1
            query_timeout = 1
            transaction_timeout = 1
            idle_transaction_timeout = 1
            query_wait_timeout = 1
            client_idle_timeout = 1
            server_lifetime = 1

            """
        let configuration = try configuration(text + entries)
        return configuration.poolSettings(
            database: try #require(configuration.database(named: "d")), poolUser: poolUser,
            loginUser: loginUser)
    }

    private let second: UInt64 = 1_000_000_000

    @Test func generalValuesHoldWhereNothingElseIsSaid() throws {
        let found = try resolved("[databases]\nd =")
        #expect(found.poolMode == .session)
        #expect(
            [
                found.poolSize, found.reservePoolSize, found.minPoolSize, found.maxUserConnections,
                found.maxUserClientConnections, found.maxDatabaseConnections,
                found.maxDatabaseClientConnections,
            ] == [1, 1, 1, 1, 1, 1, 1])
        #expect(
            [
                found.queryTimeoutNanoseconds, found.transactionTimeoutNanoseconds,
                found.idleTransactionTimeoutNanoseconds, found.queryWaitTimeoutNanoseconds,
                found.clientIdleTimeoutNanoseconds, found.serverLifetimeNanoseconds,
            ] == Array(repeating: second, count: 6))
        #expect(found.reservePoolTimeoutNanoseconds == 5 * second)
    }

    @Test func theDatabaseComesBeforeGeneralAndTheUserBeforeTheDatabase() throws {
        let database = """
            [databases]
            d = pool_mode=transaction pool_size=2 reserve_pool_size=2 min_pool_size=2 max_db_connections=2 \
            max_db_client_connections=2 query_wait_timeout=2 server_lifetime=2

            """
        let found = try resolved(database)
        #expect(found.poolMode == .transaction)
        #expect(
            [
                found.poolSize, found.reservePoolSize, found.minPoolSize, found.maxDatabaseConnections,
                found.maxDatabaseClientConnections,
            ] == [2, 2, 2, 2, 2])
        #expect(
            [found.queryWaitTimeoutNanoseconds, found.serverLifetimeNanoseconds] == [2 * second, 2 * second])
        let user = """
            pool_mode=statement pool_size=3 reserve_pool_size=3 max_user_connections=3 \
            max_user_client_connections=3 transaction_timeout=3 idle_transaction_timeout=3 query_timeout=3 \
            query_wait_timeout=3 client_idle_timeout=3
            """
        let pool = try resolved(database + "[users]\np = " + user)
        #expect(pool.poolMode == .statement)
        #expect([pool.poolSize, pool.reservePoolSize, pool.maxUserConnections] == [3, 3, 3])
        #expect(
            [
                pool.queryTimeoutNanoseconds, pool.transactionTimeoutNanoseconds,
                pool.idleTransactionTimeoutNanoseconds,
            ] == [3 * second, 3 * second, 3 * second])
        #expect(pool.queryWaitTimeoutNanoseconds == 2 * second)
        #expect(pool.clientIdleTimeoutNanoseconds == second)
        #expect(pool.maxUserClientConnections == 1)

        let login = try resolved(database + "[users]\nl = " + user)
        #expect(login.poolMode == .transaction)
        #expect([login.poolSize, login.reservePoolSize, login.maxUserConnections] == [2, 2, 1])
        #expect(login.queryTimeoutNanoseconds == second)
        #expect(login.queryWaitTimeoutNanoseconds == 3 * second)
        #expect(login.clientIdleTimeoutNanoseconds == 3 * second)
        #expect(login.maxUserClientConnections == 3)
    }

    @Test func aWaitOfZeroCountsAsSet() throws {
        #expect(try resolved("[databases]\nd = query_wait_timeout=0").queryWaitTimeoutNanoseconds == 0)
        let found = try resolved("[databases]\nd = query_wait_timeout=2\n[users]\nl = query_wait_timeout=0")
        #expect(found.queryWaitTimeoutNanoseconds == 0)
    }
}
