/// A question to the helper process whether a password is right: one datagram on the channel of
/// `WorkerContext.resolver`.
public struct PasswordQuestion: Equatable, Sendable, CustomStringConvertible, CustomReflectable {
    /// Who is asked.
    public enum Judge: Equatable, Sendable {
        /// PAM, with a service.
        case pam(service: String)
        /// An LDAP server.
        case ldap(LDAPServer)
    }

    /// Comes back in the answer; the asker's own.
    public var id: UInt64
    /// Who is asked.
    public var judge: Judge
    /// Whose password it is.
    public var user: String
    /// The password, without zeros.
    public var password: [UInt8]
    /// Where the user is.
    public var address: String

    /// The longest password that is asked about.
    public static let passwordLimit = 2048
    /// No question is longer than that.
    static let byteLimit = 16 * 1024

    /// A question from its parts.
    public init(id: UInt64, judge: Judge, user: String, password: [UInt8], address: String) {
        self.id = id
        self.judge = judge
        self.user = user
        self.password = password
        self.address = address
    }

    /// There are secrets in it.
    public var description: String { "PasswordQuestion(\(id))" }
    /// A mirror without children.
    public var customMirror: Mirror { Mirror(self, children: []) }

    private static let kind: UInt8 = 3

    /// The datagram; `nil` when it would be too long.
    public func encoded() -> [UInt8]? {
        var writer = ResolverWriter(kind: PasswordQuestion.kind)
        writer.put(id)
        writer.put(run: Array(user.utf8))
        writer.put(run: password)
        writer.put(run: Array(address.utf8))
        switch judge {
        case .pam(let service):
            writer.bytes.append(0)
            writer.put(run: Array(service.utf8))
        case .ldap(let server):
            writer.bytes.append(1)
            for text in [server.uris, server.name, server.bindName, server.base, server.filter] {
                writer.put(run: Array(text.utf8))
            }
            writer.put(run: server.bindPassword)
            writer.put(UInt32(server.scope))
            writer.bytes.append(server.startsTLS ? 1 : 0)
        }
        return writer.bytes.count <= PasswordQuestion.byteLimit ? writer.bytes : nil
    }

    /// The question in a datagram, or `nil` when it is none.
    public init?(_ datagram: [UInt8]) {
        guard var reader = ResolverReader(datagram, kind: PasswordQuestion.kind),
            let id: UInt64 = reader.take(), let user = reader.takeText(), let password = reader.takeRun(),
            !password.contains(0), let address = reader.takeText(), let way: UInt8 = reader.take()
        else { return nil }
        let judge: Judge
        if way == 0 {
            guard let service = reader.takeText() else { return nil }
            judge = .pam(service: service)
        } else {
            guard let server = LDAPServer(&reader) else { return nil }
            judge = .ldap(server)
        }
        self.init(id: id, judge: judge, user: user, password: password, address: address)
    }
}

/// How an LDAP server is asked about one user.
public struct LDAPServer: Equatable, Sendable {
    /// One or more, separated by blanks.
    public var uris = ""
    /// StartTLS is done first.
    public var startsTLS = false
    /// What is logged in with where nothing is searched.
    public var name = ""
    /// What the search is done with.
    public var bindName = ""
    public var bindPassword: [UInt8] = []
    /// Below what is searched; empty for no search.
    public var base = ""
    /// 0 for the base alone, 1 for what is right below it, 2 for everything below it.
    public var scope = 2
    public var filter = ""

    /// A server that is to be filled in.
    public init() {}

    fileprivate init?(_ reader: inout ResolverReader) {
        var texts: [String] = []
        for _ in 0..<5 {
            guard let text = reader.takeText() else { return nil }
            texts.append(text)
        }
        guard let password = reader.takeRun(), let scope: UInt32 = reader.take(),
            let flag: UInt8 = reader.take()
        else { return nil }
        (uris, name, bindName, base, filter) = (texts[0], texts[1], texts[2], texts[3], texts[4])
        bindPassword = password
        self.scope = Int(scope)
        startsTLS = flag == 1
    }
}

/// Whether a password is right.
public enum PasswordVerdict: UInt8, Sendable {
    case wrong, right
    /// Nobody could tell.
    case failed
}

/// What was found out, in one datagram.
public struct PasswordAnswer: Equatable, Sendable {
    /// The `id` of the question.
    public var id: UInt64
    /// Whether the password is right.
    public var verdict: PasswordVerdict
    /// Why it is not, for the log; without secrets.
    public var reason: String

    /// An answer from its parts.
    public init(id: UInt64, verdict: PasswordVerdict, reason: String) {
        self.id = id
        self.verdict = verdict
        self.reason = reason
    }

    private static let kind: UInt8 = 4

    /// The datagram.
    public func encoded() -> [UInt8] {
        var writer = ResolverWriter(kind: PasswordAnswer.kind)
        writer.put(id)
        writer.bytes.append(verdict.rawValue)
        writer.bytes += Array(reason.utf8.prefix(500))
        return writer.bytes
    }

    /// The answer in a datagram, or `nil` when it is none.
    public init?(_ datagram: [UInt8]) {
        guard var reader = ResolverReader(datagram, kind: PasswordAnswer.kind),
            let id: UInt64 = reader.take(), let code: UInt8 = reader.take(),
            let verdict = PasswordVerdict(rawValue: code)
        else { return nil }
        self.init(id: id, verdict: verdict, reason: String(decoding: reader.rest, as: UTF8.self))
    }
}
