import System

/// Whom we talk to: a socket in a folder that everybody may write to could be anybody's.
struct Trust: Equatable {
    /// The user ids an instance may have.
    let users: Set<UInt32>

    /// What helps against missing permission.
    static let advice = "run sluicectl as the user the instance runs as, or as root"

    init(users: Set<UInt32>) {
        self.users = users
    }

    /// Trusts root, ourselves, and `owner`.
    ///
    /// - Parameter isDemanded: whether it is an error when there is no user of that name.
    init(owner: String?, isDemanded: Bool) throws(Failure) {
        var users: Set<UInt32> = [0, Accounts.effectiveUserID]
        if let owner {
            if let user = Accounts.user(named: owner) {
                users.insert(user.id)
            } else if isDemanded {
                throw Failure(.usage, "there is no user \(owner)")
            }
        }
        self.init(users: users)
    }

    /// Who the process at the other end is; throws when it is nobody we trust.
    func checked(
        _ peer: Socket.PeerCredentials?, at socket: String
    ) throws(Failure) -> Socket.PeerCredentials {
        guard let peer else {
            throw Failure(.notTrusted, "the kernel does not say who serves \(socket): nothing was sent to it")
        }
        guard !users.contains(peer.userID) else { return peer }
        let name = Accounts.userName(id: peer.userID) ?? "\(peer.userID)"
        throw Failure(
            .notTrusted,
            """
            \(socket) is served by process \(peer.processID) of user \(name), who is neither you nor root: \
            nothing was sent to it. If that is the instance, say --owner \(name), or run sluicectl as \(name).
            """)
    }
}
