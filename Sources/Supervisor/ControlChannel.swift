import Base
import SharedState
import System

/// The supervisor's end of the pair to one worker. Sending never waits: what the worker does not take yet
/// is kept in order.
struct ControlChannel {
    /// A worker that lets more than this wait has hung.
    static let waitingLimit = 1024

    /// One message and the descriptor that travels with it, our own copy, or -1.
    private struct Outgoing {
        let bytes: [UInt8]
        let descriptor: Int32
    }

    /// What came from a worker.
    enum Incoming {
        /// A message, and the descriptors that came with it: the caller's.
        case message(ControlMessage, [Int32])
        /// Nothing is there.
        case nothing
        /// The other end is closed.
        case end
    }

    /// The socket; ours until `close`.
    let descriptor: Int32
    private var waiting: [Outgoing] = []

    /// A channel over a connected SOCK_SEQPACKET socket.
    init(descriptor: Int32) { self.descriptor = descriptor }

    /// Whether messages wait for the worker to read.
    var isWaiting: Bool { !waiting.isEmpty }

    /// Sends a message, now or when the worker reads; `false` when too many wait already or it cannot be
    /// written.
    ///
    /// - Parameter passed: a descriptor to send along, which stays the caller's; -1 for none.
    mutating func send(_ message: ControlMessage, passing passed: Int32 = -1) -> Bool {
        var buffer = ByteBuffer()
        do { try message.encode(into: &buffer) } catch { return false }
        let bytes = unsafe buffer.bytes.withUnsafeBytes { unsafe [UInt8]($0) }
        if waiting.isEmpty, transmit(bytes, passed) { return true }
        guard waiting.count < ControlChannel.waitingLimit else { return false }
        var copy: Int32 = -1
        if passed >= 0 {
            guard let duplicate = try? Descriptors.duplicate(passed) else { return false }
            copy = duplicate
        }
        waiting.append(Outgoing(bytes: bytes, descriptor: copy))
        return true
    }

    /// Sends what the worker takes now.
    mutating func flush() {
        while let first = waiting.first, transmit(first.bytes, first.descriptor) {
            Descriptors.close(first.descriptor)
            waiting.removeFirst()
        }
    }

    /// The next message. Messages of a kind this program does not know are skipped, as are malformed ones.
    func receive() -> Incoming {
        while true {
            let received: DescriptorPassing.Message?
            do { received = try DescriptorPassing.receive(from: descriptor) } catch { return .end }
            guard let received else { return .nothing }
            if received.isEnd { return .end }
            if let message = unsafe try? ControlMessage.decode(received.bytes.span.bytes) {
                return .message(message, received.descriptors)
            }
            for descriptor in received.descriptors { Descriptors.close(descriptor) }
        }
    }

    /// Gives everything back.
    mutating func close() {
        for message in waiting { Descriptors.close(message.descriptor) }
        waiting = []
        Descriptors.close(descriptor)
    }

    /// Whether the message is gone, which it also is when nobody is there to read it any more.
    private func transmit(_ bytes: [UInt8], _ passed: Int32) -> Bool {
        do { try DescriptorPassing.send(bytes, passed >= 0 ? [passed] : [], to: descriptor) } catch {
            return !error.isTemporary
        }
        return true
    }
}
