import Base
import FuzzSupport
import Glibc
import RigSupport
import Testing

/// Conversations of clients and of servers, changed at random, in front of the core alone. After every event
/// the invariants hold; a client beside gets exactly what it asked for; in the end nothing is left over.
///
/// `PGSLUICE_MUTATIONS` is how many conversations are changed on each side, `PGSLUICE_MUTATIONS_SEED` with
/// what seed, and `PGSLUICE_MUTATIONS_WORLD` names the one world to be run again.
@Suite(.serialized) struct MutationTests {
    private static let conversationsPerWorld = 20

    private static func number(_ name: String) -> Int? { getenv(name).flatMap { Int(String(cString: $0)) } }

    @Test func recordingsThatNobodyChangedGoWell() {
        for number in 0..<2 {
            let world = MutationWorld(seed: 1, number: number, side: .nobody, conversations: 0, rig: Rig.self)
            for recording in world.recordings {
                let failure = world.playUnchanged(recording)
                #expect(failure == nil, "world \(number), \(recording.name): \(failure ?? "")")
            }
            world.finish()
        }
    }

    @Test(arguments: MutationWorld.Side.changed)
    func changedConversationsHarmNobodyElse(side: MutationWorld.Side) {
        let seed = UInt64(MutationTests.number("PGSLUICE_MUTATIONS_SEED") ?? 1)
        let count = MutationTests.number("PGSLUICE_MUTATIONS") ?? 500
        let worlds = max(1, count / MutationTests.conversationsPerWorld)
        let only = MutationTests.number("PGSLUICE_MUTATIONS_WORLD")
        CurrentWorld.reportTraps()
        for number in 0..<worlds where only == nil || only == number {
            CurrentWorld.set(seed, side, number)
            let world = MutationWorld(
                seed: seed, number: number, side: side,
                conversations: MutationTests.conversationsPerWorld, rig: Rig.self)
            world.run()
            guard world.failures.isEmpty else {
                Issue.record("seed \(seed), \(side), world \(number): \(world.failures)")
                return
            }
        }
    }
}
