import Base
import Glibc
import Simulator

/// Planted bugs: which of them the simulator finds, and how soon.
enum Canaries {
    #if CANARY
        /// What a process with one of them has come to.
        private struct Outcome {
            /// Worlds it has lived through, the last one included.
            var worlds: UInt64 = 0
            /// What was noticed in the last one.
            var failure: String?
        }

        /// Seconds a process may take.
        private static let patience: UInt32 = 600

        static func run(first: UInt64, count: UInt64) -> Never {
            let clean = outcome(of: nil, first, count)
            print("no canary: \(clean.worlds) worlds from seed \(first) on, \(clean.failure ?? "all well")")
            var missed = clean.failure == nil ? 0 : 1
            for canary in Canary.allCases {
                let outcome = outcome(of: canary, first, count)
                let name = canary.rawValue.padded(to: 24)
                if let failure = outcome.failure {
                    let seed = first + outcome.worlds - 1
                    let place = "seed \(seed) (\(scope(seed).rawValue))".padded(to: 24)
                    print("\(name)\(place)after \("\(outcome.worlds)".padded(to: 6))\(failure)")
                } else {
                    missed += 1
                    print("\(name)NOT NOTICED in \(outcome.worlds) worlds")
                }
                fflush(nil)
            }
            print(missed == 0 ? "all canaries are noticed" : "FAILED: \(missed)")
            exit(missed == 0 ? 0 : 1)
        }

        /// Worlds with one worker and with several in turn.
        private static func scope(_ seed: UInt64) -> Scope { seed & 1 == 0 ? .several : .faults }

        /// Lives through worlds in a process of its own, which a bug may bring down.
        private static func outcome(of canary: Canary?, _ first: UInt64, _ count: UInt64) -> Outcome {
            var ends: [Int32] = [0, 0]
            guard pipe(&ends) == 0 else { return Outcome(failure: "no pipe") }
            fflush(nil)
            let child = fork()
            if child == 0 {
                alarm(patience)
                Canary.planted = canary
                dup2(open("/dev/null", O_WRONLY), 2)
                live(ends[1], first, count)
            }
            close(ends[1])
            var text: [UInt8] = []
            var byte: UInt8 = 0
            while read(ends[0], &byte, 1) == 1 { text.append(byte) }
            close(ends[0])
            var status: Int32 = 0
            waitpid(child, &status, 0)
            let lines = text.split(separator: UInt8(ascii: "\n"))
            var outcome = Outcome(worlds: UInt64(lines.count))
            if status != 0 { outcome.failure = "ended by signal \(status & 0x7F)" }
            if let last = lines.last, last.count > 1 {
                outcome.failure = String(decoding: last.dropFirst(), as: UTF8.self)
            }
            return outcome
        }

        /// A line for each world, begun before it and ended after it.
        private static func live(_ output: Int32, _ first: UInt64, _ count: UInt64) -> Never {
            func say(_ text: String) {
                _ = text.utf8.withContiguousStorageIfAvailable { write(output, $0.baseAddress, $0.count) }
            }
            for seed in first..<(first + count) {
                say(".")
                let outcome = Simulation.run(seed: seed, scope: scope(seed))
                say("\(outcome.failure ?? "")\n")
                if outcome.failure != nil { break }
            }
            _exit(0)
        }
    #else
        static func run(first: UInt64, count: UInt64) -> Never {
            print("this build has no canaries: see Scripts/canaries")
            exit(2)
        }
    #endif
}

extension String {
    fileprivate func padded(to width: Int) -> String {
        self + String(repeating: " ", count: max(1, width - count))
    }
}
