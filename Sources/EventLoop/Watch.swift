/// What a poller knows of one descriptor. All bits zero means: nothing.
@safe
struct Watch: BitwiseCopyable {
    /// What is waited for on the reading side.
    enum Reading: UInt8, BitwiseCopyable {
        case nothing, small, bulk, accept, readiness
    }
    /// What is waited for on the writing side.
    enum Writing: UInt8, BitwiseCopyable {
        case nothing, bytes, ranges, connect
    }
    var reading: Reading = .nothing
    var writing: Writing = .nothing
    /// The descriptor is in the poller, edge-triggered unless it is a listener.
    var isRegistered = false
    /// An edge said that there is something to read, and nothing has said since that it is all read.
    var isReadable = false
    /// The other side has ended, so reading goes on until its end is seen.
    var hasEnded = false
    /// The descriptor is in the list of those to be read without a new edge.
    var isListed = false
    /// The large buffer of a bulk receive.
    var bulkBuffer = BufferID(raw: 0)
    var readTag: UInt64 = 0
    var writeTag: UInt64 = 0
    /// What a send still has to send: bytes, or an array of ranges.
    var writeStart: UnsafeRawPointer?
    var writeCount = 0
}
