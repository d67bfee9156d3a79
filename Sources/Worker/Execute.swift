import Base
import EventLoop
import PoolCore
import SharedState
import System

/// Carrying out what the core wants.
extension WorkerLoop {
    /// Carries out all queued actions, in order, and empties the queue.
    mutating func execute() {
        var index = 0
        while index < core.actions.count {
            let action = core.actions[index]
            index &+= 1
            switch action {
            case .forward(let connection, let offset, let count):
                queueInput(connection, offset, count)
            case .send(let connection, let offset, let count):
                queueOutput(connection, offset, count)
            case .resume(let connection):
                resume(connection)
            case .close(let connection, let style):
                close(connection, style)
            case .serve(let connection, let client):
                guard contains(connection) else { continue }
                self[connection].peer = .client(client)
                armReceive(connection)
            case .encrypt(let connection):
                encrypt(connection)
            case .connect(let server):
                connect(server)
            case .abandonConnect(let server):
                abandon(server)
            case .openConsole(let client):
                openConsole(client)
            case .verify(let client):
                verify(client)
            case .broadcastCancel(let client, let offset, let count):
                broadcastCancel(client, offset, count)
            case .answerCancel(let ticket, let isFound):
                answerCancel(ticket, isFound)
            case .announceDrop(let offset, let count):
                announceDrop(offset, count)
            case .detach, .attach, .adopt, .pass, .tell:
                lend(action)
            case .log(let level, let subject, let offset, let count):
                hasLogged = true
                let text = core.output.bytes.extracting(offset..<(offset + count))
                ring.append(
                    level, realtimeMicroseconds: core.wallClock, pid: processID, subject: subject, text: text)
            case .acknowledge(let epoch):
                report(.acknowledged(epoch: epoch, problem: []))
            case .acknowledgeMissing(let epoch):
                reportMissing(epoch)
            case .drained:
                if isSupervisorLost { isEnding = true } else { report(.drained) }
            }
        }
        if index > 0 { hasWorked = true }
        core.actions.removeAll()
        core.output.removeAll()
        // What carrying out an action brought about at once is told to the core when it is done with the
        // rest.
        if !afterwards.isEmpty { flushAfterwards() }
    }

    @inline(never)
    private mutating func reportMissing(_ epoch: UInt64) {
        report(.acknowledged(epoch: epoch, problem: Array("not found".utf8)))
    }

    private mutating func resume(_ connection: ConnectionID) {
        guard contains(connection), self[connection].state == .open else { return }
        if self[connection].isPaused {
            self[connection].isPaused = false
            armReceive(connection)
        }
        guard self[connection].isHeld, !self[connection].isResumed else { return }
        self[connection].isResumed = true
        resumed.append(connection)
    }

    /// Shows the core the held input it has asked for again.
    @inline(never)
    mutating func deliverResumed() {
        var index = 0
        while index < resumed.count {
            let connection = resumed[index]
            index &+= 1
            guard contains(connection) else { continue }
            self[connection].isResumed = false
            guard self[connection].state == .open else { continue }
            self[connection].isHeld = false
            self[connection].needed = 0
            showHeld(connection)
            if contains(connection) { armReceive(connection) }
        }
        resumed.removeAll()
    }

    // MARK: Console and other workers

    /// Passes a console session to the supervisor: one end of a socket pair goes there, the other stays here.
    @inline(never)
    private mutating func openConsole(_ client: Handle<Client>) {
        guard let login = core.consoleLogin(of: client), let pair = try? Socket.pair(.stream) else {
            return afterwards.append(.consoleRefused(client))
        }
        let isSent = send(.consoleLogin(login), [pair.second], to: context.control)
        Descriptors.close(pair.second)
        let record = Connection(descriptor: pair.first, peer: .console(client), state: .open)
        guard isSent, let handle = connections.insert(record) else {
            Descriptors.close(pair.first)
            return afterwards.append(.consoleRefused(client))
        }
        let connection = ConnectionID(raw: handle.raw)
        afterwards.append(.consoleOpened(client, connection))
        armReceive(connection)
    }

    @inline(never)
    private mutating func broadcastCancel(_ client: Handle<Client>, _ offset: Int, _ count: Int) {
        let key = [UInt8](copyingBytes: core.output.bytes.extracting(offset..<(offset + count)))
        let message = InboxMessage.cancel(
            key: key, timeToLive: 0, sender: UInt16(context.index), ticket: client.raw)
        var workers = 0
        for index in context.inboxSenders.indices where index != context.index {
            if tellWorker(index, message) { workers += 1 }
        }
        afterwards.append(.cancelBroadcast(client, workers: workers))
    }

    @inline(never)
    private mutating func answerCancel(_ ticket: CancelTicket, _ isFound: Bool) {
        _ = tellWorker(ticket.worker, .cancelAnswer(ticket: ticket.number, isFound: isFound))
    }

    @inline(never)
    private mutating func announceDrop(_ offset: Int, _ count: Int) {
        let name = [UInt8](copyingBytes: core.output.bytes.extracting(offset..<(offset + count)))
        for index in context.inboxSenders.indices where index != context.index {
            _ = tellWorker(index, .drop(database: name))
        }
    }

    /// Sends a message to another worker's inbox. False when it is full or there is none: the message is
    /// lost, as a packet would be.
    private mutating func tellWorker(_ index: Int, _ message: InboxMessage) -> Bool {
        var record = ByteBuffer(capacity: 512)
        guard (try? message.encode(incarnation: 0, into: &record)) != nil else { return false }
        return send([UInt8](copyingBytes: record.bytes), [], toWorker: index)
    }

    /// Sends a record to another worker's inbox; false when it is full or there is none.
    func send(_ record: [UInt8], _ descriptors: [Int32], toWorker index: Int) -> Bool {
        guard context.inboxSenders.indices.contains(index), context.inboxSenders[index] >= 0 else {
            return false
        }
        return (try? DescriptorPassing.send(record, descriptors, to: context.inboxSenders[index])) != nil
    }

    /// Sends another worker a message; later, if its inbox is full.
    private mutating func tell(_ index: Int, _ record: [UInt8]) {
        guard !send(record, [], toWorker: index), untold.count < WorkerLoop.untoldLimit else { return }
        untold.append((index, record))
    }

    // MARK: Lending

    /// What has to do with other workers.
    @inline(never)
    private mutating func lend(_ action: Action) {
        switch action {
        case .detach(let connection):
            detach(connection)
        case .attach(let connection):
            guard contains(connection) else { return }
            if self[connection].isOffered { dissolveRelay(connection) }
            self[connection].isDetaching = false
            armReceive(connection)
        case .adopt(let connection, let peer):
            adopt(connection, peer)
        case .pass(let peer, let worker, let offset, let count):
            pass(peer, worker, offset, count)
        case .tell(let worker, let offset, let count):
            tell(worker, [UInt8](copyingBytes: core.output.bytes.extracting(offset..<(offset + count))))
        default:
            preconditionFailure("this is about one worker alone")
        }
    }

    /// Ends receiving on a connection that is to be handed over.
    private mutating func detach(_ connection: ConnectionID) {
        guard contains(connection), self[connection].state == .open else { return }
        self[connection].isDetaching = true
        detaching.append(connection)
    }

    /// Stops receiving on connections that are to be handed over. Not as soon as the core wants it: bytes
    /// behind those that led to it may be about to be held.
    @inline(never)
    mutating func stopDetaching() {
        for connection in detaching where contains(connection) && self[connection].isDetaching {
            armReceive(connection)
        }
        detaching.removeAll()
    }

    /// Has the receive on a connection end that is to be handed over; it may still bring something.
    @inline(never)
    mutating func stopReceiving(_ connection: ConnectionID) {
        guard self[connection].isReceiving else { return finishDetaching(connection) }
        guard !self[connection].isReceiveCancelled else { return }
        self[connection].isReceiveCancelled = true
        loop.cancel(tag(Operation.receive, connection), on: self[connection].descriptor)
    }

    /// Tells the core when nothing is in flight any more on a connection that is to be handed over.
    @inline(never)
    mutating func finishDetaching(_ connection: ConnectionID) {
        guard !self[connection].isInFlight, self[connection].firstSegment.isNone,
            self[connection].heldCount == 0 || self[connection].peer.isClient
        else { return }
        afterwards.append(.detached(self[connection].peer))
    }

    /// Sends a client's or server's descriptor to another worker. It stays open here until the core closes
    /// it.
    private mutating func pass(_ peer: Peer, _ worker: Int, _ offset: Int, _ count: Int) {
        let connection = core.connection(of: peer)
        let bytes = [UInt8](copyingBytes: core.output.bytes.extracting(offset..<(offset + count)))
        guard contains(connection) else { return afterwards.append(.passFailed(peer)) }
        let isSent =
            if peer.isClient {
                sendClient(connection, bytes, worker)
            } else if self[connection].session != nil {
                sendRelayed(connection, bytes, worker)
            } else {
                send(bytes, [self[connection].descriptor], toWorker: worker)
            }
        if !isSent { afterwards.append(.passFailed(peer)) }
    }

    /// Sends a client with what it has sent and the core has not used; a long record goes in a memory file.
    private mutating func sendClient(_ connection: ConnectionID, _ record: [UInt8], _ worker: Int) -> Bool {
        var record = record
        if let held = unsafe self[connection].held {
            unsafe record.append(
                contentsOf: UnsafeRawBufferPointer(start: held, count: self[connection].heldCount))
        }
        let isShort = record.count <= WorkerLoop.inlineRecordLimit
        let file = isShort ? nil : try? SharedMemory.sealedCopy("pgsluice client", of: record)
        guard isShort || file != nil else { return false }
        defer { if let file { Descriptors.close(file) } }
        let server = core.companion(of: self[connection].peer)
        let message: InboxMessage =
            switch (contains(server), isShort) {
            case (false, true): .move(record: record)
            case (false, false): .moveAttached(byteCount: UInt64(record.count))
            case (true, true): .moveSession(record: record)
            case (true, false): .moveSessionAttached(byteCount: UInt64(record.count))
            }
        var buffer = ByteBuffer(capacity: 1024)
        let incarnation = core.incarnation(ofWorker: worker)
        guard (try? message.encode(incarnation: incarnation, into: &buffer)) != nil else { return false }
        var descriptors = [self[connection].descriptor]
        if contains(server) { descriptors.append(self[server].descriptor) }
        if let file { descriptors.append(file) }
        return send([UInt8](copyingBytes: buffer.bytes), descriptors, toWorker: worker)
    }

    /// Serves a connection that another worker has sent.
    private mutating func adopt(_ connection: ConnectionID, _ peer: Peer) {
        guard contains(connection) else { return }
        self[connection].peer = peer
        armReceive(connection)
        guard self[connection].heldCount > 0 else { return }
        self[connection].isResumed = true
        resumed.append(connection)
    }

    /// Tells the supervisor something.
    @inline(never)
    mutating func report(_ message: ControlMessage) {
        guard !send(message, [], to: context.control) else { return }
        unsent.append(message)
    }

    /// Sends a message; false when the other side is behind or gone.
    mutating func send(_ message: ControlMessage, _ descriptors: [Int32], to channel: Int32) -> Bool {
        var record = ByteBuffer(capacity: 1024)
        guard (try? message.encode(into: &record)) != nil else { return false }
        let bytes = [UInt8](copyingBytes: record.bytes)
        return (try? DescriptorPassing.send(bytes, descriptors, to: channel)) != nil
    }
}

extension Array where Element == UInt8 {
    /// A copy of these bytes.
    init(copyingBytes bytes: RawSpan) {
        self = unsafe bytes.withUnsafeBytes { unsafe Array($0) }
    }
}
