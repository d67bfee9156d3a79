import CLinux
import Glibc

/// What the machine and its administrator grant this process.
public enum Limits {
    /// How many descriptors may be open.
    public struct DescriptorLimit: Equatable, Sendable {
        /// The limit in force.
        public var soft: UInt64
        /// How far an unprivileged process may raise it.
        public var hard: UInt64
    }

    /// The limit on descriptors now.
    public static func descriptors() throws(SystemError) -> DescriptorLimit {
        var soft: UInt64 = 0
        var hard: UInt64 = 0
        guard unsafe clinux_get_descriptor_limit(&soft, &hard) == 0 else {
            throw SystemError("ask for the limit on descriptors")
        }
        return DescriptorLimit(soft: soft, hard: hard)
    }

    /// Raises the limit on descriptors as far as this process may, and tells what was in force before.
    @discardableResult
    public static func raiseDescriptors() throws(SystemError) -> (
        before: DescriptorLimit, now: DescriptorLimit
    ) {
        let before = try descriptors()
        guard before.soft < before.hard else { return (before, before) }
        guard clinux_set_descriptor_limit(before.hard, before.hard) == 0 else {
            throw SystemError("raise the limit on descriptors to \(before.hard)")
        }
        return (before, try descriptors())
    }

    /// How many processors this process may run on.
    public static func affinity() -> Int { max(1, Int(clinux_affinity_count())) }

    /// How many workers to start when the operator leaves it to us, and why.
    ///
    /// Kubernetes limits do not change the affinity mask, so the quota of the control group counts too.
    public static func automaticWorkerCount(most: Int = 64) -> (count: Int, reason: String) {
        let affinity = affinity()
        var count = affinity
        var reason = affinity == 1 ? "1 processor" : "\(affinity) processors"
        if let quota = ControlGroup.processorQuota() {
            let whole = max(1, Int(quota.rounded(.up)))
            if whole < count {
                count = whole
                reason = "CPU quota of the control group: \(hundredths(quota)) of \(reason)"
            }
        }
        if count > most {
            count = most
            reason += ", at most \(most) workers"
        }
        return (count, reason)
    }

    private static func hundredths(_ number: Double) -> String {
        let scaled = Int((number * 100).rounded())
        let rest = scaled % 100
        return "\(scaled / 100).\(rest < 10 ? "0" : "")\(rest)"
    }
}
