import Glibc
import RigSupport

/// `FuzzCore [--inputs N] [--seconds N] [--seed N] [--side SIDE] [--world N]`: changed conversations in front
/// of the core alone, as `MutationTests` has them, until so many messages have been changed on each side or
/// so many seconds have passed for each.
@main
struct Main {
    private static let conversationsPerWorld = 400
    private var inputs = 100_000
    private var seconds = Double.infinity
    private var seed: UInt64 = 1
    private var side: String?
    private var only: Int?

    static func main() {
        var program = Main()
        var words = CommandLine.arguments.dropFirst()
        while let word = words.popFirst() {
            let value = words.popFirst() ?? ""
            switch word {
            case "--inputs": program.inputs = Int(value) ?? 0
            case "--seconds": program.seconds = Double(value) ?? 0
            case "--seed": program.seed = UInt64(value) ?? 1
            case "--side": program.side = value
            case "--world": program.only = Int(value)
            default:
                print("fuzz: unknown argument '\(word)'")
                exit(2)
            }
        }
        exit(program.run() ? 0 : 1)
    }

    #if DEBUG || INVARIANTS
        private func run() -> Bool {
            CurrentWorld.reportTraps()
            var failed = 0
            var passed = 0
            for side in [MutationWorld.Side.client, .server] where self.side == nil || self.side == "\(side)"
            {
                if run(side) { passed += 1 } else { failed += 1 }
                fflush(nil)
            }
            print("\(passed) passed, \(failed) failed")
            return failed == 0 && passed > 0
        }

        private func run(_ side: MutationWorld.Side) -> Bool {
            let start = Main.now()
            var count = 0
            let first = only ?? 0
            var number = first
            repeat {
                CurrentWorld.set(seed, side, number)
                let world = MutationWorld(
                    seed: seed, number: number, side: side, conversations: Main.conversationsPerWorld,
                    checksEveryEvent: false)
                world.run()
                guard world.failures.isEmpty else {
                    print("side \(side): seed \(seed), world \(number): \(world.failures)")
                    return false
                }
                count += world.changeCount
                number += 1
            } while only == nil && count < inputs && Main.now() - start < seconds
            let elapsed = max(Main.now() - start, 0.001)
            let conversations = (number - first) * Main.conversationsPerWorld
            print(
                "side \(side): \(count) inputs, \(Int(Double(count) / elapsed)) a second, "
                    + "in \(conversations) conversations")
            return true
        }
    #else
        private func run() -> Bool {
            print("this build cannot see into the core: see Scripts/fuzz --core")
            return false
        }
    #endif

    /// Seconds that never go back.
    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
