import Glibc
import Testing

@testable import System

@Suite struct ProcessTests {
    private func end(of body: () -> Void) throws -> Process.Ending? {
        switch try Process.fork() {
        case .child:
            body()
            Process.exitNow(99)
        case .parent(let child): return Process.wait(for: child)
        }
    }

    @Test func endingsAreToldApart() throws {
        #expect(try end { Process.exitNow(7) } == .exited(code: 7))
        let killed = try end { kill(getpid(), SIGKILL) }
        #expect(killed == .killed(signal: SIGKILL, dumpedCore: false))
        #expect(killed?.description == "killed by signal 9 (KILL)")
    }

    @Test func aChildOfAnotherParentIsNotFollowed() throws {
        #expect(
            try end { Process.exitNow(Process.followParent(1, signal: SIGTERM) ? 1 : 0) } == .exited(code: 0))
    }

    @Test func everythingButWhatIsKeptIsClosed() throws {
        let (first, second) = try Descriptors.pipe()
        let (third, fourth) = try Descriptors.pipe()
        defer { for descriptor in [first, second, third, fourth] { Descriptors.close(descriptor) } }
        let ending = try end {
            Descriptors.closeAll(except: [fourth, second])
            let kept = [second, fourth].allSatisfy { fcntl($0, F_GETFD) >= 0 }
            let closed = [first, third].allSatisfy { fcntl($0, F_GETFD) < 0 }
            Process.exitNow(kept && closed ? 0 : 1)
        }
        #expect(ending == .exited(code: 0))
    }

    @Test func processorQuotasOfBothLayoutsAreRead() {
        #expect(ControlGroup.parse(quota: "150000 100000\n", period: nil) == 1.5)
        #expect(ControlGroup.parse(quota: "max 100000\n", period: nil) == nil)
        #expect(ControlGroup.parse(quota: "-1\n", period: "100000\n") == nil)
        #expect(ControlGroup.parse(quota: "50000\n", period: "100000\n") == 0.5)
        #expect(ControlGroup.parse(quota: "50000\n", period: nil) == nil)
        let files = ControlGroup.candidateFiles(membership: "0::/a/b\n")
        #expect(
            files.prefix(3) == [
                "/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/a/cpu.max", "/sys/fs/cgroup/a/b/cpu.max",
            ])
        let older = ControlGroup.candidateFiles(membership: "4:cpu,cpuacct:/docker/x\n5:memory:/y\n")
        #expect(older.contains("/sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us"))
        #expect(!older.contains { $0.contains("/y") })
    }

    @Test func automaticWorkersAreAtLeastOne() {
        let (count, reason) = Limits.automaticWorkerCount(most: 1)
        #expect(count == 1 && !reason.isEmpty)
    }

    @Test func descriptorLimitsCanBeRaised() throws {
        let (before, now) = try Limits.raiseDescriptors()
        #expect(now.soft >= before.soft && now.soft == now.hard)
    }
}
