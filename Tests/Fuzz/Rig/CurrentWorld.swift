#if DEBUG || INVARIANTS
    import Glibc

    /// Which world runs, for a trap that leaves no time to say more. Worlds run one by one.
    public enum CurrentWorld {
        private nonisolated(unsafe) static let text = UnsafeMutableBufferPointer<UInt8>.allocate(
            capacity: 256)
        private nonisolated(unsafe) static var count = 0

        /// This one runs now.
        public static func set(_ seed: UInt64, _ side: MutationWorld.Side, _ number: Int) {
            let line = Array("\ntrapped in side \(side): seed \(seed), world \(number)\n".utf8)
            for index in line.indices { text[index] = line[index] }
            count = line.count
        }

        /// From now on a trap is told with the world it happened in.
        public static func reportTraps() {
            for number in [SIGILL, SIGTRAP, SIGSEGV, SIGABRT] {
                signal(number) { number in
                    write(STDERR_FILENO, CurrentWorld.text.baseAddress, CurrentWorld.count)
                    signal(number, SIG_DFL)
                    raise(number)
                }
            }
        }
    }
#endif
