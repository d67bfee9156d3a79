import Auth
import Base
import Config
import Wire

/// Logins with `auth_type = hba`: the first rule that matches says how the client proves who it is.
extension PoolCore {
    /// Whether the origin of a client over a Unix socket should tell what the system calls its user.
    public var wantsPeerNames: Bool { accessRules.needPeerNames }

    /// Looks for the rule of a login, and goes on with its method.
    mutating func authenticateByRules(_ client: Handle<Client>, _ login: ClientLogin) {
        let rule: AccessRule
        switch accessRules.judge(accessRequest(client, login)) {
        case .none: return refuse(client, .noMethod)
        case .undecided(let rule): return refuseWithoutGroups(client, login, rule)
        case .rule(let found): rule = found
        }
        guard rule.method != .reject else { return refuse(client, .rejected) }
        if let demand = rule.certificate {
            switch hasCertificate(client, login, demand, rule) {
            case true: break
            case false: return refuse(client, .authentication(.certificate, user: text(login.userName)))
            case nil: return refuseWithoutGroups(client, login, rule)
            }
        }
        var login = login
        switch rule.method {
        case .reject: return
        case .peer: return authenticateByPeer(client, login, rule)
        case .cert: return authenticateByCertificate(client, login, rule)
        case .trust: login.method = .trust
        case .password: login.method = .plain
        case .md5: login.method = .md5
        case .scramSHA256: login.method = .scramSHA256
        case .ldap: login.method = .ldap
        case .pam: login.method = .pam
        }
        login.judge = PoolCore.judge(by: rule)
        login.groups = nil
        clientLogins[client] = login
        // The rule has been chosen, and its method is never hba again.
        authenticate(client)
    }

    /// Whether the password of a login is judged by PAM or an LDAP server: then no secret is looked up for
    /// it. What PostgreSQL has stored may be of another password, and would stand in the way of the one
    /// that is found right.
    func isJudgedOutside(_ client: Handle<Client>, _ login: ClientLogin) -> Bool {
        switch login.method {
        case .ldap, .pam: return true
        case .hba:
            guard case .rule(let rule) = accessRules.judge(accessRequest(client, login)) else { return false }
            return rule.method == .ldap || rule.method == .pam
        case .any, .trust, .plain, .md5, .scramSHA256, .cert: return false
        }
    }

    func accessRequest(_ client: Handle<Client>, _ login: ClientLogin) -> AccessRequest {
        let origin = clientOrigins[client]
        // Both names of the console mean the same, so a rule for either is a rule for it.
        let names =
            login.isForConsole ? ["pgbouncer", "pgsluice"].map { Array($0.utf8) } : [login.databaseName]
        return AccessRequest(
            databases: names, user: login.userName,
            isPhysicalReplication: clients[client].replication == .physical, isLocal: origin?.isUnix ?? false,
            isEncrypted: clientEncryptions[client] != nil,
            address: origin.flatMap { $0.isUnix ? nil : NetworkAddress($0.address) }, groups: login.groups)
    }

    /// The user that the kernel says is at the other end of the Unix socket.
    private mutating func authenticateByPeer(
        _ client: Handle<Client>, _ login: ClientLogin, _ rule: AccessRule
    ) {
        guard let origin = clientOrigins[client], origin.isUnix, !origin.peerUserName.isEmpty, login.isKnown
        else { return refuse(client, .peer) }
        switch rule.allows([origin.peerUserName], as: login.userName, memberOf: login.groups) {
        case true: authenticated(client)
        case false: refuse(client, .peer)
        case nil: refuseWithoutGroups(client, login, rule)
        }
    }

    /// A certificate that names the user, or by a rule's map somebody who may log in as the user.
    mutating func authenticateByCertificate(
        _ client: Handle<Client>, _ login: ClientLogin, _ rule: AccessRule?
    ) {
        let fault = LoginFault.authentication(.certificate, user: text(login.userName))
        guard login.isKnown else { return refuse(client, fault) }
        guard let rule else {
            let names = clientEncryptions[client]?.verifiedNames ?? []
            return names.contains(login.userName) ? authenticated(client) : refuse(client, fault)
        }
        switch hasCertificate(client, login, .namesUser, rule) {
        case true: authenticated(client)
        case false: refuse(client, fault)
        case nil: refuseWithoutGroups(client, login, rule)
        }
    }

    /// Whether the client has the certificate that is demanded; `nil` when groups decide that are not known.
    private func hasCertificate(
        _ client: Handle<Client>, _ login: ClientLogin, _ demand: CertificateDemand, _ rule: AccessRule
    ) -> Bool? {
        let names = clientEncryptions[client]?.verifiedNames ?? []
        switch demand {
        case .verified: return !names.isEmpty
        case .namesUser: return rule.allows(names, as: login.userName, memberOf: login.groups)
        }
    }

    private func text(_ name: [UInt8]) -> String { String(decoding: name, as: UTF8.self) }
}
