import Base
import CShared

@testable import SharedState

/// The shared memory, the lock, the processes and what they send each other: one state of all that can be.
final class World {
    /// What a word of the ledger is to those who use it.
    enum Place {
        /// Belongs to transfers that no scenario comes to.
        case unused
        /// Read and written under the lock only: nobody can tell when within it.
        case locked
        /// The truth of a row: written under the lock, and by nobody but its owner.
        case row
        /// Read by others at any time.
        case open
    }

    struct Lock {
        var owner: Int?
        var holderHasDied = false
        var isFree: Bool { owner == nil }
    }

    static let slotLimit = 2

    let scenario: Scenario
    let flaw: Flaw?
    let segment: Segment
    let memory: UnsafeMutablePointer<UInt64>
    private let bytes: UnsafeMutableRawPointer
    private let wordCount: Int
    private var pristine: [UInt64] = []
    private(set) var places: [Place] = []
    private(set) var memoryHash: UInt64 = 0
    private(set) var lock = Lock()
    private(set) var processes: [Process] = []
    private(set) var workers: [Worker] = []
    var killsLeft = 0
    var lastRun = 0
    var serverCount = 0
    var clock: UInt64 = 0
    private var hasDoneUpkeep = false
    private(set) var violation: String?

    var layout: SegmentLayout { segment.layout }
    var supervisor: Int { scenario.workerCount }

    init(_ scenario: Scenario, flaw: Flaw?) {
        self.scenario = scenario
        self.flaw = flaw
        let layout = SegmentLayout(workers: scenario.workerCount, poolCapacity: 2, ringBytes: 4096)
        bytes = .allocate(byteCount: layout.byteCount, alignment: 4096)
        bytes.initializeMemory(as: UInt8.self, repeating: 0, count: layout.byteCount)
        segment = Segment.initialize(
            memory: bytes, byteCount: layout.byteCount, layout: layout, generation: 1,
            startRealtimeMicroseconds: 1,
            secrets: SegmentSecrets(
                instance: Hash128(low: 1, high: 2), mockAuthentication: Array(repeating: 0, count: 32)))
        memory = (bytes + layout.ledgerOffset).assumingMemoryBound(to: UInt64.self)
        wordCount = layout.ledgerByteCount / 8
        processes = (0...scenario.workerCount).map { Process(index: $0, world: self) }
        classify()
        for index in 0..<scenario.workerCount {
            scenario.setUp(Worker(index: index, world: self, ledger: segment.ledger(of: index)))
        }
        pristine = Array(UnsafeBufferPointer(start: memory, count: wordCount))
    }

    deinit { bytes.deallocate() }

    /// Back to the beginning.
    func reset() {
        pristine.withUnsafeBufferPointer { memory.update(from: $0.baseAddress!, count: wordCount) }
        memoryHash = 0
        lock = Lock()
        killsLeft = scenario.killLimit
        lastRun = 0
        serverCount = 0
        clock = 0
        hasDoneUpkeep = false
        violation = nil
        for process in processes { process.forget() }
        workers.removeAll(keepingCapacity: true)
        for index in 0..<scenario.workerCount {
            let worker = Worker(index: index, world: self, ledger: ledger(of: index, by: index))
            workers.append(worker)
            scenario.furnish(worker)
            processes[index].inbox = scenario.script(of: index)
            processes[index].start { worker.run() }
        }
        processes[supervisor].start { [unowned self] in supervise() }
    }

    private func ledger(of worker: Int, by process: Int) -> Ledger {
        var ledger = segment.ledger(of: worker)
        ledger.steps = processes[process]
        return ledger
    }

    // MARK: Memory

    private func classify() {
        let ledger = segment.ledger(of: 0)
        places = Array(repeating: .locked, count: wordCount)
        let transfers = layout.transfersOffset / 8
        for word in transfers..<(layout.ledgerPoolsOffset / 8) { places[word] = .unused }
        places[word(cshared_ledger_pool_high_water(ledger.head))] = .open
        for worker in 0..<scenario.workerCount {
            for slot in 0..<World.slotLimit {
                let transfer = ledger.transfer(worker, slot)
                places[word(cshared_transfer_state(transfer))] = .open
                places[word(cshared_transfer_item(transfer))] = .open
            }
            for pool in 0..<Int32(layout.poolCapacity) {
                let row = ledger.row(pool, worker)
                places[word(cshared_pool_row_owned(row))] = .row
                places[word(cshared_pool_row_idle(row))] = .open
                places[word(cshared_pool_row_oldest_idle_ns(row))] = .open
                places[word(cshared_pool_row_waiting(row))] = .open
                places[word(cshared_pool_row_oldest_wait_ns(row))] = .open
            }
        }
        for pool in 0..<Int32(layout.poolCapacity) {
            places[word(cshared_ledger_pool_waiting_workers(ledger.pool(pool)))] = .open
        }
        for name in 0..<Int32(layout.nameCapacity) {
            places[word(cshared_ledger_name_waiting_workers(ledger.name(name)))] = .open
        }
    }

    func word(_ place: UnsafeMutablePointer<UInt64>) -> Int { place - memory }

    func isTransfer(_ word: Int) -> Bool {
        8 * word >= layout.transfersOffset && 8 * word < layout.ledgerPoolsOffset
    }

    func write(_ word: Int, _ value: UInt64) {
        memoryHash ^= mixed(UInt64(word), memory[word]) ^ mixed(UInt64(word), value)
        memory[word] = value
    }

    /// What belongs to the lock is touched by its holder alone. (Whose pool an entry is does not change as
    /// long as somebody holds it, and everybody may read it.)
    func checkLocked(_ word: Int, by process: Int) {
        guard places[word] == .locked || places[word] == .row, lock.owner != process else { return }
        if case .load = processes[process].next { return }
        fail("\(name(of: word)) is written without the lock")
    }

    // MARK: The lock

    /// Whether its holder had died.
    func takeLock(for process: Int) -> Bool {
        lock.owner = process
        defer { lock.holderHasDied = false }
        return lock.holderHasDied && flaw != .deathsGoUnnoticed
    }

    func giveLock() {
        lock.owner = nil
        if flaw != .lockKeepsNobodyOut { checkTotals() }
    }

    // MARK: Life and death

    func apply(_ choice: Choice) {
        lastRun = choice.process
        let process = processes[choice.process]
        switch choice {
        case .run: process.resume()
        case .flush(_, let place): process.flush(place)
        case .kill(let index):
            killsLeft -= 1
            process.die()
            if lock.owner == index { lock = Lock(owner: nil, holderHasDied: true) }
            workers[index].isAlive = false
            processes[supervisor].inbox.append(Message(kind: .died, from: index))
        }
    }

    private func supervise() {
        while true {
            let message = processes[supervisor].receive(mixed(99, UInt64(killsLeft)))
            let dead = message.from
            processes[dead].inbox.removeAll()
            if flaw != .nothingIsReclaimed {
                _ = ledger(of: dead, by: supervisor).reclaim(worker: dead)
            }
            for other in 0..<scenario.workerCount where other != dead {
                processes[supervisor].send(Message(kind: .workerEnded, from: dead), to: other)
            }
            guard scenario.hasSuccessors else { continue }
            let successor = Worker(index: dead, world: self, ledger: ledger(of: dead, by: dead))
            successor.incarnation = workers[dead].incarnation + 1
            workers[dead] = successor
            processes[dead].inbox += scenario.successorScript
            processes[dead].start {
                successor.join()
                successor.run()
            }
        }
    }

    // MARK: What there is to choose

    /// Everything that may happen next. Only the first when nobody could tell the difference.
    func choices() -> [Choice] {
        let last = processes[lastRun]
        if last.isAlive, !last.isBlocked, !last.isNextVisible {
            return mayKill(lastRun) ? [.run(lastRun), .kill(lastRun)] : [.run(lastRun)]
        }
        var choices: [Choice] = []
        for offset in 0..<processes.count {
            let index = (lastRun + offset) % processes.count
            let process = processes[index]
            guard process.isAlive else { continue }
            if !process.isBlocked { choices.append(.run(index)) }
            for place in process.buffer.indices where process.mayFlush(place) {
                choices.append(.flush(index, place))
            }
        }
        // A death is noticed by the dead one's own steps alone: it may as well follow at once.
        if mayKill(lastRun) { choices.append(.kill(lastRun)) }
        return choices
    }

    private func mayKill(_ index: Int) -> Bool {
        killsLeft > 0 && index != supervisor && processes[index].isAlive && scenario.mortals.contains(index)
    }

    /// Nothing more happens by itself: time passes, and whoever has lent something looks after it.
    ///
    /// - Returns: whether anybody has.
    func passTime() -> Bool {
        var hasPassed = false
        if scenario.hasUpkeep, !hasDoneUpkeep {
            hasDoneUpkeep = true
            for worker in workers where worker.pools.contains(where: { !$0.waiters.isEmpty }) {
                processes[worker.index].inbox.append(Message(kind: .freed))
                hasPassed = true
            }
        }
        for worker in workers where worker.isAlive && !worker.transfers.isEmpty {
            let isOver = worker.transfers.contains { flight in
                memory[
                    word(cshared_transfer_state(segment.ledger(of: 0).transfer(worker.index, flight.slot)))]
                    & 0xFF != 1
            }
            processes[worker.index].inbox.append(Message(kind: isOver ? .upkeep : .lateUpkeep))
            hasPassed = true
        }
        return hasPassed
    }

    var fingerprint: UInt64 {
        var result = mixed(memoryHash, UInt64(lock.owner.map { $0 + 2 } ?? (lock.holderHasDied ? 1 : 0)))
        result = mixed(result, UInt64(killsLeft << 8 | (killsLeft > 0 || !isLastVisible ? lastRun : 0)))
        result = mixed(mixed(result, UInt64(serverCount)), clock << 1 | (hasDoneUpkeep ? 1 : 0))
        for process in processes { result = mixed(result, process.fingerprint) }
        return result
    }

    private var isLastVisible: Bool {
        let last = processes[lastRun]
        return !last.isAlive || last.isBlocked || last.isNextVisible
    }

    func fail(_ sentence: String) {
        if violation == nil { violation = sentence }
    }
}
