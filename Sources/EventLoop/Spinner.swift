/// Decides whether a wait looks for completions itself for a while before it sleeps, and for how long.
///
/// Sleeping costs processor time and a wake-up, which on some machines take 20 microseconds and on others 2;
/// looking costs the time that it lasts, and when it finds nothing that time was stolen from whoever could
/// have run instead, perhaps the very server that is waited for. So the price of sleeping is measured, a look
/// lasts no longer than twice that, and there is one only while waits have lately ended so soon. Each look in
/// vain keeps the spinner asleep for twice as many waits as the one before.
struct Spinner: BitwiseCopyable {
    /// Grows with short waits, falls with long ones.
    private var score: Int32 = 0
    /// Waits that must pass before the next look.
    private var holdOff: Int32 = 0
    /// Looks in vain, as the power of two of the hold-off they cost.
    private var failureExponent: Int32 = 0
    private var successCount: Int32 = 0
    /// Processor time of a sleep in nanoseconds, averaged; 0 before the first was measured.
    private var sleepCost: UInt64 = 0
    /// Sleeps until one is measured again.
    private var unmeasuredSleeps: Int32 = 0

    private static var scoreLimit: Int32 { 16 }
    private static var scoreNeeded: Int32 { 8 }
    private static var exponentLimit: Int32 { 8 }
    /// One sleep in so many is measured: measuring takes system calls.
    private static var measuredSleeps: Int32 { 32 }

    init() {}

    /// How long the coming wait should look, of a budget in nanoseconds; 0 for not at all.
    func look(budget: UInt64) -> UInt64 {
        score >= Spinner.scoreNeeded && holdOff == 0 ? worth(budget) : 0
    }

    /// Whether the coming sleep is one whose processor time is measured.
    mutating func measures() -> Bool {
        unmeasuredSleeps &-= 1
        guard unmeasuredSleeps < 0 else { return false }
        unmeasuredSleeps = Spinner.measuredSleeps
        return true
    }

    /// A sleep took so much processor time.
    mutating func measured(cost: UInt64) {
        sleepCost = sleepCost == 0 ? cost : (sleepCost &* 7 &+ cost) / 8
    }

    /// A wait slept for so long; `budget` is how long a look may last at most.
    mutating func slept(nanoseconds: UInt64, budget: UInt64) {
        if holdOff > 0 { holdOff &-= 1 }
        note(isShort: nanoseconds <= worth(budget))
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

    private func worth(_ budget: UInt64) -> UInt64 { min(budget, sleepCost &* 2) }

    private mutating func note(isShort: Bool) {
        score = isShort ? min(score &+ 1, Spinner.scoreLimit) : max(score &- 4, 0)
    }
}
