import Config
import Console
import SharedState
import System

/// A reload under way, and who waits for it.
struct ReloadProgress {
    /// The check, until it has ended.
    var run: ValidationRun?
    /// Sessions that wait for the reload under way; empty for signals.
    var waiters: [ConsoleID] = []
    /// Whether another one was asked for meanwhile, which may see newer files.
    var isWantedAgain = false
    /// Sessions that wait for that one.
    var nextWaiters: [ConsoleID] = []
    /// What there is to say about the last one that has ended.
    var lastLines = [ReloadLine("result", "none since the start")]
    /// What there is to say so far about the one under way: warnings, then changes.
    var lines: [ReloadLine] = []
}

/// Reload: everything is checked in a child first; then all workers get the same image, or nothing changes.
extension Supervisor {
    /// How long workers may take to use a configuration that is already checked.
    private static let commitNanoseconds: UInt64 = 10_000_000_000

    var isReloading: Bool {
        reload.run != nil || barriers.contains { $0.purpose == .reload }
    }

    /// Reads the configuration again, now or when the reload under way is done.
    func requestReload(for console: ConsoleID?) {
        if isReloading {
            reload.isWantedAgain = true
            if let console { reload.nextWaiters.append(console) }
            return
        }
        reload.waiters = console.map { [$0] } ?? []
        startReload()
    }

    private func startReload() {
        manager.reloading()
        var from = request
        if let path = configuration.settings.configurationFile, case .file = from.source {
            from.source = .file(path)
        }
        // A rotated log file is left even when the configuration turns out to be broken.
        openLog(configuration.settings)
        do throws(SystemError) {
            reload.run = try ValidationRun.start(from, title: title, validator)
        } catch {
            refuseReload(["cannot check the configuration: \(error)"])
        }
    }

    /// The check has ended: use what it found, or leave everything as it is.
    func validationEnded(_ ending: Process.Ending) {
        guard let run = reload.run else { return }
        reload.run = nil
        let outcome = run.finish(ending)
        for line in outcome.lines { log.write(line.isError ? .error : .warning, line.text) }
        reload.lines = outcome.lines.filter { !$0.isError }.map { ReloadLine("warning", $0.text) }
        guard let image = outcome.image else {
            return refuseReload(outcome.lines.filter(\.isError).map(\.text))
        }
        guard let new = PreparedInstance.decode(image) else {
            return refuseReload(["the checked configuration cannot be read back"])
        }
        commit(new, image)
    }

    private func refuseReload(_ reasons: [String]) {
        log.write(.error, "reload failed, the old configuration stays in force")
        answerReload(problems: reasons.isEmpty ? ["reload failed"] : reasons)
    }

    private func commit(_ new: Configuration, _ newImage: [UInt8]) {
        do throws(ConsoleError) { try distribute(new, newImage, purpose: .reload) } catch {
            refuseReload([error.message])
        }
    }

    /// Puts a checked configuration into force here and has every worker use it.
    ///
    /// - Throws: when it cannot be passed on; then nothing has changed.
    func distribute(
        _ new: Configuration, _ newImage: [UInt8], purpose: Barrier.Purpose, waiters: [ConsoleID] = []
    ) throws(ConsoleError) {
        let descriptor: Int32
        do { descriptor = try SharedMemory.sealedCopy("pgsluice-configuration", of: newImage) } catch {
            throw ConsoleError("cannot pass the configuration on: \(error)")
        }
        defer { Descriptors.close(descriptor) }
        let old = configuration
        let difference = ConfigurationDifference(from: old, to: new)
        configuration = difference.effective
        image = newImage
        epoch += 1
        var barrier = Barrier(
            epoch: epoch, purpose: purpose, missing: [],
            deadlineNanoseconds: Clock.monotonicNanoseconds + Supervisor.commitNanoseconds, waiters: waiters)
        let message = ControlMessage.configuration(epoch: epoch, byteCount: UInt64(newImage.count))
        for index in workers.indices where send(message, to: index, passing: descriptor) {
            barrier.missing.insert(index)
        }
        for database in old.databases where new.database(named: database.name) == nil {
            inForce.forget(Array(database.name.utf8))
        }
        openLog(configuration.settings)
        if old.settings.workers != configuration.settings.workers {
            resize(to: Supervisor.workerCount(configuration.settings))
        }
        if old.settings.metricsListen != configuration.settings.metricsListen { restartWeb() }
        if (old.settings.tcpDeferAccept > 0) != (new.settings.tcpDeferAccept > 0) {
            listeners.setDeferAccept(new.settings.tcpDeferAccept > 0)
        }
        let what = purpose == .reload ? "reload" : "SET"
        for change in difference.changes { log.write(.log, "\(what): \(change)") }
        if purpose == .reload { reload.lines += difference.changes.map(Supervisor.line) }
        barriers.append(barrier)
        settleBarriers()
    }

    private static func line(_ change: ConfigurationChange) -> ReloadLine {
        switch change {
        case .settingNeedsRestart: ReloadLine("needs restart", change.description)
        case .setting, .databaseAdded, .databaseRemoved, .databaseChanged, .userAdded, .userRemoved,
            .userChanged, .peersChanged, .fileChanged:
            ReloadLine("change", change.description)
        }
    }

    /// Every worker uses the new configuration, or has said why not.
    func reloadDone(_ barrier: Barrier) {
        log.write(.log, "reload done")
        answerReload(problems: barrier.problems)
    }

    private func answerReload(problems: [String]) {
        if hasAnnounced { manager.ready(status: "ready") }
        let waiters = reload.waiters
        let lines = reload.lines + problems.map { ReloadLine("error", $0) }
        reload.waiters = []
        reload.lines = []
        reload.lastLines =
            [
                ReloadLine("time", Supervisor.format(Clock.realNanoseconds / 1000)),
                ReloadLine(
                    "result", problems.isEmpty ? "applied" : "failed: what is not named as changed stays"),
            ] + lines
        answer(waiters, problems.isEmpty ? .reloaded(lines) : .failed(Supervisor.reloadError(problems)))
        guard reload.isWantedAgain else { return }
        reload.isWantedAgain = false
        reload.waiters = reload.nextWaiters
        reload.nextWaiters = []
        startReload()
    }

    /// PgBouncer's text, which says to read the log, and then what stands there.
    private static func reloadError(_ problems: [String]) -> ConsoleError {
        let general = ConsoleError.reloadFailed
        return ConsoleError(general.sqlState, "\(general.message): \(problems.joined(separator: "; "))")
    }

    /// Opens the log where the settings want it; on failure it stays where it is.
    private func openLog(_ settings: Settings) {
        log.threshold = LogWriter.threshold(settings, arguments)
        log.use(settings.logFormat)
        do throws(SystemError) { try log.open(LogWriter.destinations(settings)) } catch {
            log.write(.error, "logfile: \(error); the log stays where it was")
        }
    }
}
