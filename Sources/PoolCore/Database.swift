import Auth
import Base
import Config
import SharedState
import Wire

/// An entry of `[databases]`, or one made from the `*` entry, as this worker uses it.
struct Database {
    /// The name clients ask for.
    let name: [UInt8]
    var definition: DatabaseDefinition
    /// Made from the `*` entry when it was first asked for.
    var isAuto: Bool
    /// PAUSE or KILL of this database is in force.
    var isPaused = false
    /// KILL of all databases is in force and it has not been resumed by name.
    var isKilled = false
    /// DISABLE is in force for it.
    var isDisabled = false
    /// No longer in the configuration; kept because records name it by index.
    var isRemoved = false
    /// There has been a server of it.
    var hasWorked = false
    /// Server connections in any state.
    var serverCount = 0
    /// Clients in any state after login.
    var clientCount = 0
    /// Its place in the ledger while it has clients that are counted there.
    var entry = LedgerName.none
    /// Pools in which somebody waits.
    var waitingPools = 0
    /// The host the next connection goes to.
    var nextHost = 0
    /// When it last had clients or servers.
    var lastUse: UInt64 = 0
    /// For an entry of `[peers]`: the peer's id. 0 for a database.
    var peer: UInt16 = 0

    init(name: [UInt8], definition: DatabaseDefinition, isAuto: Bool) {
        self.name = name
        self.definition = definition
        self.isAuto = isAuto
    }

    /// Whether its clients have to wait for RESUME.
    var isHeld: Bool { isPaused || isKilled }

    /// Whether new servers may be opened for it.
    var isUsable: Bool { !isRemoved && !isDisabled }

    /// Moves on to the next host of the list.
    mutating func advanceHost() {
        nextHost = definition.hosts.isEmpty ? 0 : (nextHost + 1) % definition.hosts.count
    }
}

/// A user as this worker knows it.
struct User {
    /// The name.
    let name: [UInt8]
    /// What `auth_file` says, if anything.
    var secret = StoredSecret.none
    /// In `auth_file` or `[users]`: exists for authentication. Others have been looked up by `auth_query`.
    var isKnown = false
    /// Server connections in any state, over all databases.
    var serverCount = 0
    /// Clients after login.
    var clientCount = 0
    /// Its place in the ledger while it has clients that are counted there.
    var entry = LedgerName.none
    /// Pools in which somebody waits.
    var waitingPools = 0
    /// The verifier made from a plain password, kept because making it is expensive.
    var verifier: ScramVerifier?
    /// The password he has proven to PAM or an LDAP server, which opens PostgreSQL too where nothing else
    /// does.
    var proven: [UInt8] = []
    /// Keys learnt when a client authenticated with the secret in `auth_file`; they open PostgreSQL too, if
    /// it stores the same secret.
    var passThrough: ScramKeys?
    /// The ledger has them.
    var keysAreShared = false
    /// Keys derived from a plain password for the salt of a server, kept because deriving is expensive.
    var derived: DerivedScramKeys?

    init(name: [UInt8]) { self.name = name }
}

/// Where a server is connected, for display.
struct ServerAddress {
    var remote: String
    var port: Int
    var local: String
    var localPort: Int
    /// Version and cipher of its TLS session; empty in plain.
    var encryption = ""
    /// The worker that holds the session; -1 in plain.
    var sessionWorker: Int16 = -1
    /// The connection was lost, not closed by us.
    var isBroken = false
}

extension ClientError {
    /// PostgreSQL's own error, passed on to a client of ours.
    static func fromServer(_ state: SQLState, _ text: String) -> ClientError {
        .server(.refused(state, text))
    }
}

extension String {
    /// The text of these bytes, with whatever is not UTF-8 replaced.
    init(decodingBytes bytes: RawSpan) {
        self = unsafe bytes.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
    }
}

extension Array where Element == UInt8 {
    /// A copy of these bytes.
    init(copying bytes: RawSpan) {
        self = unsafe bytes.withUnsafeBytes { unsafe Array($0) }
    }
}
