import BenchmarkSupport
import TLS

/// One client of the server.
struct Connection {
    /// Where the conversation is.
    var session: NullSession
    /// The encryption, once it was asked for.
    var encryption: TLSSession?
    /// Whether the handshake is over.
    var isEncrypted = false
    /// The beginning of a message whose end has not come, or messages that wait until all is sent.
    var rest: [UInt8] = []
    /// Replies the peer had no room for; they go before `bigOffset`'s.
    var unsent: [UInt8] = []
    /// How far the big answer has been sent, while it is being sent.
    var bigOffset: Int?
    /// Whether the session stopped in the middle of its input because of the big answer.
    var isPaused = false

    init(session: NullSession) { self.session = session }

    /// Whether everything has been sent.
    var isFlushed: Bool { unsent.isEmpty && bigOffset == nil }
}
