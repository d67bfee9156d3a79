import CShared

@testable import SharedState

/// What words of the ledger and steps are called.
extension World {
    private var processName: (Int) -> String {
        { [supervisor] in $0 == supervisor ? "supervisor" : "worker \($0)" }
    }

    /// The name of a word: its field, and whose it is.
    func name(of word: Int) -> String {
        let ledger = segment.ledger(of: 0)
        let offset = 8 * word
        if offset < layout.transfersOffset { return "head.\(World.headFields[word] ?? "word \(word)")" }
        if offset < layout.ledgerPoolsOffset {
            let index = (offset - layout.transfersOffset) / MemoryLayout<cshared_transfer>.size
            let field = word == self.word(cshared_transfer_state(ledger.transfer(0, 0) + index))
            return "transfer \(index / Ledger.transferLimit):\(index % Ledger.transferLimit)"
                + (field ? ".state" : ".pool")
        }
        let isPool = offset < layout.namesOffset
        let start = isPool ? layout.ledgerPoolsOffset : layout.namesOffset
        let stride = isPool ? layout.ledgerPoolStride : layout.nameStride
        let entry = (offset - start) / stride
        let rest = (offset - start) % stride
        let kind = isPool ? "pool" : "name"
        let entryFields = isPool ? World.poolFields : World.nameFields
        let entryBytes = 8 * entryFields.count
        guard rest >= 64 else {
            return "\(kind) \(entry).\(rest < entryBytes ? entryFields[rest / 8] : "spare")"
        }
        let fields = isPool ? World.rowFields : World.nameRowFields
        let size = isPool ? MemoryLayout<cshared_pool_row>.size : MemoryLayout<cshared_name_row>.size
        let field = (rest - 64) % size / 8
        return "\(kind) \(entry) row \((rest - 64) / size).\(field < fields.count ? fields[field] : "spare")"
    }

    private static let headFields = [
        8: "recoveries", 9: "pool_high_water", 10: "name_high_water", 11: "clients", 16: "row_clients 0",
        17: "row_clients 1", 18: "row_clients 2",
    ]
    private static let poolFields = [
        "key_low", "key_high", "servers", "database", "user", "waiting_workers",
    ]
    private static let nameFields = ["key_low", "key_high", "servers", "clients", "waiting_workers"]
    private static let rowFields = [
        "holds", "owned", "idle", "oldest_idle", "waiting", "oldest_wait",
    ]
    private static let nameRowFields = ["holds", "clients"]

    /// What is about to happen.
    func description(of choice: Choice) -> String {
        let who = processName(choice.process)
        let process = processes[choice.process]
        switch choice {
        case .run: return "\(who): \(description(of: process))"
        case .flush(_, let place):
            let store = process.buffer[place]
            return "\(who): \(name(of: store.word)) = \(store.value) is seen by all"
        case .kill: return "\(who) is killed before: \(description(of: process))"
        }
    }

    private func description(of process: Process) -> String {
        switch process.next {
        case .begin: "begins"
        case .load(let word): "load \(name(of: word)), which is \(memory[word])"
        case .store(let word, let value): "store \(name(of: word)) = \(value)"
        case .change(let word, let set, let clear): "change \(name(of: word)): set \(set), clear \(clear)"
        case .fence: "fence"
        case .takeLock: "take the lock\(lock.holderHasDied ? ", whose holder has died" : "")"
        case .giveLock: "give the lock"
        case .send(let message, let to): "tell \(processName(to)) \(message.kind)"
        case .receive: "receive \(process.inbox.first.map { "\($0.kind) \($0.number)" } ?? "nothing")"
        case .end: "nothing"
        }
    }
}
