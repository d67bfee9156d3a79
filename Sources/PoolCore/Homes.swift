import Base
import Config
import SharedState

/// Which worker a client belongs to: where the servers of a small pool are, where there are few clients, and
/// anywhere but in a worker that leaves.
extension PoolCore {
    /// A pool with fewer servers than this for each worker lives in some of them only.
    private static var serversPerHome: Int { 4 }

    /// How soon a worker that leaves looks again who can go, while some are on their way.
    private static var moveUpkeep: UInt64 { 5_000_000 }

    /// Whether a worker takes clients and servers from others.
    private func isServing(_ worker: Int) -> Bool {
        worker == identity.index
            ? !lifecycle.isEnding : segment.worker(worker).state == .ready && !isSilent(worker)
    }

    /// Sends a client that has just logged in to a home of its pool, if this worker is none.
    ///
    /// The servers of a small pool would be on the way between workers all the time; so its clients go where
    /// they are, once. Every worker finds the same homes: those whose hash with the pool is highest.
    mutating func sendHome(_ client: Handle<Client>) {
        guard !isAlone, !configuration.settings.keepsClients else { return }
        let pool = clients[client].pool
        let size = Int(pools[pool].settings.poolSize)
        guard size > 0, size < PoolCore.serversPerHome * workerCount else { return }
        var candidates: [(hash: UInt64, worker: Int)] = []
        for worker in 0..<workerCount where isServing(worker) {
            var random = Random(seed: UInt64(pools[pool].entry.number) << 8 | UInt64(worker))
            candidates.append((random.next(), worker))
        }
        let homeCount = max(1, size / PoolCore.serversPerHome)
        guard homeCount < candidates.count else { return }
        candidates.sort { $0.hash > $1.hash }
        let homes = candidates.prefix(homeCount).map(\.worker)
        guard !homes.contains(identity.index) else { return }
        let emptiest = homes.min { ledger.clientCount(ofWorker: $0) < ledger.clientCount(ofWorker: $1) }
        if let emptiest { move(client, to: emptiest) }
    }

    /// Another worker that has clearly fewer clients than this one, for a client that has just connected.
    ///
    /// The kernel spreads connections by chance; with few that live long, the spread stays uneven for life.
    /// One other worker is looked at, so that they do not all send theirs to the same one.
    public mutating func betterPlace() -> Int? {
        guard !isAlone, !configuration.settings.keepsClients else { return nil }
        let other = (identity.index + 1 + random.below(workerCount - 1)) % workerCount
        let own = ledger.clientCount(ofWorker: identity.index)
        guard isServing(other), ledger.clientCount(ofWorker: other) + max(2, own / 8) <= own else {
            return nil
        }
        return other
    }

    // MARK: Leaving

    /// This worker is to go: its clients and servers move to the others as soon as nothing is under way.
    mutating func leave() {
        lifecycle.isLeaving = true
        leaveUpkeep()
    }

    /// Whether nobody is left: a worker that leaves may end.
    public var isVacant: Bool { clients.count == 0 && servers.count == 0 }

    /// Sends away who can go.
    mutating func leaveUpkeep() {
        for slot in 0..<clients.slotLimit {
            guard let client = clients.handle(at: slot) else { continue }
            sendAway(client)
        }
        // Only so many move at a time; others follow them.
        scheduleUpkeep(within: moves.isEmpty ? PoolCore.busyUpkeep : PoolCore.moveUpkeep)
        for slot in 0..<pools.slotLimit {
            guard let pool = pools.handle(at: slot) else { continue }
            lendAll(pool)
        }
    }

    /// Sends a client to the emptiest of the other workers, if it can go; in a session with its server.
    mutating func sendAway(_ client: Handle<Client>) {
        switch clients[client].state {
        case .idle: if let worker = emptiestOther() { move(client, to: worker) }
        case .linked: if let worker = emptiestOther() { moveSession(client, to: worker) }
        case .startup, .authenticating, .waitingForLookup, .lookingUp, .waitingForWelcome, .waiting, .relayed,
            .cancelling, .moving, .waitingForPeer:
            return
        }
    }

    /// Lends the free servers of a pool to others, for good. A TLS session would stay here, and this worker
    /// with it.
    private mutating func lendAll(_ pool: Handle<Pool>) {
        while !pools[pool].idle.isEmpty, let worker = emptiestOther(), let server = freeServer(pool) {
            if holdsSession(of: server) {
                closeServer(server, reason: "its TLS session ends with its worker")
                continue
            }
            guard now >= pools[pool].lendsFrom, transfers.count < Ledger.transferLimit / 2 else { return }
            lend(server, to: worker)
        }
    }

    /// The other worker that serves with the fewest clients.
    public func emptiestOther() -> Int? {
        (0..<workerCount).filter { $0 != identity.index && isServing($0) }
            .min { ledger.clientCount(ofWorker: $0) < ledger.clientCount(ofWorker: $1) }
    }
}
