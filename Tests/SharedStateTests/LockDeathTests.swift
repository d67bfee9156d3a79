import Base
import CShared
import Glibc
import System
import Testing

@testable import SharedState

/// The lock between real processes.
@Suite struct LockDeathTests {
    /// One is killed with the lock when it has changed a total and not yet its row. The next one gets the
    /// lock and totals that have been made anew.
    @Test(arguments: [false, true]) func whoeverIsKilledWithTheLockLeavesItToTheNext(reclaims: Bool) throws {
        let layout = SegmentLayout(workers: 2, poolCapacity: 2, ringBytes: 4096)
        let memory = try #require(
            mmap(
                nil, layout.byteCount, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
        defer { munmap(memory, layout.byteCount) }
        let segment = Segment.initialize(
            memory: memory, byteCount: layout.byteCount, layout: layout, generation: 1,
            startRealtimeMicroseconds: 1,
            secrets: SegmentSecrets(
                instance: Hash128(low: 1, high: 2), mockAuthentication: Array(repeating: 0, count: 32)))
        let (one, two) = (segment.ledger(of: 0), segment.ledger(of: 1))
        let key = (Hash128(low: 1, high: 1), Hash128(low: 2, high: 2))
        let pool = try #require(one.join(database: key.0, user: key.1))
        #expect(two.join(database: key.0, user: key.1) == pool)
        let limits = ServerLimits(pool: 3, database: 3, user: 3)
        #expect(one.open(pool, limits) == nil)
        #expect(two.open(pool, limits) == nil)

        let head = one.head
        let total = cshared_ledger_pool_servers(one.pool(pool.index))!
        let (readable, writable) = try Descriptors.pipe()
        defer { for descriptor in [readable, writable] { Descriptors.close(descriptor) } }
        guard case .parent(let child) = try System.Process.fork() else {
            // Only calls that a fork of a process with threads may make.
            _ = cshared_lock_take(head)
            cshared_add(total, 7)
            var byte: UInt8 = 1
            _ = write(writable, &byte, 1)
            while true { pause() }
        }
        var byte: UInt8 = 0
        #expect(read(readable, &byte, 1) == 1)
        #expect(cshared_lock_within(head, 1_000_000) == -1, "a process that lives keeps the lock")
        #expect(System.Process.send(SIGKILL, to: child))
        #expect(
            System.Process.wait(for: child) == .killed(signal: SIGKILL, dumpedCore: false))

        if reclaims {
            #expect(one.reclaim(worker: 1))
            #expect(one.serverCount(pool) == 1)
        } else {
            #expect(one.open(pool, limits) == nil)
            #expect(one.serverCount(pool) == 3)
        }
        #expect(one.recoveryCount == 1)
        #expect(one.faults().isEmpty)
    }
}
