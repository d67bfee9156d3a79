public import Base
public import SharedState
import Wire

/// Servers that move between workers: from where they are free to where somebody waits.
///
/// A server that is lent accepts no client (`.lending`); the worker stops receiving on it, the ledger offers
/// it, and the record travels with the descriptor. Until the receiver has taken it, it is the sender's.
extension PoolCore {
    /// How much longer somebody elsewhere must have waited than the first one here to be served before: half
    /// as long as one waits in this pool, within these bounds. Where many wait, the first ones of two workers
    /// have waited about equally long, and which of them longer is chance: it would send the servers back
    /// and forth. So would a worker that has no processor for a few milliseconds now and then, whose clients
    /// have all waited for as long when it goes on. Not more than half, or the slack of each worker would
    /// lengthen the waits that make the other's.
    private static var fairnessSlack: ClosedRange<UInt64> { 5_000_000...20_000_000 }
    /// How long a server that was lent to this worker serves it before it is lent on: a lend costs as much
    /// as a few queries.
    private static var shortestStay: UInt64 { 2_000_000 }
    /// How long a free server rests for the clients here while somebody waits elsewhere. A shorter rest says
    /// nothing, as clients on a busy machine do not run for as long now and then; all their servers would go
    /// where somebody always waits for a millisecond, and they would have to ask for them back.
    private static var longestRest: UInt64 { 50_000_000 }
    /// How long somebody waits elsewhere at most, unless that is usual, while a server rests here.
    private static var longestDetour: UInt64 { 5_000_000 }
    /// How long an offer stands at most: a worker that runs takes what it is sent within a turn.
    private static var longestTransfer: UInt64 { 3_000_000_000 }
    /// How long a pool lends nothing after a message found no room.
    private static var lendingPause: UInt64 { 5_000_000 }

    // MARK: Serving all workers

    /// Gives free servers to those who have waited longest, here and elsewhere.
    @inline(never)
    mutating func serveEverybody(_ pool: Handle<Pool>, _ others: UInt64) {
        endTransfers()
        while !pools[pool].idle.isEmpty {
            let own = firstWaiter(pool)
            let elsewhere = longestWaiting(pool, others)
            if own.isNone, elsewhere == nil { break }
            if let elsewhere {
                let spare = spareServer(pool)
                guard vet(spare) else { continue }
                let time = lendingTime(of: spare, since: elsewhere.since, ahead: own)
                if now >= time {
                    lend(spare, to: elsewhere.worker)
                    continue
                }
                if own.isNone {
                    lendNothing(pool, until: time)
                    break
                }
            }
            guard let server = freeServer(pool) else { break }
            give(server, to: own)
        }
        openServers(pool)
    }

    /// Of the free servers the one that has rested longest: it is missed least here.
    private func spareServer(_ pool: Handle<Pool>) -> Handle<Server> {
        let (first, last) = (pools[pool].idle.first, pools[pool].idle.last)
        return servers[first].lastActivity < servers[last].lastActivity ? first : last
    }

    /// When a free server is to be lent to somebody who has waited elsewhere since then, though a client
    /// here, if there is one, would have to wait on.
    private func lendingTime(
        of server: Handle<Server>, since: UInt64, ahead client: Handle<Client>
    ) -> UInt64 {
        let pool = servers[server].pool
        let (least, longest) = (PoolCore.fairnessSlack.lowerBound, PoolCore.fairnessSlack.upperBound)
        let usual = min(pools[pool].typicalWait / 2, longest)
        let isNew = servers[server].borrowedAt &+ PoolCore.shortestStay > now
        if !client.isNone {
            let slack = isNew ? longest : max(usual, least)
            return since &+ slack < clients[client].waitStart ? now : .max
        }
        // Whoever has just been done with it is likely to want it back at once; but somebody may have waited
        // long enough, and a server that rests longer is of no use here.
        let time = min(
            since &+ max(usual, PoolCore.longestDetour), servers[server].lastActivity &+ PoolCore.longestRest)
        guard isNew else { return time }
        return min(max(time, servers[server].borrowedAt &+ PoolCore.shortestStay), since &+ longest)
    }

    /// A client that has waited is about to be served.
    @inline(__always)
    mutating func noteWait(of client: Handle<Client>) {
        let pool = clients[client].pool
        let wait = now &- clients[client].waitStart
        // A mean over some sixteen of them.
        pools[pool].typicalWait = pools[pool].typicalWait &- pools[pool].typicalWait / 16 &+ wait / 16
    }

    /// The other worker whose first client has waited longest, those left aside for whom servers are on their
    /// way.
    private func longestWaiting(_ pool: Handle<Pool>, _ others: UInt64) -> (worker: Int, since: UInt64)? {
        guard now >= pools[pool].lendsFrom else { return nil }
        var best: (worker: Int, since: UInt64)?
        var mask = others
        while mask != 0 {
            let worker = mask.trailingZeroBitCount
            mask &= mask &- 1
            guard worker < workerCount, !isSilent(worker) else {
                continue
            }
            let waiting = ledger.waiting(pools[pool].entry, in: worker)
            guard waiting.count > Int(pools[pool].lentTo[worker]) else { continue }
            if best.map({ waiting.since < $0.since }) ?? true { best = (worker, waiting.since) }
        }
        return best
    }

    /// Whether a worker has not turned for long: then it has been stopped, or hangs, and is given nothing.
    func isSilent(_ worker: Int) -> Bool {
        let heartbeat = segment.worker(worker).heartbeatMicroseconds &* 1000
        return heartbeat > 0 && now > heartbeat &+ WorkerBlock.silenceNanoseconds
    }

    // MARK: Sender

    mutating func lend(_ server: Handle<Server>, to worker: Int) {
        moveServer(server, to: .lending)
        servers[server].borrower = Int16(worker)
        let pool = servers[server].pool
        pools[pool].lentTo[worker] &+= 1
        actions.append(.detach(servers[server].connection))
    }

    /// Nothing is received any more on a server that is to be lent, and everything has been sent.
    mutating func detached(_ server: Handle<Server>) {
        guard servers.contains(server), servers[server].ticket == nil else { return }
        if servers[server].state == .linked { return sessionDetached(server) }
        guard servers[server].state == .lending else { return }
        let pool = servers[server].pool
        if servers[server].needsClose || lifecycle.waitsForServers || isPaused(pool) {
            return closeServer(server, reason: "database configuration changed or paused")
        }
        guard servers[server].bodyRemaining == 0, let ticket = ledger.offer(pools[pool].entry) else {
            restFromLending(pool)
            return keep(server)
        }
        servers[server].ticket = ticket
        servers[server].requestStart = now
        transfers.append(server)
        let start = output.count
        let message = InboxMessage.lend(record(of: server, ticket))
        let worker = Int(servers[server].borrower)
        let incarnation = segment.worker(worker).incarnation
        guard (try? message.encode(incarnation: incarnation, into: &output)) != nil else {
            return closeServer(server, reason: "too much is prepared on it to be lent")
        }
        scheduleUpkeep(within: PoolCore.busyUpkeep)
        actions.append(
            .pass(.server(server), worker: worker, offset: start, count: output.count - start))
    }

    /// The message with a server found no room.
    mutating func passFailed(_ server: Handle<Server>) {
        guard servers.contains(server), servers[server].ticket != nil else { return }
        restFromLending(servers[server].pool)
        endTransfer(server)
    }

    private mutating func restFromLending(_ pool: Handle<Pool>) {
        lendNothing(pool, until: now + PoolCore.lendingPause)
    }

    private mutating func lendNothing(_ pool: Handle<Pool>, until time: UInt64) {
        pools[pool].lendsFrom = time
        nextLending = min(nextLending, time)
    }

    /// Has the servers that are on their way looked at soon: an order waits until they have left.
    mutating func hurryTransfers() {
        if !transfers.isEmpty { nextLending = min(nextLending, now + PoolCore.lendingPause) }
    }

    /// Serves the pools whose pause in lending or asking is over.
    mutating func lendWhatIsDue() {
        nextLending = .max
        if lifecycle.awaitsServers {
            endTransfers()
            hurryTransfers()
        }
        for slot in 0..<pools.slotLimit {
            guard let pool = pools.handle(at: slot) else { continue }
            let (lends, asks) = (pools[pool].lendsFrom, pools[pool].asksFrom)
            guard lends > 0 || asks > 0 else { continue }
            // Each pause ends by itself: when the shorter one is over, the other one goes on.
            if lends > now { nextLending = min(nextLending, lends) } else { pools[pool].lendsFrom = 0 }
            if asks > now { nextLending = min(nextLending, asks) } else { pools[pool].asksFrom = 0 }
            let hasRested = lends > 0 && lends <= now
            if hasRested || asks > 0 && asks <= now { serveWaiters(pool) }
            // Who waits elsewhere has counted on a server that somebody here has taken meanwhile.
            if hasRested, pools[pool].idle.isEmpty, !isAlone {
                tell(each: ledger.othersWaiting(pools[pool].entry), .freed)
            }
        }
    }

    /// Looks what has become of the servers that are on their way, and ends what is over. What nobody has
    /// taken for too long is withdrawn.
    mutating func endTransfers() {
        guard !transfers.isEmpty else { return }
        for server in transfers {
            guard servers.contains(server), let ticket = servers[server].ticket else { continue }
            let isLost = isLost(servers[server].requestStart, to: Int(servers[server].borrower))
            guard ledger.outcome(ticket) != .offered || isLost else { continue }
            endTransfer(server)
        }
    }

    /// Whether what was offered to a worker at this time has been on its way for too long: the worker does
    /// not run, or could not read what was sent to it.
    func isLost(_ start: UInt64, to worker: Int) -> Bool {
        let age = now &- min(start, now)
        return age > WorkerBlock.silenceNanoseconds && isSilent(worker) || age > PoolCore.longestTransfer
    }

    /// Ends the transfer of a server: it is forgotten when it was taken, and free again when not.
    private mutating func endTransfer(_ server: Handle<Server>) {
        guard let ticket = servers[server].ticket else { return }
        if end(ticket, of: server) { closeServer(server, reason: "lent") } else { keep(server) }
    }

    /// The connection of a client or server, for the worker that passes it on; `.none` when it is gone.
    public func connection(of peer: Peer) -> ConnectionID {
        switch peer {
        case .client(let client): clients.contains(client) ? clients[client].connection : .none
        case .server(let server): servers.contains(server) ? servers[server].connection : .none
        case .console: .none
        }
    }

    /// Ends a transfer in the ledger; true when the server is another worker's now.
    private mutating func end(_ ticket: TransferTicket, of server: Handle<Server>) -> Bool {
        transfers.removeAll { $0 == server }
        servers[server].ticket = nil
        guard ledger.end(ticket) == .taken else { return false }
        servers[server].isCounted = false
        servers[server].isElsewhere = true
        return true
    }

    /// A server is closed in the middle of being lent.
    mutating func abandonLending(_ server: Handle<Server>) {
        if let ticket = servers[server].ticket { _ = end(ticket, of: server) }
        guard servers[server].borrower >= 0 else { return }
        pools[servers[server].pool].lentTo[Int(servers[server].borrower)] &-= 1
    }

    /// A server that was to be lent stays.
    private mutating func keep(_ server: Handle<Server>) {
        let pool = servers[server].pool
        pools[pool].lentTo[Int(servers[server].borrower)] &-= 1
        servers[server].borrower = -1
        actions.append(.attach(servers[server].connection))
        becomeFree(server)
    }

    /// Another worker has died: what it had not taken stays, and what it had goes with it.
    mutating func workerEnded(_ worker: Int) {
        for server in transfers where servers.contains(server) && Int(servers[server].borrower) == worker {
            endTransfer(server)
        }
        endMoves(to: worker)
        #if CANARY
            if Canary.isPlanted(.waiterLostAtDeath) { return }
        #endif
        openWhereSomebodyWaits()
    }

    func record(of server: Handle<Server>, _ ticket: TransferTicket) -> LentServer {
        let pool = servers[server].pool
        var record = LentServer(
            sender: UInt16(identity.index), ticket: ticket, pool: description(of: pool))
        record.id = servers[server].id
        record.processID = servers[server].processID
        record.secret = servers[server].secret
        record.host = servers[server].host
        record.isUsed = servers[server].isUsed
        record.isFresh = servers[server].isFresh
        record.connectedAt = servers[server].connectedAt
        record.connectedAtWall = servers[server].connectedAtWall
        record.lastActivity = servers[server].lastActivity
        if let address = serverAddresses[server] {
            record.remote = Array(address.remote.utf8)
            record.remotePort = UInt16(clamping: address.port)
            record.local = Array(address.local.utf8)
            record.localPort = UInt16(clamping: address.localPort)
            record.encryption = Array(address.encryption.utf8)
            record.sessionWorker = address.sessionWorker
        }
        record.parameters = list(servers[server].parameters)
        record.statements = statements.hashes(on: servers[server].statements)
        return record
    }

    func list(_ set: ParameterSetID) -> [Parameter] {
        let values = parameters.values(set)
        var result: [Parameter] = []
        for index in 0..<Parameters.limit where values[index] != 0 {
            let value = [UInt8](copying: bytes[values[index]])
            result.append(Parameter(name: parameters.names[index], value: value))
        }
        return result
    }

    // MARK: Receiver

    /// Another worker offers a server; `connection` is its descriptor here.
    mutating func lent(_ record: LentServer, _ connection: ConnectionID) {
        guard Int(record.sender) < workerCount,
            let database = databaseNumber(record.pool.database),
            let pool = poolNumber(database, userNumber(record.pool.user)), servers.count < servers.capacity,
            !lifecycle.waitsForServers, !lifecycle.isLeaving || wantsServer(pool)
        else { return refuse(record, connection) }
        guard ledger.take(record.ticket, from: Int(record.sender), pools[pool].entry) else {
            return actions.append(.close(connection, .elsewhere))
        }
        let server = adopt(record, connection, pool)
        learnWelcome(record.pool, pool)
        serverWorks(pool)
        actions.append(.adopt(connection, .server(server)))
        if record.pool.epoch < lastEpoch {
            return closeServer(server, reason: "database configuration changed or paused")
        }
        welcomeWaiters(pool)
        guard servers.contains(server) else { return }
        becomeFree(server)
    }

    /// Whether somebody waits for a server of the pool here.
    private func wantsServer(_ pool: Handle<Pool>) -> Bool {
        !pools[pool].waiters.isEmpty || !pools[pool].welcomeWaiters.isEmpty
    }

    private mutating func refuse(_ record: LentServer, _ connection: ConnectionID) {
        refuse(record)
        actions.append(.close(connection, .elsewhere))
    }

    /// Says that a server which another worker lends cannot be used here.
    public func refuse(_ record: LentServer) {
        guard Int(record.sender) < workerCount else { return }
        ledger.refuse(record.ticket, from: Int(record.sender))
    }

    /// The record of a server that has been taken, `.lending` still.
    mutating func adopt(
        _ record: LentServer, _ connection: ConnectionID, _ pool: Handle<Pool>
    ) -> Handle<Server> {
        guard let server = servers.insert(Server(id: record.id, pool: pool)) else {
            preconditionFailure("there was room for it a moment ago")
        }
        servers[server].state = .lending
        count(server, in: pool)
        servers[server].isCounted = true
        servers[server].isReady = true
        servers[server].connection = connection
        servers[server].processID = record.processID
        servers[server].secret = record.secret
        servers[server].host = record.host
        servers[server].isUsed = record.isUsed
        servers[server].isFresh = record.isFresh
        // The sender may have looked at the clock later than this worker did in this turn.
        servers[server].connectedAt = min(record.connectedAt, now)
        servers[server].borrowedAt = now
        servers[server].connectedAtWall = record.connectedAtWall
        servers[server].lastActivity = min(record.lastActivity, now)
        servers[server].parameters = set(record.parameters)
        serverAddresses[server] = ServerAddress(
            remote: String(decoding: record.remote, as: UTF8.self), port: Int(record.remotePort),
            local: String(decoding: record.local, as: UTF8.self), localPort: Int(record.localPort),
            encryption: String(decoding: record.encryption, as: UTF8.self),
            sessionWorker: record.sessionWorker)
        for hash in record.statements {
            guard let id = statements.intern(hash) else {
                // What is not known to be there would be prepared a second time.
                servers[server].needsClose = true
                break
            }
            if !statements.add(id, to: server, group: 0, isConfirmed: true, &servers[server]) {
                servers[server].needsClose = true
            }
            statements.release(id, &bytes)
        }
        return server
    }

    /// The set of these parameters, as far as they are tracked here; with one reference.
    mutating func set(_ list: [Parameter]) -> ParameterSetID {
        var values = ParameterValues(repeating: 0)
        for parameter in list {
            guard let index = parameters.index(of: parameter.name.rawSpan) else { continue }
            bytes.release(values[index])
            values[index] = bytes.intern(parameter.value)
        }
        return parameters.intern(values, &bytes)
    }
}
