import Base
import Crypto
import EventLoop
import PoolCore
import System

/// Receiving: from completions to what the core is shown, and what is kept until it wants more.
extension WorkerLoop {
    /// A receive has brought something.
    mutating func received(_ completion: Completion) {
        let connection = ConnectionID(slot: completion.tag.slot, generation: completion.tag.generation)
        let buffer = completion.buffer
        if !buffer.isNone { references[index(of: buffer)] = 1 }
        defer { if !buffer.isNone { letGo(buffer) } }
        // Closed while this receive was in flight. Expected; only its buffer matters now.
        guard contains(connection) else { return }
        if !completion.hasMore {
            self[connection].isReceiving = false
            self[connection].isReceiveCancelled = false
        }
        switch self[connection].state {
        case .closing:
            return finishClose(connection)
        case .flushing:
            if completion.result <= 0, completion.failure != .noBuffers { return beginClose(connection) }
            return armReceive(connection)
        case .connecting, .open:
            break
        }
        if completion.result > 0 {
            let bytes = unsafe loop.bytes(of: completion)
            noteFill(connection, completion)
            if self[connection].session != nil {
                unsafe takeEncrypted(connection, bytes)
            } else {
                unsafe take(connection, bytes.baseAddress!, bytes.count, buffer)
            }
            guard contains(connection), self[connection].state == .open else { return }
            return armReceive(connection)
        }
        switch completion.failure {
        case .noBuffers?:
            starve(connection)
        case .cancelled?:
            armReceive(connection)
        case let failure:
            ended(connection, failure)
        }
    }

    /// The peer has closed the connection, or it broke.
    @inline(never)
    func reason(_ connection: ConnectionID, _ failure: Errno?) -> String {
        if let failure { return failure.description }
        switch self[connection].peer {
        case .client, .console: return "client unexpected eof"
        case .server: return "server closed the connection"
        }
    }

    /// Tells the core that a connection is at its end.
    @inline(never)
    mutating func ended(_ connection: ConnectionID, _ failure: Errno?) {
        guard self[connection].relay.isNone else { return endRelay(connection) }
        tell(.closed(self[connection].peer, reason(connection, failure)))
    }

    /// Receives that come back full are bulk: from then on large buffers are used, one receive at a time.
    private mutating func noteFill(_ connection: ConnectionID, _ completion: Completion) {
        let capacity = loop.byteCapacity(of: completion.buffer)
        if completion.buffer.isLarge {
            if Int(completion.result) < capacity / 8, !completion.leavesBytes {
                self[connection].isBulk = false
                self[connection].expectsBulk = true
            }
        } else if Int(completion.result) == capacity {
            self[connection].fullCount &+= 1
            if self[connection].fullCount >= 3 || self[connection].expectsBulk {
                self[connection].isBulk = true
                self[connection].fullCount = 0
            }
        } else {
            self[connection].expectsBulk = false
            self[connection].fullCount = 0
        }
    }

    // MARK: Arming

    /// Receives on, if the connection is to receive and does not already.
    mutating func armReceive(_ connection: ConnectionID) {
        let record = self[connection]
        guard record.state == .open || record.state == .flushing else { return }
        // A message that has come in part is waited for, or its rest would be taken for another.
        guard !record.isDetaching || record.heldCount > 0 && !record.peer.isClient else {
            return stopReceiving(connection)
        }
        if suspension != nil, isSuspended(connection) {
            guard record.isReceiving, !record.isReceiveCancelled else { return }
            self[connection].isReceiveCancelled = true
            return loop.cancel(tag(Operation.receive, connection), on: record.descriptor)
        }
        let isWanted = !record.isPaused && (!record.isHeld || record.heldCount < WorkerLoop.heldLimit)
        if record.isReceiving {
            // A multishot receive goes on by itself; it is ended where its bytes are not wanted any more, or
            // are wanted in larger pieces.
            let canGrow = record.isBulk && loop.freeLargeBufferCount > 0
            guard !record.isReceiveCancelled, !record.isBulkReceive, !isWanted || canGrow else { return }
            self[connection].isReceiveCancelled = true
            return loop.cancel(tag(Operation.receive, connection), on: record.descriptor)
        }
        guard isWanted else { return }
        if record.isBulk, loop.freeLargeBufferCount > 0 {
            guard bulkAllowance > 0 else { return awaitBulk(connection) }
            bulkAllowance -= 1
            self[connection].isReceiving = true
            self[connection].isBulkReceive = true
            let buffer = loop.reserveLargeBuffer()
            return loop.receive(record.descriptor, tag(Operation.receive, connection), into: buffer)
        }
        self[connection].isReceiving = true
        self[connection].isBulkReceive = false
        // The first bytes of a burst tell whether it is one: more of them in small pieces would be slow.
        loop.receive(record.descriptor, tag(Operation.receive, connection), once: record.expectsBulk)
    }

    @inline(never)
    private mutating func starve(_ connection: ConnectionID) {
        guard !self[connection].isStarved else { return }
        self[connection].isStarved = true
        starved.append(connection)
    }

    /// Lets connections that found no buffer try again, in the order in which they began to wait.
    @inline(never)
    mutating func feedStarved() {
        guard !starved.isEmpty, loop.freeSmallBufferCount > 0 else { return }
        let count = min(starved.count, loop.freeSmallBufferCount)
        for index in 0..<count where contains(starved[index]) {
            let connection = starved[index]
            self[connection].isStarved = false
            armReceive(connection)
        }
        starved.removeFirst(count)
    }

    @inline(never)
    private mutating func awaitBulk(_ connection: ConnectionID) {
        guard !self[connection].isStarved else { return }
        self[connection].isStarved = true
        bulkWaiters.append(connection)
    }

    /// Lets a few bulk connections receive, in the order in which they began to wait.
    ///
    /// A piece of bulk is written by the receive, walked over, and read by the send: few at a time stay in
    /// the processor's cache meanwhile, and those who want little need not wait for many.
    mutating func feedBulk() {
        bulkAllowance = WorkerLoop.bulkPerTurn
        guard !bulkWaiters.isEmpty else { return }
        let count = min(bulkWaiters.count, bulkAllowance)
        for index in 0..<count where contains(bulkWaiters[index]) {
            let connection = bulkWaiters[index]
            self[connection].isStarved = false
            armReceive(connection)
        }
        bulkWaiters.removeFirst(count)
    }

    // MARK: Showing

    /// Takes in bytes that have just arrived in a buffer.
    @unsafe
    mutating func take(
        _ connection: ConnectionID, _ bytes: UnsafeRawPointer, _ count: Int, _ buffer: BufferID
    ) {
        guard self[connection].relay.isNone else {
            return unsafe relay(connection, bytes, count, buffer)
        }
        var offset = 0
        while offset < count {
            guard contains(connection), self[connection].state == .open else { return }
            if self[connection].isHeld {
                unsafe hold(connection, bytes + offset, count - offset)
                return
            }
            let missing = self[connection].needed - self[connection].heldCount
            if self[connection].heldCount > 0 {
                // Only as much as makes the held bytes complete is copied; the rest is shown where it is.
                let part = min(max(missing, 1), count - offset)
                unsafe hold(connection, bytes + offset, part)
                offset += part
                if self[connection].heldCount >= self[connection].needed { showHeld(connection) }
                continue
            }
            let consumption = unsafe show(connection, bytes + offset, count - offset, buffer)
            offset += consumption.consumed
            guard offset < count, contains(connection), self[connection].state == .open else { return }
            if self[connection].isShakingHands {
                return unsafe takeEncrypted(
                    connection, UnsafeRawBufferPointer(start: bytes + offset, count: count - offset))
            }
            unsafe hold(connection, bytes + offset, count - offset)
            return
        }
    }

    /// Shows the core bytes and carries out what it wants. Forwarded bytes are sent from where they are;
    /// those outside a receive buffer are copied.
    @unsafe
    private mutating func show(
        _ connection: ConnectionID, _ bytes: UnsafeRawPointer, _ count: Int, _ buffer: BufferID
    ) -> Consumption {
        if core.entropy.needsRefill { refillEntropy() }
        unsafe input = bytes
        inputBuffer = buffer
        inputConnection = connection
        let span = unsafe RawSpan(_unsafeStart: bytes, byteCount: count)
        let consumption = core.received(self[connection].peer, span)
        // Taken before the actions: carrying one out may show the core other bytes.
        let secrets = core.secretBytes
        core.secretBytes = 0..<0
        if consumption.consumed < count {
            // Before the actions: one of them may be to show the rest again, where a server became free for
            // the very client that has just begun to wait.
            self[connection].needed = consumption.needed
            self[connection].isHeld = consumption.needed == 0
        }
        execute()
        if !secrets.isEmpty { unsafe wipe(bytes, count, secrets) }
        unsafe input = nil
        inputConnection = .none
        return consumption
    }

    /// Overwrites the passwords and proofs among the bytes that were shown. Nothing that is sent on stands
    /// among them.
    @unsafe
    @inline(never)
    private func wipe(_ bytes: UnsafeRawPointer, _ count: Int, _ range: Range<Int>) {
        precondition(range.upperBound <= count, "secrets are among the bytes that were shown")
        let start = unsafe UnsafeMutableRawPointer(mutating: bytes) + range.lowerBound
        unsafe Zeroing.zero(UnsafeMutableRawBufferPointer(start: start, count: range.count))
    }

    /// Shows the core the held bytes of a connection, as long as it takes some.
    @inline(never)
    mutating func showHeld(_ connection: ConnectionID) {
        while contains(connection), self[connection].state == .open, !self[connection].isHeld,
            self[connection].heldCount > 0, self[connection].heldCount >= self[connection].needed,
            let held = unsafe self[connection].held
        {
            // The record must not own the memory while the core looks at it: actions may close the
            // connection.
            let count = self[connection].heldCount
            let capacity = self[connection].heldCapacity
            unsafe self[connection].held = nil
            self[connection].heldCount = 0
            self[connection].needed = 0
            let consumption = unsafe show(connection, UnsafeRawPointer(held), count, .none)
            let rest = count - consumption.consumed
            if rest > 0, contains(connection), self[connection].isShakingHands {
                let start = unsafe UnsafeRawPointer(held + consumption.consumed)
                unsafe takeEncrypted(connection, UnsafeRawBufferPointer(start: start, count: rest))
                unsafe memory.give(held, capacity)
            } else if rest > 0, contains(connection), self[connection].state == .open {
                unsafe held.copyMemory(from: held + consumption.consumed, byteCount: rest)
                unsafe self[connection].held = held
                self[connection].heldCount = rest
                self[connection].heldCapacity = capacity
            } else {
                unsafe memory.give(held, capacity)
            }
        }
    }

    /// Keeps bytes for the core.
    @unsafe
    @inline(never)
    mutating func hold(_ connection: ConnectionID, _ bytes: UnsafeRawPointer, _ count: Int) {
        let heldCount = self[connection].heldCount
        let total = heldCount + count
        if unsafe self[connection].held == nil || self[connection].heldCapacity < total {
            // By what has come and not by what was announced: that may be all that ever comes.
            let wanted = max(total, min(self[connection].needed, max(total * 4, 256)))
            let block = unsafe memory.take(wanted)
            if let old = unsafe self[connection].held {
                unsafe block.memory.copyMemory(from: old, byteCount: heldCount)
                unsafe memory.give(old, self[connection].heldCapacity)
            }
            unsafe self[connection].held = block.memory
            unsafe self[connection].heldCapacity = block.capacity
        }
        unsafe (self[connection].held! + heldCount).copyMemory(from: bytes, byteCount: count)
        self[connection].heldCount = total
    }

    // MARK: Buffers

    /// The place of a buffer in `references`.
    @inline(__always)
    func index(of buffer: BufferID) -> Int {
        buffer.isLarge ? loop.smallBufferCount + Int(buffer.raw & 0x7FFF) : Int(buffer.raw)
    }

    /// One holder of a receive buffer less; the last one gives it back.
    @inline(__always)
    mutating func letGo(_ buffer: BufferID) {
        let index = index(of: buffer)
        references[index] &-= 1
        if references[index] == 0 { loop.giveBack(buffer) }
    }

    /// The tag of an operation on a connection.
    @inline(__always)
    func tag(_ operation: UInt8, _ connection: ConnectionID) -> Tag {
        Tag(operation: operation, slot: connection.slot, generation: connection.generation)
    }
}
