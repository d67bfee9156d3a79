import SharedState
import System

/// A program that is to take over, asked whether it could, in a child of its own.
struct PreflightRun {
    /// After this it is given up.
    static let limitNanoseconds: UInt64 = 10_000_000_000
    /// How much of what it says is passed on.
    private static let outputByteLimit = 4096

    /// The child.
    let process: Int32
    /// When to give up, monotonic.
    let deadlineNanoseconds: UInt64
    /// Where the program is.
    let path: String
    /// What it says, in a memory file.
    private let output: Int32
    /// Whether the time was over.
    private(set) var isAbandoned = false

    /// Has the program check the configuration, and what it would be left.
    ///
    /// - Parameters:
    ///   - handover: the memory file with what it would be left.
    ///   - kept: the descriptors that it looks at.
    static func start(
        _ path: String, arguments: [String], handover: Int32, keeping kept: [Int32]
    ) throws(SystemError) -> PreflightRun {
        let output = try SharedMemory.create("pgsluice-preflight", byteCount: 0)
        let child: Int32
        do throws(SystemError) {
            child = try ChildProcess.start(
                shortName: "pgsluice-check", description: "preflight", title: nil,
                keeping: [output, handover] + kept
            ) {
                for descriptor in [handover] + kept { try? Descriptors.setCloseOnExec(descriptor, false) }
                Descriptors.pointOutput(to: output)
                Signals.unblockAll()
                let failure = Program.execute(
                    path, arguments: arguments,
                    environment: Supervisor.environment(handover: handover))
                try? Descriptors.writeAll(output, Array("\(failure)\n".utf8))
                Process.exitNow(127)
            }
        } catch {
            Descriptors.close(output)
            throw error
        }
        return PreflightRun(
            process: child, deadlineNanoseconds: Clock.monotonicNanoseconds + limitNanoseconds, path: path,
            output: output)
    }

    /// Why the program cannot take over; `nil` when it can. Gives the descriptors back.
    func finish(_ ending: Process.Ending) -> String? {
        defer { Descriptors.close(output) }
        if ending.isSuccess { return nil }
        if isAbandoned {
            return "\(path) did not answer within \(PreflightRun.limitNanoseconds / 1_000_000_000) s"
        }
        let bytes = (try? SharedMemory.contents(of: output, limit: 1 << 20)) ?? []
        let lines = String(decoding: bytes.prefix(PreflightRun.outputByteLimit), as: UTF8.self)
            .split(separator: "\n")
        return (["\(path) \(ending)"] + lines.map(String.init)).joined(separator: "; ")
    }

    /// Ends a child that takes too long; `finish` follows when it has ended.
    mutating func abandon() {
        isAbandoned = true
        Process.send(Signals.kill, to: process)
    }
}
