import Console
import SharedState
import System

/// What a supervisor leaves to the program that takes its place in the same process: everything that is not
/// in a file. It travels in a memory file whose descriptor the environment names.
///
/// The numbers of the fields stay for ever: the two programs may be different versions.
struct Handover {
    /// The variable with the descriptor's number.
    static let variable = "PGSLUICE_HANDOVER"
    /// The variable that the way back after a fault sets.
    static let faultVariable = "PGSLUICE_HANDOVER_FAULT"
    /// Of the meaning of fields; new fields are no reason to change it.
    static let version: UInt64 = 1
    /// The most that is read.
    private static let byteLimit = 1 << 30

    private enum Tag {
        static let version: UInt16 = 1
        static let failure: UInt16 = 2
        static let epoch: UInt16 = 3
        static let image: UInt16 = 4
        static let startImage: UInt16 = 5
        static let segment: UInt16 = 6
        static let program: UInt16 = 7
        static let wake: UInt16 = 8
        static let control: UInt16 = 9
        static let listeners: UInt16 = 10
        static let worker: UInt16 = 11
        static let helper: UInt16 = 12
        static let orders: UInt16 = 13
        static let totals: UInt16 = 14
        static let console: UInt16 = 15
        static let lastNumber: UInt16 = 16
        static let consoleTotals: UInt16 = 17
        static let latencies: UInt16 = 18
        static let history: UInt16 = 19
    }

    /// Why a program that was to take over has given everything back; `nil` on the way to one.
    var failure: String?
    /// The number of the last order or configuration.
    var epoch: UInt64 = 0
    /// The configuration in force, and the one the instance started with.
    var image: [UInt8] = []
    var startImage: [UInt8] = []
    /// The segment's memory.
    var segment: Int32 = -1
    /// The program that runs now, to go back to.
    var program: Int32 = -1
    /// The workers' way to wake the supervisor.
    var wake: Int32 = -1
    var control: ControlSocket?
    var listeners = ListenerSet()
    var workers: [WorkerSlot] = []
    /// The process that resolves names.
    var helper: Int32?
    var orders = OrdersInForce()
    /// What pools and workers that are gone have counted.
    var totals: [DatabaseTotals] = []
    /// Their times.
    var latencies: [PoolName: PoolLatencies] = [:]
    var consoleTotals = PoolTotals()
    /// The last ten minutes; `nil` from a program that left none.
    var history: StatisticsHistory?
    var consoles: [ConsoleConnection] = []
    var lastNumber: UInt64 = 0

    /// Nothing yet.
    init() {}

    /// Every descriptor in it: what must stay open on the way.
    var descriptors: [Int32] {
        [segment, program, wake] + (control?.descriptors ?? []) + listeners.descriptors
            + workers.flatMap { [$0.inbox, $0.inboxSender, $0.resolver, $0.resolverHelper] }
            + workers.compactMap { $0.channel?.descriptor } + consoles.map(\.descriptor)
    }

    /// All of it.
    func encoded() -> [UInt8] {
        var record = TaggedRecord()
        record.add(Tag.version, Handover.version)
        if let failure { record.add(Tag.failure, failure) }
        record.add(Tag.epoch, epoch)
        record.add(Tag.image, image)
        record.add(Tag.startImage, startImage)
        record.add(Tag.segment, segment)
        record.add(Tag.program, program)
        record.add(Tag.wake, wake)
        if let control { record.add(Tag.control, control.record) }
        record.add(Tag.listeners, listeners.record)
        for worker in workers { record.add(Tag.worker, worker.record) }
        if let helper { record.add(Tag.helper, helper) }
        record.add(Tag.orders, orders.record)
        for database in totals { record.add(Tag.totals, database.record) }
        for (pool, latencies) in latencies { record.add(Tag.latencies, latencies.record(of: pool)) }
        if let history { record.add(Tag.history, history.record) }
        record.add(Tag.consoleTotals, DatabaseTotals(database: [], totals: consoleTotals).record)
        for console in consoles {
            if let field = console.record { record.add(Tag.console, field) }
        }
        record.add(Tag.lastNumber, lastNumber)
        return record.encoded
    }

    /// What another program left; the descriptors in it are this process's.
    init(decoding bytes: [UInt8]) throws(ControlError) {
        let record = try TaggedRecord(decoding: bytes)
        guard try record.number(Tag.version) == Handover.version else { throw .version(0) }
        let reason = record.text(Tag.failure)
        failure = reason.isEmpty ? nil : reason
        epoch = try record.number(Tag.epoch)
        image = record.bytes(Tag.image)
        startImage = record.bytes(Tag.startImage)
        segment = try record.number(Tag.segment, as: Int32.self)
        program = try record.number(Tag.program, as: Int32.self)
        wake = try record.number(Tag.wake, as: Int32.self)
        if let field = try record.records(Tag.control).first { control = try ControlSocket(field) }
        if let field = try record.records(Tag.listeners).first { listeners = try ListenerSet(field) }
        for field in try record.records(Tag.worker) { workers.append(try WorkerSlot(field)) }
        if !record.bytes(Tag.helper).isEmpty { helper = try record.number(Tag.helper, as: Int32.self) }
        if let field = try record.records(Tag.orders).first { orders = try OrdersInForce(field) }
        for field in try record.records(Tag.totals) { totals.append(try DatabaseTotals(field)) }
        for field in try record.records(Tag.latencies) {
            let (pool, latencies) = try PoolLatencies.decode(field)
            self.latencies[pool] = latencies
        }
        if let field = try record.records(Tag.history).first { history = try StatisticsHistory(field) }
        if let field = try record.records(Tag.consoleTotals).first {
            consoleTotals = try DatabaseTotals(field).totals
        }
        for field in try record.records(Tag.console) { consoles.append(try ConsoleConnection(field)) }
        lastNumber = try record.number(Tag.lastNumber)
    }

    /// What the program before this one left in this process, if it did; also the descriptor it is in.
    static func fromEnvironment() throws(StartupFailure) -> (handover: Handover, descriptor: Int32)? {
        guard let text = Process.environment(variable) else { return nil }
        guard let descriptor = Int32(text) else {
            throw StartupFailure("\(variable): \(text) is no descriptor")
        }
        do {
            let bytes = try SharedMemory.contents(of: descriptor, limit: byteLimit)
            var handover = try Handover(decoding: bytes)
            if let fault = Process.environment(faultVariable) { handover.failure = fault }
            return (handover, descriptor)
        } catch { throw StartupFailure("what the running program left cannot be read: \(error)") }
    }
}

extension WorkerSlot {
    private enum Tag {
        static let inbox: UInt16 = 1
        static let inboxSender: UInt16 = 2
        static let resolver: UInt16 = 3
        static let resolverHelper: UInt16 = 4
        static let process: UInt16 = 5
        static let channel: UInt16 = 6
        static let incarnation: UInt16 = 7
        static let isUnreclaimed: UInt16 = 8
        static let isWanted: UInt16 = 9
        static let isLeaving: UInt16 = 10
        static let isReady: UInt16 = 11
        static let isDrained: UInt16 = 12
        static let started: UInt16 = 13
        static let reportedDropped: UInt16 = 14
        static let drainSince: UInt16 = 15
        static let drainStep: UInt16 = 16
    }

    /// Everything but what has not been sent to the process yet.
    var record: TaggedRecord {
        var record = TaggedRecord()
        record.add(Tag.inbox, inbox)
        record.add(Tag.inboxSender, inboxSender)
        record.add(Tag.resolver, resolver)
        record.add(Tag.resolverHelper, resolverHelper)
        if let process { record.add(Tag.process, process) }
        if let channel { record.add(Tag.channel, channel.descriptor) }
        record.add(Tag.incarnation, incarnation)
        record.add(Tag.isUnreclaimed, isUnreclaimed)
        record.add(Tag.isWanted, isWanted)
        record.add(Tag.isLeaving, isLeaving)
        record.add(Tag.isReady, isReady)
        record.add(Tag.isDrained, isDrained)
        record.add(Tag.started, startedNanoseconds)
        record.add(Tag.reportedDropped, reportedDroppedCount)
        if let drain {
            record.add(Tag.drainSince, drain.since)
            record.add(Tag.drainStep, drain.step)
        }
        return record
    }

    init(_ record: TaggedRecord) throws(ControlError) {
        self.init(
            inbox: try record.number(Tag.inbox, as: Int32.self),
            inboxSender: try record.number(Tag.inboxSender, as: Int32.self),
            resolver: try record.number(Tag.resolver, as: Int32.self),
            resolverHelper: try record.number(Tag.resolverHelper, as: Int32.self))
        if !record.bytes(Tag.process).isEmpty { process = try record.number(Tag.process, as: Int32.self) }
        if !record.bytes(Tag.channel).isEmpty {
            channel = ControlChannel(descriptor: try record.number(Tag.channel, as: Int32.self))
        }
        incarnation = try record.number(Tag.incarnation)
        isUnreclaimed = try record.flag(Tag.isUnreclaimed)
        isWanted = try record.flag(Tag.isWanted)
        isLeaving = try record.flag(Tag.isLeaving)
        isReady = try record.flag(Tag.isReady)
        isDrained = try record.flag(Tag.isDrained)
        startedNanoseconds = try record.number(Tag.started)
        reportedDroppedCount = try record.number(Tag.reportedDropped)
        if !record.bytes(Tag.drainSince).isEmpty {
            drain = Drain(since: try record.number(Tag.drainSince), step: try record.number(Tag.drainStep))
        }
    }
}
