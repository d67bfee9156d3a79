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

/// A lookup under way in a child of its own.
struct RunningLookup {
    let name: String
    let child: AskedChild
    var received: [UInt8] = []

    /// Starts a child for `name`.
    static func start(_ name: String) throws(SystemError) -> RunningLookup {
        let child = try AskedChild.start {
            let result = LookupResult(of: name)
            return ResolverAnswer(
                id: result.isDefinite ? 1 : 0, addresses: result.addresses, failure: result.failure
            ).encoded()
        }
        return RunningLookup(name: name, child: child)
    }

    /// Takes what the child wrote; the result when it has ended, else `nil`.
    mutating func receive() -> LookupResult? {
        guard let bytes = try? Descriptors.read(child.pipe, limit: 8192), !bytes.isEmpty else {
            guard let answer = ResolverAnswer(received) else {
                return LookupResult(failure: "the name lookup failed", isDefinite: false)
            }
            return LookupResult(
                addresses: answer.addresses, failure: answer.failure, isDefinite: answer.id == 1)
        }
        received += bytes
        return nil
    }
}
