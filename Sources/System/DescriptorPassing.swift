import CLinux
import Glibc

/// Messages between our own processes, with descriptors beside the bytes (SCM_RIGHTS).
public enum DescriptorPassing {
    /// The most descriptors that travel with one message.
    public static let limit = Int(CLINUX_PASSED_LIMIT)

    /// One received message.
    public struct Message: Sendable {
        /// The bytes; empty with no descriptors means that the other side has ended.
        public let bytes: [UInt8]
        /// What came with them, close-on-exec; the caller's to close.
        public let descriptors: [Int32]
        /// Bytes or descriptors were lost because there was no room for them, in the buffer or below the
        /// limit of open descriptors.
        public let isTruncated: Bool

        /// Whether this is the end of a sequenced connection and no message at all.
        public var isEnd: Bool { bytes.isEmpty && descriptors.isEmpty && !isTruncated }
    }

    /// Sends one message. Never waits: EAGAIN (the other side is behind) and ETOOMANYREFS (too many
    /// descriptors are under way) are normal and leave everything with the caller. The descriptors stay
    /// open here.
    ///
    /// - Precondition: `bytes` is not empty.
    public static func send(
        _ bytes: [UInt8], _ descriptors: [Int32] = [], to socket: Int32
    ) throws(Errno) {
        precondition(!bytes.isEmpty, "an empty message looks like the end of the connection")
        precondition(descriptors.count <= limit, "a message carries a bounded number of descriptors")
        let sent = unsafe clinux_send_passing(
            socket, bytes, bytes.count, descriptors, UInt32(descriptors.count))
        guard sent >= 0 else { throw Errno(Int32(-sent)) }
        guard sent == bytes.count else { throw Errno(EMSGSIZE) }
    }

    /// The next message of up to `byteLimit` bytes, or `nil` when none is there yet. Never waits.
    public static func receive(
        from socket: Int32, byteLimit: Int = 65536
    ) throws(Errno) -> Message? {
        var descriptors = [Int32](repeating: -1, count: limit)
        var descriptorCount: UInt32 = 0
        var truncated: Int32 = 0
        var got = 0
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: byteLimit) { buffer, count in
            unsafe got = clinux_receive_passing(
                socket, buffer.baseAddress, byteLimit, &descriptors, &descriptorCount, &truncated)
            count = max(got, 0)
        }
        if got == -Int(EAGAIN) { return nil }
        guard got >= 0 else { throw Errno(Int32(-got)) }
        return Message(
            bytes: bytes, descriptors: Array(descriptors.prefix(Int(descriptorCount))),
            isTruncated: truncated != 0)
    }
}
