import Auth
import Base
import System

/// Who may log in, and what is asked about them elsewhere: files of rules and maps, LDAP options, and the
/// questions that are put to LDAP and PAM.
extension Parser {
    private static let names = [
        "local", "host", "hostssl", "all", "sameuser", "replication", "samenet", "\"all\"", "alice", "/ali",
        "/^(.*)@here$", "@names", "include ours", "include_dir conf.d", "10.0.0.0/8", "::1/128",
        "127.0.0.1 255.0.0.0", "trust", "md5", "peer map=m", "cert map=n", "ldap ldapserver=h ldapbasedn=b",
        "pam pamservice=p", "clientcert=verify-full", "\\1", "\\\n", "\n", "#", "+", "+alice", "samerole",
        "reject",
    ].map { Array($0.utf8) }

    /// Expressions that have been compiled: most inputs have the same.
    private nonisolated(unsafe) static var compiled: [String: Result<TextPattern, TextPattern.Malformed>] =
        [:]

    /// Whoever writes a file is trusted, and some expressions keep the C library busy for ever.
    private static func compile(_ text: String) throws(TextPattern.Malformed) -> TextPattern {
        guard text.utf8.count < 40, !text.utf8.contains(where: { "{\\".utf8.contains($0) }) else {
            throw TextPattern.Malformed(reason: "not tried")
        }
        if let known = compiled[text] { return try known.get() }
        let result = Result { () throws(TextPattern.Malformed) in try TextPattern(compiling: text) }
        if compiled.count > 1_000 { compiled = [:] }
        compiled[text] = result
        return try result.get()
    }

    private static let networks = ["10.1.2.3", "fe80::1"].compactMap(NetworkAddress.init)
        .compactMap { Network($0, bitCount: 16) }

    /// The rules of the file `top`, with `maps`; `ours` can be included. Now and then that is the input
    /// itself, which takes long where it includes itself.
    private static func rules(
        _ top: [UInt8], maps: [UInt8], input: [UInt8]
    ) -> (rules: AccessRules, diagnostics: [AccessDiagnostic]) {
        let ours = input.count % 32 == 0 ? input : Array("local alice @names trust\nn a b\n".utf8)
        return rules(top, maps: maps, ours: ours)
    }

    private static func rules(
        _ top: [UInt8], maps: [UInt8], ours: [UInt8]
    ) -> (rules: AccessRules, diagnostics: [AccessDiagnostic]) {
        AccessRules.parse(
            "etc/top", maps: "etc/maps", networks: networks,
            files: AccessFiles(
                read: { path in
                    switch path {
                    case "etc/top": top
                    case "etc/maps": maps
                    case "etc/ours", "etc/conf.d/1.conf": ours
                    case "etc/names": Array("alice, bob\n\"two words\"\n".utf8)
                    default: nil
                    }
                },
                list: { $0 == "etc/conf.d" ? ["1.conf", "2.conf", "x"] : nil }, compile: compile))
    }

    private static let places = ["10.1.2.3", "11.0.0.1", "::1", "::ffff:10.1.2.3", ""].map(
        NetworkAddress.init)

    /// Logins of somebody of these names, from everywhere.
    private static func requests(user: [UInt8], database: [UInt8]) -> [AccessRequest] {
        places.enumerated().map { number, address in
            AccessRequest(
                databases: [database, user], user: user, isPhysicalReplication: number == 1,
                isLocal: address == nil, isEncrypted: number == 2, address: address,
                groups: (number + user.count) % 2 == 0 ? nil : [user, Array("alice".utf8)])
        }
    }

    /// The rule that matches a login, or perhaps does.
    private static func rule(of verdict: AccessRules.Verdict) -> AccessRule? {
        switch verdict {
        case .rule(let rule), .undecided(let rule): rule
        case .none: nil
        }
    }

    /// What is wrong with a rule that somebody may come by.
    private static func fault(_ rule: AccessRule, _ user: [UInt8]) -> String? {
        if (rule.method == .ldap) != (rule.ldap != nil) { return "LDAP, and nobody to ask" }
        if rule.pamService != nil, rule.method != .pam { return "a PAM service for \(rule.method)" }
        _ = rule.ldap?.query(for: user)
        if rule.map == nil, rule.allows([user], as: user + [1], memberOf: []) != false {
            return "somebody is somebody else"
        }
        return nil
    }

    static let rules = Parser(
        name: "hba",
        seeds: bytes(
            "local all all peer map=m\nhost all alice 10.0.0.0/8 md5\nhostssl d /^a.*e$ ::1/128 cert map=n\n",
            "# c\nhost all all 127.0.0.1 255.0.0.0 scram-sha-256\nhost \"a b\",@names all samenet trust\n",
            "hostssl all all all cert clientcert=verify-full\nhost replication all all reject\n",
            "host all all all ldap ldapserver=\"h i\" ldapport=99 ldapprefix=\"cn=\" ldapsuffix=\",dc=x\"\n",
            "local all all pam pamservice=p\ninclude ours\ninclude_if_exists no\ninclude_dir conf.d\n",
            "local samerole,a +alice,b trust\nhost all +\"b c\",+ all reject\nhost samegroup all all md5\n",
            "local sameuser,\\\nreplication all ldap ldapurl=\"ldaps://h:1/c=x%20y?cn?sub?(a=$username)\"\n"),
        words: names
    ) { input in
        let maps = Array("m alice bob\nm /^(.*)@here$ \\1\nn all all\n".utf8)
        let found = rules(input, maps: maps, input: input)
        // A line behind all others is read, whatever stands in front of it.
        let tail = Array("\n\nlocal all all trust\n".utf8)
        let longer = rules(input + tail, maps: maps, input: input).rules
        guard longer.rules.count == found.rules.rules.count + 1 else { return "a line behind them is lost" }
        // What is included besides has two lines.
        let lines = max(2, input.split(separator: 10, omittingEmptySubsequences: false).count)
        for said in found.diagnostics where !(1...lines).contains(said.line) || said.file == "etc/names" {
            return "it is said of \(said.file):\(said.line)"
        }
        let user = Array(input.suffix(12))
        for user in [user, Array("alice".utf8)] {
            for request in requests(user: user, database: Array(input.prefix(4))) {
                let verdict = found.rules.judge(request)
                if case .undecided = verdict, request.groups != nil || !found.rules.needGroups(for: request) {
                    return "groups decide that nobody asks for, or that are known"
                }
                guard let rule = Parser.rule(of: verdict) else { continue }
                guard Parser.rule(of: longer.judge(request))?.method == rule.method else {
                    return "another rule is first"
                }
                if let fault = fault(rule, user) { return fault }
            }
            let last = longer.judge(AccessRequest(databases: [user], user: user, isLocal: true))
            if Parser.rule(of: last) == nil { return "the line for all is not for \(user)" }
        }
        return nil
    }

    static let maps = Parser(
        name: "ident",
        seeds: bytes(
            "m alice bob\nm bob \"all\"\nm root all # c\nn alice alice,bob\n",
            "m /^(.*)@here$ \\1\nm /(a|b)+ x\\1y\n", "m a /^b.*$\nn \"a \"\"b\" @names\ninclude ours\n",
            "m a b\\\n,c\n\"m\" /. +group\n"),
        words: names
    ) { input in
        let hba = Array("local all all peer map=m\nhostssl all all all cert map=n\n".utf8)
        let tail = Array("\n\nm system user\nn /^(.*)@there$ \\1\n".utf8)
        let found = rules(hba, maps: input, input: input)
        let longer = rules(hba, maps: input + tail, input: input).rules.rules
        guard longer.count == 2, found.rules.rules.count <= 2 else { return "\(longer.count) rules" }
        guard longer[0].allows([Array("system".utf8)], as: Array("user".utf8), memberOf: []) == true else {
            return "a line behind them is lost"
        }
        let (name, user) = (Array(input.prefix(8)), Array(input.suffix(8)))
        let others = [name, user, Array("alice".utf8), Array("a@here".utf8), []]
        let memberships: [Set<[UInt8]>?] = [nil, [], [user], [Array("group".utf8)], [name, user]]
        for rule in found.rules.rules {
            // Who may be somebody may still be it when there is one line more.
            guard let same = longer.first(where: { $0.method == rule.method }) else {
                return "a rule is lost"
            }
            for (name, groups) in zip(others, memberships) {
                for user in others {
                    let before = rule.allows([name], as: user, memberOf: groups)
                    if before == true, same.allows([name], as: user, memberOf: groups) != true {
                        return "\(name) may not be \(user) any more"
                    }
                    if before == nil, groups != nil || !rule.namesGroups { return "groups decide" }
                }
            }
        }
        let there = Array("@there".utf8)
        guard name.contains(0) || longer[1].allows([name + there], as: name, memberOf: []) == true else {
            return "a group is not found"
        }
        return nil
    }

    /// Options, a zero byte, and the name of a user.
    static let ldap = Parser(
        name: "ldap",
        seeds: bytes(
            "ldapserver=h ldapbasedn=b\0alice",
            "ldapserver=\"a b\", ldapport=99 ldapprefix=cn= ldapsuffix=x\0a*",
            "ldapurl=ldap://h:7/dc=x?uid,cn?sub?(uid=$username) ldaptls=1\0b",
            "ldapserver=h ldapscheme=ldaps ldapbasedn=b ldapsearchfilter=\"(|(a=$username)(b=$username))\"\0c"
        ),
        words: bytes(
            "ldapurl=", "ldapport=", "$username", "%28", "?one?", "(&", "*", ")", "ldaptls=1", "[::1]:")
    ) { input in
        let parts = input.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
        let user = parts.count == 2 ? Array(parts[1]) : []
        _ = (try? LDAPOptions(text: String(decoding: parts[0], as: UTF8.self)))?.query(for: user)
        guard let query = plainOptions?.query(for: user) else { return nil }
        // Whatever a name is, it changes neither the filter's shape nor another attribute's value.
        let filter = Array(query.filter.utf8)
        guard filter.starts(with: "(uid=".utf8), filter.last == UInt8(ascii: ")"), filter.count >= 6 else {
            return "the filter is \(query.filter)"
        }
        let value = filter[5..<(filter.count - 1)]
        return value.contains { "()*\\".utf8.contains($0) || $0 < 0x20 } ? "the value is \(value)" : nil
    }

    private static let plainOptions = try? LDAPOptions(text: "ldapserver=h ldapbasedn=b")

    /// Texts behind their lengths: user, password, address and service; and the same bytes as a datagram.
    static let question = Parser(
        name: "question",
        seeds: [
            joined(bytes("alice", "secret", "10.0.0.1", "pgsluice")), joined(bytes("", "", "", "")),
            PasswordQuestion(
                id: 7, judge: .ldap(LDAPServer()), user: "alice", password: [0x61], address: "::1"
            ).encoded() ?? [],
            PasswordQuestion(
                id: 7, judge: .pam(service: "p"), user: "alice", password: [0x61], address: "::1"
            ).encoded() ?? [],
        ]
    ) { input in
        if let read = PasswordQuestion(input), let again = read.encoded().flatMap(PasswordQuestion.init),
            again != read
        {
            return "read and written it is another one"
        }
        var parts = messages(input)
        while parts.count < 4 { parts.append([]) }
        // All of them have been texts that end with a zero.
        parts = parts.map { $0.filter { $0 != 0 } }
        let texts = parts.map { String(decoding: $0, as: UTF8.self) }
        let question = PasswordQuestion(
            id: 1, judge: .pam(service: texts[3]), user: texts[0], password: parts[1],
            address: texts[2])
        guard let datagram = question.encoded() else { return "it is too long" }
        return PasswordQuestion(datagram) == question ? nil : "written and read it is another one"
    }
}
