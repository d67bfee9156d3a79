import Explorer
import Testing

/// The ledger's steps in every order, with a death before each.
@Suite struct ExplorerTests {
    @Test(arguments: Scenario.short) func nothingIsLostInAnyOrder(scenario: Scenario) {
        let outcome = Explorer(scenario).run()
        #expect(outcome.failure == nil, "\(outcome.trace.joined(separator: "\n"))")
        #expect(outcome.isComplete)
        #expect(outcome.states > 100)
    }

    /// Machines and workers that are not what they should be are noticed.
    @Test(arguments: Flaw.allCases) func aFlawIsNoticed(flaw: Flaw) {
        let outcome = Explorer(.showing(flaw), flaw: flaw).run()
        #expect(outcome.failure != nil)
    }
}
