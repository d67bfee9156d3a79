import System

/// One worker index: what stays while its processes come and go, and the process it has now.
struct WorkerSlot {
    /// Its inbox: the other workers hold the sending end. Both ends stay with the supervisor, so that what
    /// a worker that died had not read yet is still there.
    let inbox: Int32
    let inboxSender: Int32
    /// The worker's and the helper's end of the channel for names.
    let resolver: Int32
    let resolverHelper: Int32

    /// The process; `nil` while none runs.
    var process: Int32?
    /// The pair to the process; `nil` while none runs.
    var channel: ControlChannel?
    /// How many processes have had this index.
    var incarnation: UInt64 = 0
    /// What its last process owned has not been given back yet.
    var isUnreclaimed = false
    /// Whether there is to be a process: not after a reload has lowered `workers`.
    var isWanted = true
    /// The process has been told to go, and hands what it has to the others.
    var isLeaving = false
    /// Since when a restart waits for the process to leave, and what has been done about it.
    var drain: Drain?
    /// The process is to show that it can serve, before others leave for it: it gets no clients yet.
    var isOnTrial = false
    /// Whether the process has said that it serves.
    var isReady = false
    /// Whether the process has said that nothing is left to serve.
    var isDrained = false
    /// It has not turned for long: new connections go to others.
    var isSilent = false
    /// When a worker that hangs is killed, after it was asked to leave a core file.
    var killNanoseconds: UInt64?
    /// When the process was started, monotonic.
    var startedNanoseconds: UInt64 = 0
    /// When the next process starts; `nil` while one runs or none is wanted.
    var nextStartNanoseconds: UInt64?
    /// How long to wait between processes.
    var policy = RestartPolicy()
    /// Records lost so far in the log ring, as already reported.
    var reportedDroppedCount: UInt64 = 0

    /// Where it is in its life, in a word.
    var stateText: String {
        if process == nil { return nextStartNanoseconds == nil ? "none" : "restarting" }
        if isSilent { return "silent" }
        if isLeaving || isDrained { return "draining" }
        if isOnTrial { return "on trial" }
        return isReady ? "ready" : "starting"
    }

    /// A slot with channels that are there.
    init(inbox: Int32, inboxSender: Int32, resolver: Int32, resolverHelper: Int32) {
        self.inbox = inbox
        self.inboxSender = inboxSender
        self.resolver = resolver
        self.resolverHelper = resolverHelper
    }

    /// A slot without a process.
    init() throws(SystemError) {
        (inbox, inboxSender) = try Socket.pair(.datagram, nonBlocking: true)
        (resolver, resolverHelper) = try Socket.pair(.sequencedPackets, nonBlocking: true)
    }
}
