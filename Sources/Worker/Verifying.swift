import Auth
import Base
import PoolCore
import SharedState
import System

/// Passwords that PAM or an LDAP server judges: the helper process asks them, because that blocks.
extension WorkerLoop {
    /// Has the password of a client judged.
    @inline(never)
    mutating func verify(_ client: Handle<Client>) {
        guard let wanted = core.passwordToVerify(of: client) else { return }
        nextVerification += 1
        let id = UInt64(context.incarnation) << 32 | nextVerification
        var question = PasswordQuestion(
            id: id, judge: .pam(service: ""), user: String(decoding: wanted.user, as: UTF8.self),
            password: wanted.password, address: wanted.address)
        switch wanted.judge {
        case .pam(let service): question.judge = .pam(service: service)
        case .ldap(let options):
            guard let query = options.query(for: wanted.user) else { return }
            question.judge = .ldap(LDAPServer(options, query))
        }
        defer { forget(&question.password) }
        guard wanted.password.count <= PasswordQuestion.passwordLimit, var datagram = question.encoded()
        else {
            return afterwards.append(.verified(client, isRight: false, reason: "the password is too long"))
        }
        defer { forget(&datagram) }
        guard (try? DescriptorPassing.send(datagram, to: context.resolver)) != nil else {
            return afterwards.append(
                .verified(client, isRight: false, reason: "the process that checks passwords does not answer")
            )
        }
        verifications[id] = client
    }

    /// Somebody has judged; true when the message is about that.
    mutating func readVerdict(_ message: [UInt8]) -> Bool {
        guard let answer = PasswordAnswer(message) else { return false }
        guard let client = verifications.removeValue(forKey: answer.id) else { return true }
        let isRight = answer.verdict == .right
        afterwards.append(.verified(client, isRight: isRight, reason: isRight ? "" : answer.reason))
        return true
    }
}

extension LDAPServer {
    /// What the options say, for one user.
    init(_ options: LDAPOptions, _ query: LDAPQuery) {
        self.init()
        uris = query.uris
        startsTLS = options.startsTLS
        name = query.name
        bindName = options.bindName
        bindPassword = options.bindPassword
        base = options.base
        filter = query.filter
        switch options.scope {
        case .base: scope = 0
        case .one: scope = 1
        case .subtree: scope = 2
        }
    }
}
