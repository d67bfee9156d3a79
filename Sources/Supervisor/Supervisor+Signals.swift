import Console
import SharedState
import System

/// Signals, with the meanings they have in PgBouncer.
extension Supervisor {
    /// Handles every signal that has arrived.
    func takeSignals() {
        while let (signal, _) = Signals.next(from: signals) {
            switch signal {
            case Signals.childEnded: reapChildren()
            case Signals.reload:
                log.write(.log, "got SIGHUP, re-reading config")
                requestReload(for: nil)
            case Signals.endAfterClients: endAfterClients()
            case Signals.endAfterServers: endAfterServers()
            case Signals.endNow:
                log.write(.log, "got SIGQUIT, shutting down immediately")
                beginShutdown(.immediate)
            case Signals.pause: pauseBySignal()
            case Signals.resume: resumeBySignal()
            default: log.write(.debug, "got signal \(signal), which means nothing here")
            }
        }
    }

    private func endAfterClients() {
        guard shutdown == nil else {
            log.write(.log, "got SIGTERM while shutting down, shutting down immediately")
            return beginShutdown(.immediate)
        }
        log.write(.log, "got SIGTERM, shutting down, waiting for all clients disconnect")
        beginShutdown(.waitForClients)
    }

    private func endAfterServers() {
        guard shutdown == nil else {
            log.write(.log, "got SIGINT while shutting down, shutting down immediately")
            return beginShutdown(.immediate)
        }
        log.write(.log, "got SIGINT, shutting down, waiting for all servers connections to be released")
        beginShutdown(.waitForServers)
    }

    private func pauseBySignal() {
        if shutdown != nil { return log.write(.log, "got SIGUSR1 while shutting down, ignoring") }
        if inForce.isPaused || inForce.isSuspended {
            return log.write(.log, "got SIGUSR1, but already paused/suspended")
        }
        log.write(.log, "got SIGUSR1, pausing all activity")
        inForce.isPaused = true
        order(.pause)
    }

    private func resumeBySignal() {
        if shutdown != nil { return log.write(.log, "got SIGUSR2 while shutting down, ignoring") }
        guard inForce.isAnythingPaused else {
            return log.write(.log, "got SIGUSR2, but not paused/suspended")
        }
        log.write(.log, "got SIGUSR2, continuing from PAUSE")
        _ = inForce.resume()
        order(.resume)
    }
}
