import Config
import SharedState
import System

/// The number of workers: as the instance starts, and when a reload changes it.
extension Supervisor {
    /// Most workers of an instance.
    static let workerLimit = 64

    /// How many workers the settings want, and why.
    static func workerCount(_ settings: Settings) -> (count: Int, reason: String) {
        if let workers = settings.workers { return (workers, "configured") }
        return Limits.automaticWorkerCount()
    }

    /// Starts workers, or has them leave, until there are as many as are wanted.
    ///
    /// Those with the highest indexes leave. What was made for them stays, so that they can come back.
    func resize(to wanted: (count: Int, reason: String)) {
        log.write(.log, "workers: \(wanted.count) (\(wanted.reason))")
        let before = workers.count
        while workers.count < wanted.count {
            do throws(SystemError) { try addSlot() } catch {
                log.write(.error, "cannot add worker \(workers.count): \(error)")
                break
            }
        }
        // One that knows their channels too.
        if workers.count > before { startHelper() }
        for index in workers.indices {
            let isWanted = index < wanted.count
            guard isWanted != workers[index].isWanted else { continue }
            workers[index].isWanted = isWanted
            if !isWanted {
                leave(index)
            } else if workers[index].process == nil {
                startWorker(index)
            }
        }
    }

    /// A place for another worker, which begins as one that is not wanted.
    private func addSlot() throws(SystemError) {
        let index = workers.count
        var slot = try WorkerSlot()
        slot.isWanted = false
        try listeners.addWorker()
        workers.append(slot)
        segment.segment.workerCount = workers.count
        for other in 0..<index { _ = send(.workerAdded(index: index), to: other, passing: slot.inboxSender) }
    }

    /// Has a worker hand over what it has, and end.
    private func leave(_ index: Int) {
        workers[index].nextStartNanoseconds = nil
        guard let process = workers[index].process else { return }
        log.write(.log, "worker \(index) [\(process)] leaves")
        workers[index].isLeaving = true
        segment.segment.worker(index).state = .draining
        steer()
        epoch += 1
        _ = send(.order(Order(epoch: epoch, kind: .drain)), to: index)
    }
}
