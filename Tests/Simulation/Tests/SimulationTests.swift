import Simulator
import Testing

@Suite struct SimulationTests {
    @Test(arguments: 1...10 as ClosedRange<UInt64>)
    func everyClientIsAnsweredAsByAServerOfItsOwn(seed: UInt64) {
        let outcome = Simulation.run(seed: seed, traceLimit: 60)
        #expect(outcome.failure == nil, "\(outcome.setup)\n\(outcome.trace)")
    }
}
