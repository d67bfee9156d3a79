import Glibc

/// The helper process that does what blocks for all workers: it resolves names, and asks whether passwords
/// are right.
///
/// Each question runs in a short-lived child, so a slow server holds up only who waits for it. At most
/// `lookupLimit` names are looked up at once; equal questions share one, and answers are kept for as long as
/// the asker accepts them. At most `checkLimit` passwords are checked at once.
public struct Resolver: ~Copyable {
    /// Lookups that run at the same time.
    static let lookupLimit = 8
    /// Names that wait for a lookup; more are refused.
    static let queueLimit = 1024
    /// Passwords that are checked at the same time.
    static let checkLimit = 16
    /// Answers kept.
    static let cacheLimit = 4096
    /// After this a lookup is given up.
    static let lookupNanoseconds: UInt64 = 30_000_000_000
    /// How long a failure that may be over soon is kept at most.
    static let doubtfulFailureNanoseconds: UInt64 = 1_000_000_000

    private struct Asker {
        let channel: Int32
        let id: UInt64
    }

    private struct Known {
        let result: LookupResult
        let sinceNanoseconds: UInt64
    }

    private let channels: [Int32]
    private let signals: Int32
    /// Another process takes the questions from now on.
    private var isFinishing = false
    private var running: [RunningLookup] = []
    private var queue: [String] = []
    private var askers: [String: [Asker]] = [:]
    private var known: [String: Known] = [:]
    private var checks: [RunningCheck] = []
    private var waitingChecks: [(question: PasswordQuestion, channel: Int32)] = []

    private init(channels: [Int32], signals: Int32) {
        self.channels = channels
        self.signals = signals
    }

    /// Serves questions until the supervisor ends or tells this process to.
    ///
    /// - Parameter channels: SOCK_SEQPACKET ends, non-blocking, one per worker. The process owns them and
    ///   all its signals are blocked.
    public static func run(channels: [Int32]) -> Never {
        guard let signals = try? Signals.descriptor(for: [Signals.supervisorLost, Signals.succeeded]) else {
            Process.exitNow(1)
        }
        var resolver = Resolver(channels: channels, signals: signals)
        while resolver.turn() {}
        for lookup in resolver.running { lookup.child.finish() }
        for check in resolver.checks { check.child.finish() }
        Process.exitNow(0)
    }

    /// Waits for something to happen and handles it; `false` when the process is to end.
    private mutating func turn() -> Bool {
        var interests = [Poll.Interest(signals, .read)]
        // A successor reads what is asked from now on.
        interests += channels.map { Poll.Interest(isFinishing ? -1 : $0, .read) }
        interests += running.map { Poll.Interest($0.child.pipe, .read) }
        let firstCheck = interests.count
        interests += checks.map { Poll.Interest($0.child.pipe, .read) }
        let ready = Poll.wait(interests, milliseconds: running.isEmpty && checks.isEmpty ? -1 : 1000)
        if ready[0].canRead, let signal = Signals.next(from: signals) {
            guard signal.signal == Signals.succeeded else { return false }
            isFinishing = true
        }
        let now = Clock.monotonicNanoseconds
        for index in running.indices.reversed() {
            var lookup = running[index]
            var result: LookupResult?
            if ready[1 + channels.count + index].canRead {
                result = lookup.receive()
                running[index] = lookup
            } else if now > lookup.child.startedNanoseconds &+ Resolver.lookupNanoseconds {
                result = LookupResult(failure: "the name lookup took too long", isDefinite: false)
            }
            guard let result else { continue }
            running.remove(at: index)
            lookup.child.finish()
            settle(lookup.name, result, now)
        }
        settleChecks(now) { ready[firstCheck + $0].canRead }
        for (index, channel) in channels.enumerated() where ready[1 + index].canRead {
            receive(from: channel, now)
        }
        startLookups(now)
        startChecks()
        return !isFinishing || !running.isEmpty || !queue.isEmpty || !checks.isEmpty
            || !waitingChecks.isEmpty
    }

    // MARK: Passwords

    /// Passes on what checks have found out, and ends those that take too long.
    private mutating func settleChecks(_ now: UInt64, _ isReady: (Int) -> Bool) {
        for index in checks.indices.reversed() {
            let check = checks[index]
            let answer: PasswordAnswer
            if isReady(index) {
                answer = check.receive()
            } else if now > check.child.startedNanoseconds &+ Resolver.lookupNanoseconds {
                answer = PasswordAnswer(
                    id: check.id, verdict: .failed, reason: "the check of a password took too long")
            } else {
                continue
            }
            checks.remove(at: index)
            check.child.finish()
            _ = try? Descriptors.write(check.channel, answer.encoded()[...])
        }
    }

    private mutating func receive(_ question: PasswordQuestion, from channel: Int32) {
        guard waitingChecks.count < Resolver.queueLimit else {
            let answer = PasswordAnswer(
                id: question.id, verdict: .failed, reason: "too many passwords are to be checked")
            _ = try? Descriptors.write(channel, answer.encoded()[...])
            return
        }
        waitingChecks.append((question, channel))
    }

    private mutating func startChecks() {
        while checks.count < Resolver.checkLimit, !waitingChecks.isEmpty {
            let next = waitingChecks.removeFirst()
            do { checks.append(try RunningCheck.start(next.question, from: next.channel)) } catch {
                let answer = PasswordAnswer(
                    id: next.question.id, verdict: .failed, reason: error.description)
                _ = try? Descriptors.write(next.channel, answer.encoded()[...])
            }
        }
    }

    // MARK: Names

    private mutating func receive(from channel: Int32, _ now: UInt64) {
        for _ in 0..<64 {
            guard let datagram = try? Descriptors.read(channel, limit: PasswordQuestion.byteLimit),
                !datagram.isEmpty
            else { return }
            if let question = PasswordQuestion(datagram) {
                receive(question, from: channel)
                continue
            }
            guard let request = ResolverRequest(datagram) else { continue }
            if let entry = known[request.name] {
                let life = lifeNanoseconds(of: entry.result, for: request)
                if now < entry.sinceNanoseconds &+ life {
                    answer(Asker(channel: channel, id: request.id), entry.result)
                    continue
                }
            }
            let asker = Asker(channel: channel, id: request.id)
            if askers[request.name] != nil {
                askers[request.name]?.append(asker)
            } else if queue.count < Resolver.queueLimit {
                askers[request.name] = [asker]
                queue.append(request.name)
            } else {
                answer(asker, LookupResult(failure: "too many name lookups", isDefinite: false))
            }
        }
    }

    private func lifeNanoseconds(of result: LookupResult, for request: ResolverRequest) -> UInt64 {
        if result.failure.isEmpty { return UInt64(request.lifeMilliseconds) * 1_000_000 }
        let life = UInt64(request.failureLifeMilliseconds) * 1_000_000
        return result.isDefinite ? life : min(life, Resolver.doubtfulFailureNanoseconds)
    }

    private mutating func startLookups(_ now: UInt64) {
        while running.count < Resolver.lookupLimit, !queue.isEmpty {
            let name = queue.removeFirst()
            do { running.append(try RunningLookup.start(name)) } catch {
                settle(name, LookupResult(failure: error.description, isDefinite: false), now)
            }
        }
    }

    private mutating func settle(_ name: String, _ result: LookupResult, _ now: UInt64) {
        if known.count >= Resolver.cacheLimit { known.removeAll(keepingCapacity: true) }
        known[name] = Known(result: result, sinceNanoseconds: now)
        for asker in askers.removeValue(forKey: name) ?? [] { answer(asker, result) }
    }

    /// A full channel loses the answer: its worker has stopped reading, and asks again when it goes on.
    private func answer(_ asker: Asker, _ result: LookupResult) {
        let answer = ResolverAnswer(id: asker.id, addresses: result.addresses, failure: result.failure)
        _ = try? Descriptors.write(asker.channel, answer.encoded()[...])
    }
}
