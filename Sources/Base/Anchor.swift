import Synchronization

/// Makes the structure that has it be passed by address and never by copies of its bytes.
///
/// A large structure that cannot be copied is still moved to the stack, byte by byte, for each call of a
/// method that only reads it: for the core of a worker 2 KiB per call. What holds an atomic has an address
/// of its own and is left where it is.
public struct Anchor: ~Copyable {
    private let anchor = Atomic<UInt8>(0)

    public init() {}
}
