import Console
import SharedState
import System

/// What goes to the workers and comes from them.
extension Supervisor {
    /// Tells every worker to do something, and waits for none of them.
    ///
    /// - Parameters:
    ///   - waiter: a console session to be answered when all have done it.
    ///   - limitSeconds: after this a PAUSE is undone.
    func order(
        _ kind: OrderKind, database: [UInt8]? = nil, argument: UInt64 = 0, waiter: ConsoleID? = nil,
        limitSeconds: UInt32? = nil
    ) {
        epoch += 1
        let order = Order(epoch: epoch, kind: kind, database: database, argument: argument)
        var barrier = Barrier(
            epoch: epoch, purpose: .order(kind), missing: [],
            deadlineNanoseconds: limitSeconds.map {
                Clock.monotonicNanoseconds + UInt64($0) * 1_000_000_000
            },
            waiters: waiter.map { [$0] } ?? [], database: database, limitSeconds: limitSeconds ?? 0)
        for index in workers.indices where send(.order(order), to: index) { barrier.missing.insert(index) }
        if kind == .resume { endPauses(database: database) }
        barriers.append(barrier)
        settleBarriers()
    }

    /// Sends a message to a worker; `false` when it has no process or does not read.
    func send(_ message: ControlMessage, to index: Int, passing descriptor: Int32 = -1) -> Bool {
        guard workers[index].channel != nil else { return false }
        guard workers[index].channel?.send(message, passing: descriptor) == true else {
            log.write(.error, "worker \(index) does not read what it is told")
            return false
        }
        return true
    }

    /// Handles everything a worker has sent.
    func receive(from index: Int) {
        while let channel = workers[index].channel {
            switch channel.receive() {
            case .message(let message, let descriptors): handle(message, descriptors, from: index)
            case .nothing: return
            case .end:
                // The process is ending; how, its wait status will tell.
                workers[index].channel?.close()
                workers[index].channel = nil
            }
        }
    }

    private func handle(_ message: ControlMessage, _ descriptors: [Int32], from index: Int) {
        var unused = descriptors[...]
        switch message {
        case .ready:
            workers[index].isReady = true
            // One on trial is given nothing by the others yet.
            if !workers[index].isOnTrial { segment.segment.worker(index).state = .ready }
            announceWhenReady()
        case .acknowledged(let epoch, let problem):
            acknowledge(epoch, by: index, problem: String(decoding: problem, as: UTF8.self))
        case .consoleLogin(let login):
            if let descriptor = unused.popFirst() { openConsole(descriptor, login, from: index) }
        case .rows(let answer):
            takeRows(answer, unused.popFirst(), from: index)
        case .drained:
            workers[index].isDrained = true
            segment.segment.worker(index).state = .draining
            endWhenDrained()
        case .orderRequest(let request):
            carryOut(request)
        case .configuration, .order, .rowsWanted, .resolved, .resolve, .workerEnded,
            .workerAdded:
            // Only we send these, and names go to the resolver's own channel.
            log.write(.warning, "worker \(index) sent a message that is not its to send")
        }
        for descriptor in unused { Descriptors.close(descriptor) }
    }

    /// Carries out what a worker wishes for everybody.
    private func carryOut(_ request: Order) {
        switch request.kind {
        case .shutdownNow: return beginShutdown(.immediate)
        case .shutdownWaitForClients: return beginShutdown(.waitForClients)
        case .shutdownWaitForServers: return beginShutdown(.waitForServers)
        case .pause: if request.database == nil { inForce.isPaused = true }
        case .resume: if request.database == nil { _ = inForce.resume() }
        case .reopen, .kill, .reconnect, .disable, .enable, .waitClose, .killClient, .drain,
            .dismissClients, .open, .suspend:
            break
        }
        order(request.kind, database: request.database, argument: request.argument)
    }

    /// Says that we serve, once every worker does.
    private func announceWhenReady() {
        guard !hasAnnounced, shutdown == nil, workers.allSatisfy(\.isReady) else { return }
        hasAnnounced = true
        log.write(.log, "process up: \(Arguments.version(details: [])), \(workers.count) workers ready")
        manager.ready(status: "ready")
    }

    // MARK: Barriers

    private func acknowledge(_ epoch: UInt64, by index: Int, problem: String) {
        guard let place = barriers.firstIndex(where: { $0.epoch == epoch }) else { return }
        barriers[place].missing.remove(index)
        if problem.isEmpty {
            barriers[place].isFound = true
        } else if barriers[place].purpose != .order(.killClient) {
            barriers[place].problems.append("worker \(index): \(problem)")
        }
        settleBarriers()
    }

    /// A worker that is gone acknowledges nothing; its successor starts with everything in force.
    func removeFromBarriers(_ index: Int) {
        for place in barriers.indices { barriers[place].missing.remove(index) }
        settleBarriers()
        removeFromCollections(index)
    }

    /// Gives up on workers that do not answer in time.
    func expireBarriers(_ now: UInt64) {
        let overdue = barriers.filter { $0.deadlineNanoseconds.map { $0 <= now } ?? false }
        for pause in overdue where pause.purpose == .order(.pause) { giveUp(pause) }
        for place in barriers.indices {
            guard let time = barriers[place].deadlineNanoseconds, time <= now else { continue }
            let names = barriers[place].missing.sorted().map { "worker \($0)" }.joined(separator: ", ")
            barriers[place].problems.append("no answer from \(names)")
            barriers[place].missing = []
        }
        settleBarriers()
    }

    /// RESUME ends the PAUSE that still waits for transactions.
    private func endPauses(database: [UInt8]?) {
        for place in barriers.indices
        where barriers[place].database == database
            && (barriers[place].purpose == .order(.pause) || barriers[place].purpose == .order(.suspend))
        {
            barriers[place].isInterrupted = !barriers[place].missing.isEmpty
            barriers[place].missing = []
        }
    }

    /// Finishes every barrier that nobody is missing from.
    func settleBarriers() {
        while let place = barriers.firstIndex(where: { $0.missing.isEmpty }) {
            let barrier = barriers.remove(at: place)
            for problem in barrier.problems { log.write(.error, problem) }
            switch barrier.purpose {
            case .reload: reloadDone(barrier)
            case .setting:
                let problem = barrier.problems.first.map { ConsoleError.setFailed($0) }
                answer(barrier.waiters, problem.map { .failed($0) } ?? .done)
            case .order(let kind):
                var problem = barrier.problems.first.map { ConsoleError($0) }
                if barrier.isInterrupted { problem = .pauseEnded }
                if kind == .killClient, !barrier.isFound { problem = .clientNotFound }
                answer(barrier.waiters, problem.map { .failed($0) } ?? .done)
            }
        }
    }
}
