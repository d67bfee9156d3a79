import Auth
import Base
import Config
import SharedState

/// What opens PostgreSQL for a pool whose user has no secret in `auth_file`: what `auth_query` said at the
/// last login. It belongs to the pool and not to the user, whose secret may be another in another database.
struct Credentials: Equatable {
    /// The secret that was found.
    var secret: StoredSecret
    /// The keys that a client's proof has shown, if the secret is one of SCRAM.
    var keys: ScramKeys?
    /// When PostgreSQL said it, on the clock that all workers share.
    var learntAt: UInt64
}

extension PoolCore {
    /// A client has proved that it knows a secret that `auth_query` found: its pool's servers log in with it,
    /// here and in the other workers.
    mutating func learnCredentials(_ login: ClientLogin, for pool: Handle<Pool>) {
        guard login.isFound else { return }
        let known = credentials[pool]
        // Whoever needs no proof, as with trust, teaches no keys.
        let keys = login.keys ?? (known?.secret == login.secret ? known?.keys : nil)
        guard known?.secret != login.secret || known?.keys != keys, login.foundAt >= known?.learntAt ?? 0
        else { return }
        keep(Credentials(secret: login.secret, keys: keys, learntAt: login.foundAt), for: pool)
        guard !isAlone else { return }
        for other in 0..<workerCount where other != identity.index {
            guard ledger.holds(pools[pool].entry, in: other) else { continue }
            tell(other, .welcome(description(of: pool)))
        }
    }

    private mutating func keep(_ new: Credentials, for pool: Handle<Pool>) {
        let old = credentials.updateValue(new, forKey: pool)
        guard old?.secret != new.secret else { return }
        users[Int(pools[pool].user)].derived = nil
        // What failed with the secret before need not fail with this one.
        pools[pool].retryAt = 0
        pools[pool].hasFailed = false
    }

    /// Adds what other workers may need to log in for a pool.
    func describeCredentials(of pool: Handle<Pool>, _ description: inout PoolDescription) {
        guard let known = credentials[pool] else { return }
        description.secret = known.secret.text
        description.keys = known.keys?.bytes ?? []
        description.secretTime = known.learntAt
    }

    /// Takes over what another worker has learnt, unless something newer is known.
    mutating func learnCredentials(_ description: PoolDescription, for pool: Handle<Pool>) {
        guard !description.secret.isEmpty, description.secretTime > credentials[pool]?.learntAt ?? 0 else {
            return
        }
        let keys = unsafe ScramKeys(description.keys.span.bytes)
        keep(
            Credentials(
                secret: StoredSecret(description.secret), keys: keys, learntAt: description.secretTime),
            for: pool)
        openServers(pool)
    }

    /// The secret a pool's user is to log in to PostgreSQL with.
    func secret(of pool: Handle<Pool>) -> StoredSecret {
        let user = users[Int(pools[pool].user)]
        let definition = databases[Int(pools[pool].database)].definition
        if let password = definition.password, !password.isEmpty,
            definition.user == nil || isOfForcedUser(pool)
        {
            return .plain(Array(password.utf8))
        }
        guard user.secret == .none else { return user.secret }
        return credentials[pool]?.secret ?? provenSecret(pool)
    }

    /// What proves the user of a pool to PostgreSQL, learnt here or in another worker; `nil` when none of his
    /// logins has taught it, or his secret is another by now.
    mutating func passThrough(_ pool: Handle<Pool>, _ verifier: ScramVerifier) -> ScramKeys? {
        let user = Int(pools[pool].user)
        if users[user].secret == .none { return credentials[pool]?.keys }
        if let keys = users[user].passThrough { return keys }
        guard let bytes = ledger.keys(of: ledger.names(of: pools[pool].entry).user),
            let keys = unsafe ScramKeys(bytes.span.bytes), keys.serverKey == verifier.serverKey
        else { return nil }
        users[user].passThrough = keys
        return keys
    }
}
