import Base
import SharedState

#if DEBUG || INVARIANTS
    @testable import PoolCore
#else
    import PoolCore
#endif

/// What a worker does between the core and its sockets. It follows `Sources/Worker`, with smaller numbers so
/// that little traffic reaches the limits.
extension Worker {
    // MARK: Sockets

    /// A new connection between the worker and somebody.
    func makeSocket(_ far: any FarEnd) -> Socket {
        let socket = Socket(ConnectionID(slot: UInt32(world.sockets.count), generation: 1), far, self)
        world.sockets.append(socket)
        return socket
    }

    /// A client connects.
    func accept(_ far: any FarEnd) -> Socket {
        let socket = makeSocket(far)
        tell(
            .accepted(
                socket.id,
                ClientOrigin(address: "10.9.9.9", port: 4711, localAddress: "10.0.0.9", localPort: 6432)))
        return socket
    }

    private func socket(_ id: ConnectionID) -> Socket? {
        if id.isNone { return nil }
        guard id.slot < world.sockets.count else {
            fail("the core names a connection that never was")
            return nil
        }
        return world.sockets[Int(id.slot)]
    }

    // MARK: Receiving

    /// The far end has sent something.
    func write(_ socket: Socket, _ bytes: [UInt8]) {
        guard socket.incomingEnd == nil, !bytes.isEmpty, socket.state != .closed else { return }
        socket.incoming.append(bytes)
        arm(socket)
    }

    /// The far end has closed its side.
    func end(_ socket: Socket, _ ending: Ending) {
        guard socket.incomingEnd == nil else { return }
        socket.incomingEnd = ending
        if ending == .reset {
            // What was on its way is lost from somewhere on.
            if random.chance(70) { socket.incoming.truncate(to: random.below(socket.incoming.count + 1)) }
            socket.outgoing.removeAll()
            socket.outgoingEnd = .reset
            // A send that waits for room fails.
            if socket.waitsForRoom {
                socket.waitsForRoom = false
                world.schedule(after: latency()) { self.sent(socket) }
            }
        }
        arm(socket)
    }

    /// Receives on if the worker wants it.
    func arm(_ socket: Socket) {
        guard !socket.isArriving, socket.state != .closed, socket.peer != nil else { return }
        guard !socket.incoming.isEmpty || socket.incomingEnd != nil else { return }
        guard isWanted(socket) else { return }
        socket.isArriving = true
        world.schedule(after: latency()) { self.arrive(socket) }
    }

    private func isWanted(_ socket: Socket) -> Bool {
        (!socket.isDetaching || !socket.held.isEmpty && socket.peer?.isClient != true) && !socket.isPaused
            && (!socket.isHeld || socket.held.count < setup.heldLimit)
    }

    private func arrive(_ socket: Socket) {
        socket.isArriving = false
        guard !isDead else { return }
        // A receive that is being cancelled may still bring something.
        if socket.isDetaching, socket.held.isEmpty || socket.peer?.isClient == true,
            socket.incoming.isEmpty || random.chance(50)
        {
            return finishDetaching(socket)
        }
        if socket.state == .flushing {
            socket.incoming.removeAll()
            if socket.incomingEnd != nil { beginClose(socket) }
            return
        }
        guard socket.state == .open, isWanted(socket) || socket.isDetaching else { return }
        defer { finishDetaching(socket) }
        if socket.incoming.isEmpty || socket.incomingEnd == .reset && random.chance(30) {
            guard let ending = socket.incomingEnd, let peer = socket.peer else { return }
            return tell(.closed(peer, ending == .reset ? "connection reset by peer" : "end of file"))
        }
        let limit = min(socket.incoming.count, setup.bufferSize)
        let count =
            random.chance(setup.splitPercent) ? random.number(1...min(limit, 40)) : limit
        take(socket, socket.incoming.take(count))
        socket.far.roomCame()
        arm(socket)
    }

    private func take(_ socket: Socket, _ bytes: [UInt8]) {
        var offset = 0
        while offset < bytes.count, failure == nil {
            guard socket.state == .open else { return }
            if socket.isHeld {
                socket.held += bytes[offset...]
                return
            }
            if !socket.held.isEmpty {
                let missing = socket.needed - socket.held.count
                let part = min(max(missing, 1), bytes.count - offset)
                socket.held += bytes[offset..<(offset + part)]
                offset += part
                if socket.held.count >= socket.needed { showHeld(socket) }
                continue
            }
            let consumption = show(socket, offset == 0 ? bytes : Array(bytes[offset...]))
            offset += consumption.consumed
            guard offset < bytes.count, socket.state == .open else { return }
            socket.held = Array(bytes[offset...])
            return
        }
    }

    private func show(_ socket: Socket, _ bytes: [UInt8]) -> Consumption {
        if core.entropy.needsRefill { refillEntropy() }
        guard let peer = socket.peer else { return Consumption(consumed: bytes.count, needed: 0) }
        let consumption = core.received(peer, bytes.rawSpan)
        core.secretBytes = 0..<0
        if consumption.consumed < 0 || consumption.consumed > bytes.count {
            fail("the core consumes \(consumption.consumed) of \(bytes.count) bytes")
        }
        if consumption.needed > 0, consumption.needed <= bytes.count - consumption.consumed {
            fail("the core needs \(consumption.needed) bytes, and has them")
        }
        if consumption.consumed < bytes.count {
            // Before the actions: one of them may be to show the rest again.
            socket.needed = consumption.needed
            socket.isHeld = consumption.needed == 0
        }
        execute(bytes, from: socket)
        return consumption
    }

    private func showHeld(_ socket: Socket) {
        while socket.state == .open, !socket.isHeld, !socket.held.isEmpty,
            socket.held.count >= socket.needed, failure == nil
        {
            let bytes = socket.held
            socket.held = []
            socket.needed = 0
            let consumption = show(socket, bytes)
            if consumption.consumed < bytes.count, socket.state == .open {
                socket.held = Array(bytes[consumption.consumed...])
            }
        }
    }

    // MARK: Actions

    func execute(_ bytes: [UInt8], from socket: Socket?) {
        for index in 0..<core.actions.count { carryOut(core.actions[index], bytes, socket) }
        core.actions.removeAll()
        core.output.removeAll()
        checkInvariants()
        flushAfterwards()
    }

    private func flushAfterwards() {
        while !afterwards.isEmpty, failure == nil { tell(afterwards.removeFirst()) }
    }

    private func carryOut(_ action: Action, _ bytes: [UInt8], _ source: Socket?) {
        switch action {
        case .forward(let id, let offset, let count):
            guard offset >= 0, offset + count <= bytes.count else {
                return fail("the core forwards bytes it was not shown")
            }
            queue(id, Array(bytes[offset..<(offset + count)]), source)
        case .send(let id, let offset, let count):
            queue(id, output(offset, count), nil)
        case .resume(let id):
            if let socket = socket(id) { resume(socket) }
        case .close(let id, let style):
            if let socket = socket(id) { close(socket, style) }
        case .serve(let id, let client):
            guard let socket = socket(id) else { return }
            socket.peer = .client(client)
            arm(socket)
        case .connect(let server):
            guard core.isWanted(server) else { return }
            _ = core.endpoint(of: server)
            attempts.insert(server)
            postgres.connect(server, self)
        case .abandonConnect(let server):
            attempts.remove(server)
        case .log(_, _, let offset, let count):
            trace.note(now, "log: ", output(offset, count))
        case .encrypt:
            fail("nobody asked for TLS")
        case .openConsole:
            fail("nobody asked for the console")
        case .verify:
            fail("nobody's password is judged outside")
        case .broadcastCancel(let client, let offset, let count):
            let key = output(offset, count)
            let others = world.others(than: self)
            for other in others {
                let ticket = CancelTicket(worker: index, number: client.raw)
                tell(other.index, .cancelRequested(key: key, ticket))
            }
            afterwards.append(.cancelBroadcast(client, workers: others.count))
        case .acknowledge(let epoch), .acknowledgeMissing(let epoch):
            if epoch > 0 { acknowledged.insert(epoch) }
        case .drained:
            isDrained = true
        case .answerCancel(let ticket, let isFound):
            tell(ticket.worker, .cancelAnswered(Handle(raw: ticket.number), isFound: isFound))
        case .announceDrop(let offset, let count):
            let name = output(offset, count)
            for other in world.others(than: self) { tell(other.index, .databaseDropped(name)) }
        case .detach, .attach, .adopt, .pass, .tell:
            lend(action)
        }
    }

    /// What has to do with other workers.
    private func lend(_ action: Action) {
        switch action {
        case .detach(let id):
            guard let socket = socket(id), socket.state == .open else { return }
            socket.isDetaching = true
            // Not at once: bytes behind those that led here may be about to be kept.
            world.schedule(after: 0) {
                self.arm(socket)
                self.finishDetaching(socket)
            }
        case .attach(let id):
            guard let socket = socket(id) else { return }
            if socket.worker !== self { return fail("a worker receives on the connection of another") }
            socket.isDetaching = false
            socket.isPassed = false
            arm(socket)
        case .adopt(let id, let peer):
            guard let socket = socket(id) else { return }
            socket.peer = peer
            socket.worker = self
            socket.isHeld = false
            socket.needed = 0
            if !socket.held.isEmpty, !socket.isResumed {
                socket.isResumed = true
                resumed.append(socket)
            }
            socket.isDetaching = false
            socket.isPassed = false
            socket.isPaused = false
            arm(socket)
        case .pass(let peer, let worker, let offset, let count):
            guard let socket = socket(core.connection(of: peer)), !random.chance(5) else {
                return afterwards.append(.passFailed(peer))
            }
            socket.isPassed = true
            guard peer.isClient else { return world.post(to: worker, output(offset, count), [socket]) }
            let companion = self.socket(core.companion(of: peer))
            companion?.isPassed = true
            var buffer = ByteBuffer()
            let record = output(offset, count) + socket.held
            let message: InboxMessage =
                companion == nil ? .move(record: record) : .moveSession(record: record)
            guard (try? message.encode(incarnation: core.incarnation(ofWorker: worker), into: &buffer)) != nil
            else { return fail("a client's record is too long") }
            let sockets = [socket] + (companion.map { [$0] } ?? [])
            world.post(to: worker, buffer.bytes.withUnsafeBytes { Array($0) }, sockets)
        case .tell(let worker, let offset, let count):
            world.post(to: worker, output(offset, count), [])
        default:
            fail("this is about one worker alone")
        }
    }

    private func finishDetaching(_ socket: Socket) {
        guard socket.isDetaching, !socket.isPassed, !socket.isArriving, !socket.isSending,
            socket.queued.isEmpty, socket.state == .open, let peer = socket.peer,
            socket.held.isEmpty || peer.isClient
        else { return }
        // The core may hear of it behind the actions that something else has led to, or by itself.
        guard random.chance(50) else { return later(.detached(peer)) }
        afterwards.append(.detached(peer))
        world.schedule(after: UInt64(random.number(0...20_000_000))) { self.flushAfterwards() }
    }

    /// Has another worker learn something after a while.
    private func tell(_ index: Int, _ event: Event) {
        world.schedule(after: latency()) { [world] in
            if let worker = world.workers[index] { worker.tell(event) }
        }
    }

    private func output(_ offset: Int, _ count: Int) -> [UInt8] {
        Array(UnsafeRawBufferPointer(start: core.output.baseAddress + offset, count: count))
    }

    private func resume(_ socket: Socket) {
        // What another worker has taken is detached here for ever.
        guard socket.worker === self, socket.state == .open else { return }
        if socket.isPaused {
            socket.isPaused = false
            arm(socket)
        }
        guard socket.isHeld, !socket.isResumed else { return }
        socket.isResumed = true
        resumed.append(socket)
    }

    /// Shows the core the held input it has asked for again.
    func deliverResumed() {
        var index = 0
        while index < resumed.count, failure == nil {
            let socket = resumed[index]
            index += 1
            socket.isResumed = false
            guard socket.state == .open else { continue }
            socket.isHeld = false
            socket.needed = 0
            showHeld(socket)
            arm(socket)
        }
        resumed.removeAll()
    }

    // MARK: Sending

    private func queue(_ id: ConnectionID, _ bytes: [UInt8], _ source: Socket?) {
        guard let socket = socket(id), socket.state == .open else { return }
        socket.queued.append(bytes)
        markDirty(socket)
        if let source, source !== socket, socket.queued.count > setup.highWater {
            // Bytes of the client before may be unsent: after an error in a COPY.
            if socket.blocks !== source { unblock(socket) }
            source.isPaused = true
            socket.blocks = source
        }
    }

    private func markDirty(_ socket: Socket) {
        guard !socket.isDirty else { return }
        socket.isDirty = true
        dirty.append(socket)
    }

    func startSends() {
        for socket in dirty {
            socket.isDirty = false
            startSend(socket)
        }
        dirty.removeAll()
    }

    private func startSend(_ socket: Socket) {
        guard !socket.isSending, socket.state != .closed else { return }
        guard !socket.queued.isEmpty else {
            if socket.state == .flushing, !socket.isWriteShut {
                socket.isWriteShut = true
                leave(socket, .closed)
            }
            return
        }
        socket.isSending = true
        world.schedule(after: latency()) { self.sent(socket) }
    }

    private func sent(_ socket: Socket) {
        guard socket.state != .closed else { return }
        defer { finishDetaching(socket) }
        if socket.outgoingEnd == .reset {
            socket.isSending = false
            socket.queued.removeAll()
            unblock(socket)
            if socket.state == .flushing { return beginClose(socket) }
            if let peer = socket.peer { tell(.closed(peer, "broken pipe")) }
            return
        }
        let room = setup.networkRoom - socket.outgoing.count
        guard room > 0 else {
            socket.waitsForRoom = true
            return
        }
        socket.isSending = false
        let limit = min(room, socket.queued.count)
        let count = random.chance(setup.splitPercent) ? random.number(1...limit) : limit
        socket.outgoing.append(socket.queued.take(count))
        depart(socket)
        if socket.queued.count <= setup.lowWater { unblock(socket) }
        if !socket.queued.isEmpty || socket.state == .flushing { startSend(socket) }
    }

    private func unblock(_ socket: Socket) {
        guard let other = socket.blocks else { return }
        socket.blocks = nil
        guard other.worker === self, other.isPaused else { return }
        other.isPaused = false
        arm(other)
    }

    /// Brings what the network has to the far end.
    func depart(_ socket: Socket) {
        guard !socket.isDeparting, !socket.far.isStalled else { return }
        guard !socket.outgoing.isEmpty || socket.outgoingEnd != nil else { return }
        socket.isDeparting = true
        // Whose it is by then: the network does not care who has sent the bytes.
        world.schedule(after: latency()) { socket.worker.deliver(socket) }
    }

    private func deliver(_ socket: Socket) {
        socket.isDeparting = false
        guard !socket.far.isStalled else { return }
        if socket.outgoing.isEmpty {
            if let ending = socket.outgoingEnd { socket.far.ended(ending) }
            return
        }
        let limit = socket.outgoing.count
        let count = random.chance(setup.splitPercent) ? random.number(1...limit) : limit
        socket.far.received(socket.outgoing.take(count))
        if socket.waitsForRoom {
            socket.waitsForRoom = false
            world.schedule(after: latency()) { socket.worker.sent(socket) }
        }
        depart(socket)
    }

    func leave(_ socket: Socket, _ ending: Ending) {
        guard socket.outgoingEnd == nil else { return }
        socket.outgoingEnd = ending
        depart(socket)
    }

    // MARK: Ends

    private func close(_ socket: Socket, _ style: CloseStyle) {
        guard socket.state == .open else { return }
        if style == .elsewhere { return world.letGo(socket) }
        if socket.worker !== self { return fail("a worker closes the connection of another") }
        if style == .now { return beginClose(socket) }
        socket.state = .flushing
        socket.isPaused = false
        socket.isHeld = false
        socket.held = []
        world.schedule(after: 2_000_000_000) { self.beginClose(socket) }
        arm(socket)
        if !socket.isSending { markDirty(socket) }
    }

    func beginClose(_ socket: Socket) {
        guard socket.state != .closed else { return }
        socket.state = .closed
        socket.held = []
        socket.queued.removeAll()
        unblock(socket)
        // Closing with unread input makes the kernel reset the connection.
        leave(socket, socket.incoming.isEmpty ? .closed : .reset)
        socket.incoming.removeAll()
        depart(socket)
    }
}
