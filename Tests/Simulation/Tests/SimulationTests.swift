import Simulator
import Testing

@Suite struct SimulationTests {
    private func expectAllWell(_ scope: Scope, _ seed: UInt64) {
        let outcome = Simulation.run(seed: seed, scope: scope)
        guard let failure = outcome.failure else { return }
        // The same again, this time with the events told.
        let again = Simulation.run(seed: seed, scope: scope, traceLimit: 60)
        Issue.record("\(failure)\n\(outcome.setup)\n\(again.trace)")
    }

    @Test(arguments: 1...30 as ClosedRange<UInt64>)
    func simpleQueriesAreAnsweredAsByAServerOfOnesOwn(seed: UInt64) { expectAllWell(.simple, seed) }

    @Test(arguments: 1...80 as ClosedRange<UInt64>)
    func everyClientIsAnsweredAsByAServerOfItsOwn(seed: UInt64) { expectAllWell(.extended, seed) }

    @Test(arguments: 1...80 as ClosedRange<UInt64>)
    func whatGoesWrongGivesNoWrongAnswers(seed: UInt64) { expectAllWell(.faults, seed) }

    @Test(arguments: 1...60 as ClosedRange<UInt64>)
    func severalWorkersAreOnePool(seed: UInt64) { expectAllWell(.several, seed) }

    @Test(arguments: 1...60 as ClosedRange<UInt64>)
    func whoIsLookedUpIsWhoHeSays(seed: UInt64) { expectAllWell(.logins, seed) }

    @Test(arguments: 1...6 as ClosedRange<UInt64>)
    func whoComesLaterIsServedLikeTheFirst(seed: UInt64) { expectAllWell(.crowds, seed) }

    /// Worlds that failed: a Sync long after its group was answered, which the oracle took for a new query.
    @Test(arguments: [772_471, 772_820] as [UInt64])
    func aQueryLastsUntilItsSync(seed: UInt64) { expectAllWell(.several, seed) }

    /// Worlds that failed: who was asked for a server tests it; a Query in a group that was cancelled; a
    /// FATAL error of PostgreSQL itself, which the pooler may add to.
    @Test(arguments: [101_016, 6_015_588, 5_105_876] as [UInt64])
    func whoWaitsIsServedOrCancelled(seed: UInt64) { expectAllWell(.several, seed) }

    /// A world that failed: the simulated worker that had sent a session away went on to receive for its
    /// server, where the real one does not.
    @Test func aSessionThatWasSentAwayIsNotReadAnyMore() { expectAllWell(.logins, 7_001_551) }

    /// Worlds that once failed: closings of statements in groups that were skipped, names in errors that came
    /// late, a Parse answered in a transaction that had failed, a name that PostgreSQL wrongly accepts.
    @Test(arguments: [171, 188, 197, 256, 737, 1177] as [UInt64])
    func pipelinesThatFailLeaveNoTrace(seed: UInt64) { expectAllWell(.extended, seed) }

    @Test(arguments: [100, 161, 171, 177, 192, 197, 395, 441, 525, 528, 580, 1115] as [UInt64])
    func pipelinesThatFailAmongFaultsLeaveNoTrace(seed: UInt64) { expectAllWell(.faults, seed) }

    /// The oracle is worth nothing if it does not notice a wrong answer.
    @Test(arguments: Sabotage.allCases)
    func aServerThatLiesIsNoticed(sabotage: Sabotage) {
        var noticed = 0
        for seed in 1...10 as ClosedRange<UInt64> {
            let outcome = Simulation.run(seed: seed, scope: .simple, sabotage: sabotage)
            if outcome.failure != nil { noticed += 1 }
        }
        #expect(noticed >= 6, "\(noticed) of 10 worlds")
    }

    @Test(arguments: 1...5 as ClosedRange<UInt64>)
    func aSeedGivesTheSameWorldAgain(seed: UInt64) {
        let first = Simulation.run(seed: seed, scope: .faults, traceLimit: 100_000)
        let second = Simulation.run(seed: seed, scope: .faults, traceLimit: 100_000)
        #expect(first.trace == second.trace)
    }
}
