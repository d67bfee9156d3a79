public import Auth
public import Base
import Config
import SharedState
import Wire

/// Who is asked whether a client's password is right.
public enum PasswordJudge: Sendable {
    /// PAM, with a service.
    case pam(service: String)
    /// An LDAP server.
    case ldap(LDAPOptions)
}

/// Passwords that PAM or an LDAP server judges. That may take long, so it happens outside, and the client
/// waits.
extension PoolCore {
    /// The PAM service that PgBouncer names.
    private static var pamService: String { "pgbouncer" }

    /// Asks for the password in clear.
    mutating func authenticateOutside(_ client: Handle<Client>, _ login: ClientLogin) {
        if clientLogins[client]?.judge == nil {
            // `auth_type` itself says so, and no rule with options of its own.
            let text = configuration.settings.authLDAPOptions
            if login.method == .pam {
                clientLogins[client]?.judge = .pam(service: PoolCore.pamService)
            } else if let options = try? LDAPOptions(text: text) {
                clientLogins[client]?.judge = .ldap(options)
            } else {
                return refuse(client, .configuration)
            }
        }
        clientLogins[client]?.exchange = .outside
        let start = output.count
        output.appendAuthenticationCleartext()
        send(clients[client].connection, from: start)
    }

    /// Who judges by a rule.
    static func judge(by rule: AccessRule) -> PasswordJudge? {
        if rule.method == .pam { return .pam(service: rule.pamService ?? pamService) }
        return rule.ldap.map { .ldap($0) }
    }

    /// The password has come: it is judged.
    mutating func judge(_ client: Handle<Client>, _ password: [UInt8]) {
        guard let login = clientLogins[client], let judge = login.judge else { return }
        if case .ldap(let options) = judge, options.query(for: login.userName) == nil {
            return refuse(client, PoolCore.failure(of: login))
        }
        clientLogins[client]?.exchange = .judged(password)
        actions.append(.verify(client))
    }

    /// What is to be found out for a client; for the worker that carries out `verify`.
    public func passwordToVerify(
        of client: Handle<Client>
    ) -> (judge: PasswordJudge, user: [UInt8], password: [UInt8], address: String)? {
        guard clients.contains(client), let login = clientLogins[client], let judge = login.judge,
            case .judged(let password) = login.exchange
        else { return nil }
        let origin = clientOrigins[client]
        let address = origin.map { $0.isUnix ? "localhost" : $0.address } ?? ""
        return (judge, login.userName, password, address)
    }

    /// It has been found out whether the password is right.
    mutating func verified(_ client: Handle<Client>, isRight: Bool, reason: String) {
        guard clients.contains(client), clients[client].state == .authenticating,
            let login = clientLogins[client], case .judged(var password) = login.exchange
        else { return }
        clientLogins[client]?.exchange = .none
        defer { forget(&password) }
        guard isRight else {
            if !reason.isEmpty {
                let start = output.count
                appendClientPrefix(client)
                output.append(text: reason)
                log(.warning, from: start)
            }
            return refuse(client, PoolCore.failure(of: login))
        }
        // Whoever judges knows users that nothing here knows.
        let user = login.user ?? userNumber(login.userName)
        clientLogins[client]?.user = user
        if users[user].proven != password {
            forget(&users[user].proven)
            users[user].proven = password
            users[user].derived = nil
        }
        authenticated(client)
    }

    private static func failure(of login: ClientLogin) -> LoginFault {
        let kind = login.method == .pam ? ProofKind.pam : .ldap
        return .authentication(kind, user: String(decoding: login.userName, as: UTF8.self))
    }

    // MARK: For the server

    /// Bytes of a proven password that all workers are told of, which is what there is room for.
    private static var sharedLimit: Int { 54 }

    /// Lets the other workers have the password that a user has proven, which opens PostgreSQL too.
    func shareProven(_ user: Int) {
        let password = users[user].proven
        guard !password.isEmpty, password.count <= PoolCore.sharedLimit, users[user].secret == .none,
            !users[user].entry.isNone, !isAlone
        else { return }
        var bytes = [UInt8(password.count)] + password
        bytes += [UInt8](repeating: 0, count: 56 - bytes.count)
        bytes += mark(of: bytes)
        ledger.keep(bytes, of: users[user].entry)
        forget(&bytes)
    }

    /// The password that the user of a pool has proven here or in another worker.
    func provenSecret(_ pool: Handle<Pool>) -> StoredSecret {
        if let bytes = ledger.keys(of: ledger.names(of: pools[pool].entry).user), bytes.count == 64 {
            let block = Array(bytes[..<56])
            if Array(bytes[56...]) == mark(of: block), (1...PoolCore.sharedLimit).contains(Int(block[0])) {
                return .plain(Array(block[1...Int(block[0])]))
            }
        }
        let own = users[Int(pools[pool].user)].proven
        return own.isEmpty ? .none : .plain(own)
    }

    /// What tells such a password from keys, of which the ledger has one or the other.
    private func mark(of block: [UInt8]) -> [UInt8] {
        let hash = unsafe Hash128.sip(block.span.bytes, key: segment.secrets.instance, tweak: 3).low
        return (0..<8).map { UInt8(truncatingIfNeeded: hash >> UInt64(8 * $0)) }
    }
}
