import Base
import EventLoop
import PoolCore
import SharedState
import System

/// Accepting clients.
extension WorkerLoop {
    /// How long accepting pauses when descriptors have run out.
    private static let acceptPause: UInt64 = 100_000_000

    /// Starts accepting on all listeners.
    mutating func armListeners() {
        guard !isOpen, !isLeaving else { return }
        isOpen = true
        setListenerOptions()
        for index in context.listeners.indices { arm(listener: index) }
    }

    /// Sets what connections over TCP have from their listeners.
    mutating func setListenerOptions() {
        for listener in context.listeners where listener.family == .tcp {
            if let problem = connectionOptions.apply(toListener: listener.descriptor) {
                log(.warning, "\(listener.description): \(problem)")
            }
        }
    }

    /// Starts accepting on a listener.
    mutating func arm(listener index: Int) {
        let listener = context.listeners[index]
        let tag = Tag(operation: Operation.accept, slot: UInt32(index), generation: 0)
        armedListenerCount += 1
        switch listener.sharing {
        case .own: loop.accept(listener.descriptor, tag)
        case .shared: loop.acceptShared(listener.descriptor, tag)
        }
    }

    /// A listener has a new connection, or trouble.
    mutating func accepted(_ completion: Completion) {
        let index = Int(completion.tag.slot)
        if !completion.hasMore { armedListenerCount -= 1 }
        if completion.result >= 0 {
            if let other = isLeaving ? core.emptiestOther() : core.betterPlace(),
                passOn(completion.result, to: other)
            {
                // It has clearly fewer clients, or will be there longer.
            } else {
                serve(completion.result, from: context.listeners[index])
            }
        } else if let failure = completion.failure, !failure.isTransient {
            if acceptsClients {
                log(.warning, "accept() failed on \(context.listeners[index].description): \(failure)")
            }
        }
        if suspension != nil {
            if !completion.hasMore { suspension?.listeners.append(index) }
            return
        }
        guard !completion.hasMore, !isLeaving, acceptsClients || context.listeners[index].family == .unix
        else { return }
        if completion.result < 0 {
            pausedListeners.append((index, core.now + WorkerLoop.acceptPause))
        } else {
            arm(listener: index)
        }
    }

    /// Tries the listeners again that had to pause.
    mutating func resumeListeners() {
        let due = pausedListeners.filter { $0.until <= core.now }
        pausedListeners.removeAll { $0.until <= core.now }
        for paused in due { arm(listener: paused.index) }
    }

    /// Takes no more clients over TCP: from now on connecting is refused.
    mutating func stopListening() {
        acceptsClients = false
        for (index, listener) in context.listeners.enumerated() where listener.family == .tcp {
            let tag = Tag(operation: Operation.accept, slot: UInt32(index), generation: 0)
            loop.cancel(tag, on: listener.descriptor)
            loop.shutdown(listener.descriptor, .both)
        }
    }

    /// Leaves accepting to the others. The sockets stay: they are the supervisor's.
    mutating func stopAccepting() {
        isLeaving = true
        pausedListeners.removeAll()
        cancelAccepts()
    }

    /// Ends the accepts in flight on all listeners.
    mutating func cancelAccepts() {
        for (index, listener) in context.listeners.enumerated() {
            let tag = Tag(operation: Operation.accept, slot: UInt32(index), generation: 0)
            loop.cancel(tag, on: listener.descriptor)
        }
    }

    /// Ends a worker that leaves when nothing is left in it. What is in its inbox by then the supervisor
    /// passes on.
    @inline(never)
    mutating func leaveIfVacant() {
        guard core.isVacant, connections.count == 0, armedListenerCount == 0, untold.isEmpty else { return }
        report(.drained)
        isEnding = true
    }

    /// Has another worker serve a connection that has just been accepted; false when its inbox is full.
    mutating func passOn(_ descriptor: Int32, to worker: Int) -> Bool {
        var record = ByteBuffer(capacity: 64)
        guard (try? InboxMessage.accepted.encode(incarnation: 0, into: &record)) != nil,
            send([UInt8](copyingBytes: record.bytes), [descriptor], toWorker: worker)
        else { return false }
        Descriptors.close(descriptor)
        return true
    }

    mutating func serve(_ descriptor: Int32, from listener: WorkerListener) {
        if listener.family == .tcp,
            let problem = connectionOptions.apply(to: descriptor, isAccepted: true)
        {
            log(.warning, "\(problem)")
        }
        let record = Connection(descriptor: descriptor, peer: .client(.none), state: .open)
        guard let handle = connections.insert(record) else { return Descriptors.close(descriptor) }
        tell(.accepted(ConnectionID(raw: handle.raw), origin(of: descriptor, listener)))
    }

    private func origin(of descriptor: Int32, _ listener: WorkerListener) -> ClientOrigin {
        guard listener.family == .tcp else {
            let peer = Socket.peerCredentials(of: descriptor)
            var origin = ClientOrigin(
                address: "unix", port: Int(listener.port), localAddress: "unix",
                localPort: Int(listener.port),
                isUnix: true, peerProcessID: peer?.processID ?? -1,
                peerUserID: peer.map { Int64($0.userID) } ?? -1,
                isOwnUser: peer?.userID == ownUserID)
            if core.wantsPeerNames, let peer, let name = Accounts.userName(id: peer.userID) {
                origin.peerUserName = Array(name.utf8)
            }
            return origin
        }
        let remote = Socket.peerAddress(of: descriptor)
        let local = Socket.localAddress(of: descriptor)
        return ClientOrigin(
            address: remote?.hostText ?? "", port: Int(remote?.port ?? 0),
            localAddress: local?.hostText ?? "",
            localPort: Int(local?.port ?? 0))
    }
}
