import Glibc

/// A child that finds something out, which may take long: it writes one answer into a pipe and ends.
struct AskedChild {
    let process: Int32
    /// Where the answer comes.
    let pipe: Int32
    let startedNanoseconds: UInt64

    /// Starts a child that has nothing but the pipe for the answer of `body`.
    static func start(_ body: () -> [UInt8]) throws(SystemError) -> AskedChild {
        let (read, write) = try Descriptors.pipe()
        let parent = Process.id
        let fork: Process.Fork
        do { fork = try Process.fork() } catch {
            Descriptors.close(read)
            Descriptors.close(write)
            throw error
        }
        switch fork {
        case .child:
            guard Process.followParent(parent, signal: SIGKILL) else { Process.exitNow(1) }
            Descriptors.closeAll(except: [write])
            Signals.unblockAll()
            try? Descriptors.writeAll(write, body())
            Process.exitNow(0)
        case .parent(let child):
            Descriptors.close(write)
            return AskedChild(
                process: child, pipe: read, startedNanoseconds: Clock.monotonicNanoseconds)
        }
    }

    /// Ends the child, whatever it is doing, and gives its pipe back.
    func finish() {
        Process.send(SIGKILL, to: process)
        _ = Process.wait(for: process)
        Descriptors.close(pipe)
    }
}
