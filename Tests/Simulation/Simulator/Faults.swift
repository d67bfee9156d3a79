import Base

#if DEBUG || INVARIANTS
    @testable import PoolCore
#else
    import PoolCore
#endif

/// What goes wrong in a world.
extension World {
    /// SQLSTATEs of a lost or refused connection to PostgreSQL.
    private static let lost = "08006"

    /// Plans faults for the time in which the clients are at work.
    func planFaults() {
        guard setup.hasFaults else { return }
        if setup.changesPasswords {
            schedule(after: UInt64(random.below(2000)) * 1_000_000) { self.changePassword() }
        }
        for _ in 0..<random.number(1...(4 * setup.stretch)) {
            let time = UInt64(random.below(3000 * setup.stretch)) * 1_000_000
            if setup.workers > 1, random.chance(40) {
                schedule(after: time) {
                    let index = self.random.below(self.setup.workers)
                    if self.setup.movesClients, self.random.chance(self.setup.mode == .session ? 90 : 50) {
                        self.leave(index)
                    } else {
                        self.kill(index)
                    }
                }
                continue
            }
            switch random.below(5) {
            case 0...1: schedule(after: time) { self.breakBackend() }
            case 2: schedule(after: time) { self.restart() }
            case 3: schedule(after: time) { self.refuse(for: UInt64(self.random.below(2000)) * 1_000_000) }
            default: schedule(after: time) { self.breakClient() }
            }
        }
    }

    /// Somebody has another password now.
    private func changePassword() {
        let user = "u\(random.below(setup.users))"
        passwords[user]? += "x"
        hasChangedPasswords = true
        trace.note(now, "\(user) has another password")
    }

    /// A server process ends, announced or not.
    private func breakBackend() {
        let backends = postgres.backends.filter { !$0.isGone }
        guard !backends.isEmpty else { return }
        let backend = random.pick(backends)
        backend.terminate(isAnnounced: random.chance(50), random.chance(50) ? .reset : .closed)
    }

    /// All server processes end, and for a while nobody gets in.
    private func restart() {
        for backend in postgres.backends where !backend.isGone {
            backend.terminate(isAnnounced: true, .closed)
        }
        refuse(for: UInt64(random.below(1500)) * 1_000_000)
    }

    /// For a while nobody gets in, in one way or the other.
    private func refuse(for time: UInt64) {
        excuses.formUnion([World.lost])
        let refusal = random.pick(Postgres.Refusing.allCases)
        if let state = refusal.state { excuses.insert(state) }
        postgres.refusing = refusal
        trace.note(now, "PostgreSQL refuses: \(refusal)")
        schedule(after: time) {
            self.postgres.refusing = nil
            self.trace.note(self.now, "PostgreSQL is back")
        }
    }

    /// A client vanishes in the middle of whatever it does.
    private func breakClient() {
        let there = clients.filter { !$0.isGone }
        guard !there.isEmpty else { return }
        random.pick(there).vanish(random.chance(50) ? .reset : .closed)
    }
}
