import Auth
import Base
import Config
import SharedState
import Wire

/// Who does not exist, or has no secret, is asked and refused like somebody who does: with the same messages,
/// after the same work.
extension PoolCore {
    /// What a login is answered by: the user's secret or, where there is none, the secret of somebody in the
    /// user list, always the same one for the same name. Nobody gets in by it.
    func likeness(of login: ClientLogin) -> StoredSecret {
        guard case .none = login.secret else { return login.secret }
        guard !models.isEmpty else { return .none }
        let hash = Hash128.sip(login.userName.rawSpan, key: segment.secrets.instance, tweak: 3).low
        return users[models[Int(hash % UInt64(models.count))]].secret
    }

    /// Whether a login may succeed at all.
    func hasSecret(_ login: ClientLogin) -> Bool {
        if case .none = login.secret { return false }
        return login.isKnown
    }

    /// What proofs of a client without a usable secret are checked against.
    func mockVerifier(_ login: ClientLogin) -> ScramVerifier {
        if case .scram(let model) = likeness(of: login) {
            return ScramVerifier(
                mockFor: login.userName, secret: mockSecret, iterations: model.iterations,
                saltByteCount: model.salt.count)
        }
        return ScramVerifier(
            mockFor: login.userName, secret: mockSecret, iterations: configuration.settings.scramIterations)
    }

    /// Notes who has a secret, after the user list has changed.
    mutating func applyLikeness() {
        models = users.indices.filter {
            if case .none = users[$0].secret { false } else { users[$0].isKnown }
        }
        nextVerifier = 0
    }

    /// Makes some of the verifiers that logins need of those whose password is stored, before they need them:
    /// making one takes long, and a first login that is slower than others tells that there is such a user.
    /// True when there are more to be made.
    mutating func deriveAhead() -> Bool {
        guard configuration.settings.authType == .scramSHA256 else { return false }
        var rounds = 16_384
        while nextVerifier < models.count {
            let user = models[nextVerifier]
            if case .plain(let password) = users[user].secret, users[user].verifier == nil {
                guard rounds > 0 else { return true }
                users[user].verifier = madeVerifier(password, users[user].name)
                rounds -= configuration.settings.scramIterations
            }
            nextVerifier += 1
        }
        return false
    }

    /// The verifier of somebody whose password is stored.
    func madeVerifier(_ password: [UInt8], _ name: [UInt8]) -> ScramVerifier {
        ScramVerifier(
            deriving: password, salt: ScramVerifier.salt(for: name, secret: mockSecret),
            iterations: configuration.settings.scramIterations)
    }
}
