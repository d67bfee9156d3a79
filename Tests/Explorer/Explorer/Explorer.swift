/// Runs a scenario in every order its steps may have.
///
/// Depth first: what has been decided is played again from the beginning to get at the next choice, and a
/// state that has been seen before is not gone into again.
public final class Explorer {
    /// What came of it.
    public struct Outcome {
        /// Different states with more than one thing that might happen next.
        public var states = 0
        /// Paths, each ending at rest or where another one had been.
        public var schedules = 0
        public var steps = 0
        /// Whether nothing was left out.
        public var isComplete = false
        /// What was wrong, and the steps that lead there.
        public var failure: String?
        public var trace: [String] = []
    }

    private struct Frame {
        var choices: [Choice]
        var taken = 0
    }

    /// Decisions that no schedule needs.
    private static let depthLimit = 1000

    private let world: World
    private var seen: Set<UInt64> = []
    private var frames: [Frame] = []
    private var outcome = Outcome()

    /// - Parameter flaw: what is wrong with the machine or the workers; for tests of the explorer.
    public init(_ scenario: Scenario, flaw: Flaw? = nil) {
        world = World(scenario, flaw: flaw)
    }

    /// Goes through all states, or as many as `stateLimit` says; ends with the first that is wrong.
    public func run(stateLimit: Int = .max) -> Outcome {
        world.reset()
        while true {
            descend()
            outcome.schedules += 1
            if let failure = world.violation {
                outcome.failure = failure
                outcome.trace = trace()
                return outcome
            }
            if outcome.states >= stateLimit { return outcome }
            while let last = frames.last, last.taken == last.choices.count { frames.removeLast() }
            guard !frames.isEmpty else { break }
            replay()
            // The one after what was played.
            frames[frames.count - 1].taken += 1
            let frame = frames[frames.count - 1]
            perform(frame.choices[frame.taken - 1])
        }
        outcome.isComplete = true
        return outcome
    }

    private func perform(_ choice: Choice) {
        outcome.steps += 1
        world.apply(choice)
    }

    /// From where the world is to an end, always with the first choice.
    private func descend() {
        while world.violation == nil {
            let choices = world.choices()
            if choices.isEmpty {
                if world.passTime() { continue }
                return world.checkRest()
            }
            if choices.count > 1 {
                guard seen.insert(world.fingerprint).inserted else { return }
                outcome.states += 1
                guard frames.count < Explorer.depthLimit else {
                    return world.fail("there is no end to it")
                }
                frames.append(Frame(choices: choices, taken: 1))
            }
            perform(choices[0])
        }
    }

    /// The world again as it was before the last frame's choice.
    private func replay() {
        world.reset()
        var place = 0
        while true {
            let choices = world.choices()
            if choices.isEmpty {
                precondition(world.passTime(), "a schedule leads to the same place again")
                continue
            }
            guard choices.count > 1 else {
                perform(choices[0])
                continue
            }
            precondition(choices == frames[place].choices, "a schedule leads to the same choices again")
            if place == frames.count - 1 { return }
            perform(choices[frames[place].taken - 1])
            place += 1
        }
    }

    /// The steps that led to where the world is.
    private func trace() -> [String] {
        world.reset()
        var lines: [String] = []
        var place = 0
        while world.violation == nil {
            let choices = world.choices()
            if choices.isEmpty {
                guard world.passTime() else { break }
                lines.append("time passes")
                continue
            }
            var choice = choices[0]
            if choices.count > 1 {
                guard place < frames.count else { break }
                choice = choices[frames[place].taken - 1]
                place += 1
            }
            lines.append(world.description(of: choice))
            world.apply(choice)
        }
        return lines
    }
}
