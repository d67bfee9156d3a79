import Base
import Config
import EventLoop
import PoolCore
import System
import TLS

/// TLS between the sockets and the core: what comes is decrypted before it is shown, what goes is encrypted
/// when it is sent. All sessions share one channel, in which nothing stays between two calls.
extension WorkerLoop {
    /// Plaintext that is encrypted at once, before the next send: what is behind it may still grow.
    private static let sealLimit = 64 * 1024

    // MARK: Handshakes

    /// Makes a connection one that is encrypted; the handshake begins.
    @inline(never)
    mutating func encrypt(_ connection: ConnectionID) {
        guard contains(connection), self[connection].state == .open else { return }
        var made: TLSSession?
        switch self[connection].peer {
        case .client:
            if let context = contexts.client { made = TLSSession(context, channel) }
        case .server(let server):
            let (settings, host, isName) = core.serverTLS(of: server)
            if let context = contexts.server(settings) {
                made = TLSSession(context, channel, serverName: isName ? host : nil)
            }
        case .console: break
        }
        guard let session = made else {
            return afterwards.append(.closed(self[connection].peer, "no TLS session could be made"))
        }
        self[connection].session = session
        self[connection].isShakingHands = true
        // The answer to the request goes in plain.
        self[connection].sealedCount = self[connection].queuedCount
        markSealed(connection)
        self[connection].isHeld = false
        self[connection].needed = 0
        guard case .server = self[connection].peer else { return }
        // What another session reads at this moment is not for this one.
        let others = unsafe channel.input
        unsafe channel.input = UnsafeRawBufferPointer(start: nil, count: 0)
        defer { unsafe channel.input = others }
        _ = session.shakeHands()
        queueSealed(connection)
    }

    private mutating func markSealed(_ connection: ConnectionID) {
        var next = self[connection].firstSegment
        while !next.isNone {
            segments[next].isSealed = true
            next = segments[next].next
        }
    }

    /// Takes in bytes of an encrypted connection.
    @unsafe
    @inline(never)
    mutating func takeEncrypted(_ connection: ConnectionID, _ bytes: UnsafeRawBufferPointer) {
        guard let session = self[connection].session, let start = bytes.baseAddress else { return }
        if self[connection].isShakingHands {
            if handshakeAllowance == 0 || self[connection].heldCount > 0 {
                // Each step takes long: others are served before.
                if self[connection].heldCount == 0 { handshakes.append(connection) }
                return unsafe hold(connection, start, bytes.count)
            }
            handshakeAllowance -= 1
        }
        unsafe channel.input = bytes
        if self[connection].isShakingHands, !shakeHands(connection, session) { return }
        unsafe decrypt(connection, session)
    }

    /// Goes on with handshakes that had to wait.
    mutating func feedHandshakes() {
        handshakeAllowance = WorkerLoop.handshakesPerTurn
        guard !handshakes.isEmpty else { return }
        let count = min(handshakes.count, WorkerLoop.handshakesPerTurn)
        for index in 0..<count {
            let connection = handshakes[index]
            guard contains(connection), self[connection].state == .open,
                let held = unsafe self[connection].held
            else { continue }
            let (byteCount, capacity) = (self[connection].heldCount, self[connection].heldCapacity)
            unsafe self[connection].held = nil
            self[connection].heldCount = 0
            unsafe takeEncrypted(connection, UnsafeRawBufferPointer(start: held, count: byteCount))
            unsafe memory.give(held, capacity)
            if contains(connection) { armReceive(connection) }
        }
        handshakes.removeFirst(count)
    }

    /// Goes on with a handshake; true when it is done.
    private mutating func shakeHands(_ connection: ConnectionID, _ session: TLSSession) -> Bool {
        let progress = session.shakeHands()
        queueSealed(connection)
        switch progress {
        case .waiting: return false
        case .failed(let error):
            failEncrypted(connection, "TLS handshake failed: \(error)")
            return false
        case .done: break
        }
        if case .server(let server) = self[connection].peer {
            let (settings, host, _) = core.serverTLS(of: server)
            if settings.mode == .verifyFull, !session.matches(host: host) {
                failEncrypted(
                    connection, "TLS handshake failed: the server's certificate is not for \"\(host)\"")
                return false
            }
        }
        self[connection].isShakingHands = false
        let encryption = Encryption(
            version: session.version, cipher: session.cipher, verifiedNames: session.verifiedNames,
            endPoint: self[connection].peer.isClient ? session.endPoint : session.peerEndPoint)
        // Telling the core may lead to other sessions' use of the channel.
        let rest = unsafe channel.input
        tell(.encrypted(self[connection].peer, encryption))
        guard contains(connection), self[connection].state == .open else { return false }
        unsafe channel.input = rest
        return true
    }

    /// Ends a connection whose session is broken, after the alert has been sent.
    private mutating func failEncrypted(_ connection: ConnectionID, _ reason: String) {
        let peer = self[connection].peer
        guard self[connection].relay.isNone else { return endRelay(connection) }
        sendAlert(connection)
        tell(.closed(peer, reason))
    }

    /// Sends at once what the session has said last: the connection is closed without waiting for anything.
    private func sendAlert(_ connection: ConnectionID) {
        let record = self[connection]
        guard !record.isSending, record.sealedCount > 0 else { return }
        let first = segments[record.firstSegment]
        _ = unsafe loop.sendNow(record.descriptor, first.start, count: first.count)
    }

    // MARK: Input

    /// Decrypts what is in the channel, and takes it in.
    @unsafe
    private mutating func decrypt(_ connection: ConnectionID, _ session: TLSSession) {
        while contains(connection), self[connection].state == .open {
            switch session.read(channel) {
            case .bytes(let count):
                // What is taken in may be passed to another session, which uses the channel.
                let rest = unsafe channel.input
                // An answer to a change of keys.
                queueSealed(connection)
                unsafe take(connection, UnsafeRawPointer(channel.plain.baseAddress!), count, .none)
                unsafe channel.input = rest
            case .empty:
                return queueSealed(connection)
            case .end:
                return ended(connection, nil)
            case .broken(let error):
                queueSealed(connection)
                return failEncrypted(connection, "\(error)")
            }
        }
    }

    // MARK: Output

    /// Queues what the session has written for the peer, in front of all plaintext.
    @inline(never)
    private mutating func queueSealed(_ connection: ConnectionID) {
        let bytes = unsafe channel.output
        guard bytes.count > 0, let start = bytes.baseAddress, contains(connection) else { return }
        let block = unsafe memory.take(bytes.count)
        unsafe block.memory.copyMemory(from: start, byteCount: bytes.count)
        var segment = unsafe OutputSegment(
            start: block.memory, count: bytes.count, buffer: .none, memory: block.memory,
            capacity: block.capacity)
        channel.emptyOutput()
        segment.isSealed = true
        var before = Handle<OutputSegment>.none
        var next = self[connection].firstSegment
        while !next.isNone, segments[next].isSealed {
            before = next
            next = segments[next].next
        }
        segment.next = next
        let count = segment.count
        guard let handle = segments.insert(segment) else {
            preconditionFailure("more segments are queued than the connections' caps allow")
        }
        if before.isNone { self[connection].firstSegment = handle } else { segments[before].next = handle }
        if next.isNone { self[connection].lastSegment = handle }
        self[connection].queuedCount += count
        self[connection].sealedCount += count
        markDirty(connection)
    }

    /// Starts a send on an encrypted connection that has none in flight.
    @inline(never)
    mutating func sendSealed(_ connection: ConnectionID) {
        if self[connection].sealedCount == 0 { seal(connection) }
        guard self[connection].sealedCount > 0 else {
            guard self[connection].state == .flushing, self[connection].firstSegment.isNone else { return }
            return shutWrite(connection)
        }
        let first = segments[self[connection].firstSegment]
        self[connection].isSending = true
        unsafe loop.send(
            self[connection].descriptor, tag(Operation.send, connection), first.start, count: first.count)
    }

    /// Encrypts queued plaintext, as much as is sent next; at the end of a connection also the goodbye.
    mutating func seal(_ connection: ConnectionID) {
        guard let session = self[connection].session, !self[connection].isShakingHands else { return }
        var taken = 0
        var isWhole = true
        while isWhole, taken < WorkerLoop.sealLimit, !self[connection].firstSegment.isNone,
            !segments[self[connection].firstSegment].isSealed
        {
            let (bytes, count) = unsafe gather(connection)
            isWhole = unsafe session.write(bytes)
            for _ in 0..<count { removeFirst(connection) }
            taken += bytes.count
        }
        self[connection].queuedCount -= taken
        if !isWhole {
            // Nothing can be said any more; the peer will find it broken.
            channel.emptyOutput()
            return failLater(connection)
        }
        if self[connection].state == .flushing, self[connection].firstSegment.isNone,
            !self[connection].isGoodbyeSaid
        {
            self[connection].isGoodbyeSaid = true
            session.sayGoodbye()
        }
        queueSealed(connection)
    }

    private mutating func failLater(_ connection: ConnectionID) {
        if !self[connection].relay.isNone {
            endRelay(connection)
        } else if self[connection].state == .open {
            afterwards.append(.closed(self[connection].peer, "TLS session is broken"))
        } else {
            beginClose(connection)
        }
    }

    /// The next run of plaintext: one long segment where it is, or several short ones put together.
    @unsafe
    private mutating func gather(
        _ connection: ConnectionID
    ) -> (bytes: UnsafeRawBufferPointer, segments: Int) {
        let first = segments[self[connection].firstSegment]
        if first.next.isNone || first.count >= TLSChannel.recordCapacity {
            return unsafe (UnsafeRawBufferPointer(start: first.start, count: first.count), 1)
        }
        let room = unsafe channel.record.baseAddress!
        var next = self[connection].firstSegment
        var (count, number) = (0, 0)
        while !next.isNone, count + segments[next].count <= TLSChannel.recordCapacity {
            unsafe (room + count).copyMemory(from: segments[next].start, byteCount: segments[next].count)
            count += segments[next].count
            number += 1
            next = segments[next].next
        }
        return unsafe (UnsafeRawBufferPointer(start: room, count: count), number)
    }

    // MARK: Relays

    /// Lends a server whose TLS session stays here: another worker gets one end of a socket pair, and what
    /// goes through it is passed on to the server and back until either is closed.
    mutating func sendRelayed(_ connection: ConnectionID, _ record: [UInt8], _ worker: Int) -> Bool {
        guard let pair = try? Socket.pair(.stream) else { return false }
        defer { Descriptors.close(pair.second) }
        var end = Connection(descriptor: pair.first, peer: self[connection].peer, state: .open)
        end.relay = connection
        guard send(record, [pair.second], toWorker: worker), let handle = connections.insert(end) else {
            Descriptors.close(pair.first)
            return false
        }
        let other = ConnectionID(raw: handle.raw)
        self[connection].relay = other
        self[connection].isOffered = true
        armReceive(other)
        return true
    }

    /// A server that was offered has been taken: from now on it is only passed on here.
    mutating func confirmRelay(_ connection: ConnectionID) {
        self[connection].isOffered = false
        guard contains(self[connection].relay) else { return beginClose(connection) }
        receiveForRelay(connection)
    }

    /// A server that was offered has not been taken: it is used here again. Nothing has been passed on.
    mutating func dissolveRelay(_ connection: ConnectionID) {
        self[connection].isOffered = false
        if contains(self[connection].relay) { beginClose(self[connection].relay) }
        self[connection].relay = .none
    }

    /// Receives on the encrypted end. Not before the other end has shown that there is somebody: what the
    /// server says before must not be lost if there is nobody.
    private mutating func receiveForRelay(_ connection: ConnectionID) {
        guard self[connection].isDetaching else { return }
        self[connection].isDetaching = false
        armReceive(connection)
    }

    /// Passes bytes from one end of a relay to the other.
    @unsafe
    mutating func relay(
        _ connection: ConnectionID, _ bytes: UnsafeRawPointer, _ count: Int, _ buffer: BufferID
    ) {
        let other = self[connection].relay
        if contains(other), self[other].isOffered { receiveForRelay(other) }
        unsafe input = bytes
        inputBuffer = buffer
        inputConnection = connection
        queueInput(other, 0, count)
        unsafe input = nil
        inputConnection = .none
    }

    /// One end of a relay is closed: the other is closed too, when everything has been sent.
    mutating func endRelay(_ connection: ConnectionID) {
        let other = self[connection].relay
        beginClose(connection)
        guard contains(other) else { return }
        if self[other].isOffered, self[other].isDetaching {
            // Whoever was offered it has not wanted it, as it seems; the core will know.
            self[other].relay = .none
        } else {
            close(other, .flushed)
        }
    }
}
