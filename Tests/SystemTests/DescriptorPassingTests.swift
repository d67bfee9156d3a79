import Glibc
import System
import Testing

@Suite struct DescriptorPassingTests {
    /// A descriptor that arrived must lead where the sent one led, and be ours alone.
    @Test(arguments: [Socket.Kind.sequencedPackets, .datagram])
    func descriptorsArriveWithTheirMessage(kind: Socket.Kind) throws {
        let channel = try Socket.pair(kind, nonBlocking: true)
        let pipe = try Descriptors.pipe()
        defer { [channel.first, channel.second, pipe.read].forEach(Descriptors.close) }
        #expect(try DescriptorPassing.receive(from: channel.second) == nil)
        try DescriptorPassing.send([1, 2, 3], [pipe.write, pipe.write], to: channel.first)
        Descriptors.close(pipe.write)
        let message = try #require(try DescriptorPassing.receive(from: channel.second))
        #expect(message.bytes == [1, 2, 3])
        #expect(message.descriptors.count == 2)
        #expect(!message.isTruncated)
        for descriptor in message.descriptors {
            #expect(fcntl(descriptor, F_GETFD) & FD_CLOEXEC != 0)
        }
        try Descriptors.writeAll(try #require(message.descriptors.first), [9])
        #expect(try Descriptors.read(pipe.read, limit: 10) == [9])
        message.descriptors.forEach(Descriptors.close)
    }

    @Test func messagesWithoutDescriptorsKeepTheirBorders() throws {
        let channel = try Socket.pair(.sequencedPackets, nonBlocking: true)
        try DescriptorPassing.send([1], to: channel.first)
        try DescriptorPassing.send([2, 3], to: channel.first)
        #expect(try DescriptorPassing.receive(from: channel.second)?.bytes == [1])
        #expect(try DescriptorPassing.receive(from: channel.second)?.bytes == [2, 3])
        Descriptors.close(channel.first)
        #expect(try DescriptorPassing.receive(from: channel.second)?.isEnd == true)
        Descriptors.close(channel.second)
    }

    @Test func whatDoesNotFitIsSaid() throws {
        let channel = try Socket.pair(.sequencedPackets, nonBlocking: true)
        defer { [channel.first, channel.second].forEach(Descriptors.close) }
        try DescriptorPassing.send([1, 2, 3], to: channel.first)
        let message = try #require(try DescriptorPassing.receive(from: channel.second, byteLimit: 2))
        #expect(message.isTruncated)
        #expect(message.bytes == [1, 2])
    }

    /// The other side being behind is normal: the sender learns it and still has everything.
    @Test func aFullChannelNeverBlocks() throws {
        let channel = try Socket.pair(.datagram, nonBlocking: false)
        defer { [channel.first, channel.second].forEach(Descriptors.close) }
        var sent = 0
        var failure: Errno?
        while failure == nil, sent < 100_000 {
            do {
                try DescriptorPassing.send(
                    [UInt8](repeating: 7, count: 4096), [channel.first], to: channel.first)
                sent += 1
            } catch {
                failure = error
            }
        }
        #expect(failure == Errno(EAGAIN) || failure == Errno(ETOOMANYREFS))
        #expect(sent > 0)
        while let message = try DescriptorPassing.receive(from: channel.second) {
            message.descriptors.forEach(Descriptors.close)
            sent -= 1
        }
        #expect(sent == 0)
    }
}
