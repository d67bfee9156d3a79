import EventLoop
import Glibc
import System
import Testing

@Suite struct SendTests {
    @Test(arguments: backends)
    func sentBytesArriveAndTheSendCompletesOnce(backend: EventLoop.Preference) throws {
        var loop = try EventLoop(backend)
        let (client, server) = try tcpPair()
        let bytes = Bytes(count: 1000)
        loop.send(server, tag(Operation.send, 9), bytes.all)
        let events = loop.run { !$0.isEmpty }
        #expect(events == [Event(operation: 3, slot: 9, result: 1000, hasMore: false, bytes: [])])
        #expect(try Descriptors.read(client, limit: 2000) == Array(bytes.all))
        loop.close(server)
        loop.wait(timeoutNanoseconds: 0)
        #expect(try Descriptors.read(client, limit: 2000) == [])
        Descriptors.close(client)
    }

    @Test(arguments: backends)
    func rangesAreSentInOrder(backend: EventLoop.Preference) throws {
        var loop = try EventLoop(backend)
        let (client, server) = try tcpPair()
        let bytes = Bytes(count: 100)
        let ranges = UnsafeMutablePointer<SendRange>.allocate(capacity: 3)
        defer { ranges.deallocate() }
        ranges[0] = SendRange(start: bytes.start + 90, byteCount: 10)
        ranges[1] = SendRange(start: bytes.start, byteCount: 0)
        ranges[2] = SendRange(start: bytes.start + 5, byteCount: 3)
        loop.send(server, tag(Operation.send), ranges: ranges, count: 3)
        #expect(loop.run { !$0.isEmpty }.map(\.result) == [13])
        #expect(try Descriptors.read(client, limit: 100) == Array(bytes.all[90...]) + Array(bytes.all[5..<8]))
        Descriptors.close(client)
        loop.close(server)
        loop.wait(timeoutNanoseconds: 0)
    }

    /// With hardly any room in the kernel everything arrives in order, in as many sends as it takes.
    @Test(arguments: backends, [false, true])
    func shortSendsContinue(backend: EventLoop.Preference, inRanges: Bool) throws {
        var loop = try EventLoop(backend)
        let (client, server) = try tcpPair()
        var options = ConnectionOptions()
        options.socketBufferByteCount = 4096
        options.apply(to: server)
        let bytes = Bytes(count: 300_000)
        let ranges = UnsafeMutablePointer<SendRange>.allocate(capacity: 1)
        defer { ranges.deallocate() }
        var sent = 0
        var received: [UInt8] = []
        func send() {
            if inRanges {
                ranges[0] = SendRange(start: bytes.start + sent, byteCount: 300_000 - sent)
                loop.send(server, tag(Operation.send), ranges: ranges, count: 1)
            } else {
                loop.send(server, tag(Operation.send), bytes.start + sent, count: 300_000 - sent)
            }
        }
        send()
        try Descriptors.setNonBlocking(client, true)
        var sends = 0
        let deadline = Clock.monotonicNanoseconds + 10_000_000_000
        while received.count < 300_000, Clock.monotonicNanoseconds < deadline {
            let count = loop.wait(timeoutNanoseconds: 1_000_000)
            for index in 0..<count {
                let completion = loop[index]
                #expect(completion.result > 0)
                sent += Int(completion.result)
                sends += 1
                if sent < 300_000 { send() }
            }
            if let part = try Descriptors.read(client, limit: 65536) { received += part }
        }
        #expect(received == Array(bytes.all))
        #expect(sends > 1)
        Descriptors.close(client)
        loop.close(server)
        loop.wait(timeoutNanoseconds: 0)
    }

    /// A send that is stuck lets receives of the same connection through, and can be cancelled.
    @Test(arguments: backends)
    func aStuckSendCanBeCancelled(backend: EventLoop.Preference) throws {
        var loop = try EventLoop(backend)
        let (client, server) = try tcpPair()
        let bytes = Bytes(count: 1 << 20)
        loop.receive(server, tag(Operation.receive))
        var isStuck = false
        while !isStuck {
            loop.send(server, tag(Operation.send), bytes.all)
            isStuck = !loop.runUntilQuiet(milliseconds: 30).contains { $0.operation == Operation.send }
        }
        try write([7], to: client)
        #expect(loop.run { !$0.isEmpty }.map(\.bytes) == [[7]])
        loop.cancel(tag(Operation.send), on: server)
        let events = loop.run { !$0.isEmpty }
        #expect(events.map(\.operation) == [Operation.send])
        #expect(events.map(\.hasMore) == [false])
        Descriptors.close(client)
        let end = loop.run { $0.contains { !$0.hasMore } }
        #expect(end.last?.operation == Operation.receive)
        loop.close(server)
        loop.wait(timeoutNanoseconds: 0)
    }

    /// Sending to nobody is an error number; a signal would end the process.
    @Test(arguments: backends)
    func aClosedPeerIsAFailure(backend: EventLoop.Preference) throws {
        var loop = try EventLoop(backend)
        let pair = try Socket.pair(.stream)
        Descriptors.close(pair.second)
        let bytes = Bytes(count: 10)
        loop.send(pair.first, tag(Operation.send), bytes.all)
        #expect(loop.run { !$0.isEmpty }.map(\.result) == [errorNumber(EPIPE)])
        loop.close(pair.first)
        loop.wait(timeoutNanoseconds: 0)
    }

    /// A shutdown reaches the peer although a receive is still armed.
    @Test(arguments: backends)
    func aShutdownEndsBothSides(backend: EventLoop.Preference) throws {
        var loop = try EventLoop(backend)
        let (client, server) = try tcpPair()
        loop.receive(server, tag(Operation.receive))
        loop.wait(timeoutNanoseconds: 0)
        loop.shutdown(server, .both)
        let events = loop.run { !$0.isEmpty }
        #expect(events.map(\.result) == [0])
        #expect(try Descriptors.read(client, limit: 1) == [])
        loop.close(server)
        Descriptors.close(client)
        loop.wait(timeoutNanoseconds: 0)
    }

    /// More operations in one turn than the queue holds are submitted in several calls; none is lost.
    @Test(arguments: backends)
    func aFullQueueIsFlushed(backend: EventLoop.Preference) throws {
        var limits = EventLoop.Limits()
        limits.submissionCount = 8
        limits.completionCount = 16
        var loop = try EventLoop(backend, limits: limits)
        var pairs: [(first: Int32, second: Int32)] = []
        let bytes = Bytes(count: 5)
        for slot in 0..<100 as Range<UInt32> {
            let pair = try Socket.pair(.stream)
            pairs.append(pair)
            loop.receive(pair.second, tag(Operation.receive, slot))
            loop.send(pair.first, tag(Operation.send, slot), bytes.all)
        }
        let events = loop.run { $0.count >= 200 }
        #expect(Set(events.filter { $0.operation == Operation.send }.map(\.slot)).count == 100)
        let received = events.filter { $0.operation == Operation.receive }
        #expect(Set(received.map(\.slot)).count == 100)
        #expect(received.allSatisfy { $0.bytes == Array(bytes.all) })
        #expect(loop.backend == .epoll || loop.counters.fullQueueCount > 0)
        for pair in pairs {
            Descriptors.close(pair.first)
            Descriptors.close(pair.second)
        }
    }
}
