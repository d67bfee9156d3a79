public import Base
public import SharedState
import Wire

/// Sessions that move when their worker leaves: a client together with its server.
///
/// Nothing may be under way between the two. The client is read no more (`.moving`), and its server stays
/// linked to it. The worker stops receiving on the server first, so that everything it has said is on its way
/// to the client, and then on the client. The ledger offers both, and one message carries both. The receiver
/// takes the server first and the sender ends the client's transfer first: who has the client has the server.
extension PoolCore {
    /// Begins to move a client with its server, if nothing is under way between them.
    mutating func moveSession(_ client: Handle<Client>, to worker: Int) {
        endMoves()
        let server = clients[client].server
        guard clients[client].state == .linked, isQuiet(client, server), !clients[client].isHeld,
            moves.count < Ledger.transferLimit / 2
        else { return }
        beginMove(client, to: worker)
        actions.append(.detach(servers[server].connection))
    }

    /// Whether nothing is under way between a client and its server.
    private func isQuiet(_ client: Handle<Client>, _ server: Handle<Server>) -> Bool {
        let (ours, other) = (clients[client], servers[server])
        return other.status == TransactionStatus.idle.rawValue && other.replies.isEmpty && !other.needsSync
            && !other.skipsUntilSync && !other.isCopyingIn && other.bodyRemaining == 0
            && other.closingStatements.isEmpty && other.cancelsInFlight == 0 && !other.isReplication
            && clientEncryptions[client] == nil && !holdsSession(of: server)
            && ours.bodyRemaining == 0 && !ours.awaitsReplies && !ours.awaitsPrelude && !ours.isCancelled
            // A request that was held while the client waited has been counted, and would be again where it
            // is seen anew.
            && ours.queryStart == 0
            && !isPaused(other.pool)
    }

    /// Nothing is received any more on the server of a session that moves.
    mutating func sessionDetached(_ server: Handle<Server>) {
        let client = servers[server].client
        guard clients.contains(client), clients[client].state == .moving, servers[server].borrower < 0 else {
            return
        }
        guard isQuiet(client, server) else { return stay(client) }
        servers[server].borrower = clients[client].destination
        actions.append(.detach(clients[client].connection))
    }

    /// Nothing is received any more on either side of a session that moves, and everything has been sent.
    mutating func offerSession(_ client: Handle<Client>) {
        let server = clients[client].server
        guard servers[server].borrower >= 0 else { return }
        guard !lifecycle.isShuttingDown, isQuiet(client, server),
            let statements = movedStatements(of: client),
            let serverTicket = ledger.offer(pools[servers[server].pool].entry)
        else { return stay(client) }
        servers[server].ticket = serverTicket
        guard let ticket = ledger.offer(ledgerClient(client)) else {
            endServerMove(of: client)
            return stay(client)
        }
        clients[client].ticket = ticket
        let start = output.count
        let session = MovedSession(
            client: record(of: client, ticket, statements), server: record(of: server, serverTicket),
            closesServer: servers[server].needsClose)
        session.append(to: &output)
        actions.append(
            .pass(
                .client(client), worker: Int(clients[client].destination), offset: start,
                count: output.count - start))
    }

    /// Ends the transfer of the server of a session that moves; that of its client is over.
    mutating func endServerMove(of client: Handle<Client>) {
        let server = clients[client].server
        guard servers.contains(server), let ticket = servers[server].ticket else { return }
        servers[server].ticket = nil
        guard ledger.end(ticket) == .taken else { return }
        servers[server].isCounted = false
        servers[server].isElsewhere = true
    }

    /// The server of a session that does not move is received from again.
    mutating func stayWithServer(of client: Handle<Client>) {
        let server = clients[client].server
        servers[server].borrower = -1
        actions.append(.attach(servers[server].connection))
    }

    /// The connection of the server that goes with a client; `.none` when that goes alone.
    public func companion(of peer: Peer) -> ConnectionID {
        guard case .client(let client) = peer, clients.contains(client),
            servers.contains(clients[client].server)
        else { return .none }
        return servers[clients[client].server].connection
    }

    // MARK: Receiver

    /// Another worker offers a session; the connections are its descriptors here.
    mutating func moved(
        _ session: MovedSession, _ connection: ConnectionID, _ serverConnection: ConnectionID
    ) {
        let (record, lent) = (session.client, session.server)
        guard servers.count < servers.capacity, let place = place(for: record), !isPaused(place.pool) else {
            return refuse(session, connection, serverConnection)
        }
        joinNames(place.database, place.user)
        guard ledger.take(lent.ticket, from: Int(lent.sender), pools[place.pool].entry) else {
            leaveNames(place.database, place.user)
            return refuse(session, connection, serverConnection)
        }
        let server = adopt(lent, serverConnection, place.pool)
        guard ledger.take(record.ticket, from: Int(record.sender), item(of: record, place)) else {
            // The client has stayed where it is, and its session is over.
            leaveNames(place.database, place.user)
            refuse(record, connection)
            return closeServer(server, reason: "its client has not come with it")
        }
        let client = adopt(record, connection, place)
        learnWelcome(record.pool, place.pool)
        serverWorks(place.pool)
        if session.closesServer { servers[server].needsClose = true }
        join(client, server)
        actions.append(.adopt(serverConnection, .server(server)))
        actions.append(.adopt(connection, .client(client)))
        welcomeWaiters(place.pool)
    }

    private mutating func refuse(
        _ session: MovedSession, _ connection: ConnectionID, _ serverConnection: ConnectionID
    ) {
        refuse(session)
        actions.append(.close(connection, .elsewhere))
        actions.append(.close(serverConnection, .elsewhere))
    }

    /// Says that a session which another worker sends cannot go on here.
    public func refuse(_ session: MovedSession) {
        refuse(session.server)
        refuse(session.client)
    }
}
