import Explorer
import Glibc

/// The ledger's steps in every order, a worker killed at each.
enum Explore {
    static func run(_ scenarios: [Scenario], only name: String?, stateLimit: Int, flaw: Flaw?) -> Never {
        var failures = 0
        for scenario in scenarios where name.map({ scenario.name.contains($0) }) ?? true {
            let outcome = Explorer(scenario, flaw: flaw).run(stateLimit: stateLimit)
            let end = outcome.failure != nil ? "FAILED" : outcome.isComplete ? "all" : "cut short"
            print(
                "\(scenario.name): \(outcome.states) states, \(outcome.schedules) schedules, "
                    + "\(outcome.steps) steps, \(end)")
            fflush(nil)
            guard let failure = outcome.failure else { continue }
            failures += 1
            for line in outcome.trace { print("    \(line)") }
            print("FAILED: \(failure)")
        }
        exit(failures == 0 ? 0 : 1)
    }
}
