import Config
import Console
import SharedState
import System

/// The process that owns the listening sockets, makes the workers and replaces them, takes signals, writes
/// the log and answers the console. One thread; it waits in one place, `turn`, and for nothing else.
final class Supervisor {
    /// What the command line asked for.
    let arguments: Arguments
    /// What a reload checks.
    let request: ValidationRequest
    let validator: ValidatorEntry
    let workerEntry: WorkerEntry
    let title: ProcessTitle?
    let manager: ServiceManager
    /// Signals are read from here.
    let signals: Int32
    /// Workers write here when there is something in their rings.
    let wake: Int32
    /// Where the console is served without a worker between.
    let control: ControlSocket?
    let segment: MappedSegment
    /// The command line, and where this program was found.
    let words: [String]
    let programPath: String?
    /// A program to come back to: until an online restart is done the one before, then this one.
    var program: Int32

    /// The image the instance started with.
    let startImage: [UInt8]
    /// The configuration in force, and the newest image for workers that start.
    var configuration: Configuration
    var image: [UInt8]
    /// The number of the last order or configuration.
    var epoch: UInt64 = 1
    var log: LogWriter
    var listeners: ListenerSet
    var workers: [WorkerSlot]
    var helper = HelperSlot()
    var web = WebSlot()
    /// The only reader of the workers' counters.
    var counters: SegmentReader
    /// Orders and configurations that not every worker has acknowledged.
    var barriers: [Barrier] = []
    var reload = ReloadProgress()
    var console = ConsoleService()
    /// What the counters were at the last two ends of a statistics period.
    var averages: StatisticsAverages
    /// What the histograms were at the last one.
    var latencies = LatencyStatistics()
    /// The last ten minutes.
    var history: StatisticsHistory
    /// When the next statistics line is due, monotonic.
    var nextStatsNanoseconds: UInt64
    /// What was ordered and stays so.
    var inForce = OrdersInForce()
    /// Which workers are silent, and who takes new connections.
    var watch = WorkerWatch()
    /// An online restart under way.
    var restart = RestartProgress()
    /// How the instance is ending, once it is.
    var shutdown: ShutdownMode?
    /// What is to happen on the way there.
    var ending = Ending()
    /// When workers that were told to end at once are killed.
    var killNanoseconds: UInt64?
    /// What the process ends with.
    var exitStatus: Int32 = 0
    /// Whether the service manager and the log have been told that we serve.
    var hasAnnounced = false

    /// A supervisor that has everything and has started nothing.
    init(
        arguments: Arguments, request: ValidationRequest, validator: @escaping ValidatorEntry,
        workerEntry: @escaping WorkerEntry, title: ProcessTitle?, manager: ServiceManager, log: LogWriter,
        signals: Int32, prepared: PreparedInstance, words: [String], programPath: String?
    ) throws(SystemError) {
        self.arguments = arguments
        self.words = words
        self.programPath = programPath
        self.request = request
        self.validator = validator
        self.workerEntry = workerEntry
        self.title = title
        self.manager = manager
        self.log = log
        self.signals = signals
        configuration = prepared.configuration
        startImage = prepared.image
        image = prepared.image
        listeners = prepared.listeners
        control = prepared.control
        wake = try Descriptors.event()
        segment = try MappedSegment(
            workerCount: prepared.workerCount, poolCapacity: prepared.configuration.settings.maxPools)
        counters = SegmentReader(segment.segment)
        program = Supervisor.openProgram()
        let now = Clock.monotonicNanoseconds
        averages = StatisticsAverages(nowMicroseconds: now / 1000)
        history = StatisticsHistory(nowMicroseconds: now / 1000)
        nextStatsNanoseconds = now + prepared.configuration.settings.statsPeriodNanoseconds
        workers = []
        for _ in 0..<prepared.workerCount { workers.append(try WorkerSlot()) }
    }

    /// A supervisor that goes on with what another program has left.
    ///
    /// - Parameter startImage: the configuration that holds from here on for what only a start changes.
    init(
        continuing handover: Handover, segment: MappedSegment, arguments: Arguments,
        request: ValidationRequest, validator: @escaping ValidatorEntry, workerEntry: @escaping WorkerEntry,
        title: ProcessTitle?, manager: ServiceManager, log: LogWriter, signals: Int32,
        configuration: Configuration, image: [UInt8], startImage: [UInt8], words: [String],
        programPath: String?
    ) {
        self.arguments = arguments
        self.words = words
        self.programPath = programPath
        self.request = request
        self.validator = validator
        self.workerEntry = workerEntry
        self.title = title
        self.manager = manager
        self.log = log
        self.signals = signals
        self.configuration = configuration
        self.startImage = startImage
        self.image = image
        self.segment = segment
        listeners = handover.listeners
        control = handover.control
        wake = handover.wake
        program = handover.program
        workers = handover.workers
        epoch = handover.epoch
        inForce = handover.orders
        helper.process = handover.helper
        counters = SegmentReader(
            segment.segment, kept: handover.totals, keptLatencies: handover.latencies)
        let now = Clock.monotonicNanoseconds
        averages = StatisticsAverages(nowMicroseconds: now / 1000)
        history = handover.history ?? StatisticsHistory(nowMicroseconds: now / 1000, counters.sums())
        nextStatsNanoseconds = now + configuration.settings.statsPeriodNanoseconds
        console.totals = handover.consoleTotals
        console.connections = handover.consoles
        console.lastNumber = handover.lastNumber
        hasAnnounced = true
        // Twice: of the period that was not over nothing is known.
        for _ in 0..<2 { latencies.endPeriod(counters.latencies()) }
        _ = averages.endPeriod(nowMicroseconds: now / 1000, databaseTotals())
        // Who has ended on the way is not waited for.
        for index in workers.indices {
            if let process = workers[index].process, !Process.exists(process) { workers[index].process = nil }
        }
    }

    /// Starts the children and serves until the instance has ended.
    func run() -> Never {
        startHelper()
        startWeb()
        for index in workers.indices { startWorker(index) }
        serve()
    }

    /// Goes on where the program before has stopped, and has its workers replaced; or, with the reason why
    /// another one could not do that, as if nothing had been.
    func takeOver(_ failure: String?) -> Never {
        // What has ended since nobody looked; the next signal tells of all of them.
        reapChildren()
        if let failure {
            startHelper()
            announceReturn(failure)
        } else {
            beginTrial()
            startHelper()
        }
        startWeb()
        serve()
    }

    private func serve() -> Never {
        while !isOver { turn() }
        end()
    }

    /// Waits for the next thing to happen and handles everything that has.
    private func turn() {
        let channels = workers.map { slot in
            Poll.Interest(
                slot.channel?.descriptor ?? -1, slot.channel?.isWaiting == true ? [.read, .write] : .read)
        }
        let connections = console.connections
        let orphans = orphanedQueues
        let interests =
            [Poll.Interest(signals, .read), Poll.Interest(wake, .read)] + channels
            + connections.map(\.interest) + orphans.map { Poll.Interest($0, .read) } + [controlInterest]
            + [Poll.Interest(web.output, .read)] + log.interests
        let ready = Poll.wait(interests, milliseconds: waitMilliseconds)
        if ready[1].canRead {
            Descriptors.clear(event: wake)
            drainLogs()
        }
        for index in workers.indices where ready[2 + index].canRead || ready[2 + index].canWrite {
            workers[index].channel?.flush()
            receive(from: index)
        }
        for (offset, connection) in connections.enumerated() {
            let found = ready[2 + channels.count + offset]
            if found.canRead || found.canWrite { attend(connection, found) }
        }
        let firstOrphan = 2 + channels.count + connections.count
        for (offset, queue) in orphans.enumerated() where ready[firstOrphan + offset].canRead {
            serveOrphans(of: queue)
        }
        if ready[firstOrphan + orphans.count].canRead { acceptControlSessions() }
        if ready[firstOrphan + orphans.count + 1].canRead { takeWebOutput() }
        if ready[0].canRead { takeSignals() }
        keepTime(Clock.monotonicNanoseconds)
        log.flush()
    }

    /// Until when nothing is due, for poll(2); -1 for ever.
    private var waitMilliseconds: Int32 {
        guard let due = dueTimes.min() else { return -1 }
        let now = Clock.monotonicNanoseconds
        guard due > now else { return 0 }
        // Rounded up, or the last millisecond would be spent turning.
        return Int32(clamping: (due - now) / 1_000_000 + 1)
    }

    /// Everything that is to happen at some time, monotonic.
    private var dueTimes: [UInt64] {
        var times = workers.compactMap(\.nextStartNanoseconds)
        if let time = helper.nextStartNanoseconds { times.append(time) }
        if let time = web.nextStartNanoseconds { times.append(time) }
        if let time = reload.run?.deadlineNanoseconds { times.append(time) }
        if let run = restart.run, !run.isAbandoned { times.append(run.deadlineNanoseconds) }
        if let trial = restart.trial { times.append(trial.deadlineNanoseconds) }
        if let killNanoseconds { times.append(killNanoseconds) }
        times += ending.dueTimes
        times += drainTimes
        times += barriers.compactMap(\.deadlineNanoseconds)
        if let time = console.nextAcceptNanoseconds { times.append(time) }
        times += console.collections.map(\.deadlineNanoseconds)
        if configuration.settings.statsPeriodNanoseconds > 0 { times.append(nextStatsNanoseconds) }
        times.append(watch.nextNanoseconds)
        return times
    }

    /// Does what is due.
    private func keepTime(_ now: UInt64) {
        for index in workers.indices {
            if let time = workers[index].nextStartNanoseconds, time <= now { startWorker(index) }
        }
        if let time = helper.nextStartNanoseconds, time <= now { startHelper() }
        if let time = web.nextStartNanoseconds, time <= now { startWeb() }
        if let run = reload.run, run.deadlineNanoseconds <= now { run.abandon() }
        if let run = restart.run, !run.isAbandoned, run.deadlineNanoseconds <= now { restart.run?.abandon() }
        judgeTrial(now)
        if let time = killNanoseconds, time <= now { killWorkers() }
        keepEnding(now)
        keepDraining(now)
        watchWorkers(now)
        expireBarriers(now)
        settleCollections(now)
        keepHistory(now)
        endStatsPeriod(now)
    }
}
