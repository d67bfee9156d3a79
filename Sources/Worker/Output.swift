import Base
import EventLoop
import PoolCore
import System
import TLS

/// Sending: what is queued for a connection, and its end.
extension WorkerLoop {
    /// Queues a range of the bytes the core has been shown.
    mutating func queueInput(_ connection: ConnectionID, _ offset: Int, _ count: Int) {
        guard let input = unsafe input, mayQueue(connection) else { return }
        let isScarce = loop.freeSmallBufferCount < loop.smallBufferCount / 4 && !inputBuffer.isLarge
        if inputBuffer.isNone || isScarce || count < 64 && !self[connection].lastSegment.isNone {
            unsafe queueCopy(connection, input + offset, count)
        } else {
            let start = unsafe UnsafeMutableRawPointer(mutating: input + offset)
            let segment = unsafe OutputSegment(
                start: start, count: count, buffer: inputBuffer, memory: nil, capacity: 0)
            guard append(segment, to: connection) else { return }
            references[index(of: inputBuffer)] &+= 1
        }
        markDirty(connection)
        // Of bulk one piece at a time: all the buffers together should fit into the processor's cache.
        if inputBuffer.isLarge || self[connection].queuedCount > WorkerLoop.highWater {
            pauseInput(for: connection)
        }
    }

    /// Queues a range of the core's output.
    mutating func queueOutput(_ connection: ConnectionID, _ offset: Int, _ count: Int) {
        guard mayQueue(connection) else { return }
        unsafe queueCopy(connection, UnsafeRawPointer(core.output.baseAddress + offset), count)
        markDirty(connection)
    }

    @inline(__always)
    private func mayQueue(_ connection: ConnectionID) -> Bool {
        contains(connection) && self[connection].state == .open
    }

    @unsafe
    private mutating func queueCopy(_ connection: ConnectionID, _ bytes: UnsafeRawPointer, _ count: Int) {
        let last = self[connection].lastSegment
        if !last.isNone, !segments[last].isSealed, let block = unsafe segments[last].memory {
            // Bytes may follow those that the kernel is reading; only what is given to it stays as it is.
            let end = unsafe segments[last].start + segments[last].count
            let used = unsafe end - block
            if segments[last].capacity - used >= count {
                unsafe end.copyMemory(from: bytes, byteCount: count)
                segments[last].count += count
                self[connection].queuedCount += count
                return
            }
        }
        let block = unsafe memory.take(max(count, MemoryPool.roomyByteCount))
        unsafe block.memory.copyMemory(from: bytes, byteCount: count)
        let segment = unsafe OutputSegment(
            start: block.memory, count: count, buffer: .none, memory: block.memory, capacity: block.capacity)
        _ = append(segment, to: connection)
    }

    private mutating func append(_ segment: OutputSegment, to connection: ConnectionID) -> Bool {
        guard let handle = segments.insert(segment) else {
            preconditionFailure("more segments are queued than the connections' caps allow")
        }
        let last = self[connection].lastSegment
        if last.isNone { self[connection].firstSegment = handle } else { segments[last].next = handle }
        self[connection].lastSegment = handle
        self[connection].queuedCount += segment.count
        return true
    }

    @inline(__always)
    mutating func markDirty(_ connection: ConnectionID) {
        guard !self[connection].isDirty else { return }
        self[connection].isDirty = true
        dirty.append(connection)
    }

    /// The connection being shown fills another one faster than that one's peer reads.
    @inline(never)
    private mutating func pauseInput(for connection: ConnectionID) {
        guard contains(inputConnection), inputConnection != connection else { return }
        // A server may have a new client while bytes of the one before are unsent: after an error in a COPY.
        if self[connection].blocks != inputConnection { unblock(connection) }
        self[inputConnection].isPaused = true
        self[connection].blocks = inputConnection
    }

    // MARK: Sends

    /// Starts a send on every connection that has something new and none in flight.
    @inline(never)
    mutating func startSends() {
        var index = 0
        while index < dirty.count {
            let connection = dirty[index]
            index &+= 1
            guard contains(connection) else { continue }
            self[connection].isDirty = false
            startSend(connection)
        }
        dirty.removeAll()
    }

    @inline(never)
    private mutating func startSend(_ connection: ConnectionID) {
        let record = self[connection]
        guard !record.isSending, record.state == .open || record.state == .flushing, !record.isConnecting
        else {
            return
        }
        if record.session != nil { return sendSealed(connection) }
        guard !record.firstSegment.isNone else {
            if record.state == .flushing { shutWrite(connection) }
            return
        }
        self[connection].isSending = true
        let first = segments[record.firstSegment]
        if first.next.isNone {
            return unsafe loop.send(
                record.descriptor, tag(Operation.send, connection), first.start, count: first.count)
        }
        sendBatch(connection, record)
    }

    private mutating func sendBatch(_ connection: ConnectionID, _ record: Connection) {
        let first = segments[record.firstSegment]
        let none = unsafe SendRange(start: UnsafeRawPointer(first.start), byteCount: 0)
        let empty = SendBatch(ranges: InlineArray<16, SendRange>(repeating: none))
        guard let batch = batches.insert(empty) else {
            preconditionFailure("there are as many batches as connections can have")
        }
        var count = 0
        var next = record.firstSegment
        while !next.isNone, count < SendBatch.capacity {
            let segment = segments[next]
            batches[batch].ranges[count] = unsafe SendRange(
                start: UnsafeRawPointer(segment.start), byteCount: segment.count)
            count += 1
            next = segment.next
        }
        self[connection].batch = batch
        unsafe UnsafeRawPointer(batches.address(of: batch)).withMemoryRebound(
            to: SendRange.self, capacity: SendBatch.capacity
        ) { ranges in
            unsafe loop.send(record.descriptor, tag(Operation.send, connection), ranges: ranges, count: count)
        }
    }

    /// A send has taken some bytes, or failed.
    mutating func sent(_ completion: Completion) {
        let connection = ConnectionID(slot: completion.tag.slot, generation: completion.tag.generation)
        guard contains(connection) else { return }
        self[connection].isSending = false
        if !self[connection].batch.isNone {
            batches.remove(self[connection].batch)
            self[connection].batch = .none
        }
        if self[connection].state == .closing { return finishClose(connection) }
        if let failure = completion.failure, failure != .interrupted, failure != .cancelled {
            dropOutput(connection)
            if self[connection].state == .flushing { return beginClose(connection) }
            return ended(connection, failure)
        }
        removeSent(connection, Int(max(completion.result, 0)))
        if self[connection].queuedCount <= WorkerLoop.lowWater { unblock(connection) }
        if !self[connection].firstSegment.isNone || self[connection].state == .flushing {
            startSend(connection)
        } else if self[connection].isDetaching {
            finishDetaching(connection)
        }
    }

    private mutating func removeSent(_ connection: ConnectionID, _ count: Int) {
        var rest = count
        self[connection].queuedCount -= count
        if self[connection].session != nil { self[connection].sealedCount -= count }
        while rest > 0 {
            let handle = self[connection].firstSegment
            let part = min(rest, segments[handle].count)
            rest -= part
            if part < segments[handle].count {
                unsafe segments[handle].start += part
                segments[handle].count -= part
            } else {
                removeFirst(connection)
            }
        }
    }

    mutating func removeFirst(_ connection: ConnectionID) {
        let handle = self[connection].firstSegment
        let segment = segments[handle]
        if !segment.buffer.isNone { letGo(segment.buffer) }
        if let block = unsafe segment.memory { unsafe memory.give(block, segment.capacity) }
        self[connection].firstSegment = segment.next
        if segment.next.isNone { self[connection].lastSegment = .none }
        segments.remove(handle)
    }

    private mutating func dropOutput(_ connection: ConnectionID) {
        while !self[connection].firstSegment.isNone { removeFirst(connection) }
        self[connection].queuedCount = 0
        self[connection].sealedCount = 0
        unblock(connection)
    }

    private mutating func unblock(_ connection: ConnectionID) {
        let other = self[connection].blocks
        guard !other.isNone else { return }
        self[connection].blocks = .none
        guard contains(other), self[other].isPaused else { return }
        self[other].isPaused = false
        armReceive(other)
    }

    // MARK: Ends

    /// Ends a connection as the core wants it.
    @inline(never)
    mutating func close(_ connection: ConnectionID, _ style: CloseStyle) {
        guard contains(connection) else { return }
        if style != .elsewhere, self[connection].isOffered { dissolveRelay(connection) }
        switch self[connection].state {
        case .closing, .flushing: return
        case .connecting: return beginClose(connection)
        case .open: break
        }
        if style == .now { return beginClose(connection) }
        if style == .elsewhere {
            return self[connection].isOffered ? confirmRelay(connection) : forget(connection)
        }
        // Nothing that a client would understand can be said before its session stands.
        if self[connection].isShakingHands { return beginClose(connection) }
        if case .server = self[connection].peer, sendFarewell(connection) { return beginClose(connection) }
        self[connection].state = .flushing
        self[connection].isPaused = false
        self[connection].isHeld = false
        dropHeld(connection)
        lingering.append((connection, core.now + WorkerLoop.lingerNanoseconds))
        if lingering.count > lingerLimit { cutLingering() }
        armReceive(connection)
        if !self[connection].isSending { markDirty(connection) }
    }

    /// Waits no longer for those who have had most time: so many wait that descriptors might run out.
    @inline(never)
    private mutating func cutLingering() {
        let count = max(1, lingering.count / 4)
        for entry in lingering.prefix(count) where contains(entry.connection) { beginClose(entry.connection) }
        lingering.removeFirst(count)
    }

    /// Says farewell to PostgreSQL at once, false when something else is still to be sent before: the
    /// connection is not counted any more, and another may be opened in its place in this very turn.
    private mutating func sendFarewell(_ connection: ConnectionID) -> Bool {
        if !self[connection].isSending, self[connection].session != nil { seal(connection) }
        let record = self[connection]
        guard !record.isSending, !record.firstSegment.isNone else { return false }
        let first = segments[record.firstSegment]
        guard first.next.isNone else { return false }
        return unsafe loop.sendNow(record.descriptor, first.start, count: first.count) == first.count
    }

    /// Everything is sent: the peer is told so, and is given a moment to read it and close its end. Closing
    /// with unread input would make the kernel reset the connection, and the peer might never see the last
    /// message.
    mutating func shutWrite(_ connection: ConnectionID) {
        guard !self[connection].isWriteShut else { return }
        self[connection].isWriteShut = true
        loop.shutdown(self[connection].descriptor, .sending)
    }

    /// Closes the descriptor of a connection that lives on in another process.
    private mutating func forget(_ connection: ConnectionID) {
        precondition(!self[connection].isInFlight, "what is handed over is detached")
        self[connection].state = .closing
        dropHeld(connection)
        finishClose(connection)
    }

    /// Cancels what is in flight; the descriptor is closed when the last completion has come.
    @inline(never)
    mutating func beginClose(_ connection: ConnectionID) {
        guard self[connection].state != .closing else { return }
        self[connection].state = .closing
        dropHeld(connection)
        unblock(connection)
        let record = self[connection]
        if record.isReceiving { loop.cancel(tag(Operation.receive, connection), on: record.descriptor) }
        if record.isSending { loop.cancel(tag(Operation.send, connection), on: record.descriptor) }
        if record.isConnecting { loop.cancel(tag(Operation.connect, connection), on: record.descriptor) }
        if !record.isConnecting { loop.shutdown(record.descriptor, .both) }
        finishClose(connection)
    }

    /// Closes the descriptor of a connection that is closing, when nothing is in flight any more.
    @inline(never)
    mutating func finishClose(_ connection: ConnectionID) {
        guard self[connection].state == .closing, !self[connection].isInFlight else { return }
        dropOutput(connection)
        loop.close(self[connection].descriptor)
        self[connection].session?.free()
        connections.remove(Handle<Connection>(raw: connection.raw))
    }

    private mutating func dropHeld(_ connection: ConnectionID) {
        guard let held = unsafe self[connection].held else { return }
        unsafe memory.give(held, self[connection].heldCapacity)
        unsafe self[connection].held = nil
        self[connection].heldCount = 0
    }

    // MARK: Deadlines

    /// When the worker itself has something to do, on the loop clock.
    @inline(never)
    func nextDeadline() -> UInt64 {
        var next = UInt64.max
        if let first = lingering.first { next = min(next, first.deadline) }
        for paused in pausedListeners where suspension == nil { next = min(next, paused.until) }
        if let suspension, suspension.epoch != nil { next = min(next, suspension.deadline) }
        if !unsent.isEmpty { next = min(next, core.now + 10_000_000) }
        if !untold.isEmpty { next = min(next, core.now + 1_000_000) }
        return next
    }

    /// Does what the worker itself has a deadline for.
    @inline(never)
    mutating func meetDeadlines() {
        var past = 0
        while past < lingering.count, lingering[past].deadline <= core.now {
            if contains(lingering[past].connection) { beginClose(lingering[past].connection) }
            past += 1
        }
        if past > 0 { lingering.removeFirst(past) }
        if !pausedListeners.isEmpty, suspension == nil { resumeListeners() }
        while let first = untold.first, send(first.record, [], toWorker: first.worker) {
            untold.removeFirst()
        }
        while let message = unsent.first {
            guard send(message, [], to: context.control) else { return }
            unsent.removeFirst()
        }
    }
}
