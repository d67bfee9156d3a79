import SharedState
import Testing

@testable import PoolCore

/// What is counted when. That times are in the histograms once each is an invariant, checked by `Rig` and the
/// simulator after every event.
@Suite struct StatisticsTests {
    private func latencies(_ rig: Rig) -> PoolLatencies { sums(rig).latencies }
    private func sums(_ rig: Rig) -> StatisticsSums { SegmentReader(rig.shared.segment).sums() }

    @Test func timesAreThoseBetweenTheFirstMessageAndTheLast() {
        let rig = Rig()
        let (client, server) = rig.session()
        let before = sums(rig)
        rig.receive(client, Send.query("begin"))
        rig.advance(milliseconds: 3)
        rig.receive(server, Send.complete("BEGIN") + Send.ready("T"))
        rig.advance(milliseconds: 50)
        rig.receive(client, Send.query("commit"))
        rig.advance(milliseconds: 1)
        rig.receive(server, Send.complete("COMMIT") + Send.ready())
        let growth = sums(rig).since(before)
        #expect(growth.totals[.queries] == 2)
        #expect(growth.totals[.transactions] == 1)
        #expect(growth.totals[.serverAssignments] == 1)
        #expect(growth.totals[.queryMicroseconds] == 4000)
        #expect(growth.totals[.transactionMicroseconds] == 54_000)
        #expect(growth.latencies.percentile(500, of: .query) == value(1000))
        #expect(growth.latencies.percentile(1000, of: .query) == value(3000))
        #expect(growth.latencies.percentile(500, of: .transaction) == value(54_000))
        #expect(growth.latencies.count(.wait) == 1)
        #expect(growth.latencies.percentile(1000, of: .wait) == 0)
    }

    private func value(_ microseconds: UInt64) -> UInt64 {
        Histogram.value(of: Histogram.bucket(of: microseconds))
    }

    @Test func aWaitIsCountedWhenItIsOver() {
        let rig = Rig("default_pool_size = 1")
        let (first, server) = rig.session()
        rig.run(first, server, "begin", "T")
        let second = rig.client()
        let before = sums(rig)
        rig.receive(second, Send.query("select 1"))
        rig.advance(milliseconds: 20)
        #expect(sums(rig).since(before).totals[.serverAssignments] == 0)
        rig.run(first, server, "commit")
        let growth = sums(rig).since(before)
        #expect(growth.totals[.serverAssignments] == 1)
        #expect(growth.totals[.waitMicroseconds] == 20_000)
        #expect(growth.latencies.percentile(1000, of: .wait) == value(20_000))
    }

    /// Goal: what never ends well is in the histograms too, or timeouts would make percentiles better.
    @Test func whatIsAbandonedIsCounted() {
        let rig = Rig("query_timeout = 2")
        let (client, _) = rig.session()
        let before = sums(rig)
        rig.receive(client, Send.query("select pg_sleep(9)"))
        rig.advance(milliseconds: 3000)
        #expect(!rig.isOpen(client))
        let growth = sums(rig).since(before)
        #expect(growth.latencies.count(.query) == 1)
        #expect(growth.latencies.count(.transaction) == 1)
        #expect(growth.latencies.percentile(1000, of: .query) >= value(2_000_000))
        #expect(growth.totals[.queryMicroseconds] == 0, "the totals have what ended well, as PgBouncer's")
    }

    @Test func aGoodbyeIsNoQuery() {
        let rig = Rig("pool_mode = session")
        let (client, server) = rig.session()
        rig.run(client, server)
        let before = sums(rig)
        rig.receive(client, Send.message("X", []))
        #expect(!rig.isOpen(client))
        #expect(sums(rig).since(before).totals[.queries] == 0)
        #expect(sums(rig).since(before).totals[.transactions] == 0)
    }

    /// Bytes of answers that are ours alone count as the server's: they have been sent all the same.
    @Test func swallowedBytesAreCounted() {
        let rig = Rig("pool_mode = session\nserver_reset_query = discard all")
        let (client, server) = rig.session()
        rig.run(client, server)
        let before = sums(rig)
        rig.hangUp(client)
        let answer = Send.complete("DISCARD ALL") + Send.ready()
        rig.receive(server, answer)
        #expect(sums(rig).since(before).totals[.sentBytes] == UInt64(answer.count))
        #expect(sums(rig).since(before).totals[.receivedBytes] == 0)
    }
}
