import Metrics
import NIOCore
import NIOPosix
import Synchronization

/// Answers from what the console has said within the last second, whoever asks and however often.
final class Collector: Sendable {
    /// How old an answer may be.
    private static let oldest = TimeAmount.seconds(1)

    private struct State {
        var last: (scrape: Scrape, time: NIODeadline)?
        var inFlight: EventLoopFuture<Scrape>?
    }

    private let connection: Mutex<ControlConnection>
    private let state = Mutex(State())
    private let thread = NIOThreadPool(numberOfThreads: 1)

    /// A collector that has asked nothing yet.
    init(_ connection: sending ControlConnection) {
        self.connection = Mutex(connection)
        thread.start()
    }

    /// What the console says, or why it does not.
    ///
    /// - Precondition: called on `loop`, always the same one.
    func latest(on loop: any EventLoop) -> EventLoopFuture<Scrape> {
        state.withLock { state in
            if let inFlight = state.inFlight { return inFlight }
            if let last = state.last, NIODeadline.now() - last.time < Collector.oldest {
                return loop.makeSucceededFuture(last.scrape)
            }
            let asked = NIODeadline.now()
            let future = thread.runIfActive(eventLoop: loop) {
                try self.connection.withLock { try $0.scrape() }
            }
            state.inFlight = future
            // Later, on this loop: the lock is free again by then.
            future.whenComplete { result in
                self.state.withLock { state in
                    state.inFlight = nil
                    if case .success(let scrape) = result { state.last = (scrape, asked) }
                }
            }
            return future
        }
    }
}
