import Base

@testable import SharedState

/// What some workers begin with and what happens to them.
public struct Scenario: Sendable, CustomStringConvertible {
    /// What it is about.
    public let name: String
    /// Its name.
    public var description: String { name }
    var workerCount = 2
    var poolCount = 1
    var limits = ServerLimits(pool: 0, database: 0, user: 0)
    /// Servers in use at the beginning, of each worker, all of the first pool.
    var busy: [Int] = [0, 0, 0]
    /// Messages that each worker finds in its inbox.
    var scripts: [[Message]] = []
    /// How many workers may be killed, and which.
    var killLimit = 0
    var mortals: [Int] = [0, 1, 2]
    /// Whether a dead worker is replaced, and what its successor does first.
    var hasSuccessors = true
    var successorScript: [Message] = []
    /// Workers that refuse what is lent to them.
    var refusing: [Int] = []
    /// Workers whose clients keep the servers they get.
    var keepers: [Int] = []
    /// Whether it is the upkeep that has waiting clients try again.
    var hasUpkeep = false
    /// Clients of the instance, and of the database, that may be there.
    var clientLimit = 0

    init(_ name: String) { self.name = name }

    static let database = Hash128(low: 10, high: 1)
    static func user(_ pool: Int) -> Hash128 { Hash128(low: 20 + UInt64(pool), high: 2) }

    /// The same, with deaths.
    func killing(_ count: Int, _ suffix: String = ", a worker is killed") -> Scenario {
        var copy = Scenario(name + suffix)
        copy.workerCount = workerCount
        copy.poolCount = poolCount
        copy.limits = limits
        copy.busy = busy
        copy.scripts = scripts
        copy.killLimit = count
        copy.mortals = mortals
        copy.hasSuccessors = hasSuccessors
        copy.successorScript = successorScript
        copy.refusing = refusing
        copy.hasUpkeep = hasUpkeep
        copy.keepers = keepers
        copy.clientLimit = clientLimit
        return copy
    }

    func script(of worker: Int) -> [Message] { worker < scripts.count ? scripts[worker] : [] }
    func refusesLent(_ worker: Int) -> Bool { refusing.contains(worker) }

    /// Writes a worker's beginning into the ledger.
    func setUp(_ worker: Worker) {
        worker.join()
        for _ in 0..<busy[worker.index] {
            precondition(worker.ledger.open(worker.pools[0].entry, limits) == nil, "the beginning is allowed")
        }
    }

    /// Gives a worker what `setUp` has written. Pools are the same in every worker.
    func furnish(_ worker: Worker) {
        for pool in 0..<poolCount { worker.pools[pool].entry = LedgerPool(index: Int32(pool)) }
        for _ in 0..<busy[worker.index] {
            worker.world.serverCount += 1
            worker.pools[0].busy.append(worker.world.serverCount)
        }
    }

    /// A step of a script.
    func step(_ number: Int, _ worker: Worker) {
        switch number {
        case 0, 1: worker.open(number)
        case 2, 3: worker.close(number - 2)
        case 4: worker.lend(0, to: (worker.index + 1) % workerCount)
        case 5: worker.lend(0, to: (worker.index + 2) % workerCount)
        case 6: worker.withdraw()
        case 7: worker.admit()
        case 8: worker.dismiss()
        case 9: worker.rejoin()
        default: worker.world.fail("a script has no step \(number)")
        }
    }
}
