/// What a process does when it runs next.
enum Step {
    case begin
    case load(word: Int)
    case store(word: Int, value: UInt64)
    case change(word: Int, set: UInt64, clear: UInt64)
    case fence, takeLock, giveLock
    case send(Message, to: Int)
    case receive
    case end

    var fingerprint: UInt64 {
        switch self {
        case .begin: 1
        case .load(let word): mixed(2, UInt64(word))
        case .store(let word, let value): mixed(mixed(3, UInt64(word)), value)
        case .change(let word, let set, let clear): mixed(mixed(mixed(4, UInt64(word)), set), clear)
        case .fence: 5
        case .takeLock: 6
        case .giveLock: 7
        case .send(let message, let to): mixed(mixed(8, message.fingerprint), UInt64(to))
        case .receive: 9
        case .end: 10
        }
    }
}

/// What the explorer has happen next.
enum Choice: Equatable {
    /// A process makes its next step.
    case run(Int)
    /// A store of a process, the one at this place of its buffer, reaches the memory that all see.
    case flush(Int, Int)
    /// A process is killed where it stands; what its buffer holds is lost.
    case kill(Int)

    var process: Int {
        switch self {
        case .run(let process), .flush(let process, _), .kill(let process): process
        }
    }
}

/// A machine or a worker that is not what it should be: each has to be noticed.
public enum Flaw: String, CaseIterable, Sendable {
    /// A fence does nothing.
    case fencesDoNothing
    /// Nobody is told that the lock's holder has died.
    case deathsGoUnnoticed
    /// The lock is had by all who ask.
    case lockKeepsNobodyOut
    /// A dead worker's servers and wants are not given back.
    case nothingIsReclaimed
    /// A worker looks at what others want before it says what it has.
    case looksFirst
    /// Who asked a worker that has nothing left is not told so.
    case answersNothing
    /// A server is used by its receiver before the ledger has said that it may.
    case usesUntaken
}
