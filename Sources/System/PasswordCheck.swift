import CAuth
import Glibc

/// Asks whether passwords are right. Waits as long as those take who are asked: for helper processes only.
public enum PasswordCheck {
    /// Why LDAP cannot be used on this machine; `nil` when it can.
    public static var ldapObstacle: String? { unsafe obstacle { unsafe cauth_find_ldap($0, $1) } }

    /// Why PAM cannot be used on this machine; `nil` when it can.
    public static var pamObstacle: String? { unsafe obstacle { unsafe cauth_find_pam($0, $1) } }

    /// Asks whoever judges.
    static func answer(_ question: PasswordQuestion) -> PasswordAnswer {
        var reason = [CChar](repeating: 0, count: 400)
        var password = question.password.map { CChar(bitPattern: $0) } + [0]
        defer { for index in password.indices { password[index] = 0 } }
        let result: Int32
        switch question.judge {
        case .pam(let service):
            result = unsafe cauth_ask_pam(
                service, question.user, password, question.address, &reason, reason.count)
        case .ldap(let server):
            result = ask(server, password, &reason)
        }
        let verdict: PasswordVerdict =
            result == CAUTH_RIGHT ? .right : result == CAUTH_WRONG ? .wrong : .failed
        return PasswordAnswer(id: question.id, verdict: verdict, reason: text(reason))
    }

    private static func ask(_ server: LDAPServer, _ password: [CChar], _ reason: inout [CChar]) -> Int32 {
        // One text behind the other, each with its zero.
        var texts: [CChar] = []
        var starts: [Int] = []
        for text in [server.uris, server.name, server.bindName, server.base, server.filter].map({
            Array($0.utf8)
        })
            + [server.bindPassword]
        {
            starts.append(texts.count)
            texts += text.map { CChar(bitPattern: $0) } + [0]
        }
        defer { for index in texts.indices { texts[index] = 0 } }
        return unsafe texts.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return CAUTH_FAILED }
            var question = unsafe cauth_ldap()
            unsafe question.uris = start + starts[0]
            unsafe question.name = start + starts[1]
            unsafe question.bind_name = start + starts[2]
            unsafe question.base = start + starts[3]
            unsafe question.filter = start + starts[4]
            unsafe question.bind_password = start + starts[5]
            unsafe question.scope = Int32(server.scope)
            unsafe question.starts_tls = server.startsTLS ? 1 : 0
            return unsafe cauth_ask_ldap(&question, password, &reason, reason.count)
        }
    }

    private static func obstacle(_ find: (UnsafeMutablePointer<CChar>, Int) -> Int32) -> String? {
        var reason = [CChar](repeating: 0, count: 400)
        let count = reason.count
        let result = unsafe reason.withUnsafeMutableBufferPointer { buffer in
            unsafe buffer.baseAddress.map { unsafe find($0, count) } ?? -1
        }
        return result == 0 ? nil : text(reason)
    }

    private static func text(_ characters: [CChar]) -> String {
        String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// A check under way in a child of its own; the password goes with it.
struct RunningCheck {
    let id: UInt64
    /// Where the answer goes.
    let channel: Int32
    let child: AskedChild

    /// Starts a child for a question from `channel`.
    static func start(_ question: PasswordQuestion, from channel: Int32) throws(SystemError) -> RunningCheck {
        let child = try AskedChild.start {
            // Modules may start processes of their own and wait for them.
            signal(SIGCHLD, SIG_DFL)
            return PasswordCheck.answer(question).encoded()
        }
        return RunningCheck(id: question.id, channel: channel, child: child)
    }

    /// The answer the child has written; also when it ended without one.
    func receive() -> PasswordAnswer {
        // It is far shorter than what a pipe takes at once.
        let bytes = (try? Descriptors.read(child.pipe, limit: 4096)) ?? []
        return PasswordAnswer(bytes)
            ?? PasswordAnswer(
                id: id, verdict: .failed, reason: "the check of a password ended without an answer")
    }
}
