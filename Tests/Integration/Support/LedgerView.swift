import Base
import CShared
import Glibc

@testable import SharedState

/// What the ledger of a running pooler says at one moment.
struct LedgerSample: Equatable {
    /// A pool: what all workers have of it.
    struct Pool: Equatable {
        var database: String
        var user: String
        /// The total that limits are checked with.
        var servers: Int
        /// The sum of what the workers say they own.
        var owned: Int
        /// Whether a server works or a client waits; it is not compared, as it changes all the time.
        var isInUse: Bool

        static func == (one: Pool, two: Pool) -> Bool {
            one.database == two.database && one.user == two.user && one.servers == two.servers
                && one.owned == two.owned
        }
    }
    /// A database or a user.
    struct Name: Equatable {
        var name: String
        var servers: Int
        var clients: Int
        /// The sum of the workers' rows.
        var ownClients: Int
    }

    var clients = 0
    var ownClients = 0
    var pools: [Pool] = []
    var names: [Name] = []
    /// How often the holder of the lock had died.
    var recoveries = 0
    /// Servers on their way between workers.
    var transfers = 0

    /// Servers of all pools.
    var servers: Int { pools.reduce(0) { $0 + $1.servers } }

    /// Totals that are not the sums of their rows, in words.
    var faults: [String] {
        var faults: [String] = []
        var expected: [String: Int] = [:]
        if clients != ownClients { faults.append("\(clients) clients, the rows say \(ownClients)") }
        for pool in pools {
            if pool.servers != pool.owned {
                faults.append("\(pool.database)/\(pool.user): \(pool.servers), the rows say \(pool.owned)")
            }
            expected["database \(pool.database)", default: 0] += pool.servers
            expected["user \(pool.user)", default: 0] += pool.servers
        }
        for name in names {
            if name.servers != expected[name.name] ?? 0 {
                faults.append("\(name.name): \(name.servers) servers, its pools \(expected[name.name] ?? 0)")
            }
            if name.clients != name.ownClients {
                faults.append("\(name.name): \(name.clients) clients, the rows say \(name.ownClients)")
            }
        }
        return faults
    }
}

/// Reads the ledger of a running pooler out of its supervisor's memory, without lock and without help.
final class LedgerView {
    private let memoryFile: Int32
    private let remote: UInt64
    private let layout: SegmentLayout
    private let copy: UnsafeMutableRawPointer
    private let ledger: Ledger
    private let namesByKey: [Hash128: String]

    /// - Parameter supervisor: the pooler's first process.
    init(supervisor: pid_t, databases: [String], users: [String]) throws {
        let maps = try readFile("/proc/\(supervisor)/maps").split(separator: "\n")
        guard let line = maps.first(where: { $0.contains("memfd:pgsluice-segment") }),
            let start = UInt64(line.prefix { $0 != "-" }, radix: 16)
        else { throw Failure("process \(supervisor) has mapped no segment") }
        memoryFile = Glibc.open("/proc/\(supervisor)/mem", O_RDONLY | O_CLOEXEC)
        guard memoryFile >= 0 else { throw Failure.system("open the memory of process \(supervisor)") }
        var header = cshared_header()
        let size = MemoryLayout<cshared_header>.size
        guard pread(memoryFile, &header, size, off_t(start)) == size else {
            throw Failure.system("read the segment")
        }
        guard header.magic == UInt64(CSHARED_MAGIC), header.layout_version == UInt64(CSHARED_LAYOUT_VERSION)
        else { throw Failure("the segment has another layout") }
        layout = SegmentLayout(
            workers: Int(header.worker_count), poolCapacity: Int(header.pool_capacity),
            ringBytes: Int(header.ring_bytes))
        remote = start + header.ledger_offset
        copy = .allocate(byteCount: layout.ledgerByteCount, alignment: 4096)
        copy.initializeMemory(as: UInt8.self, repeating: 0, count: layout.ledgerByteCount)
        ledger = Ledger(layout: layout, memory: copy, worker: 0)
        let secret = withUnsafeBytes(of: header.instance_secret) {
            Hash128(
                low: $0.loadUnaligned(as: UInt64.self),
                high: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        }
        var names: [Hash128: String] = [:]
        for name in databases { names[Ledger.key(database: Array(name.utf8), secret)] = "database \(name)" }
        for name in users { names[Ledger.key(user: Array(name.utf8), secret)] = "user \(name)" }
        namesByKey = names
    }

    deinit {
        close(memoryFile)
        copy.deallocate()
    }

    /// The process that has the lock, 0 for none.
    func lockHolder() throws -> pid_t {
        try fetch(0, CSHARED_LOCK_BYTES.magnitude)
        return pid_t(bitPattern: copy.load(as: UInt32.self) & 0x3FFF_FFFF)
    }

    /// The ledger now. As others write it meanwhile it is read until it is twice the same.
    ///
    /// - Returns: whether it ever was, too: each number by itself is right in any case.
    func sample() throws -> (LedgerSample, isStable: Bool) {
        var last = try readOnce()
        for _ in 0..<20 {
            let next = try readOnce()
            if next == last { return (next, true) }
            last = next
        }
        return (last, false)
    }

    private func fetch(_ offset: Int, _ count: some BinaryInteger) throws {
        guard Int(count) > 0 else { return }
        let got = pread(memoryFile, copy + offset, Int(count), off_t(remote) + off_t(offset))
        guard got == Int(count) else { throw Failure.system("read the ledger") }
    }

    private func readOnce() throws -> LedgerSample {
        try fetch(0, layout.ledgerPoolsOffset)
        try fetch(layout.ledgerPoolsOffset, Int(ledger.poolLimit) * layout.ledgerPoolStride)
        try fetch(layout.namesOffset, Int(ledger.nameLimit) * layout.nameStride)
        let workers = 0..<layout.workerCount
        var sample = LedgerSample()
        sample.clients = ledger.clientCount
        let sums = ledger.sums()
        sample.ownClients = sums.clients
        sample.recoveries = Int(ledger.recoveryCount)
        for index in 0..<ledger.nameLimit {
            sample.names.append(
                LedgerSample.Name(
                    name: name(index),
                    servers: Int(cshared_load(cshared_ledger_name_servers(ledger.name(index)))),
                    clients: ledger.clientCount(LedgerName(index: index)),
                    ownClients: sums.clientsOfName[Int(index)]))
        }
        for index in 0..<ledger.poolLimit where ledger.isHeld(LedgerPool(index: index)) {
            sample.pools.append(pool(LedgerPool(index: index)))
        }
        for worker in workers {
            for slot in 0..<Ledger.transferLimit {
                let state = cshared_load(cshared_transfer_state(ledger.transfer(worker, slot)))
                sample.transfers += state & 0xFF == 0 ? 0 : 1
            }
        }
        return sample
    }

    private func pool(_ pool: LedgerPool) -> LedgerSample.Pool {
        let names = ledger.names(of: pool)
        var isInUse = cshared_load(cshared_ledger_pool_waiting_workers(ledger.pool(pool.index))) != 0
        for worker in 0..<layout.workerCount {
            let row = ledger.row(pool.index, worker)
            let (owned, idle) = (cshared_load(cshared_pool_row_owned(row)), ledger.idle(pool, in: worker))
            isInUse = isInUse || Int(owned) != idle || cshared_load(cshared_pool_row_waiting(row)) != 0
        }
        return LedgerSample.Pool(
            database: String(name(names.database.index).dropFirst(9)),
            user: String(name(names.user.index).dropFirst(5)), servers: ledger.serverCount(pool),
            owned: ledger.sums().servers[pool.number], isInUse: isInUse)
    }

    private func name(_ index: Int32) -> String {
        let entry = ledger.name(index)
        let key = Hash128(
            low: cshared_load(cshared_ledger_name_key_low(entry)),
            high: cshared_load(cshared_ledger_name_key_high(entry)))
        return namesByKey[key] ?? "unknown \(index)"
    }
}
