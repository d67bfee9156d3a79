import Base
public import SharedState
import Wire

/// Clients that move between workers, between two of their requests: to the home of a small pool, where its
/// servers are, and away from a worker that leaves.
///
/// A client that moves is read no more (`.moving`); the worker stops receiving on it, the ledger offers it,
/// and the record travels with the descriptor and with what has not been read. Until the receiver has taken
/// it, it is the sender's.
extension PoolCore {
    /// Begins to move a client that has nothing under way; does nothing for any other.
    mutating func move(_ client: Handle<Client>, to worker: Int) {
        endMoves()
        guard clients[client].state == .idle, clients[client].replication == .none,
            clients[client].bodyRemaining == 0, !clients[client].isCancelled,
            // A TLS session stays where it is.
            clientEncryptions[client] == nil,
            moves.count < Ledger.transferLimit / 2
        else { return }
        beginMove(client, to: worker)
        actions.append(.detach(clients[client].connection))
    }

    mutating func beginMove(_ client: Handle<Client>, to worker: Int) {
        moveClient(client, to: .moving)
        clients[client].destination = Int16(worker)
        clients[client].waitStart = now
        moves.append(client)
        scheduleUpkeep(within: PoolCore.busyUpkeep)
    }

    /// Nothing is received any more on a client that moves, and everything has been sent.
    mutating func detached(_ client: Handle<Client>) {
        guard clients.contains(client), clients[client].state == .moving, clients[client].ticket == nil
        else { return }
        guard clients[client].server.isNone else { return offerSession(client) }
        guard !lifecycle.isShuttingDown, let statements = movedStatements(of: client),
            let ticket = ledger.offer(ledgerClient(client))
        else { return stay(client) }
        clients[client].ticket = ticket
        let start = output.count
        record(of: client, ticket, statements).append(to: &output)
        actions.append(
            .pass(
                .client(client), worker: Int(clients[client].destination), offset: start,
                count: output.count - start))
    }

    /// The message with a client found no room.
    mutating func passFailed(_ client: Handle<Client>) {
        guard clients.contains(client), clients[client].ticket != nil else { return }
        endMove(client)
    }

    /// Looks what has become of the clients that are on their way, and ends what is over. One that cannot be
    /// detached, because it does not read, stays; so does one that nobody has taken for too long.
    mutating func endMoves() {
        guard !moves.isEmpty else { return }
        for client in moves {
            guard clients.contains(client) else { continue }
            guard let ticket = clients[client].ticket else {
                if now > clients[client].waitStart &+ WorkerBlock.silenceNanoseconds { stay(client) }
                continue
            }
            let isLost = isLost(clients[client].waitStart, to: Int(clients[client].destination))
            guard ledger.outcome(ticket) != .offered || isLost else { continue }
            endMove(client)
        }
    }

    /// Ends the moves to a worker that has died.
    mutating func endMoves(to worker: Int) {
        for client in moves where clients.contains(client) && Int(clients[client].destination) == worker {
            if clients[client].ticket == nil { stay(client) } else { endMove(client) }
        }
    }

    private mutating func endMove(_ client: Handle<Client>) {
        if abandonMove(client) { return closeClient(client, .elsewhere, reason: "moved") }
        let server = clients[client].server
        if servers.contains(server), servers[server].isElsewhere {
            return fail(client, .server(.connectionLost))
        }
        stay(client)
    }

    /// Ends the transfer of a client in the ledger; true when it is another worker's now.
    mutating func abandonMove(_ client: Handle<Client>) -> Bool {
        moves.removeAll { $0 == client }
        guard let ticket = clients[client].ticket else { return false }
        clients[client].ticket = nil
        let outcome = ledger.end(ticket)
        endServerMove(of: client)
        guard outcome == .taken else { return false }
        clients[client].isAdmitted = false
        clients[client].isInLedger = false
        return true
    }

    /// A client that was to move stays.
    mutating func stay(_ client: Handle<Client>) {
        moves.removeAll { $0 == client }
        clients[client].destination = -1
        if clients[client].server.isNone {
            moveClient(client, to: .idle)
        } else {
            moveClient(client, to: .linked)
            stayWithServer(of: client)
        }
        actions.append(.attach(clients[client].connection))
        resume(client)
    }

    // MARK: The record

    func ledgerClient(_ client: Handle<Client>) -> LedgerClient {
        let isInLedger = clients[client].isInLedger
        return LedgerClient(
            isAdmitted: clients[client].isAdmitted,
            database: isInLedger ? databases[Int(clients[client].database)].entry : .none,
            user: isInLedger ? users[Int(clients[client].user)].entry : .none)
    }

    /// The client's statements; `nil` when the text of one is not known here.
    func movedStatements(of client: Handle<Client>) -> [MovedStatement]? {
        var result: [MovedStatement] = []
        var entry = clients[client].statements.first
        while !entry.isNone {
            let name = statements.clientName(entry)
            guard let moved = moved(name.statement, name: [UInt8](copying: bytes[name.name])) else {
                return nil
            }
            result.append(moved)
            entry = name.links.next
        }
        let unnamed = clients[client].unnamedStatement
        if unnamed != 0 {
            guard let moved = moved(unnamed, name: nil) else { return nil }
            result.append(moved)
        }
        return result
    }

    private func moved(_ id: UInt32, name: [UInt8]?) -> MovedStatement? {
        let statement = statements.statement(id)
        guard statement.body != 0 else { return nil }
        return MovedStatement(
            name: name, hash: statement.hash, body: [UInt8](copying: bytes[statement.body]),
            environment: statement.parseEnvironment)
    }

    func record(
        of client: Handle<Client>, _ ticket: TransferTicket, _ statements: [MovedStatement]
    ) -> MovedClient {
        var record = MovedClient(
            sender: UInt16(identity.index), ticket: ticket, pool: description(of: clients[client].pool),
            user: users[Int(clients[client].user)].name)
        record.id = clients[client].id
        record.processID = clients[client].processID
        for index in 0..<secretByteCount(client) { record.secret.append(clients[client].secret[index]) }
        record.isExempt = clients[client].isExempt
        record.isAdmitted = clients[client].isAdmitted
        record.isInLedger = clients[client].isInLedger
        record.connectedAt = clients[client].connectedAt
        record.connectedAtWall = clients[client].connectedAtWall
        record.lastActivity = clients[client].lastActivity
        if let origin = clientOrigins[client] {
            record.address = Array(origin.address.utf8)
            record.port = UInt16(clamping: origin.port)
            record.localAddress = Array(origin.localAddress.utf8)
            record.localPort = UInt16(clamping: origin.localPort)
            record.isUnix = origin.isUnix
            record.isOwnUser = origin.isOwnUser
            record.peerProcessID = origin.peerProcessID
            record.peerUserID = origin.peerUserID
        }
        record.parameters = list(clients[client].parameters)
        record.statements = statements
        for environment in Set(statements.map(\.environment)).sorted() {
            if let kept = parameters.kept[environment] { record.environments.append(list(kept)) }
        }
        return record
    }

    // MARK: Receiver

    /// Another worker offers a client; `connection` is its descriptor here.
    mutating func moved(_ record: MovedClient, _ connection: ConnectionID) {
        guard let place = place(for: record) else { return refuse(record, connection) }
        joinNames(place.database, place.user)
        guard ledger.take(record.ticket, from: Int(record.sender), item(of: record, place)) else {
            leaveNames(place.database, place.user)
            // Not there, or its names have found no place here: then it stays where it is.
            return refuse(record, connection)
        }
        let client = adopt(record, connection, place)
        moveClient(client, to: .idle)
        learnWelcome(record.pool, place.pool)
        actions.append(.adopt(connection, .client(client)))
        welcomeWaiters(place.pool)
    }

    /// Where a client belongs that another worker sends.
    struct Place {
        let database: Int
        let pool: Handle<Pool>
        let user: Int
    }

    /// The place of a client that another worker sends; `nil` when it cannot be served here.
    mutating func place(for record: MovedClient) -> Place? {
        guard Int(record.sender) < workerCount, !lifecycle.isEnding, record.pool.epoch >= lastEpoch,
            clients.count < clients.capacity, let database = databaseNumber(record.pool.database),
            let pool = poolNumber(database, userNumber(record.pool.user))
        else { return nil }
        return Place(database: database, pool: pool, user: userNumber(record.user))
    }

    /// What a client counts in that another worker sends.
    func item(of record: MovedClient, _ place: Place) -> LedgerClient {
        LedgerClient(
            isAdmitted: record.isAdmitted,
            database: record.isInLedger ? databases[place.database].entry : .none,
            user: record.isInLedger ? users[place.user].entry : .none)
    }

    mutating func refuse(_ record: MovedClient, _ connection: ConnectionID) {
        refuse(record)
        actions.append(.close(connection, .elsewhere))
    }

    /// Which process of a worker a message is meant for.
    public func incarnation(ofWorker index: Int) -> UInt64 { segment.worker(index).incarnation }

    /// Says that a client which another worker sends cannot be served here.
    public func refuse(_ record: MovedClient) {
        guard Int(record.sender) < workerCount else { return }
        ledger.refuse(record.ticket, from: Int(record.sender))
    }

    /// The record of a client that has been taken, on its way (`.moving`) still.
    mutating func adopt(
        _ record: MovedClient, _ connection: ConnectionID, _ place: Place
    ) -> Handle<Client> {
        guard let client = clients.insert(Client(connection: connection, id: record.id)) else {
            preconditionFailure("there was room for it a moment ago")
        }
        clients[client].pool = place.pool
        clients[client].database = Int32(place.database)
        clients[client].user = Int32(place.user)
        clients[client].isCounted = true
        databases[place.database].clientCount += 1
        users[place.user].clientCount += 1
        clients[client].isExempt = record.isExempt
        clients[client].isAdmitted = record.isAdmitted
        clients[client].isInLedger = record.isInLedger
        clients[client].processID = record.processID
        clients[client].hasLongKey = record.secret.count == 32
        for (index, byte) in record.secret.enumerated() { clients[client].secret[index] = byte }
        // The sender may have looked at the clock later than this worker did in this turn.
        clients[client].connectedAt = min(record.connectedAt, now)
        clients[client].connectedAtWall = record.connectedAtWall
        clients[client].lastActivity = min(record.lastActivity, now)
        clientOrigins[client] = ClientOrigin(
            address: String(decoding: record.address, as: UTF8.self), port: Int(record.port),
            localAddress: String(decoding: record.localAddress, as: UTF8.self),
            localPort: Int(record.localPort), isUnix: record.isUnix, peerProcessID: record.peerProcessID,
            peerUserID: record.peerUserID, isOwnUser: record.isOwnUser)
        clients[client].parameters = set(record.parameters)
        for environment in record.environments {
            let set = set(environment)
            parameters.keep(set)
            parameters.release(set, &bytes)
        }
        clients[client].state = .moving
        pools[place.pool].clientCounts[Int(Client.State.moving.rawValue)] &+= 1
        for statement in record.statements { give(statement, to: client) }
        return client
    }

    private mutating func give(_ moved: MovedStatement, to client: Handle<Client>) {
        let id = unsafe statements.intern(
            moved.hash, body: moved.body.span.bytes, environment: moved.environment, &bytes)
        guard let id else { return }
        guard let name = moved.name else { return clients[client].unnamedStatement = id }
        _ = unsafe giveName(client, id, bytes.intern(name), statements.nameHash(name.span.bytes))
    }
}
