internal import COpenSSL

/// Through which all sessions of a worker read what peers have sent and write what goes to them. Nothing
/// stays in it between two calls.
@safe
public struct TLSChannel: ~Copyable {
    let pointer: UnsafeMutablePointer<copenssl_channel>
    /// Where decrypted bytes are put, and behind it what is to be one record.
    private let memory: UnsafeMutableRawPointer

    /// Plaintext that is read in one go: a few records.
    public static let plainCapacity = 64 * 1024
    /// Plaintext of one record at most.
    public static let recordCapacity = 16 * 1024

    /// A channel with its buffers.
    public init() {
        unsafe pointer = .allocate(capacity: 1)
        unsafe pointer.initialize(to: copenssl_channel())
        unsafe memory = .allocate(
            byteCount: TLSChannel.plainCapacity + TLSChannel.recordCapacity, alignment: 16)
    }

    deinit {
        unsafe free(pointer.pointee.output)
        unsafe pointer.deallocate()
        unsafe memory.deallocate()
    }

    /// What has come from a peer and no session has read yet.
    @unsafe
    public var input: UnsafeRawBufferPointer {
        get {
            unsafe UnsafeRawBufferPointer(start: pointer.pointee.input, count: pointer.pointee.input_count)
        }
        nonmutating set {
            unsafe pointer.pointee.input = newValue.baseAddress?.assumingMemoryBound(to: UInt8.self)
            unsafe pointer.pointee.input_count = newValue.count
        }
    }

    /// What sessions have written for the peer since `emptyOutput`.
    @unsafe
    public var output: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: pointer.pointee.output, count: pointer.pointee.output_count)
    }

    /// Forgets the output.
    public func emptyOutput() { unsafe pointer.pointee.output_count = 0 }

    /// Room for what is decrypted; it stays there until the next `TLSSession.read`.
    @unsafe
    public var plain: UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(start: memory, count: TLSChannel.plainCapacity)
    }

    /// Room for what is to be encrypted together.
    @unsafe
    public var record: UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(
            start: memory + TLSChannel.plainCapacity, count: TLSChannel.recordCapacity)
    }
}
