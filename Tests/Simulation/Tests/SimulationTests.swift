import Simulator
import Testing

@Suite struct SimulationTests {
    @Test(arguments: 1...100 as ClosedRange<UInt64>)
    func everyClientIsAnsweredAsByAServerOfItsOwn(seed: UInt64) {
        let outcome = Simulation.run(seed: seed, scope: .simple, traceLimit: 60)
        #expect(outcome.failure == nil, "\(outcome.setup)\n\(outcome.trace)")
    }

    /// The oracle is worth nothing if it does not notice a wrong answer.
    @Test(arguments: Sabotage.allCases)
    func aServerThatLiesIsNoticed(sabotage: Sabotage) {
        var noticed = 0
        for seed in 1...20 as ClosedRange<UInt64> {
            let outcome = Simulation.run(seed: seed, scope: .simple, sabotage: sabotage)
            if outcome.failure != nil { noticed += 1 }
        }
        #expect(noticed >= 10, "\(noticed) of 20 worlds")
    }

    @Test func aSeedGivesTheSameWorldAgain() {
        for seed in 1...5 as ClosedRange<UInt64> {
            let first = Simulation.run(seed: seed, scope: .simple, traceLimit: 100_000)
            let second = Simulation.run(seed: seed, scope: .simple, traceLimit: 100_000)
            #expect(first.trace == second.trace)
        }
    }
}
