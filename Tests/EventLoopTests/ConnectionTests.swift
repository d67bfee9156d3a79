import EventLoop
import Glibc
import System
import Testing

@Suite struct ConnectionTests {
    @Test(arguments: backends)
    func oneAcceptBringsManyConnections(backend: EventLoop.Preference) throws {
        var loop = try EventLoop(backend)
        let listener = try Listener.open(try #require(SocketAddress(host: "127.0.0.1", port: 0)))
        let address = try #require(Socket.localAddress(of: listener))
        loop.accept(listener, tag(Operation.accept, 4))
        var clients: [Int32] = []
        for _ in 0..<30 {
            let client = try Socket.open(.ipv4)
            try Socket.connect(client, to: address)
            clients.append(client)
        }
        let events = loop.run { $0.count >= 30 }
        #expect(events.count == 30)
        #expect(events.allSatisfy { $0.result > 2 && $0.hasMore && $0.slot == 4 })
        #expect(Set(events.map(\.result)).count == 30)
        for event in events {
            #expect(fcntl(event.result, F_GETFD) & FD_CLOEXEC != 0)
            #expect(fcntl(event.result, F_GETFL) & O_NONBLOCK == 0)
            loop.close(event.result)
        }
        clients.forEach(Descriptors.close)
        loop.cancel(tag(Operation.accept, 4), on: listener)
        let end = loop.run { !$0.isEmpty }
        #expect(end.map(\.result) == [errorNumber(ECANCELED)])
        #expect(end.map(\.hasMore) == [false])
        loop.close(listener)
        loop.wait(timeoutNanoseconds: 0)
    }

    /// Two loops on one queue: every connection goes to exactly one, none waits for a loop that is busy
    /// elsewhere.
    @Test(arguments: backends)
    func sharedListenersServeEveryConnectionOnce(backend: EventLoop.Preference) throws {
        var first = try EventLoop(backend)
        var second = try EventLoop(backend)
        let path = "@pgsluice-test-\(getpid())-\(SecureRandom.number())"
        let address = try #require(SocketAddress(unixPath: path))
        let listener = try Listener.open(address)
        first.acceptShared(listener, tag(Operation.accept, 1))
        second.acceptShared(listener, tag(Operation.accept, 2))
        #expect(first.runUntilQuiet(milliseconds: 10).isEmpty)
        var clients: [Int32] = []
        func connect(_ count: Int) throws {
            for _ in 0..<count {
                let client = try Socket.open(.unix)
                try Socket.connect(client, to: address)
                clients.append(client)
            }
        }
        // The second loop is stopped: everything must still be served.
        try connect(50)
        var events = first.run { $0.count >= 50 }
        #expect(events.count == 50)
        #expect(second.runUntilQuiet(milliseconds: 10).isEmpty)
        // Now both take turns.
        try connect(50)
        let deadline = Clock.monotonicNanoseconds + 5_000_000_000
        while events.count < 100, Clock.monotonicNanoseconds < deadline {
            for index in 0..<first.wait(timeoutNanoseconds: 1_000_000) {
                events.append(first.take(first[index]))
            }
            for index in 0..<second.wait(timeoutNanoseconds: 1_000_000) {
                events.append(second.take(second[index]))
            }
        }
        #expect(events.count == 100)
        #expect(events.contains { $0.slot == 2 })
        #expect(events.allSatisfy { $0.hasMore && $0.result > 2 })
        for event in events { Descriptors.close(event.result) }
        clients.forEach(Descriptors.close)
        // A cancelled one takes no more.
        first.cancel(tag(Operation.accept, 1), on: listener)
        #expect(first.run { !$0.isEmpty }.map(\.hasMore) == [false])
        clients = []
        try connect(1)
        #expect(first.runUntilQuiet().isEmpty)
        #expect(second.run { !$0.isEmpty }.map(\.slot) == [2])
        // And can begin again.
        first.acceptShared(listener, tag(Operation.accept, 3))
        try connect(1)
        #expect(first.run { !$0.isEmpty }.map(\.slot) == [3])
        clients.forEach(Descriptors.close)
        Descriptors.close(listener)
    }

    @Test(arguments: backends, ["127.0.0.1", "unix"])
    func connectingWorksAndTheConnectionCarriesBytes(backend: EventLoop.Preference, host: String) throws {
        var loop = try EventLoop(backend)
        let unixName = "@pgsluice-test-\(getpid())-\(SecureRandom.number())"
        let wanted = host == "unix" ? SocketAddress(unixPath: unixName) : SocketAddress(host: host, port: 0)
        let listener = try Listener.open(try #require(wanted))
        let address = try #require(Socket.localAddress(of: listener))
        let client = try Socket.open(try #require(address.family))
        loop.accept(listener, tag(Operation.accept))
        loop.connect(client, tag(Operation.connect, 8), to: address)
        let events = loop.run { $0.count >= 2 }
        let connected = try #require(events.first { $0.operation == Operation.connect })
        #expect(connected.result == 0 && connected.slot == 8 && !connected.hasMore)
        let server = try #require(events.first { $0.operation == Operation.accept }).result
        let bytes = Bytes(count: 10)
        loop.receive(client, tag(Operation.receive, 8))
        loop.send(server, tag(Operation.send), bytes.all)
        let echo = loop.run { $0.count >= 2 }
        #expect(echo.first { $0.operation == Operation.receive }?.bytes == Array(bytes.all))
        #expect(fcntl(client, F_GETFL) & O_NONBLOCK == 0)
        Descriptors.close(server)
        #expect(loop.run { !$0.isEmpty }.map(\.result) == [0])
        loop.close(client)
        loop.wait(timeoutNanoseconds: 0)
        Descriptors.close(listener)
    }

    @Test(arguments: backends)
    func aRefusedConnectionIsAFailure(backend: EventLoop.Preference) throws {
        var loop = try EventLoop(backend)
        let listener = try Listener.open(try #require(SocketAddress(host: "127.0.0.1", port: 0)))
        let address = try #require(Socket.localAddress(of: listener))
        Descriptors.close(listener)
        let client = try Socket.open(.ipv4)
        loop.connect(client, tag(Operation.connect), to: address)
        #expect(loop.run { !$0.isEmpty }.map(\.result) == [errorNumber(ECONNREFUSED)])
        loop.close(client)
        let unixClient = try Socket.open(.unix)
        loop.connect(
            unixClient, tag(Operation.connect), to: try #require(SocketAddress(unixPath: "/nowhere/at/all")))
        #expect(loop.run { !$0.isEmpty }.map(\.result) == [errorNumber(ENOENT)])
        loop.close(unixClient)
        loop.wait(timeoutNanoseconds: 0)
    }

    /// A packet that nobody answers: the caller's deadline ends it.
    @Test(arguments: backends)
    func aConnectThatHangsCanBeCancelled(backend: EventLoop.Preference) throws {
        var loop = try EventLoop(backend)
        // A full accept queue drops what comes after.
        var options = Listener.Options()
        options.backlog = 1
        let listener = try Listener.open(try #require(SocketAddress(host: "127.0.0.1", port: 0)), options)
        let address = try #require(Socket.localAddress(of: listener))
        var sockets: [Int32] = []
        for slot in 0..<6 as Range<UInt32> {
            let client = try Socket.open(.ipv4)
            sockets.append(client)
            loop.connect(client, tag(Operation.connect, slot), to: address)
        }
        let connected = Set(loop.runUntilQuiet().filter { $0.result == 0 }.map(\.slot))
        let hanging = (0..<6 as Range<UInt32>).filter { !connected.contains($0) }
        #expect(!hanging.isEmpty)
        for slot in hanging { loop.cancel(tag(Operation.connect, slot), on: sockets[Int(slot)]) }
        let events = loop.run { $0.count >= hanging.count }
        #expect(events.allSatisfy { $0.result == -ECANCELED })
        #expect(Set(events.map(\.slot)) == Set(hanging))
        for socket in sockets { loop.close(socket) }
        loop.wait(timeoutNanoseconds: 0)
        Descriptors.close(listener)
    }

    @Test(arguments: backends)
    func aPolledChannelIsReportedEachTime(backend: EventLoop.Preference) throws {
        var loop = try EventLoop(backend)
        let channel = try Socket.pair(.sequencedPackets, nonBlocking: true)
        try DescriptorPassing.send([0], to: channel.first)
        loop.poll(channel.second, tag(Operation.poll, 6))
        for round in 0..<5 as Range<UInt8> {
            let events = loop.run { !$0.isEmpty }
            #expect(events.allSatisfy { $0.operation == Operation.poll && $0.slot == 6 && $0.hasMore })
            #expect(try DescriptorPassing.receive(from: channel.second)?.bytes == [round])
            #expect(try DescriptorPassing.receive(from: channel.second) == nil)
            #expect(loop.runUntilQuiet(milliseconds: 5).isEmpty)
            try DescriptorPassing.send([round + 1], to: channel.first)
        }
        _ = loop.run { !$0.isEmpty }
        _ = try DescriptorPassing.receive(from: channel.second)
        Descriptors.close(channel.first)
        #expect(!loop.run { !$0.isEmpty }.isEmpty)
        #expect(try DescriptorPassing.receive(from: channel.second)?.isEnd == true)
        loop.cancel(tag(Operation.poll, 6), on: channel.second)
        #expect(loop.run { $0.last?.hasMore == false }.last?.slot == 6)
        loop.close(channel.second)
        loop.wait(timeoutNanoseconds: 0)
    }

    /// A descriptor that also lives elsewhere must be silent here once closed.
    @Test(arguments: backends)
    func aDescriptorThatWasHandedOnIsSilent(backend: EventLoop.Preference) throws {
        var loop = try EventLoop(backend)
        let (client, server) = try tcpPair()
        let elsewhere = dup(server)
        loop.receive(server, tag(Operation.receive))
        loop.wait(timeoutNanoseconds: 0)
        loop.cancel(tag(Operation.receive), on: server)
        #expect(loop.run { !$0.isEmpty }.map(\.result) == [errorNumber(ECANCELED)])
        loop.close(server)
        try write([1], to: client)
        #expect(loop.runUntilQuiet().isEmpty)
        #expect(try Descriptors.read(elsewhere, limit: 10) == [1])
        Descriptors.close(elsewhere)
        Descriptors.close(client)
    }

    /// Running out of descriptors ends the accept, so that the caller can pause; it can begin again.
    @Test(arguments: backends, [false, true])
    func aFailedAcceptIsFinal(backend: EventLoop.Preference, shared: Bool) throws {
        var loop = try EventLoop(backend)
        // A socket that does not listen fails in the same way as one without descriptors left, and harms no
        // other test.
        let socket = try Socket.open(.ipv4, nonBlocking: true)
        if shared {
            loop.acceptShared(socket, tag(Operation.accept))
        } else {
            loop.accept(socket, tag(Operation.accept))
        }
        let events = loop.run { !$0.isEmpty }
        #expect(events.map(\.result) == [errorNumber(EINVAL)])
        #expect(events.map(\.hasMore) == [false])
        loop.close(socket)
        loop.wait(timeoutNanoseconds: 0)
    }
}
