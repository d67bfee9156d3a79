#if CANARY
    /// Bugs planted on purpose, one of them at a time, in a build of its own: the simulator has to find each.
    public enum Canary: String, CaseIterable, Sendable {
        /// A server goes back in the middle of a transaction.
        case releaseInTransaction
        /// A pool may have one server more than its limit.
        case limitOffByOne
        /// A reply goes to another client than the one it is for.
        case replyToWrongClient
        /// Who waits is forgotten when another worker has died.
        case waiterLostAtDeath
        /// A server that was lent stays counted in its sender's row.
        case lendCountedTwice
        /// A handle means whatever is in its slot now.
        case generationIgnored
        /// Bytes that are shared are given back twice by one who holds them.
        case bytesReturnedTwice
        /// A server gets its next client while a cancel request for the last one is on its way.
        case cancelToRelinkedServer
        /// A statement counts as prepared when its Parse is sent, not when the server has confirmed it.
        case statementKnownOnSend
        /// A client works with the parameters that another one has left on the server.
        case parameterLeft
        /// The beginning of a header at the end of a receive is lost.
        case headerSplit
        /// The time of a query that is over goes on.
        case deadlineLeftArmed

        /// The one that is planted.
        public nonisolated(unsafe) static var planted: Canary?

        /// Whether this is the one.
        public static func isPlanted(_ canary: Canary) -> Bool { unsafe planted == canary }
    }
#endif
