import Glibc

/// What the system knows about a name.
struct LookupResult: Equatable {
    var addresses: [ResolvedAddress] = []
    /// Why there are none; empty when there are some.
    var failure = ""
    /// False for failures that may be over in a moment.
    var isDefinite = true

    /// A result from its parts.
    init(addresses: [ResolvedAddress] = [], failure: String = "", isDefinite: Bool = true) {
        self.addresses = addresses
        self.failure = failure
        self.isDefinite = isDefinite
    }

    /// Asks the system, which may take a while.
    init(of name: String) {
        do { addresses = try NameLookup.addresses(of: name) } catch {
            failure = error.description
            isDefinite = error.isNoSuchName
        }
    }
}

/// A lookup under way in a child of its own, which writes one answer into a pipe and ends.
struct RunningLookup {
    let name: String
    let process: Int32
    let pipe: Int32
    let startedNanoseconds: UInt64
    var received: [UInt8] = []

    /// Starts a child for `name`.
    static func start(_ name: String) throws(SystemError) -> RunningLookup {
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
            let result = LookupResult(of: name)
            let answer = ResolverAnswer(
                id: result.isDefinite ? 1 : 0, addresses: result.addresses, failure: result.failure)
            try? Descriptors.writeAll(write, answer.encoded())
            Process.exitNow(0)
        case .parent(let child):
            Descriptors.close(write)
            return RunningLookup(
                name: name, process: child, pipe: read, startedNanoseconds: Clock.monotonicNanoseconds)
        }
    }

    /// Takes what the child wrote; the result when it has ended, else `nil`.
    mutating func receive() -> LookupResult? {
        guard let bytes = try? Descriptors.read(pipe, limit: 8192), !bytes.isEmpty else {
            guard let answer = ResolverAnswer(received) else {
                return LookupResult(failure: "the name lookup failed", isDefinite: false)
            }
            return LookupResult(
                addresses: answer.addresses, failure: answer.failure, isDefinite: answer.id == 1)
        }
        received += bytes
        return nil
    }

    /// Ends the child, whatever it is doing, and gives its pipe back.
    func finish() {
        Process.send(SIGKILL, to: process)
        _ = Process.wait(for: process)
        Descriptors.close(pipe)
    }
}
