import Config
import Console
import SharedState
import System

/// How the instance ends.
extension Supervisor {
    /// How long workers that were told to end at once may take.
    private static let immediateNanoseconds: UInt64 = 300_000_000

    /// Whether nothing is left to wait for.
    var isOver: Bool { shutdown != nil && workers.allSatisfy { $0.process == nil } }

    /// Begins to end; a more urgent way replaces a slower one.
    func beginShutdown(_ mode: ShutdownMode) {
        guard shutdown != .immediate, shutdown == nil || mode == .immediate else { return }
        if shutdown == nil { manager.stopping(status: "shutting down") }
        shutdown = mode
        for index in workers.indices { workers[index].nextStartNanoseconds = nil }
        // While any process holds a listener open, connecting to it still succeeds; workers close theirs
        // too.
        listeners.closeTCP()
        switch mode {
        case .waitForClients: order(.shutdownWaitForClients)
        case .waitForServers: order(.shutdownWaitForServers)
        case .immediate:
            killNanoseconds = Clock.monotonicNanoseconds + Supervisor.immediateNanoseconds
            order(.shutdownNow)
        }
    }

    /// Ends when no worker has anything left to serve. Until then those that have nothing stay for the
    /// console.
    func endWhenDrained() {
        guard shutdown != nil, shutdown != .immediate,
            workers.allSatisfy({ $0.process == nil || $0.isDrained })
        else { return }
        beginShutdown(.immediate)
    }

    /// Ends the workers that did not end by themselves.
    func killWorkers() {
        killNanoseconds = .max
        for worker in workers { if let process = worker.process { Process.send(Signals.kill, to: process) } }
    }

    /// Leaves nothing behind and ends the process.
    func end() -> Never {
        if let process = helper.process {
            Process.send(Signals.supervisorLost, to: process)
            _ = Process.wait(for: process)
        }
        endWeb()
        reload.run?.abandon()
        listeners.removeFiles()
        control?.remove()
        if !configuration.settings.pidFile.isEmpty { PidFile.remove(configuration.settings.pidFile) }
        drainLogs()
        log.write(.log, "process down")
        log.finish()
        Process.exitNow(exitStatus)
    }
}
