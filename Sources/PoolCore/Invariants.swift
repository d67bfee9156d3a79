import Base
import Config
import SharedState

/// What must be true between events. For tests: O(everything), and allocates.
extension PoolCore {
    /// Tells what is wrong with the records, in words; nothing when all is well.
    ///
    /// Counts agree with records, lists with states, references with their holders.
    ///
    /// - Parameter includesStatistics: whether histograms are added up, which takes longer than all the rest.
    ///   They only grow, so what is missing in them is missing later too.
    func checkInvariants(includesStatistics: Bool = true) -> [String] {
        var faults: [String] = []
        var holders = Holders()
        checkClients(&faults, &holders)
        checkServers(&faults, &holders)
        checkPools(&faults, &holders, includesStatistics)
        checkReferences(&faults, holders)
        if clients.count == 0, servers.count == 0 { checkEmptiness(&faults) }
        if inputStart != 0 { faults.append("the start of the input is left over") }
        return faults
    }

    /// Who has still to prove who it is, and only who has, is among the strangers. Answers how many of them
    /// it is.
    private func checkStranger(_ client: Client, _ slot: Int, _ faults: inout [String]) -> Int {
        if client.state == .startup, client.source.isNone {
            faults.append("client \(slot) has not logged in, and is not among the strangers")
        }
        if client.state != .startup, client.state != .authenticating, !client.source.isNone {
            faults.append("client \(slot) is \(client.state), and among the strangers")
        }
        return client.source.isNone ? 0 : 1
    }

    private func checkClients(_ faults: inout [String], _ holders: inout Holders) {
        var byDatabase = [Int](repeating: 0, count: databases.count)
        var byUser = [Int](repeating: 0, count: users.count)
        var strangerCount = 0
        for slot in 0..<clients.slotLimit {
            guard let handle = clients.handle(at: slot) else { continue }
            let client = clients[handle]
            holders.retain(client.parameters)
            holders.text(client.replicationOptions)
            holders.statement(client.unnamedStatement)
            holders.clientNames += Int(client.statements.count)
            var entry = client.statements.first
            while !entry.isNone {
                holders.statement(statements.clientName(entry).statement)
                holders.text(statements.clientName(entry).name)
                entry = statements.clientName(entry).links.next
            }
            if client.isCounted {
                byDatabase[Int(client.database)] += 1
                byUser[Int(client.user)] += 1
            }
            let isLinked = client.state == .linked || client.state == .lookingUp
            let hasServer = servers.contains(client.server)
            if isLinked != hasServer, client.state != .moving, client.replication == .none {
                faults.append("client \(slot) is \(client.state), and its server says otherwise")
            }
            if isLinked || client.state == .moving, hasServer, servers[client.server].client != handle {
                faults.append("client \(slot) and its server do not name each other")
            }
            if client.isHeld, client.state == .authenticating,
                clientLogins[handle]?.exchange.holdsInput != true
            {
                faults.append("client \(slot) is to prove itself, and its input is held")
            }
            if client.state != .linked,
                client.hasUnnamedOnServer || client.awaitsPrelude || client.awaitsReplies
            {
                faults.append("client \(slot) has no server and things left to do with it")
            }
            strangerCount += checkStranger(client, slot, &faults)
            let isInPool = !client.pool.isNone
            let mustBe = client.isCounted || client.isBeingLookedUp || isInPool && pools[client.pool].isPeer
            if isInPool != mustBe { faults.append("client \(slot) is counted, and in no pool") }
            if client.awaitsPrelude || client.awaitsReplies, !client.isHeld {
                faults.append("client \(slot) waits, and its input is not held")
            }
            if client.awaitsReplies, isLinked, servers[client.server].replies.isEmpty {
                faults.append("client \(slot) waits for replies that nobody owes")
            }
            if client.awaitsPrelude, isLinked, servers[client.server].preludeReplies == 0 {
                faults.append("client \(slot) waits for a prelude that has been answered")
            }
            if (client.state == .moving) != moves.contains(handle) {
                faults.append("client \(slot) is \(client.state), and the list of moves says otherwise")
            }
            if client.isHeld, client.state == .idle {
                faults.append("client \(slot) is free, and its input is held")
            }
            if client.isHeld, client.state == .linked, !client.awaitsPrelude, !client.awaitsReplies {
                faults.append("client \(slot) has a server, and its input is held")
            }
        }
        if strangers.count != strangerCount { faults.append("\(strangers.count) strangers are counted") }
        for index in databases.indices where databases[index].clientCount != byDatabase[index] {
            faults.append("database \(index) counts \(databases[index].clientCount) clients")
        }
        for index in users.indices where users[index].clientCount != byUser[index] {
            faults.append("user \(index) counts \(users[index].clientCount) clients")
        }
    }

    private func checkServers(_ faults: inout [String], _ holders: inout Holders) {
        var byDatabase = [Int](repeating: 0, count: databases.count)
        var byUser = [Int](repeating: 0, count: users.count)
        var owed = 0
        var cancels: [Handle<Server>: Int] = [:]
        for slot in 0..<servers.slotLimit {
            guard let handle = servers.handle(at: slot) else { continue }
            let server = servers[handle]
            byDatabase[Int(pools[server.pool].database)] += 1
            byUser[Int(pools[server.pool].user)] += 1
            holders.retain(server.parameters)
            holders.onServers += Int(server.statements.count)
            var entry = server.statements.first
            while !entry.isNone {
                holders.statement(statements.onServer(entry).statement)
                entry = statements.onServer(entry).links.next
            }
            entry = server.closingStatements.first
            while !entry.isNone {
                holders.statement(statements.onServer(entry).statement)
                entry = statements.onServer(entry).links.next
            }
            holders.onServers += Int(server.closingStatements.count)
            for (index, reply) in server.replies.all(in: replies).enumerated() {
                holders.statement(reply.statement)
                holders.statement(reply.unnamed)
                holders.text(reply.name)
                if index == 0, reply.fate == .synthesise, server.bodyRemaining == 0 {
                    faults.append("server \(slot) has a made-up reply that is due")
                }
            }
            owed += Int(server.replies.count)
            if servers.contains(server.cancels) { cancels[server.cancels, default: 0] += 1 }
            checkServer(handle, &faults)
        }
        if owed == 0, replies.count != 0 { faults.append("\(replies.count) reply chunks hold nothing") }
        for index in databases.indices where databases[index].serverCount != byDatabase[index] {
            faults.append("database \(index) counts \(databases[index].serverCount) servers")
        }
        for index in users.indices where users[index].serverCount != byUser[index] {
            faults.append("user \(index) counts \(users[index].serverCount) servers")
        }
        for slot in 0..<servers.slotLimit {
            guard let handle = servers.handle(at: slot) else { continue }
            if Int(servers[handle].cancelsInFlight) != cancels[handle, default: 0] {
                faults.append("server \(slot) counts \(servers[handle].cancelsInFlight) cancel requests")
            }
        }
    }

    private func checkServer(_ handle: Handle<Server>, _ faults: inout [String]) {
        let server = servers[handle]
        let slot = handle.slot
        switch server.state {
        case .linked:
            if !clients.contains(server.client) || clients[server.client].server != handle {
                faults.append("server \(slot) is linked to a client that does not name it")
            }
        case .idle, .beingCancelled:
            if !server.replies.isEmpty || server.needsSync || server.skipsUntilSync || !server.client.isNone {
                faults.append("server \(slot) is \(server.state) and not clean")
            }
            if server.status != UInt8(ascii: "I") { faults.append("server \(slot) is free in a transaction") }
        case .lookingUp:
            if lookups[handle] == nil || !server.replies.isEmpty {
                faults.append("server \(slot) looks something up, and nobody reads its answer")
            }
            if clients.contains(server.client), clients[server.client].server != handle {
                faults.append("server \(slot) looks up a client that does not name it")
            }
        case .tested, .startup, .connecting, .cancelling, .lending:
            break
        }
        if server.state != .lookingUp, lookups[handle] != nil {
            faults.append("server \(slot) is \(server.state), and looks something up")
        }
        var preludes = 0
        for reply in server.replies.all(in: replies) {
            if reply.kind == .query, reply.fate == .swallow { preludes += 1 }
        }
        if server.state == .linked, preludes != Int(server.preludeReplies) {
            faults.append("server \(slot) counts \(server.preludeReplies) preludes")
        }
        if server.state == .cancelling, !server.isMessenger {
            faults.append("server \(slot) cancels nothing")
        }
    }

    /// Each query, transaction and assignment that was counted is in the histogram, or under way.
    private func checkStatistics(_ pool: Handle<Pool>, _ faults: inout [String]) {
        #if CANARY
            // It would be noticed here before it does what it is planted for.
            if Canary.isPlanted(.deadlineLeftArmed) { return }
        #endif
        let counters = pools[pool].counters
        var (queries, transactions, waits) = (0, 0, 0)
        for bucket in 0..<Histogram.bucketCount {
            queries += Int(counters.count(.query, bucket: bucket))
            transactions += Int(counters.count(.transaction, bucket: bucket))
            waits += Int(counters.count(.wait, bucket: bucket))
        }
        for slot in 0..<clients.slotLimit {
            guard let client = clients.handle(at: slot), clients[client].pool == pool else { continue }
            if clients[client].queryStart != 0 { queries += 1 }
            if clients[client].transactionStart != 0 { transactions += 1 }
        }
        for (name, counter, found) in [
            ("queries", PoolCounter.queries, queries), ("transactions", .transactions, transactions),
            ("assignments", .serverAssignments, waits),
        ] where Int(counters[counter]) != found {
            faults.append("pool \(pool.slot) has counted \(counters[counter]) \(name), and has \(found)")
        }
    }

    private func checkPools(
        _ faults: inout [String], _ holders: inout Holders, _ includesStatistics: Bool
    ) {
        for slot in 0..<pools.slotLimit {
            guard let handle = pools.handle(at: slot) else { continue }
            let pool = pools[handle]
            if includesStatistics, !pool.isPeer { checkStatistics(handle, &faults) }
            holders.retain(pool.welcomeParameters)
            holders.text(pool.welcomeMessages)
            holders.text(pool.failure)
            var clientCounts = [Int](repeating: 0, count: Client.State.count)
            var serverCounts = [Int](repeating: 0, count: Server.State.count)
            var replication = 0
            var unserved = 0
            for slot in 0..<clients.slotLimit {
                guard let client = clients.handle(at: slot), clients[client].pool == handle else { continue }
                clientCounts[Int(clients[client].state.rawValue)] += 1
                guard clients[client].state == .waiting, clients[client].replication != .none else {
                    continue
                }
                replication += 1
                if clients[client].server.isNone { unserved += 1 }
            }
            for slot in 0..<servers.slotLimit {
                guard let server = servers.handle(at: slot), servers[server].pool == handle else { continue }
                serverCounts[Int(servers[server].state.rawValue)] += 1
            }
            for index in clientCounts.indices where Int(pool.clientCounts[index]) != clientCounts[index] {
                faults.append("pool \(slot) counts \(pool.clientCounts[index]) clients in state \(index)")
            }
            for index in 0..<Server.State.count where Int(pool.serverCounts[index]) != serverCounts[index] {
                faults.append("pool \(slot) counts \(pool.serverCounts[index]) servers in state \(index)")
            }
            if pool.waitingReplication != replication || pool.replicationWaiters != unserved {
                faults.append("pool \(slot) counts \(pool.replicationWaiters) replication clients")
            }
            if !pool.isReplaced, ledger.ownServerCount(pool.entry) != countedServers(pool.entry) {
                faults.append("the ledger has \(ledger.ownServerCount(pool.entry)) servers of pool \(slot)")
            }
            let listed = (Int(pool.waiters.count), Int(pool.welcomeWaiters.count), Int(pool.idle.count))
            let counted = (
                clientCounts[Int(Client.State.waiting.rawValue)]
                    + clientCounts[Int(Client.State.waitingForPeer.rawValue)]
                    + clientCounts[Int(Client.State.waitingForLookup.rawValue)],
                clientCounts[Int(Client.State.waitingForWelcome.rawValue)],
                serverCounts[Int(Server.State.idle.rawValue)]
            )
            if listed != counted { faults.append("the lists of pool \(slot) hold \(listed), not \(counted)") }
        }
    }

    private func countedServers(_ entry: LedgerPool) -> Int {
        var count = 0
        for slot in 0..<servers.slotLimit {
            guard let server = servers.handle(at: slot), servers[server].isCounted else { continue }
            if pools[servers[server].pool].entry == entry { count += 1 }
        }
        return count
    }

    /// Somebody waits here for a server, and none is on its way to him.
    func waitsInVain(_ pool: Handle<Pool>) -> Bool {
        let waiting = Int(pools[pool].waiters.count) - pools[pool].waitingReplication
        return !isPaused(pool) && waiting > pools[pool].loginCount + pools[pool].count(Server.State.tested)
    }

    /// One more server of the pool may be opened, and nothing keeps this worker from it.
    func hasRoom(_ pool: Handle<Pool>) -> Bool {
        let settings = pools[pool].settings
        return !lifecycle.waitsForServers && !pools[pool].hasFailed && now >= pools[pool].retryAt
            && settings.maxDatabaseConnections == 0 && settings.maxUserConnections == 0
            && ledger.serverCount(pools[pool].entry) < Int(settings.poolSize)
    }

    /// The servers of this worker that count in their pools' limits, and these; 0 is no limit.
    func forEachCounted(_ body: (_ entry: LedgerPool, _ limit: Int) -> Void) {
        for slot in 0..<servers.slotLimit {
            guard let server = servers.handle(at: slot), servers[server].isCounted else { continue }
            if let ticket = servers[server].ticket, ledger.outcome(ticket) == .taken { continue }
            let pool = servers[server].pool
            let size = Int(pools[pool].settings.poolSize)
            body(pools[pool].entry, size == 0 ? 0 : size + Int(pools[pool].settings.reservePoolSize))
        }
    }

    /// A server is free here that could be lent.
    func hasToSpare(_ pool: Handle<Pool>) -> Bool {
        !isPaused(pool) && !pools[pool].idle.isEmpty && !pools[pool].isReplaced
    }

    /// The pool waits for a moment before it lends, or asks for a server, again.
    func restsFromLending(_ entry: LedgerPool) -> Bool {
        poolOfEntry[entry].map { now <= max(pools[$0].lendsFrom, pools[$0].asksFrom) } ?? false
    }

    private func checkReferences(_ faults: inout [String], _ holders: Holders) {
        for slot in 0..<statements.statements.slotLimit {
            guard let handle = statements.statements.handle(at: slot) else { continue }
            let count = holders.statements[UInt32(slot) + 1]
            let believed = Int(statements.statements[handle].references)
            if believed != count {
                faults.append("statement \(slot) has \(count) holders and believes \(believed)")
            }
        }
        let counts = statements.counts
        if counts.clientNames != holders.clientNames {
            faults.append("\(counts.clientNames) names of statements")
        }
        if counts.onServers != holders.onServers {
            faults.append("\(counts.onServers) statements on servers")
        }
        var holders = holders
        for id in parameters.kept.values { holders.retain(id) }
        if parameters.count != holders.parameters.distinctCount {
            faults.append(
                "\(parameters.count) sets of parameters, and \(holders.parameters.distinctCount) are held")
        }
        var texts = holders.texts
        for slot in 0..<holders.parameters.limit where holders.parameters[slot] > 0 {
            let count = parameters.referenceCount(slot)
            if count != holders.parameters[slot] {
                faults.append("parameters \(slot) have \(holders.parameters[slot]) holders, not \(count)")
            }
            let values = parameters.values(ParameterSetID(slot: slot))
            for index in 0..<Parameters.limit where values[index] != 0 { texts.add(values[index]) }
        }
        for slot in 0..<statements.statements.slotLimit {
            guard let handle = statements.statements.handle(at: slot) else { continue }
            let body = statements.statements[handle].body
            if body != 0 { texts.add(body) }
        }
        if bytes.count != texts.distinctCount {
            faults.append("\(bytes.count) texts are kept, \(texts.distinctCount) are held")
        }
    }

    private func checkEmptiness(_ faults: inout [String]) {
        let counts = statements.counts
        if counts.statements != 0 || replies.count != 0 || !clientLogins.isEmpty || !serverLogins.isEmpty
            || !lookups.isEmpty || !clientOrigins.isEmpty || !clientEncryptions.isEmpty
            || !serverAddresses.isEmpty
        {
            faults.append("nobody is left, but tables are not empty")
        }
    }
}

/// Who holds what, counted anew.
private struct Holders {
    var statements = Tally()
    var parameters = Tally()
    var texts = Tally()
    var clientNames = 0
    var onServers = 0

    mutating func statement(_ id: UInt32) {
        if id != 0 { statements.add(id) }
    }

    mutating func retain(_ set: ParameterSetID) {
        if set != .empty { parameters.add(set.slot) }
    }

    mutating func text(_ id: UInt32) {
        if id != 0 { texts.add(id) }
    }
}

/// How often each of some small numbers was named. No dictionary: this is done after every event.
private struct Tally {
    private var counts = [Int32](repeating: 0, count: 32)
    /// How many different numbers there are.
    private(set) var distinctCount = 0

    /// All numbers are below it.
    var limit: UInt32 { UInt32(counts.count) }

    mutating func add(_ number: UInt32) {
        let index = Int(number)
        if index >= counts.count {
            counts.append(contentsOf: repeatElement(0, count: max(counts.count, index + 1 - counts.count)))
        }
        if counts[index] == 0 { distinctCount += 1 }
        counts[index] += 1
    }

    subscript(_ number: UInt32) -> Int { number < limit ? Int(counts[Int(number)]) : 0 }
}
