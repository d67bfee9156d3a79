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
        resumeFromSuspend(because: "shutting down")
        shutdown = mode
        if mode == .immediate { ending = Ending(isDraining: ending.isDraining) }
        for index in workers.indices { workers[index].nextStartNanoseconds = nil }
        // While any process holds a listener open, connecting to it still succeeds; workers close theirs
        // too.
        listeners.closeTCP()
        switch mode {
        case .waitForClients, .waitForServers:
            let timeout = configuration.settings.shutdownTimeoutNanoseconds
            if timeout > 0 { ending.deadlineNanoseconds = Clock.monotonicNanoseconds + timeout }
        case .immediate: break
        }
        switch mode {
        case .waitForClients: order(.shutdownWaitForClients)
        case .waitForServers: order(.shutdownWaitForServers)
        case .immediate:
            killNanoseconds = Clock.monotonicNanoseconds + Supervisor.immediateNanoseconds
            order(.shutdownNow)
        }
    }

    /// Begins to leave: whoever asks is told that we are not ready any more, and after `drain_delay` no new
    /// clients are taken and the instance ends with the last of the others.
    func drain(for connection: ConsoleConnection) {
        guard shutdown == nil else { return connection.session.answer(.failed(.shuttingDown)) }
        guard !ending.isDraining else {
            return connection.session.answer(.failed(ConsoleError("already draining")))
        }
        log.write(.log, "\(connection.user) gave the command to drain")
        connection.session.answer(.done)
        ending.isDraining = true
        manager.status("draining")
        // Not before the answer is on its way.
        ending.leaveNanoseconds =
            Clock.monotonicNanoseconds + configuration.settings.drainDelayNanoseconds
    }

    /// What SHOW STATE says.
    var stateForConsole: ConsoleState {
        if ending.isDraining || shutdown != nil { return .draining(isPaused: inForce.isPaused) }
        if inForce.isSuspended { return .suspended }
        return inForce.isPaused ? .paused : .active
    }

    /// Does what is due on the way to the end.
    func keepEnding(_ now: UInt64) {
        if let time = ending.leaveNanoseconds, time <= now {
            ending.leaveNanoseconds = nil
            if shutdown == nil {
                log.write(.log, "drained long enough, waiting for all clients to disconnect")
                beginShutdown(.waitForClients)
            }
        }
        guard let time = ending.deadlineNanoseconds, time <= now else { return }
        let timeout = configuration.settings.shutdownTimeoutNanoseconds
        guard !ending.isDismissing else {
            log.write(.warning, "shutdown_timeout has passed twice, cutting off who is left")
            ending.deadlineNanoseconds = nil
            return beginShutdown(.immediate)
        }
        log.write(.log, "shutdown_timeout has passed, sending the clients away")
        ending.isDismissing = true
        ending.deadlineNanoseconds = now + timeout
        order(.dismissClients)
        for session in console.connections where session.control == nil { endSession(session) }
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
