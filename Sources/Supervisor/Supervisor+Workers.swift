import Console
import SharedState
import System

/// Processes: starting, ending, starting again.
extension Supervisor {
    /// Starts a process for a worker index that has none.
    func startWorker(_ index: Int) {
        workers[index].nextStartNanoseconds = nil
        guard shutdown == nil, workers[index].isWanted else { return }
        if workers[index].isUnreclaimed { reclaim(index) }
        guard !workers[index].isUnreclaimed else {
            workers[index].nextStartNanoseconds =
                Clock.monotonicNanoseconds + RestartPolicy.firstPauseNanoseconds
            return
        }
        let pair: (first: Int32, second: Int32)
        do { pair = try Socket.pair(.sequencedPackets, nonBlocking: true) } catch {
            return retryWorker(index, because: error)
        }
        defer { Descriptors.close(pair.second) }
        let supervisor = Process.id
        let accepted = listeners.listeners(forWorker: index)
        var senders = workers.map(\.inboxSender)
        senders[index] = -1
        let slot = workers[index]
        let kept = [pair.second, slot.inbox, slot.resolver, wake] + senders + accepted.map(\.descriptor)
        let incarnation = segment.segment.worker(index).incarnation + 1
        // Before the process: what was ordered is there when it looks for the first time.
        var channel = ControlChannel(descriptor: pair.first)
        for order in inForce.repeated(epoch: epoch) { _ = channel.send(.order(order)) }
        let process: Int32
        do throws(SystemError) {
            process = try ChildProcess.start(
                shortName: "pgsluice-w\(index)", description: "worker \(index)", title: title, keeping: kept
            ) {
                unsafe workerEntry(
                    WorkerContext(
                        index: index, incarnation: incarnation,
                        supervisorProcessID: supervisor, supervisorLostSignal: Signals.supervisorLost,
                        listeners: accepted, control: pair.second, inbox: slot.inbox, inboxSenders: senders,
                        resolver: slot.resolver, supervisorWake: wake, segment: segment.memory,
                        segmentByteCount: segment.byteCount, startImage: startImage,
                        configurationImage: image, epoch: epoch,
                        verbosity: arguments.verbosity, startsPaused: inForce.isPaused,
                        isOpen: !slot.isOnTrial))
            }
        } catch {
            channel.close()
            return retryWorker(index, because: error)
        }
        segment.segment.worker(index).begin(
            pid: process, realtimeMicroseconds: Clock.realNanoseconds / 1000)
        workers[index].process = process
        workers[index].channel = channel
        workers[index].incarnation = incarnation
        workers[index].isReady = false
        workers[index].isDrained = false
        workers[index].isLeaving = false
        workers[index].drain = nil
        workers[index].isSilent = false
        workers[index].killNanoseconds = nil
        workers[index].startedNanoseconds = Clock.monotonicNanoseconds
        workers[index].reportedDroppedCount = 0
    }

    private func retryWorker(_ index: Int, because error: SystemError) {
        let pause = workers[index].policy.pause(afterLifeOf: 0)
        // Even the first new attempt waits: what is missing now will not be there at once.
        let wait = max(pause, RestartPolicy.firstPauseNanoseconds)
        log.write(.error, "cannot start worker \(index): \(error); trying again in \(seconds(wait)) s")
        workers[index].nextStartNanoseconds = Clock.monotonicNanoseconds + wait
    }

    /// Takes note of every child that has ended.
    func reapChildren() {
        while let (process, ending) = Process.reap() {
            if let index = workers.firstIndex(where: { $0.process == process }) {
                workerEnded(index, ending)
            } else if helper.process == process {
                helperEnded(ending)
            } else if web.process == process {
                webEnded(ending)
            } else if reload.run?.process == process {
                validationEnded(ending)
            } else if restart.run?.process == process {
                preflightEnded(ending)
            }
        }
    }

    /// Accounts for a worker that has ended: what it left in its channels and rings, its counts, and its
    /// successor.
    private func workerEnded(_ index: Int, _ ending: Process.Ending) {
        if workers[index].isOnTrial { return trialFailed(index, ending) }
        let process = workers[index].process ?? 0
        workerIsGone(index)
        let wasDrained = workers[index].isDrained
        if shutdown != nil {
            if !wasDrained, killNanoseconds == nil {
                log.write(.warning, "worker \(index) [\(process)] \(ending)")
            }
            return endWhenDrained()
        }
        if ending == .exited(code: WorkerContext.unableStatus), !hasAnnounced {
            log.write(.fatal, "worker \(index) cannot work, see above; ending")
            exitStatus = 1
            return beginShutdown(.immediate)
        }
        if workers[index].isLeaving, workers[index].isDrained {
            log.write(.log, "worker \(index) [\(process)] has left")
            if workers[index].isWanted { workers[index].nextStartNanoseconds = Clock.monotonicNanoseconds }
            return
        }
        let life = Clock.monotonicNanoseconds - workers[index].startedNanoseconds
        let pause = workers[index].policy.pause(afterLifeOf: life)
        let plan =
            !workers[index].isWanted
            ? "it was to leave"
            : pause == 0 ? "starting another" : "starting another in \(seconds(pause)) s"
        log.write(.error, "worker \(index) [\(process)] \(ending) after \(seconds(life)) s; \(plan)")
        guard workers[index].isWanted else { return }
        workers[index].nextStartNanoseconds = Clock.monotonicNanoseconds + pause
    }

    /// A worker of the program that is to take over has ended before it could serve.
    private func trialFailed(_ index: Int, _ ending: Process.Ending) {
        workerIsGone(index)
        rollBack("worker \(index) \(ending)")
    }

    /// Takes in what a worker that has ended left, and gives back what it had.
    func workerIsGone(_ index: Int) {
        receive(from: index)
        let block = segment.segment.worker(index)
        block.state = .dead
        drainLog(of: index)
        emptyInbox(of: index)
        counters.retire(worker: index)
        reclaim(index)
        workers[index].channel?.close()
        workers[index].channel = nil
        workers[index].process = nil
        removeFromBarriers(index)
    }

    /// Gives back what a dead worker owned, and tells the others, who may have waited for it.
    private func reclaim(_ index: Int) {
        // Only a process that is stopped with the lock could keep us from it.
        guard segment.segment.ledger(of: index).reclaim(worker: index) else {
            log.write(.error, "the ledger is locked; what worker \(index) owned is not given back yet")
            workers[index].isUnreclaimed = true
            return
        }
        workers[index].isUnreclaimed = false
        for other in workers.indices where other != index {
            _ = workers[other].channel?.send(.workerEnded(index: index))
        }
    }

    /// Closes what other workers sent and the dead one never read; a successor must not take it for its
    /// own. Clients that were only to be served there are served elsewhere.
    private func emptyInbox(of index: Int) {
        while let message = try? DescriptorPassing.receive(from: workers[index].inbox) {
            if let decoded = unsafe try? InboxMessage.decode(message.bytes.span.bytes),
                decoded.message == .accepted
            {
                message.descriptors.forEach(passOn)
            }
            for descriptor in message.descriptors { Descriptors.close(descriptor) }
        }
    }

    /// Starts the process that resolves names.
    func startHelper() {
        helper.nextStartNanoseconds = nil
        // One that does not know all workers answers what it has been asked, and goes.
        if let process = helper.process { Process.send(Signals.succeeded, to: process) }
        guard shutdown != .immediate else { return }
        let channels = workers.map(\.resolverHelper)
        do throws(SystemError) {
            helper.process = try ChildProcess.start(
                shortName: "pgsluice-dns", description: "name resolver", title: title, keeping: channels
            ) {
                Resolver.run(channels: channels)
            }
            helper.startedNanoseconds = Clock.monotonicNanoseconds
        } catch {
            log.write(.error, "cannot start the name resolver: \(error)")
            helper.nextStartNanoseconds = Clock.monotonicNanoseconds + RestartPolicy.longestPauseNanoseconds
        }
    }

    private func helperEnded(_ ending: Process.Ending) {
        helper.process = nil
        let life = Clock.monotonicNanoseconds - helper.startedNanoseconds
        let pause = helper.policy.pause(afterLifeOf: life)
        log.write(.error, "the name resolver \(ending); starting another")
        helper.nextStartNanoseconds = Clock.monotonicNanoseconds + pause
    }

    /// A duration in seconds with one decimal.
    func seconds(_ nanoseconds: UInt64) -> String {
        let tenths = (nanoseconds + 50_000_000) / 100_000_000
        return "\(tenths / 10).\(tenths % 10)"
    }
}
