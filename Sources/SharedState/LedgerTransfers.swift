import CShared

#if CANARY
    import Base
#endif

/// What becomes of a server that was offered to another worker.
public enum TransferOutcome: BitwiseCopyable, Equatable {
    /// Nothing yet.
    case offered
    /// It is the other worker's now.
    case taken
    /// The other worker has no use for it.
    case refused
}

/// What a client counts in.
public struct LedgerClient: BitwiseCopyable, Equatable, Sendable {
    /// Whether it counts among the clients of the instance.
    public var isAdmitted: Bool
    /// Its database and its user; none where it does not count in theirs.
    public var database: LedgerName
    public var user: LedgerName

    /// What a client counts in, by its parts.
    public init(isAdmitted: Bool, database: LedgerName, user: LedgerName) {
        self.isAdmitted = isAdmitted
        self.database = database
        self.user = user
    }
}

/// What changes its owner.
enum TransferItem: Equatable {
    case server(LedgerPool)
    case client(LedgerClient)

    private static let clientBit: UInt64 = 1 << 63
    private static let admittedBit: UInt64 = 1 << 62
    private static let nameMask: UInt64 = 1 << 28 - 1

    /// As it stands in a slot.
    var word: UInt64 {
        switch self {
        case .server(let pool): UInt64(pool.index)
        case .client(let client):
            TransferItem.clientBit | (client.isAdmitted ? TransferItem.admittedBit : 0)
                | UInt64(client.database.index + 1) << 28 | UInt64(client.user.index + 1)
        }
    }

    init(word: UInt64) {
        guard word & TransferItem.clientBit != 0 else {
            self = .server(LedgerPool(index: Int32(word)))
            return
        }
        self = .client(
            LedgerClient(
                isAdmitted: word & TransferItem.admittedBit != 0,
                database: LedgerName(index: Int32(word >> 28 & TransferItem.nameMask) - 1),
                user: LedgerName(index: Int32(word & TransferItem.nameMask) - 1)))
    }
}

/// One server or client on its way: which of the sender's slots, and the number it has this time.
public struct TransferTicket: BitwiseCopyable, Equatable, Sendable {
    public let slot: UInt8
    public let token: UInt64

    /// A ticket as it came.
    public init(slot: UInt8, token: UInt64) {
        self.slot = slot
        self.token = token
    }
}

/// Servers and clients that change owners, and what workers say of each other's wants.
///
/// The slot of a transfer decides whose it is: the receiver counts it in its own row and then marks
/// the slot as taken; the sender counts it off in its own when it sees that. Whoever dies in between, rows
/// and slots still say what there is: a sender's slots go with it, so that what it had offered cannot be
/// taken any more, and what a dead receiver had not taken is the sender's as before.
extension Ledger {
    /// Servers and clients that one worker may have on their way at once.
    public static var transferLimit: Int { Int(CSHARED_TRANSFERS) }

    private static var free: UInt64 { 0 }
    private static var offered: UInt64 { 1 }
    private static var taken: UInt64 { 2 }
    private static var refused: UInt64 { 3 }

    static func bit(of worker: Int) -> UInt64 { 1 << UInt64(worker) }

    /// This worker's bit and that of none other.
    public var bit: UInt64 { Ledger.bit(of: worker) }

    // MARK: Sender

    /// Offers one of this worker's servers to another; `nil` when there are too many on their way.
    public func offer(_ pool: LedgerPool) -> TransferTicket? { offer(.server(pool)) }

    /// Offers one of this worker's clients to another; `nil` when there are too many on their way.
    public func offer(_ client: LedgerClient) -> TransferTicket? { offer(.client(client)) }

    private func offer(_ item: TransferItem) -> TransferTicket? {
        for slot in 0..<Ledger.transferLimit {
            let transfer = unsafe transfer(worker, slot)
            let state = unsafe loadAcquire(cshared_transfer_state(transfer))
            guard state & 0xFF == Ledger.free else { continue }
            let token = (state >> 8) &+ 1
            unsafe store(cshared_transfer_item(transfer), item.word)
            unsafe storeRelease(cshared_transfer_state(transfer), token << 8 | Ledger.offered)
            return TransferTicket(slot: UInt8(slot), token: token)
        }
        return nil
    }

    /// What has become of one of this worker's offers.
    public func outcome(_ ticket: TransferTicket) -> TransferOutcome {
        let state = unsafe loadAcquire(cshared_transfer_state(transfer(worker, Int(ticket.slot))))
        precondition(state >> 8 == ticket.token, "a slot is the sender's until it ends the transfer")
        switch state & 0xFF {
        case Ledger.taken: return .taken
        case Ledger.refused: return .refused
        default: return .offered
        }
    }

    /// Ends a transfer: what was taken is counted off here, what was not stays this worker's.
    ///
    /// - Returns: what had become of it. One that is only offered cannot be taken any more from now on.
    public func end(_ ticket: TransferTicket) -> TransferOutcome {
        locked {
            let transfer = unsafe transfer(worker, Int(ticket.slot))
            let outcome = outcome(ticket)
            if outcome == .taken {
                countOff(TransferItem(word: unsafe load(cshared_transfer_item(transfer))))
            }
            unsafe storeRelease(
                cshared_transfer_state(transfer), ticket.token << 8 | Ledger.free)
            return outcome
        }
    }

    /// Takes what is another worker's now out of this one's rows; the totals stay.
    private func countOff(_ item: TransferItem) {
        switch item {
        case .server(let pool):
            #if CANARY
                if Canary.isPlanted(.lendCountedTwice) {
                    unsafe add(cshared_pool_row_owned(row(pool.index, worker)), 1)
                }
            #endif
            unsafe subtractOne(cshared_pool_row_owned(row(pool.index, worker)))
        case .client(let client):
            if client.isAdmitted { unsafe subtractOne(cshared_ledger_row_clients(head) + worker) }
            for name in [client.database, client.user] where !name.isNone {
                unsafe subtractOne(cshared_name_row_clients(nameRow(name.index, worker)))
            }
        }
    }

    /// Puts what was another worker's into this one's rows; the totals stay.
    private func countOn(_ item: TransferItem) {
        switch item {
        case .server(let pool):
            unsafe add(cshared_pool_row_owned(row(pool.index, worker)), 1)
        case .client(let client):
            if client.isAdmitted { unsafe add(cshared_ledger_row_clients(head) + worker, 1) }
            for name in [client.database, client.user] where !name.isNone {
                unsafe add(cshared_name_row_clients(nameRow(name.index, worker)), 1)
            }
        }
    }

    // MARK: Receiver

    /// Takes a server that another worker has offered: from now on it is this worker's.
    ///
    /// - Returns: false when the offer is gone, with its sender or because that thought better of it.
    public func take(_ ticket: TransferTicket, from sender: Int, _ pool: LedgerPool) -> Bool {
        take(ticket, from: sender, .server(pool))
    }

    /// Takes a client that another worker has offered: from now on it is this worker's.
    ///
    /// - Returns: false when the offer is gone, with its sender or because that thought better of it.
    public func take(_ ticket: TransferTicket, from sender: Int, _ client: LedgerClient) -> Bool {
        take(ticket, from: sender, .client(client))
    }

    private func take(_ ticket: TransferTicket, from sender: Int, _ item: TransferItem) -> Bool {
        locked {
            let transfer = unsafe transfer(sender, Int(ticket.slot))
            let state = unsafe cshared_transfer_state(transfer)
            guard unsafe loadAcquire(state) == ticket.token << 8 | Ledger.offered,
                unsafe load(cshared_transfer_item(transfer)) == item.word
            else { return false }
            countOn(item)
            unsafe storeRelease(state, ticket.token << 8 | Ledger.taken)
            return true
        }
    }

    /// Says that what was offered is of no use here.
    public func refuse(_ ticket: TransferTicket, from sender: Int) {
        locked {
            let state = unsafe cshared_transfer_state(transfer(sender, Int(ticket.slot)))
            guard unsafe loadAcquire(state) == ticket.token << 8 | Ledger.offered else { return }
            unsafe storeRelease(state, ticket.token << 8 | Ledger.refused)
        }
    }

    /// Ends a dead worker's transfer. The number stays, so that what is still on its way is not taken for
    /// what its successor offers.
    func withdraw(_ dead: Int, _ slot: Int) {
        let state = unsafe cshared_transfer_state(transfer(dead, slot))
        unsafe storeRelease(state, loadAcquire(state) & ~0xFF | Ledger.free)
    }

    /// Calls `body` with everything that has been taken and stands in its sender's rows still.
    func forEachTaken(_ body: (TransferItem) -> Void) {
        for worker in 0..<workerCount {
            for slot in 0..<Ledger.transferLimit {
                let transfer = unsafe transfer(worker, slot)
                let state = unsafe loadAcquire(cshared_transfer_state(transfer))
                guard state & 0xFF == Ledger.taken else { continue }
                body(TransferItem(word: unsafe load(cshared_transfer_item(transfer))))
            }
        }
    }

    // MARK: Wants and spares

    /// Says how many servers of a pool are free here, and since when the one that rests longest.
    public func publish(_ pool: LedgerPool, idle: Int, oldest: UInt64) {
        let row = unsafe row(pool.index, worker)
        unsafe store(cshared_pool_row_idle(row), UInt64(idle))
        unsafe store(cshared_pool_row_oldest_idle_ns(row), oldest)
    }

    /// Says how many clients wait here for a server of this pool, and since when the first of them. What the
    /// others have is to be looked at after this.
    public func publish(_ pool: LedgerPool, waiting: Int, since: UInt64) {
        let row = unsafe row(pool.index, worker)
        let before = unsafe load(cshared_pool_row_waiting(row))
        unsafe store(cshared_pool_row_oldest_wait_ns(row), since)
        unsafe store(cshared_pool_row_waiting(row), UInt64(waiting))
        let mask = unsafe cshared_ledger_pool_waiting_workers(self.pool(pool.index))
        if before == 0, waiting > 0 { unsafe setBits(mask, bit) }
        if before > 0, waiting == 0 { unsafe clearBits(mask, bit) }
        fence()
    }

    /// Says whether a limit of this database or user may keep somebody waiting here.
    public func publish(_ name: LedgerName, isWaiting: Bool) {
        let mask = unsafe cshared_ledger_name_waiting_workers(self.name(name.index))
        if isWaiting { unsafe setBits(mask, bit) } else { unsafe clearBits(mask, bit) }
    }

    /// The other workers, as bits, in which somebody waits for a server of this pool. Whoever says at this
    /// moment that he waits either is seen here or sees what has been published before this.
    public func othersWaiting(_ pool: LedgerPool) -> UInt64 {
        fence()
        return unsafe load(cshared_ledger_pool_waiting_workers(self.pool(pool.index))) & ~bit
    }

    /// The other workers, as bits, in which a limit of the pool, its database or its user keeps somebody
    /// waiting.
    public func othersLimited(_ pool: LedgerPool) -> UInt64 {
        let names = names(of: pool)
        let mask =
            unsafe load(cshared_ledger_pool_waiting_workers(self.pool(pool.index)))
            | load(cshared_ledger_name_waiting_workers(name(names.database.index)))
            | load(cshared_ledger_name_waiting_workers(name(names.user.index)))
        return mask & ~bit
    }

    /// How many wait in another worker, and since when the first of them.
    public func waiting(_ pool: LedgerPool, in other: Int) -> (count: Int, since: UInt64) {
        let row = unsafe row(pool.index, other)
        return unsafe (
            Int(load(cshared_pool_row_waiting(row))),
            load(cshared_pool_row_oldest_wait_ns(row))
        )
    }

    /// Whether another worker has a record of the pool.
    public func holds(_ pool: LedgerPool, in other: Int) -> Bool {
        unsafe load(cshared_pool_row_holds(row(pool.index, other))) > 0
    }

    /// Free servers of a pool in another worker.
    public func idle(_ pool: LedgerPool, in other: Int) -> Int {
        Int(unsafe load(cshared_pool_row_idle(row(pool.index, other))))
    }

    /// The other worker and pool with the free server that rests longest, among the pools of the same
    /// database (or user). O(pools × workers).
    public func oldestIdle(
        sharing limit: LedgerLimit, with pool: LedgerPool
    ) -> (worker: Int, pool: LedgerPool)? {
        let own = names(of: pool)
        var best: (since: UInt64, worker: Int, pool: LedgerPool)?
        for index in 0..<poolLimit {
            let candidate = LedgerPool(index: index)
            let names = names(of: candidate)
            guard limit == .database ? names.database == own.database : names.user == own.user else {
                continue
            }
            for other in 0..<workerCount where other != worker {
                guard idle(candidate, in: other) > 0 else { continue }
                let since = unsafe load(cshared_pool_row_oldest_idle_ns(row(index, other)))
                if best.map({ since < $0.since }) ?? true { best = (since, other, candidate) }
            }
        }
        return best.map { ($0.worker, $0.pool) }
    }
}
