/// Decides whether a wait looks for completions itself for a while before it sleeps.
///
/// Sleeping costs a wake-up per message when there are few; looking costs processor time, and when it finds
/// nothing that time was stolen from whoever could have run instead, perhaps the very server that is waited
/// for. So the spinner looks only while waits have lately ended within the budget, and each look in vain
/// keeps it asleep for twice as many waits as the one before.
struct Spinner: BitwiseCopyable {
    /// Grows with short waits, falls with long ones.
    private var score: Int32 = 0
    /// Waits that must pass before the next look.
    private var holdOff: Int32 = 0
    /// Looks in vain, as the power of two of the hold-off they cost.
    private var failureExponent: Int32 = 0
    private var successCount: Int32 = 0

    private static var scoreLimit: Int32 { 16 }
    private static var scoreNeeded: Int32 { 8 }
    private static var exponentLimit: Int32 { 8 }

    init() {}

    /// Whether the coming wait should look first.
    var looks: Bool { score >= Spinner.scoreNeeded && holdOff == 0 }

    /// A wait slept for so long; `budget` is how long it would have looked.
    mutating func slept(nanoseconds: UInt64, budget: UInt64) {
        if holdOff > 0 { holdOff &-= 1 }
        note(isShort: nanoseconds <= budget)
    }

    /// A look found something.
    mutating func found() {
        note(isShort: true)
        successCount &+= 1
        if successCount >= 16 {
            successCount = 0
            if failureExponent > 0 { failureExponent &-= 1 }
        }
    }

    /// A look found nothing.
    mutating func missed() {
        note(isShort: false)
        successCount = 0
        holdOff = 4 << failureExponent
        if failureExponent < Spinner.exponentLimit { failureExponent &+= 1 }
    }

    private mutating func note(isShort: Bool) {
        score = isShort ? min(score &+ 1, Spinner.scoreLimit) : max(score &- 4, 0)
    }
}
