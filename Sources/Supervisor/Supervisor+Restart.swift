import Config
import Console
import SharedState
import System

/// An online restart under way.
struct RestartProgress {
    /// The other program is being asked whether it can take over.
    var run: PreflightRun?
    /// Here is the program that takes over, and its workers have not shown yet that they can serve.
    var trial: Trial?

    struct Trial {
        /// Workers of the program before; they serve until the others do.
        let before: [Int]
        /// When this program gives everything back, monotonic.
        let deadlineNanoseconds: UInt64
    }
}

/// Online restart: another program takes this one's place in the same process.
///
/// The segment, the sockets and the workers stay. New workers begin beside the old ones, which hand over what
/// they have as if a reload had lowered `workers`. Until the new ones serve, the way back is open.
extension Supervisor {
    /// How long new workers may take to serve.
    private static let trialNanoseconds: UInt64 = 10_000_000_000
    /// Seconds after which a program that is silent while it takes over has hung.
    static let guardSeconds: UInt32 = 20

    /// What a program that takes over finds in its environment.
    static func environment(handover: Int32) -> [String] {
        Process.environment.filter { $0.name != Handover.variable && $0.name != Handover.faultVariable }
            .map { "\($0.name)=\($0.value)" } + ["\(Handover.variable)=\(handover)"]
    }

    // MARK: The program that is to be replaced

    /// Asks the program at a path, or the one this one was started as, whether it can take over.
    func requestRestart(
        _ path: String?, _ isForced: Bool, for connection: ConsoleConnection
    ) throws(ConsoleError) {
        guard shutdown == nil else { throw .shuttingDown }
        guard !ending.isDraining else { throw ConsoleError("draining: nothing takes over any more") }
        guard restart.run == nil, restart.trial == nil else { throw ConsoleError("a restart is under way") }
        guard !inForce.isSuspended else { throw ConsoleError("suspended: RESUME comes first") }
        guard !isReloading else { throw ConsoleError("a reload is under way: try again when it is done") }
        guard isForced || !workers.indices.contains(where: { stillServes($0) }) else {
            throw ConsoleError(
                "workers that leave still serve clients (SHOW WORKERS tells which): try again when they have "
                    + "left, or RESTART FORCE")
        }
        let wanted = workers.count(where: \.isWanted)
        let used = workers.count { $0.process != nil }
        guard used + wanted <= Supervisor.workerLimit else {
            throw ConsoleError(
                "workers of earlier restarts still serve clients, and there is no room for others: "
                    + "SHOW WORKERS tells which")
        }
        guard let path = path.map({ FileSystem.absolute($0) }) ?? programPath else {
            throw ConsoleError("cannot tell where this program is: name it, RESTART '/path/to/pgsluice'")
        }
        log.write(.log, "\(connection.user) gave the command to restart with \(path)")
        do throws(SystemError) {
            let handover = try SharedMemory.sealedCopy("pgsluice-handover", of: self.handover().encoded())
            defer { Descriptors.close(handover) }
            restart.run = try PreflightRun.start(
                path, arguments: [path, "--preflight"] + configurationArguments, handover: handover,
                keeping: [segment.descriptor] + listeners.descriptors)
        } catch { throw ConsoleError("cannot check \(path): \(error)") }
    }

    private var configurationArguments: [String] { arguments.configurationFile.map { [$0] } ?? [] }

    /// The check has ended.
    func preflightEnded(_ ending: Process.Ending) {
        guard let run = restart.run else { return }
        restart.run = nil
        if let reason = run.finish(ending) { return refuseRestart(reason) }
        guard shutdown == nil else { return refuseRestart("the instance is shutting down") }
        guard barriers.allSatisfy(\.waiters.isEmpty), console.collections.isEmpty, !isReloading else {
            return refuseRestart("another command is under way: try again when it is done")
        }
        guard workers.allSatisfy({ $0.channel?.isWaiting != true }) else {
            return refuseRestart("a worker does not read what it is told: SHOW WORKERS tells which")
        }
        let failure = replace { environment in
            Program.execute(run.path, arguments: [run.path] + words, environment: environment)
        }
        refuseRestart("\(failure)")
    }

    /// Nothing has changed.
    private func refuseRestart(_ reason: String) {
        log.write(.error, "restart failed, this program goes on: \(reason)")
        answerRestart(.failed(ConsoleError("restart failed: \(reason)")))
    }

    private func answerRestart(_ answer: ConsoleAnswer) {
        let waiting = console.connections.filter {
            if case .restart = $0.session.waitingCommand { true } else { false }
        }
        self.answer(waiting.map(\.id), answer)
    }

    /// What another program needs to go on.
    private func handover(failure: String? = nil) -> Handover {
        var result = Handover()
        result.failure = failure
        result.epoch = epoch
        result.image = image
        result.startImage = startImage
        result.segment = segment.descriptor
        result.program = program
        result.wake = wake
        result.control = control
        result.listeners = listeners
        result.workers = workers
        result.helper = helper.process
        result.orders = inForce
        for connection in console.connections { console.totals.add(connection.session.takeTotals()) }
        result.totals = counters.keptTotals
        result.latencies = counters.keptLatencies
        result.history = history
        result.consoleTotals = console.totals
        result.consoles = console.connections
        result.lastNumber = console.lastNumber
        return result
    }

    /// Runs another program here; returns only when it cannot, with the reason.
    private func replace(
        failure: String? = nil, _ execute: (_ environment: [String]) -> SystemError
    ) -> SystemError {
        drainLogs()
        log.flush()
        let handover = handover(failure: failure)
        let kept = handover.descriptors.filter { $0 >= 0 }
        let descriptor: Int32
        do throws(SystemError) {
            descriptor = try SharedMemory.sealedCopy("pgsluice-handover", of: handover.encoded())
        } catch { return error }
        endWeb()
        for one in kept + [descriptor] { try? Descriptors.setCloseOnExec(one, false) }
        let failure = execute(Supervisor.environment(handover: descriptor))
        for one in kept { try? Descriptors.setCloseOnExec(one, true) }
        Descriptors.close(descriptor)
        startWeb()
        return failure
    }

    // MARK: The program that takes over

    /// Starts workers of this program beside those of the one before.
    func beginTrial() {
        let before = workers.indices.filter { workers[$0].isWanted }
        let wanted = Supervisor.workerCount(configuration.settings)
        log.write(.log, "taking over; workers: \(wanted.count) (\(wanted.reason))")
        restart.trial = RestartProgress.Trial(
            before: before, deadlineNanoseconds: Clock.monotonicNanoseconds + Supervisor.trialNanoseconds)
        for _ in 0..<wanted.count {
            let index = vacantSlot
            guard let index else { return rollBack("there is no room for another worker") }
            workers[index].isOnTrial = true
            workers[index].isWanted = true
            startWorker(index)
        }
    }

    /// Goes over to the new workers when all of them serve, or back when that takes too long.
    func judgeTrial(_ now: UInt64) {
        guard let trial = restart.trial else { return }
        let new = workers.indices.filter { workers[$0].isOnTrial }
        if new.allSatisfy({ workers[$0].process != nil && workers[$0].isReady }) {
            commitRestart(trial, new)
        } else if now >= trial.deadlineNanoseconds {
            rollBack("its workers were not ready in time")
        }
    }

    private func commitRestart(_ trial: RestartProgress.Trial, _ new: [Int]) {
        restart.trial = nil
        Program.disarmGuard()
        stayHere()
        for index in new {
            workers[index].isOnTrial = false
            segment.segment.worker(index).state = .ready
            _ = send(.order(Order(epoch: 0, kind: .open)), to: index)
        }
        for index in trial.before where !new.contains(index) {
            workers[index].isWanted = false
            leave(index)
        }
        for index in workers.indices where workers[index].isLeaving {
            workers[index].drain = workers[index].drain ?? Drain(since: Clock.monotonicNanoseconds)
        }
        listeners.closeUnwanted(configuration.settings)
        steer()
        log.write(.log, "restart done: \(Arguments.version(details: [])), \(new.count) workers ready")
        manager.ready(status: "ready")
        answerRestart(.done)
    }

    // MARK: The workers that leave

    /// Whether a worker leaves and has clients; a console session, perhaps of who asks, is none.
    private func stillServes(_ index: Int) -> Bool {
        workers[index].isLeaving && workers[index].process != nil
            && segment.segment.ledger(of: index).clientCount(ofWorker: index) > 0
    }

    /// When a client that does not go is dealt with next.
    var drainTimes: [UInt64] {
        let timeout = configuration.settings.restartDrainTimeoutNanoseconds
        return workers.compactMap { $0.process == nil ? nil : $0.drain?.deadline(timeout) }
    }

    /// Does not wait for ever for workers that a restart has replaced: `restart_drain_timeout` after it their
    /// clients are sent away, each between two transactions, and after the same time again cut off.
    func keepDraining(_ now: UInt64) {
        let timeout = configuration.settings.restartDrainTimeoutNanoseconds
        guard shutdown == nil else { return }
        for index in workers.indices {
            guard let process = workers[index].process, let drain = workers[index].drain,
                let deadline = drain.deadline(timeout), deadline <= now
            else { continue }
            let name = "worker \(index) [\(process)]"
            workers[index].drain?.step += 1
            if drain.step == 0 {
                log.write(.log, "restart_drain_timeout has passed, \(name) sends its clients away")
                _ = send(.order(Order(epoch: 0, kind: .dismissClients)), to: index)
                sessions(through: index).forEach(endSession)
            } else {
                log.write(.warning, "restart_drain_timeout has passed twice, ending \(name)")
                Process.send(Signals.kill, to: process)
            }
        }
    }

    // MARK: The way back

    /// Gives everything back to the program before.
    func rollBack(_ reason: String) {
        guard restart.trial != nil else { return }
        restart.trial = nil
        log.write(.error, "cannot take over: \(reason); going back to the program before")
        for index in workers.indices where workers[index].isOnTrial {
            if let process = workers[index].process {
                Process.send(Signals.kill, to: process)
                _ = Process.wait(for: process)
                workerIsGone(index)
            }
            workers[index].isOnTrial = false
            workers[index].isWanted = false
        }
        if let process = helper.process {
            Process.send(Signals.supervisorLost, to: process)
            _ = Process.wait(for: process)
            helper.process = nil
        }
        let failure = replace(failure: reason) { environment in
            Program.execute(
                descriptor: program, arguments: [words.first ?? "pgsluice"] + words, environment: environment)
        }
        // The old workers serve on, and this program looks after them.
        Program.disarmGuard()
        log.write(.error, "cannot go back: \(failure); this program goes on with the workers that are there")
        startHelper()
        answerRestart(.failed(ConsoleError("restart failed: \(reason)")))
    }

    /// Here again, after another program could not take over.
    func announceReturn(_ reason: String) {
        stayHere()
        refuseRestart(reason)
    }

    /// The way between two programs is over: nothing is kept open for another one any more, and the one to
    /// come back to is this.
    private func stayHere() {
        for descriptor in handover().descriptors where descriptor >= 0 {
            try? Descriptors.setCloseOnExec(descriptor, true)
        }
        Descriptors.close(program)
        program = Supervisor.openProgram()
    }

    /// This program's own file, to come back to when there is another one at its path.
    static func openProgram() -> Int32 { FileSystem.open("/proc/self/exe") ?? -1 }
}
