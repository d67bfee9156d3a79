import Base
import Config
import EventLoop
import PoolCore
import SharedState

/// SUSPEND, of which the core knows nothing: bytes stay in the kernel, and time stands still.
struct Suspension {
    /// The order that is to be acknowledged, until it is.
    var epoch: UInt64?
    /// When connections are dropped whose peer does not take what is queued for it, on the loop clock.
    let deadline: UInt64
    /// Listeners on which nothing is accepted any more.
    var listeners: [Int] = []
}

extension WorkerLoop {
    /// Stops reading from clients and servers, and accepting. What the console is sent goes on.
    mutating func suspend(_ order: Order) {
        let limit = configuration.settings.suspendTimeoutNanoseconds
        suspension = Suspension(epoch: order.epoch, deadline: core.now + limit)
        cancelAccepts()
        forEachConnection { worker, connection in worker.armReceive(connection) }
        settleSuspension()
    }

    /// Reads and accepts again.
    mutating func endSuspension() {
        guard let ended = suspension else { return }
        suspension = nil
        if let epoch = ended.epoch { report(.acknowledged(epoch: epoch, problem: [])) }
        if !isLeaving { for index in ended.listeners { arm(listener: index) } }
        forEachConnection { worker, connection in worker.armReceive(connection) }
    }

    /// Whether nothing is read from a connection until RESUME.
    func isSuspended(_ connection: ConnectionID) -> Bool {
        guard suspension != nil else { return false }
        return !core.isOfConsole(self[connection].peer)
    }

    /// Acknowledges the order when everything is sent; drops who has not taken it in time.
    @inline(never)
    mutating func settleSuspension() {
        guard let suspended = suspension, let epoch = suspended.epoch else { return }
        var isSettled = true
        let isLate = core.now >= suspended.deadline
        forEachConnection { worker, connection in
            guard worker[connection].state == .open, worker.isSuspended(connection),
                !worker[connection].firstSegment.isNone || worker[connection].isSending
            else { return }
            if isLate {
                worker.tell(.closed(worker[connection].peer, "suspend_timeout"))
            } else {
                isSettled = false
            }
        }
        guard isSettled else { return }
        suspension?.epoch = nil
        report(.acknowledged(epoch: epoch, problem: []))
    }

    private mutating func forEachConnection(_ body: (inout WorkerLoop, ConnectionID) -> Void) {
        for slot in 0..<connections.slotLimit {
            guard let handle = connections.handle(at: slot) else { continue }
            body(&self, ConnectionID(raw: handle.raw))
        }
    }
}
