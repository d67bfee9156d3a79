import Config
import Console
import SharedState
import System

/// The log: what workers put in their rings, and what the configuration says about where it goes.
extension Supervisor {
    /// Records taken from one ring before the next is looked at.
    private static let recordsPerTurn = 1000

    /// Writes what all workers have to say.
    func drainLogs() {
        var isMore = false
        for index in workers.indices where drainLog(of: index) { isMore = true }
        if isMore { Descriptors.signal(event: wake) }
    }

    /// Ends a row of the history when it is about time to: in the turn next to it, as turning for this alone
    /// would cost an idle pooler more than all the rest of it. Counts are read only if somebody has done
    /// something.
    func keepHistory(_ now: UInt64) {
        guard history.dueMicroseconds * 1000 <= now + WorkerBlock.beatNanoseconds / 2 else { return }
        history.add(
            nowMicroseconds: now / 1000, realtimeMicroseconds: Clock.realNanoseconds / 1000,
            counters.hasChanged() ? counters.sums() : nil)
    }

    /// Ends a statistics period when it is over: one line for the log and for the service manager.
    func endStatsPeriod(_ now: UInt64) {
        let period = configuration.settings.statsPeriodNanoseconds
        guard period > 0, nextStatsNanoseconds <= now else { return }
        // A reload may have shortened the period, and a stopped machine may have missed many.
        nextStatsNanoseconds = now + period
        latencies.endPeriod(counters.latencies())
        let line = averages.endPeriod(nowMicroseconds: now / 1000, databaseTotals())
        if configuration.settings.logStats { log.write(.log, line.text) }
        if shutdown == nil { manager.status(line.text) }
    }

    /// Writes what one worker has to say, up to a limit; `true` when there may be more.
    @discardableResult
    func drainLog(of index: Int) -> Bool {
        let ring = segment.segment.worker(index).logRing
        let isDead = workers[index].process == nil || segment.segment.worker(index).state == .dead
        var left = isDead ? Int.max : Supervisor.recordsPerTurn
        while left > 0, let record = ring.take() {
            log.writeFromWorker(record)
            left -= 1
        }
        let dropped = ring.droppedCount
        if dropped > workers[index].reportedDroppedCount {
            let lost = dropped - workers[index].reportedDroppedCount
            workers[index].reportedDroppedCount = dropped
            log.write(.warning, "worker \(index) lost \(lost) log lines because its ring was full")
        }
        return left == 0
    }
}
