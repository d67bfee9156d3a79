import Auth
import Base

/// Plays one side of a recording: says what to send next, and takes what comes.
public struct Player {
    /// What a player wants to do now.
    public enum Move {
        /// Send these bytes.
        case send([UInt8])
        /// Nothing, before more bytes have come.
        case wait
        /// Close; what was received may be unread.
        case hangUp
    }

    /// What the last password was made into, as all have the same. Players live on one thread.
    private nonisolated(unsafe) static var derived: DerivedScramKeys?

    private var steps: [Step]
    /// What the recording sends; a message that is not among it has been changed or comes from another one.
    private var usual: [[UInt8]] = []
    private var next = 0
    private let user: String
    private let password: String
    private let cancelKey: [UInt8]
    private var input = MessageStream()
    private var scram: ScramClient?
    /// Answers of a login that are to be changed, and how.
    private var mutator: Mutator?
    /// One in so many messages is changed when it is sent; `nil` if only what the steps say is sent.
    private var interval: Int?
    /// Messages that are still sent after one that may have a wrong length: what follows it is taken for
    /// its rest.
    private var rest: Int?
    /// The key that this client was given to cancel its queries with.
    public private(set) var key: [UInt8] = []
    /// Messages it has sent that the recording does not have: those that were left out, doubled or moved are
    /// not counted.
    public private(set) var changeCount = 0
    /// The errors it was sent.
    public private(set) var errorCount = 0
    /// Whether the conversation went to its end without a wait being given up.
    public private(set) var wentWell = true

    /// A player of a recording as it is.
    /// - Parameter cancelKey: the key a cancel request is sent with.
    public init(_ recording: Recording, password: String, cancelKey: [UInt8] = []) {
        steps = recording.steps
        user = recording.user
        self.password = password
        self.cancelKey = cancelKey
    }

    /// A player of a recording that `mutator` changes.
    public init(
        _ recording: Recording, password: String, cancelKey: [UInt8], mutator: Mutator,
        others: [Recording]
    ) {
        var mutator = mutator
        steps = mutator.change(recording.steps, others: others)
        usual = recording.steps.compactMap { if case .send(let bytes) = $0 { bytes } else { nil } }
        user = recording.user
        self.password = password
        self.cancelKey = cancelKey
        self.mutator = mutator
    }

    /// A player of a recording and what comes in others, who changes about one in `interval` messages, most
    /// of them so that the conversation can go on; or none.
    public init(
        _ recording: Recording, password: String, cancelKey: [UInt8], mutator: Mutator,
        others: [Recording], interval: Int?
    ) {
        self.init(recording, password: password, cancelKey: cancelKey)
        var mutator = mutator
        if interval != nil, mutator.once(in: 3) { steps = mutator.change(steps, others: others) }
        if recording.isSession, steps.count > 5 {
            steps.insert(contentsOf: mutator.bodies(of: others), at: steps.count - 2)
        }
        guard let interval else { return }
        self.mutator = mutator
        self.interval = interval
    }

    /// The step it is at, for reports.
    public var position: Int { next }

    /// Bytes have come.
    public mutating func receive(_ bytes: [UInt8]) { input.append(bytes) }

    /// The peer said nothing for too long: go on all the same.
    public mutating func stopWaiting() {
        wentWell = false
        next += 1
    }

    /// What to do now. Call it again after `send`, and after `wait` when more has come.
    public mutating func move() -> Move {
        while next < steps.count {
            switch steps[next] {
            case .send(let bytes):
                if let interval { return pester(bytes, interval) }
                next += 1
                if mutator != nil, !usual.contains(bytes) { changeCount += 1 }
                return .send(bytes)
            case .cancel:
                next += 1
                return .send(maybeChanged(Bytes.cancel(cancelKey)))
            case .hangUp:
                return .hangUp
            case .awaitByte:
                guard input.takeByte() != nil else { return .wait }
                next += 1
            case .await(let type):
                guard find(type) else { return .wait }
                next += 1
            case .logIn:
                guard let message = input.next() else { return .wait }
                note(message)
                if let answer = answer(message) { return .send(maybeChanged(answer)) }
            }
        }
        return .hangUp
    }

    /// Sends a message, a changed one in its place, or another one in front of it.
    private mutating func pester(_ bytes: [UInt8], _ interval: Int) -> Move {
        if let rest {
            guard rest > 0 else { return .hangUp }
            self.rest = rest - 1
            next += 1
            return .send(bytes)
        }
        let isStartup = next < 3
        guard mutator!.once(in: isStartup ? 8 : interval) else {
            next += 1
            return .send(bytes)
        }
        if isStartup || !mutator!.once(in: 4) { next += 1 }
        let changed: [UInt8]
        if mutator!.once(in: 24) {
            changed = mutator!.change(bytes)
            rest = mutator!.below(4)
        } else {
            changed = mutator!.changeInside(bytes)
        }
        if changed != bytes { changeCount += 1 }
        return .send(changed)
    }

    private mutating func maybeChanged(_ message: [UInt8]) -> [UInt8] {
        if interval != nil, mutator!.once(in: 2) { return message }
        guard let changed = mutator?.maybeChange(message) else { return message }
        if changed != message { changeCount += 1 }
        return changed
    }

    /// Takes messages up to one of the type, which the next look begins behind.
    private mutating func find(_ type: UInt8) -> Bool {
        while let message = input.next() {
            note(message)
            if message.type == type { return true }
        }
        return false
    }

    private mutating func note(_ message: MessageStream.Message) {
        if message.type == UInt8(ascii: "K") { key = Array(message.body) }
        if message.type == UInt8(ascii: "E") { errorCount += 1 }
    }

    /// The answer to a message of the login; goes on to the next step at its end.
    private mutating func answer(_ message: MessageStream.Message) -> [UInt8]? {
        guard message.type == UInt8(ascii: "R"), message.body.count >= 4 else {
            if message.type == UInt8(ascii: "E") { next += 1 }
            return nil
        }
        let rest = Array(message.body.dropFirst(4))
        switch Bytes.number(message.body) {
        case 0:
            next += 1
            return nil
        case 3:
            return Bytes.password(Bytes.text(password))
        case 5:
            let salt = UInt32(bitPattern: Int32(truncatingIfNeeded: Bytes.number(rest[...])))
            let secret = StoredSecret.plain(Array(password.utf8))
            guard let response = secret.md5Response(user: Array(user.utf8), salt: salt) else { return nil }
            return Bytes.password(response + [0])
        case 10:
            let scram = ScramClient(credential: .password(Array(password.utf8)), nonce: Array(1...18))
            self.scram = scram
            let first = scram.clientFirst
            return Bytes.password(Bytes.text("SCRAM-SHA-256") + Bytes.int32(first.count) + first)
        case 11:
            guard var scram else { return nil }
            let known = Player.derived
            do throws(ScramError) { try scram.receiveServerFirst(rest.rawSpan, known: known) } catch {
                return nil
            }
            while !scram.step(iterations: 10_000) {}
            if let derived = scram.derived { Player.derived = derived }
            return Bytes.password(scram.clientFinal)
        default:
            return nil
        }
    }
}
