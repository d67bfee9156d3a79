/// When a worker that ended is started again: at once the first time, then after pauses that double, so
/// that a worker that cannot live does not burn a processor.
struct RestartPolicy: Equatable {
    /// The first pause.
    static let firstPauseNanoseconds: UInt64 = 100_000_000
    /// The longest pause.
    static let longestPauseNanoseconds: UInt64 = 5_000_000_000
    /// Whoever lived this long begins anew.
    static let settledNanoseconds: UInt64 = 2_000_000_000

    /// The pause before the next start, 0 for none.
    private(set) var nextPauseNanoseconds: UInt64 = 0

    /// How long to wait before starting again a worker that has just ended.
    mutating func pause(afterLifeOf lifeNanoseconds: UInt64) -> UInt64 {
        if lifeNanoseconds >= RestartPolicy.settledNanoseconds { nextPauseNanoseconds = 0 }
        let pause = nextPauseNanoseconds
        nextPauseNanoseconds =
            pause == 0
            ? RestartPolicy.firstPauseNanoseconds : min(pause * 2, RestartPolicy.longestPauseNanoseconds)
        return pause
    }
}
