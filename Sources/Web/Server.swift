import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Listens, and has each connection served.
final class Server: Sendable {
    /// Connections that are served at once; more are closed as they come.
    private static let connectionLimit = 64

    private let collector: Collector
    private let connectionCount = Mutex(0)

    init(_ collector: Collector) { self.collector = collector }

    /// Begins to serve.
    func start(_ address: ListenAddress) throws {
        // One thread: what is shared is shared by turns.
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try self.begin(channel) }
            }
        var failure: (any Error)?
        for host in address.hosts {
            do {
                _ = try bootstrap.bind(host: host, port: address.port).wait()
                return
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    private func begin(_ channel: any Channel) throws {
        let count = connectionCount.withLock { count in
            count += 1
            return count
        }
        channel.closeFuture.whenComplete { _ in self.connectionCount.withLock { $0 -= 1 } }
        guard count <= Server.connectionLimit else {
            Log.write("more than \(Server.connectionLimit) connections: the next one is closed")
            throw ChannelError.inputClosed
        }
        try channel.pipeline.syncOperations.configureHTTPServerPipeline()
        try channel.pipeline.syncOperations.addHandler(RequestHandler(collector))
    }
}
