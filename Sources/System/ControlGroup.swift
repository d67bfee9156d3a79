/// What the control groups this process is in allow it.
public enum ControlGroup {
    /// Processors' worth of time per period, the smallest over the groups from ours up to the root; `nil`
    /// for no limit.
    public static func processorQuota() -> Double? {
        guard let bytes = try? FileSystem.read("/proc/self/cgroup") else { return nil }
        let membership = String(decoding: bytes, as: UTF8.self)
        var smallest: Double?
        for file in candidateFiles(membership: membership) {
            guard let quota = quota(file: file) else { continue }
            smallest = min(smallest ?? quota, quota)
        }
        return smallest
    }

    /// Where limits may be written for a process with this /proc/self/cgroup. A container that sees only
    /// its own part of the tree finds its limit at the root of the mount, so every folder above the named
    /// one is looked at.
    static func candidateFiles(membership: String) -> [String] {
        var files: [String] = []
        for line in membership.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let path = String(fields[2])
            if fields[0] == "0", fields[1].isEmpty {
                for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
                    files += folders(below: root, path: path).map { $0 + "/cpu.max" }
                }
            } else if fields[1].split(separator: ",").contains("cpu") {
                for root in ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"] {
                    files += folders(below: root, path: path).map { $0 + "/cpu.cfs_quota_us" }
                }
            }
        }
        return files
    }

    /// The quota that a limit file's text states; `nil` for none or nonsense.
    ///
    /// - Parameter period: the text of the period's file, for the older layout where it stands apart.
    static func parse(quota text: String, period: String?) -> Double? {
        let words = text.split { $0 == " " || $0 == "\n" }
        guard let first = words.first, let quota = Double(first), quota > 0 else { return nil }
        let periodText =
            words.count > 1 ? String(words[1]) : period?.split(separator: "\n").first.map(String.init)
        guard let periodText, let length = Double(periodText), length > 0 else { return nil }
        return quota / length
    }

    private static func quota(file: String) -> Double? {
        guard let bytes = try? FileSystem.read(file, limit: 4096) else { return nil }
        var period: String?
        if file.hasSuffix("cpu.cfs_quota_us") {
            let name = String(file.dropLast("cpu.cfs_quota_us".utf8.count)) + "cpu.cfs_period_us"
            guard let bytes = try? FileSystem.read(name, limit: 4096) else { return nil }
            period = String(decoding: bytes, as: UTF8.self)
        }
        return parse(quota: String(decoding: bytes, as: UTF8.self), period: period)
    }

    private static func folders(below root: String, path: String) -> [String] {
        var found = [root]
        var current = root
        for part in path.split(separator: "/") where part != ".." {
            current += "/" + part
            found.append(current)
        }
        return found
    }
}
