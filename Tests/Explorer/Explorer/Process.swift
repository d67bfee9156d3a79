import Coroutine

@testable import SharedState

/// A worker or the supervisor: code that stops before every step, with stores of which others know nothing
/// yet.
///
/// A store reaches the others when the explorer wants it, before or after other places that were written
/// later, unless it is a release: that waits for all before it. A fence, a change of bits, giving the lock
/// and sending a message wait for everything.
final class Process: LedgerSteps {
    struct Pending {
        var word: Int
        var value: UInt64
        var isRelease: Bool
    }

    let index: Int
    unowned let world: World
    private let coroutine: OpaquePointer
    private var body: (() -> Void)?
    private(set) var next = Step.end
    private(set) var buffer: [Pending] = []
    /// Everything it has seen since it last received something: with that its place in its code is given.
    private(set) var history: UInt64 = 0
    private(set) var isAlive = false
    var inbox: [Message] = []

    init(index: Int, world: World) {
        self.index = index
        self.world = world
        coroutine = coroutine_make()
    }

    deinit { coroutine_free(coroutine) }

    /// Begins anew with this code.
    func start(_ body: @escaping () -> Void) {
        self.body = body
        buffer.removeAll(keepingCapacity: true)
        history = 0
        isAlive = true
        next = .begin
        coroutine_start(
            coroutine, { Unmanaged<Process>.fromOpaque($0!).takeUnretainedValue().run() },
            Unmanaged.passUnretained(self).toOpaque())
    }

    private func run() {
        body?()
        next = .end
    }

    /// Makes the next step, and goes on to the one after it.
    func resume() { coroutine_resume(coroutine) }

    func die() {
        isAlive = false
        buffer.removeAll(keepingCapacity: true)
        next = .end
    }

    /// Nothing of it is left: for the next schedule.
    func forget() {
        die()
        inbox.removeAll(keepingCapacity: true)
        history = 0
    }

    private func pause(_ step: Step) {
        next = step
        coroutine_yield(coroutine)
    }

    private func note(_ value: UInt64) { history = mixed(history, value) }

    // MARK: What can be done with it

    var isBlocked: Bool {
        switch next {
        case .takeLock: !world.lock.isFree && world.flaw != .lockKeepsNobodyOut
        case .receive: inbox.isEmpty
        case .end: true
        case .begin, .load, .store, .change, .fence, .giveLock, .send: false
        }
    }

    /// Whether others may notice the next step, or it them; if not, it may as well be made at once.
    var isNextVisible: Bool {
        switch next {
        case .load(let word): world.places[word] == .open
        case .store, .end: false
        case .fence, .giveLock: !buffer.isEmpty
        case .begin, .change, .takeLock, .send, .receive: true
        }
    }

    /// Whether the store at this place of the buffer may be the next to reach the others.
    func mayFlush(_ place: Int) -> Bool {
        let store = buffer[place]
        for earlier in buffer[..<place] {
            if store.isRelease || earlier.word == store.word { return false }
        }
        return true
    }

    func flush(_ place: Int) {
        let store = buffer.remove(at: place)
        world.write(store.word, store.value)
    }

    private func flushAll() {
        for store in buffer { world.write(store.word, store.value) }
        buffer.removeAll(keepingCapacity: true)
    }

    var fingerprint: UInt64 {
        guard isAlive || !inbox.isEmpty else { return 7 }
        var result = mixed(history, isAlive ? next.fingerprint : 0)
        for store in buffer {
            result = mixed(mixed(result, UInt64(store.word) << 1 | (store.isRelease ? 1 : 0)), store.value)
        }
        for message in inbox { result = mixed(result, message.fingerprint) }
        return result
    }

    // MARK: Steps

    func load(_ place: UnsafeMutablePointer<UInt64>) -> UInt64 {
        let word = world.word(place)
        guard world.places[word] != .unused else { return world.memory[word] }
        pause(.load(word: word))
        world.checkLocked(word, by: index)
        let value = buffer.last { $0.word == word }?.value ?? world.memory[word]
        note(value)
        return value
    }

    func store(_ place: UnsafeMutablePointer<UInt64>, _ value: UInt64, isRelease: Bool) {
        let word = world.word(place)
        guard world.places[word] != .unused else {
            precondition(value & 0xFF == 0, "an unused transfer slot stays free")
            return
        }
        pause(.store(word: word, value: value))
        world.checkLocked(word, by: index)
        // Rows have one writer at a time: what is written again as it was, is no step to anybody.
        let isSame = world.memory[word] == value && !buffer.contains { $0.word == word }
        if world.places[word] == .locked || isSame && !world.isTransfer(word) {
            world.write(word, value)
        } else {
            buffer.append(Pending(word: word, value: value, isRelease: isRelease))
        }
    }

    func change(_ place: UnsafeMutablePointer<UInt64>, set: UInt64, clear: UInt64) {
        let word = world.word(place)
        pause(.change(word: word, set: set, clear: clear))
        flushAll()
        world.write(word, world.memory[word] & ~clear | set)
    }

    func fence() {
        pause(.fence)
        if world.flaw != .fencesDoNothing { flushAll() }
    }

    func takeLock() -> Int32 {
        pause(.takeLock)
        let hasDied = world.takeLock(for: index)
        note(hasDied ? 1 : 0)
        return hasDied ? 1 : 0
    }

    func giveLock() {
        pause(.giveLock)
        flushAll()
        world.giveLock()
    }

    func send(_ message: Message, to other: Int) {
        pause(.send(message, to: other))
        // Who has a message from a socket sees what its sender had written before.
        flushAll()
        world.processes[other].inbox.append(message)
    }

    /// The next message; `state` is everything that the code remembers from before it.
    func receive(_ state: UInt64) -> Message {
        history = state
        pause(.receive)
        let message = inbox.removeFirst()
        history = mixed(state, message.fingerprint)
        return message
    }
}
