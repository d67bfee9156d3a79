import EventLoop
import Glibc
import System
import Testing

@Suite struct ReceiveTests {
    @Test(arguments: backends)
    func bytesArriveOneCompletionPerMessage(backend: EventLoop.Preference) throws {
        var loop = try EventLoop(backend)
        let (client, server) = try tcpPair()
        defer { Descriptors.close(client) }
        loop.receive(server, tag(Operation.receive, 7))
        for round in 0..<20 as Range<UInt8> {
            try write([1, 2, round], to: client)
            let events = loop.run { !$0.isEmpty }
            #expect(events == [Event(operation: 2, slot: 7, result: 3, hasMore: true, bytes: [1, 2, round])])
        }
        #expect(loop.freeSmallBufferCount == loop.smallBufferCount)
        loop.cancel(tag(Operation.receive, 7), on: server)
        #expect(loop.run { !$0.isEmpty }.map(\.result) == [errorNumber(ECANCELED)])
        loop.close(server)
        loop.wait(timeoutNanoseconds: 0)
    }

    /// What was there before the receive must not wait for more.
    @Test(arguments: backends)
    func bytesThatWaitAreReceivedAtOnce(backend: EventLoop.Preference) throws {
        var loop = try EventLoop(backend)
        let (client, server) = try tcpPair()
        try write([9], to: client)
        usleep(1000)
        loop.receive(server, tag(Operation.receive))
        #expect(loop.run { !$0.isEmpty }.first?.bytes == [9])
        Descriptors.close(client)
        let end = loop.run { !$0.isEmpty }
        #expect(end.map(\.result) == [0])
        #expect(end.map(\.hasMore) == [false])
        loop.close(server)
        loop.wait(timeoutNanoseconds: 0)
    }

    /// The end of the stream comes after all bytes, however many buffers they take.
    @Test(arguments: backends, [1, 4095, 4096, 4097, 100_000])
    func allBytesComeBeforeTheEnd(backend: EventLoop.Preference, count: Int) throws {
        var loop = try EventLoop(backend)
        let (client, server) = try tcpPair()
        let sent = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        try write(sent, to: client)
        Descriptors.close(client)
        usleep(1000)
        loop.receive(server, tag(Operation.receive))
        let events = loop.run { $0.last?.hasMore == false }
        #expect(events.flatMap(\.bytes) == sent)
        #expect(events.last?.result == 0)
        #expect(loop.freeSmallBufferCount == loop.smallBufferCount)
        loop.close(server)
        loop.wait(timeoutNanoseconds: 0)
    }

    /// A peer that dies is a failure of the receive, never a trap.
    @Test(arguments: backends)
    func aResetIsAFailure(backend: EventLoop.Preference) throws {
        var loop = try EventLoop(backend)
        let (client, server) = try tcpPair()
        loop.receive(server, tag(Operation.receive))
        loop.wait(timeoutNanoseconds: 0)
        var abortive = linger(l_onoff: 1, l_linger: 0)
        setsockopt(client, SOL_SOCKET, SO_LINGER, &abortive, socklen_t(MemoryLayout<linger>.size))
        Descriptors.close(client)
        let events = loop.run { !$0.isEmpty }
        #expect(events.map(\.result) == [errorNumber(ECONNRESET)])
        #expect(events.last?.hasMore == false)
        loop.close(server)
        loop.wait(timeoutNanoseconds: 0)
    }

    /// Buffers in the caller's hands are not there for others: they are told, and go on when some came back.
    @Test(arguments: backends)
    func withoutBuffersTheReceiveEndsAndCanBeArmedAgain(backend: EventLoop.Preference) throws {
        var limits = EventLoop.Limits()
        limits.smallBufferCount = 4
        limits.smallBufferByteCount = 16
        var loop = try EventLoop(backend, limits: limits)
        let (client, server) = try tcpPair()
        let sent = (0..<200).map { UInt8($0) }
        try write(sent, to: client)
        usleep(1000)
        loop.receive(server, tag(Operation.receive))
        var held: [BufferID] = []
        var received: [UInt8] = []
        var failures = 0
        let deadline = Clock.monotonicNanoseconds + 5_000_000_000
        while received.count < sent.count, Clock.monotonicNanoseconds < deadline {
            let count = loop.wait(timeoutNanoseconds: 10_000_000)
            for index in 0..<count {
                let completion = loop[index]
                if completion.result == -ENOBUFS {
                    #expect(!completion.hasMore)
                    #expect(loop.freeSmallBufferCount == 0)
                    failures += 1
                    held.forEach { loop.giveBack($0) }
                    held = []
                    loop.receive(server, tag(Operation.receive))
                } else {
                    received += Array(loop.bytes(of: completion))
                    held.append(completion.buffer)
                }
            }
        }
        #expect(received == sent)
        #expect(failures >= 3)
        held.forEach { loop.giveBack($0) }
        #expect(loop.freeSmallBufferCount == 4)
        Descriptors.close(client)
        #expect(loop.run { $0.last?.hasMore == false }.last?.result == 0)
        loop.close(server)
        loop.wait(timeoutNanoseconds: 0)
    }

    /// One receive, one completion, the buffer always comes back.
    @Test(arguments: backends)
    func aBulkReceiveFillsItsBufferOnce(backend: EventLoop.Preference) throws {
        var limits = EventLoop.Limits()
        limits.largeBufferByteCount = 65_536
        var loop = try EventLoop(backend, limits: limits)
        let (client, server) = try tcpPair()
        let sent = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 13) }
        try write(sent, to: client)
        usleep(2000)
        var received: [UInt8] = []
        var full = 0
        while received.count < sent.count {
            let buffer = loop.reserveLargeBuffer()
            #expect(loop.freeLargeBufferCount == loop.largeBufferCount - 1)
            loop.receive(server, tag(Operation.receive, 3), into: buffer)
            let count = loop.wait(timeoutNanoseconds: 5_000_000_000)
            #expect(count == 1)
            guard count == 1 else { return }
            let completion = loop[0]
            #expect(completion.buffer == buffer)
            #expect(!completion.hasMore)
            #expect(completion.tag == tag(Operation.receive, 3))
            if completion.result == 65536 { full += 1 }
            received += loop.take(completion).bytes
        }
        #expect(received == sent)
        #expect(full == 1)
        let buffer = loop.reserveLargeBuffer()
        loop.receive(server, tag(Operation.receive, 3), into: buffer)
        #expect(loop.runUntilQuiet().isEmpty)
        Descriptors.close(client)
        let end = loop.run { !$0.isEmpty }
        #expect(end.map(\.result) == [0])
        #expect(loop.freeLargeBufferCount == loop.largeBufferCount)
        loop.close(server)
        loop.wait(timeoutNanoseconds: 0)
    }

    @Test(arguments: backends)
    func aCancelledBulkReceiveHandsItsBufferBack(backend: EventLoop.Preference) throws {
        var loop = try EventLoop(backend)
        let (client, server) = try tcpPair()
        let buffer = loop.reserveLargeBuffer()
        loop.receive(server, tag(Operation.receive, 3), into: buffer)
        #expect(loop.runUntilQuiet().isEmpty)
        loop.cancel(tag(Operation.receive, 3), on: server)
        let count = loop.wait(timeoutNanoseconds: 5_000_000_000)
        #expect(count == 1)
        #expect(loop[0].result == -ECANCELED)
        #expect(loop[0].buffer == buffer)
        #expect(loop[0].tag == tag(Operation.receive, 3))
        loop.giveBack(buffer)
        // The connection is as good as before, for small receives too.
        loop.receive(server, tag(Operation.receive, 4))
        try write([5], to: client)
        #expect(loop.run { !$0.isEmpty }.map(\.bytes) == [[5]])
        Descriptors.close(client)
        #expect(loop.run { !$0.isEmpty }.last?.hasMore == false)
        loop.close(server)
        loop.wait(timeoutNanoseconds: 0)
    }

    /// All large buffers are handed out, then none, then all again.
    @Test(arguments: backends)
    func largeBuffersAreCounted(backend: EventLoop.Preference) throws {
        var limits = EventLoop.Limits()
        limits.largeBufferCount = 3
        var loop = try EventLoop(backend, limits: limits)
        let buffers = (0..<3).map { _ in loop.reserveLargeBuffer() }
        #expect(Set(buffers).count == 3)
        #expect(loop.reserveLargeBuffer().isNone)
        loop.giveBack(buffers[1])
        #expect(loop.reserveLargeBuffer() == buffers[1])
        buffers.forEach { loop.giveBack($0) }
        #expect(loop.freeLargeBufferCount == 3)
    }

    /// Nothing that arrived before a cancel is lost, and exactly one completion is final.
    @Test(arguments: backends)
    func aCancelEndsAReceiveAndLosesNothing(backend: EventLoop.Preference) throws {
        var loop = try EventLoop(backend)
        let (client, server) = try tcpPair()
        loop.receive(server, tag(Operation.receive))
        loop.wait(timeoutNanoseconds: 0)
        try write([1, 2, 3], to: client)
        usleep(1000)
        loop.cancel(tag(Operation.receive), on: server)
        var events = loop.run { $0.last?.hasMore == false }
        #expect(events.filter { !$0.hasMore }.count == 1)
        loop.receive(server, tag(Operation.receive, 1))
        events += loop.runUntilQuiet()
        try write([4], to: client)
        events += loop.run { !$0.isEmpty }
        #expect(events.flatMap(\.bytes) == [1, 2, 3, 4])
        Descriptors.close(client)
        _ = loop.run { !$0.isEmpty }
        // What has ended cannot be cancelled: nothing comes.
        loop.cancel(tag(Operation.receive, 1), on: server)
        #expect(loop.runUntilQuiet().isEmpty)
        loop.close(server)
        loop.wait(timeoutNanoseconds: 0)
    }

    /// A connection that never stops sending must not keep others waiting.
    @Test(arguments: backends)
    func aBusyConnectionLeavesRoomForOthers(backend: EventLoop.Preference) throws {
        var limits = EventLoop.Limits()
        limits.smallBufferByteCount = 512
        limits.smallBufferCount = 64
        var loop = try EventLoop(backend, limits: limits)
        let busy = try tcpPair()
        let quiet = try tcpPair()
        try write([UInt8](repeating: 1, count: 200_000), to: busy.client)
        try write([2], to: quiet.client)
        usleep(1000)
        loop.receive(busy.server, tag(Operation.receive, 1))
        loop.receive(quiet.server, tag(Operation.receive, 2))
        var events: [Event] = []
        let deadline = Clock.monotonicNanoseconds + 5_000_000_000
        while !events.contains(where: { $0.slot == 2 }), Clock.monotonicNanoseconds < deadline {
            let count = loop.wait(timeoutNanoseconds: 0)
            for index in 0..<count {
                let event = loop.take(loop[index])
                if event.result == -ENOBUFS { loop.receive(busy.server, tag(Operation.receive, 1)) }
                events.append(event)
            }
        }
        #expect(events.filter { $0.slot == 1 }.count < 200)
        for descriptor in [busy.client, quiet.client, busy.server, quiet.server] {
            Descriptors.close(descriptor)
        }
    }
}
