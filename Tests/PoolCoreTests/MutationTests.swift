import Base
import FuzzSupport
import Glibc
import Testing

@testable import PoolCore

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
            let world = MutationWorld(seed: 1, number: number, side: .nobody, conversations: 0)
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
        reportTraps()
        for number in 0..<worlds where only == nil || only == number {
            current.set(seed, side, number)
            let world = MutationWorld(
                seed: seed, number: number, side: side,
                conversations: MutationTests.conversationsPerWorld)
            world.run()
            guard world.failures.isEmpty else {
                Issue.record("seed \(seed), \(side), world \(number): \(world.failures)")
                return
            }
        }
    }
}

/// Which world runs, for a trap that leaves no time to say more. The tests of this suite run one by one.
private struct CurrentWorld: @unchecked Sendable {
    let text = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 256)
    let count = UnsafeMutablePointer<Int>.allocate(capacity: 1)

    func set(_ seed: UInt64, _ side: MutationWorld.Side, _ number: Int) {
        let name = "PGSLUICE_MUTATIONS_SEED=\(seed) PGSLUICE_MUTATIONS_WORLD=\(number)"
        let line = Array("\ntrapped with \(name) (side: \(side))\n".utf8)
        for index in line.indices { text[index] = line[index] }
        count.pointee = line.count
    }
}

private let current = CurrentWorld()

private func reportTraps() {
    for number in [SIGILL, SIGTRAP, SIGSEGV, SIGABRT] {
        signal(number) { number in
            write(STDERR_FILENO, current.text.baseAddress, current.count.pointee)
            signal(number, SIG_DFL)
            raise(number)
        }
    }
}
