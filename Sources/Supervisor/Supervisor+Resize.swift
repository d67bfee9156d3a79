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
    /// Those with the highest indexes leave. What was made for them stays, for others.
    func resize(to wanted: (count: Int, reason: String)) {
        log.write(.log, "workers: \(wanted.count) (\(wanted.reason))")
        let before = workers.count
        let serving = workers.indices.filter { workers[$0].isWanted }
        for index in serving.dropFirst(wanted.count) {
            workers[index].isWanted = false
            leave(index)
        }
        for _ in 0..<max(0, wanted.count - serving.count) {
            guard let index = vacantSlot else { break }
            workers[index].isWanted = true
            if workers[index].process == nil { startWorker(index) }
        }
        // One that knows the channels of those that are new.
        if workers.count > before { startHelper() }
    }

    /// A place for one more worker: one that nobody has any more, else a new one, else one whose process is
    /// about to leave.
    var vacantSlot: Int? {
        if let index = workers.indices.first(where: { !workers[$0].isWanted && workers[$0].process == nil }) {
            return index
        }
        if workers.count < Supervisor.workerLimit {
            do throws(SystemError) {
                try addSlot()
                return workers.count - 1
            } catch {
                log.write(.error, "cannot add worker \(workers.count): \(error)")
            }
        }
        return workers.indices.first { !workers[$0].isWanted }
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
    func leave(_ index: Int) {
        workers[index].nextStartNanoseconds = nil
        guard let process = workers[index].process else { return }
        log.write(.log, "worker \(index) [\(process)] leaves")
        workers[index].isLeaving = true
        segment.segment.worker(index).state = .draining
        steer()
        // Without a number: the others do not get it, and refuse what comes from a worker with a lower one.
        _ = send(.order(Order(epoch: 0, kind: .drain)), to: index)
    }
}
