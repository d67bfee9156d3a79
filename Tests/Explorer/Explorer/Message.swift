import SharedState

/// What reaches a process: an event of its own, or what another one has sent.
struct Message: Equatable {
    enum Kind: UInt64 {
        /// A client begins with a request; a server is done with one; it has logged in; it is to go.
        case request, release, connected, close
        /// Nothing is received any more on a server that is to be lent.
        case detached
        /// What workers tell each other.
        case wanted, evict, freed, lend
        /// The supervisor's word that a worker has died.
        case workerEnded
        /// A worker's look at what has become of its transfers, and the same when it has waited for long.
        case upkeep, lateUpkeep
        /// The supervisor learns of a death.
        case died
        /// A step of the scenario.
        case script
    }

    var kind: Kind
    var from = 0
    var pool = 0
    /// A server, or the step of a script.
    var number = 0
    var ticket = TransferTicket(slot: 0, token: 0)
    /// Which process with the receiver's index it is for; 0: any.
    var incarnation = 0

    var fingerprint: UInt64 {
        var result = mixed(kind.rawValue, UInt64(from))
        result = mixed(result, UInt64(pool))
        result = mixed(result, UInt64(number))
        result = mixed(result, UInt64(ticket.slot) << 48 ^ ticket.token)
        return mixed(result, UInt64(incarnation))
    }
}
