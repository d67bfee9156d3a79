import Base
import Config
import SharedState
import System

/// What the supervisor remembers of watching its workers.
struct WorkerWatch {
    /// When they are looked at again, monotonic.
    var nextNanoseconds: UInt64 = 0
    /// Since when the supervisor itself has run without a break: no worker is blamed for what came before.
    var awakeSinceNanoseconds: UInt64 = 0
    /// To which workers new connections go; empty before the first choice.
    var steered: [Int] = []
    /// The last worker that was given an orphaned connection.
    var lastHeir = 0
}

/// Watching over the workers: no client waits at one that does not turn.
extension Supervisor {
    /// How long a worker that hangs has for leaving a core file.
    private static let coreNanoseconds: UInt64 = 1_000_000_000
    /// Orphaned connections that are passed on before anything else is looked at.
    private static let orphansPerTurn = 64

    /// Looks whether all workers turn, when it is time to.
    func watchWorkers(_ now: UInt64) {
        if now >= watch.nextNanoseconds {
            // Two turns missed: we were stopped, or the machine was, and the workers with us.
            if now > watch.nextNanoseconds + 2 * WorkerBlock.beatNanoseconds {
                watch.awakeSinceNanoseconds = now
            }
            watch.nextNanoseconds = now + WorkerBlock.beatNanoseconds
            for index in workers.indices where workers[index].process != nil { judge(index, now) }
        }
        steer()
    }

    private func judge(_ index: Int, _ now: UInt64) {
        guard let process = workers[index].process else { return }
        let beat = segment.segment.worker(index).heartbeatMicroseconds * 1000
        let last = max(beat, workers[index].startedNanoseconds, watch.awakeSinceNanoseconds)
        let silence = now > last ? now - last : 0
        let isSilent = silence >= WorkerBlock.silenceNanoseconds
        if isSilent != workers[index].isSilent {
            workers[index].isSilent = isSilent
            let others = workers.count > 1 ? "; new connections go to the others" : ""
            log.write(
                isSilent ? .warning : .log,
                "worker \(index) [\(process)] "
                    + (isSilent ? "does not answer\(others)" : "answers again"))
        }
        guard isSilent else { return workers[index].killNanoseconds = nil }
        if let time = workers[index].killNanoseconds {
            if time <= now { Process.send(Signals.kill, to: process) }
        } else if segment.segment.ledger(of: index).lockHolder == process {
            log.write(
                .error, "worker \(index) [\(process)] has stopped with the lock that all need; ending it")
            workers[index].killNanoseconds = now
            Process.send(Signals.kill, to: process)
        } else if case let limit = configuration.settings.workerHangTimeoutNanoseconds, limit > 0,
            silence >= limit
        {
            log.write(
                .error,
                "worker \(index) [\(process)] has not turned for \(seconds(silence)) s "
                    + "(worker_hang_timeout); ending it")
            workers[index].killNanoseconds = now + Supervisor.coreNanoseconds
            Process.send(Signals.abort, to: process)
        }
    }

    // MARK: Connections

    /// Whether a worker takes new connections, or will in a moment.
    private func isOpen(_ index: Int) -> Bool {
        workers[index].process != nil && !workers[index].isSilent && !workers[index].isDrained
            && !workers[index].isLeaving && !workers[index].isOnTrial
    }

    /// Has new TCP connections go to those who take them, if there is anybody.
    func steer() {
        guard shutdown == nil else { return }
        let open = workers.indices.filter { isOpen($0) }
        guard !open.isEmpty, open != watch.steered else { return }
        do { try listeners.steer(to: open) } catch { log.write(.warning, "\(error)") }
        watch.steered = open
    }

    /// The queues of connections that the workers they were made for do not accept, while others could.
    var orphanedQueues: [Int32] {
        guard shutdown == nil, heir != nil else { return [] }
        return workers.indices.filter { !isOpen($0) }.flatMap { listeners.queues(ofWorker: $0) }
    }

    /// Passes what waits in a queue to those who serve, one after the other.
    func serveOrphans(of queue: Int32) {
        for _ in 0..<Supervisor.orphansPerTurn {
            guard let connection = try? Socket.accept(queue) else { return }
            passOn(connection)
            Descriptors.close(connection)
        }
    }

    /// Gives a fresh connection to a worker that serves; the descriptor stays the caller's.
    ///
    /// Through the inbox: what a worker that dies has not read of that is passed on again.
    func passOn(_ connection: Int32) {
        var record = ByteBuffer(capacity: 64)
        do { try InboxMessage.accepted.encode(incarnation: 0, into: &record) } catch { return }
        let bytes = unsafe record.bytes.withUnsafeBytes { unsafe [UInt8]($0) }
        for _ in workers {
            guard let heir else { return }
            watch.lastHeir = heir
            do { try DescriptorPassing.send(bytes, [connection], to: workers[heir].inboxSender) } catch {
                continue
            }
            return
        }
    }

    /// The next worker in turn that serves.
    private var heir: Int? {
        for step in 1...workers.count {
            let index = (watch.lastHeir + step) % workers.count
            if isOpen(index), workers[index].isReady { return index }
        }
        return nil
    }
}
