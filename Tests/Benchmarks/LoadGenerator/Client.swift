import TLS

/// One connection of the load generator.
struct Client {
    /// What it is doing.
    enum State: UInt8 {
        /// Not begun.
        case unconnected
        /// The connection is being made.
        case connecting
        /// TLS is asked for; one letter is to come.
        case askingForTLS
        /// Keys are being agreed on.
        case shakingHands
        /// The startup packet is sent; anything up to ready-for-query may come.
        case loggingIn
        /// The preparation is sent.
        case preparing
        /// Ready, and waiting for all others to be.
        case ready
        /// A step is sent.
        case running
        /// Failed, and not to be used again.
        case failed
    }

    var fd: Int32 = -1
    var state = State.unconnected
    /// Its end of the TLS connection, if that is what it has.
    var session: TLSSession?
    /// The step that was sent.
    var step: UInt8 = 0
    /// Counts requests, modulo 100.
    var sequence: UInt8 = 0
    /// Bytes of the answer that have come and were right.
    var answered = 0
    /// When the transaction began.
    var startNanoseconds: UInt64 = 0
    /// The beginning of a login message whose end has not come.
    var rest: [UInt8] = []
}
