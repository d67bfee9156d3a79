import Auth
import Base
import Testing

/// Rules of some files, of which the first is `hba` and `ident` the maps; patterns are the texts they match.
func rules(
    _ text: String, maps: String? = nil, others: [String: String] = [:], folders: [String: [String]] = [:],
    networks: [Network] = []
) -> (rules: AccessRules, diagnostics: [AccessDiagnostic]) {
    var files = others
    files["etc/hba"] = text
    files["ident"] = maps
    return AccessRules.parse(
        "etc/hba", maps: maps == nil ? nil : "ident", networks: networks,
        files: AccessFiles(read: { files[$0].map(bytes) }, list: { folders[$0] }, compile: compile))
}

/// Expressions of the tests: a text, and perhaps a group at its beginning, `(.*)`.
private func compile(_ text: String) throws(TextPattern.Malformed) -> TextPattern {
    if text == "[" { throw TextPattern.Malformed(reason: "it is broken") }
    return TextPattern { bytes in
        let found = String(decoding: bytes, as: UTF8.self)
        guard text.hasPrefix("(.*)") else { return found.contains(text) ? .init(group: nil) : nil }
        guard found.hasSuffix(text.dropFirst(4)) else { return nil }
        return .init(group: Array(found.utf8.dropLast(text.utf8.count - 4)))
    }
}

/// A login: over a Unix socket where there is no address.
private func request(
    _ database: String, _ user: String, _ address: String? = nil, encrypted: Bool = false,
    replication: Bool = false, in groups: [String]? = nil
) -> AccessRequest {
    AccessRequest(
        databases: [bytes(database)], user: bytes(user), isPhysicalReplication: replication,
        isLocal: address == nil, isEncrypted: encrypted, address: address.flatMap { NetworkAddress($0) },
        groups: groups.map { Set($0.map(bytes)) })
}

/// The method for a login.
func method(
    _ rules: AccessRules, _ database: String, _ user: String, _ address: String? = nil,
    encrypted: Bool = false, replication: Bool = false, in groups: [String]? = nil
) -> String {
    let request = request(
        database, user, address, encrypted: encrypted, replication: replication, in: groups)
    switch rules.judge(request) {
    case .rule(let rule): return rule.method.rawValue
    case .none: return "none"
    case .undecided(let rule): return "undecided in line \(rule.line)"
    }
}

@Suite struct AccessRulesTests {
    @Test func theFirstRuleThatMatchesCounts() {
        let (rules, said) = rules(
            """
            # TYPE DATABASE USER ADDRESS METHOD
             \t \t # blanks only
            local   dbp     all                 peer
            local   all     userp               password # comment
            local   all     all                 md5\r
            hostssl     all all 10.0.0.0/8      cert
            hostnossl   all all 11.0.0.0/8      md5
            host    all     all 127.0.0.0  255.255.255.0 password
            host    t1,all  u1,u2 , u3 16.0.0.0/8  scram-sha-256
            host    "all"   "all" 19.0.0.0/8    trust
            host    "q1""q2" "a , b" 19.0.0.0/8 trust
            host    mdb     muser 128.0.0.0/9   trust
            host    mdb     muser 128.0.0.0/2   reject
            host    mdb     muser ff20::/12     md5
            host    mdb     muser ::1/128       trust
            host    every   muser all           reject
            """)
        #expect(said.isEmpty)
        let expected: [(String, String, String?, Bool, String)] = [
            ("dbp", "x", nil, false, "peer"), ("other", "userp", nil, false, "password"),
            ("other", "x", nil, false, "md5"), ("a", "b", "10.255.0.1", true, "cert"),
            ("a", "b", "10.255.0.1", false, "none"), ("a", "b", "11.1.1.1", false, "md5"),
            ("a", "b", "11.1.1.1", true, "none"), ("a", "b", "127.0.0.9", true, "password"),
            ("a", "b", "127.0.1.9", false, "none"), ("x", "u3", "16.1.1.1", false, "scram-sha-256"),
            ("x", "u4", "16.1.1.1", false, "none"), ("all", "all", "19.1.1.1", false, "trust"),
            ("x", "y", "19.1.1.1", false, "none"), ("q1\"q2", "a , b", "19.1.1.1", false, "trust"),
            ("mdb", "muser", "128.127.0.1", false, "trust"), ("mdb", "muser", "128.128.0.1", false, "reject"),
            ("mdb", "muser", "192.0.0.1", false, "none"), ("mdb", "muser", "ff2f::1", false, "md5"),
            ("mdb", "muser", "ff30::1", false, "none"), ("mdb", "muser", "::1", false, "trust"),
            ("every", "muser", "1.2.3.4", false, "reject"), ("every", "muser", "fe80::1%3", true, "reject"),
        ]
        for (database, user, address, encrypted, wanted) in expected {
            let found = method(rules, database, user, address, encrypted: encrypted)
            #expect(found == wanted, "\(database) \(user) \(address ?? "unix") \(encrypted)")
        }
    }

    @Test func keywordsAreDatabasesOnlyWhereTheyMeanOne() {
        let (rules, said) = rules(
            """
            local sameuser all trust
            local replication repl md5
            local "replication" all password
            local all sameuser,replication scram-sha-256
            """)
        #expect(said.isEmpty)
        #expect(method(rules, "ann", "ann") == "trust")
        #expect(method(rules, "ann", "bob") == "none")
        #expect(method(rules, "any", "repl", replication: true) == "md5")
        #expect(method(rules, "repl", "repl", replication: true) == "md5")
        #expect(method(rules, "any", "ann", replication: true) == "none")
        #expect(method(rules, "replication", "ann") == "password")
        #expect(method(rules, "any", "sameuser") == "scram-sha-256")
    }

    // MARK: Groups

    @Test func membersOfAGroupAreMeant() {
        let (rules, said) = rules(
            """
            local all +staff,+"two words" md5
            local all bob,+none password
            local samerole all trust
            local one,samegroup all scram-sha-256
            local "samerole" "+staff" peer
            """)
        #expect(said.isEmpty)
        #expect(method(rules, "x", "ann", in: ["ann", "staff"]) == "md5")
        #expect(method(rules, "x", "ann", in: ["two words"]) == "md5")
        #expect(method(rules, "x", "bob", in: ["bob"]) == "password")
        #expect(method(rules, "team", "ann", in: ["ann", "team"]) == "trust")
        #expect(method(rules, "ann", "ann", in: ["ann"]) == "trust")
        // Who is no role at all is not even a member of itself.
        #expect(method(rules, "ann", "ann", in: []) == "none")
        #expect(method(rules, "one", "ann", in: ["ann"]) == "scram-sha-256")
        #expect(method(rules, "x", "ann", in: ["ann", "all", ""]) == "none")
        #expect(method(rules, "samerole", "+staff", in: []) == "peer")
        #expect(method(rules, "team", "ann", replication: true, in: ["team"]) == "none")
    }

    /// Without groups the first rule that they decide is where judging ends.
    @Test func whatGroupsDecideIsNotDecidedWithoutThem() {
        let (rules, said) = rules(
            """
            local safe all trust
            local all +bad reject
            local all all md5
            host samerole ann all trust
            host all,samerole +bad,bob 10.0.0.0/8 password
            """)
        #expect(said.isEmpty)
        #expect(method(rules, "safe", "ann") == "trust")
        #expect(method(rules, "x", "ann") == "undecided in line 2")
        #expect(method(rules, "x", "ann", in: []) == "md5")
        #expect(method(rules, "x", "ann", in: ["bad"]) == "reject")
        #expect(method(rules, "x", "ann", "11.0.0.1") == "undecided in line 4")
        #expect(method(rules, "x", "bob", "11.0.0.1") == "none")
        #expect(method(rules, "x", "bob", "10.0.0.1") == "password")
        #expect(method(rules, "x", "eve", "10.0.0.1") == "undecided in line 5")
        #expect(method(rules, "x", "ann", replication: true) == "none")
    }

    /// Whether groups are asked for depends on where a login comes from and what it wants, not on its name.
    @Test func groupsAreNeededWhereRulesThatMayApplyNameThem() {
        let (rules, said) = rules(
            """
            host safe all 10.0.0.0/8 md5
            host db ann all md5
            host db,sameuser +staff all md5
            host other all all md5
            host all +staff 11.0.0.0/8 md5
            local all,samerole all peer
            hostssl replication all all cert map=m
            hostssl third all all cert map=plain
            """, maps: "m a b\nm a +staff\nplain a b")
        #expect(said.isEmpty)
        func need(
            _ database: String, _ address: String?, encrypted: Bool = false, replication: Bool = false
        ) -> Set<Bool> {
            Set(
                ["ann", "bob", database].map {
                    rules.needGroups(
                        for: request(
                            database, $0, address, encrypted: encrypted, replication: replication))
                })
        }
        #expect(need("safe", "10.0.0.1") == [false])
        #expect(need("db", "10.0.0.1") == [true])
        // It may be the database that is called like the user.
        #expect(need("x", "10.0.0.1") == [true])
        #expect(need("safe", "11.0.0.1") == [true])
        #expect(need("x", nil) == [true])
        #expect(need("x", "10.0.0.1", replication: true) == [false])
        #expect(need("x", "10.0.0.1", encrypted: true, replication: true) == [true])
        let (others, _) = AuthTests.rules(
            "host db ann all md5\nhost all all all md5\nhost all +staff all md5")
        #expect(!others.needGroups(for: request("db", "bob", "10.0.0.1")))
    }

    @Test func aRuleTellsWhereItStands() {
        let (rules, _) = rules(
            "include more\n\nlocal all all md5", others: ["etc/more": "# one\nlocal samerole all trust"])
        #expect(rules.rules.map { "\($0.file):\($0.line)" } == ["etc/more:2", "etc/hba:3"])
        #expect(rules.rules.map(\.namesGroups) == [true, false])
        #expect(rules.rules.map { $0.mayMean(database: bytes("x")) } == [true, true])
        #expect(rules.rules.map { $0.names(database: bytes("x")) } == [false, false])
    }

    @Test func theMachinesOwnAddressesAreKnownByName() throws {
        let own = Network(try #require(NetworkAddress("10.1.2.3")), bitCount: 16)
        let (rules, said) = rules(
            "host all all samehost trust\nhost all all samenet md5", networks: [own].compactMap(\.self))
        #expect(said.isEmpty)
        #expect(method(rules, "a", "b", "10.1.2.3") == "trust")
        #expect(method(rules, "a", "b", "10.1.9.9") == "md5")
        #expect(method(rules, "a", "b", "10.2.2.3") == "none")
        #expect(method(rules, "a", "b", "::ffff:10.1.2.3") == "none")
    }

    @Test func linesGoOnAndPatternsAndFilesOfNamesAreRead() {
        let (rules, said) = rules(
            "local @dbs,extra \\\n  /adm trust\nlocal all \"/two words\",\"@at\",\"+plus\" md5",
            others: ["etc/dbs": "one, two # not three\n\n\"all\" @more\n", "etc/more": "four"])
        #expect(said.isEmpty)
        for database in ["one", "two", "all", "four", "extra"] {
            #expect(method(rules, database, "an_admin") == "trust", "\(database)")
        }
        #expect(method(rules, "three", "an_admin") == "none")
        #expect(method(rules, "one", "ann") == "none")
        for user in ["two words", "@at", "+plus"] { #expect(method(rules, "x", user) == "md5") }
    }

    @Test func ofTwoBackslashesOneGoesOnInTheNextLine() {
        let (rules, said) = rules("local a\\\\\n\nlocal b all md5")
        #expect(said.map(\.line) == [1])
        #expect(method(rules, "b", "x") == "md5")
    }

    @Test func otherFilesAreIncludedInTheirPlace() {
        let (rules, said) = rules(
            """
            include first
            include_if_exists nowhere
            include_dir conf.d
            include /abs/last
            include missing
            """,
            others: [
                "etc/first": "local a all trust", "etc/conf.d/2.conf": "local a,b all md5",
                "etc/conf.d/1.conf": "local b all reject", "etc/conf.d/3.txt": "broken",
                "/abs/last": "local all all peer\nbad",
            ], folders: ["etc/conf.d": ["2.conf", "1.conf", "3.txt", ".4.conf"]])
        #expect(method(rules, "a", "x") == "trust")
        #expect(method(rules, "b", "x") == "reject")
        #expect(method(rules, "c", "x") == "peer")
        #expect(said.map { "\($0.file):\($0.line)" } == ["/abs/last:2", "etc/hba:5"])
    }

    @Test func filesThatIncludeThemselvesEnd() {
        let (rules, said) = rules("include hba\ninclude hba\nlocal @x all trust", others: ["etc/x": "@x @x"])
        #expect(rules.rules.isEmpty)
        #expect(!said.isEmpty && said.count < 2000)
    }

    /// What cannot be used is left out and said, and what stands around it is not.
    @Test(arguments: [
        "nonsense", "local", "local all", "local all all", "local all all maybe", "host all all md5",
        "local all all gss", "host all all 10.0.0.0/33 md5", "host all all 10.0.0.0 md5",
        "host all all 10.0.0.1/8 trust", "host all all example.com md5", "host all all .example.com md5",
        "host all all 10.0.0.0 ::1 md5", "host all all 010.0.0.0/8 md5", "host all all 10.0.0/8 md5",
        "host all all 1::2::3/64 md5", "host all all 10.0.0.0/+8 md5", "host all all 10.0.0.0/ md5",
        "local all @nowhere trust", "local all \"open trust", "local all /[ trust", "local ,a all trust",
        "local all all md5 map=m", "local all all peer map=nowhere", "host all all all peer",
        "local all all cert", "host all all all md5 clientcert=verify-full", "local all all trust what",
        "hostssl all all all cert clientname=DN", "hostssl all all all md5 clientcert=1",
        "local all all ldap", "local all all ldap ldapserver=h ldapprefix=a ldapbasedn=b",
        "host,local all all all trust", "host all all 10.0.0.0/8,11.0.0.0/8 trust",
    ])
    func aLineThatCannotBeUsedIsLeftOut(line: String) {
        let (rules, said) = rules("local one all trust\n\(line)\nlocal two all md5")
        #expect(rules.rules.count == 2)
        #expect(method(rules, "two", "x") == "md5")
        #expect(said.map(\.line) == [2])
        #expect(said.first?.text.hasSuffix("the line is without effect") == true)
    }

    @Test(arguments: [
        "ldapbindpasswd=hidden all all ldap", "host all all ldapbindpasswd=hidden ldap",
        "host all all 10.0.0.0 ldapbindpasswd=hidden ldap", "local all all ldapbindpasswd=hidden ldap",
        "local all all ldap what=hidden", "local all all ldap ldapbindpasswd=hidden",
        "local all all md5 x=hidden",
    ])
    func aPasswordInTheWrongPlaceIsNotTold(line: String) {
        let said = rules(line).diagnostics
        #expect(said.count == 1)
        #expect(said.allSatisfy { !$0.text.contains("hidden") })
    }

    @Test func whoALineWasToRejectIsSpokenOf() {
        let said = rules("host all all bad.example.com reject").diagnostics
        #expect(said.first?.text.contains("a later line may let in") == true)
    }

    @Test func nobodyIsEncryptedByGSSAPI() {
        let (rules, said) = rules("hostgssenc all all all trust\nhostnogssenc all all all md5")
        #expect(said.isEmpty)
        #expect(method(rules, "a", "b", "10.0.0.1") == "md5")
    }

    @Test func optionsGoWithTheirMethods() {
        let (found, said) = rules(
            """
            hostssl a all all md5 clientcert=verify-ca
            hostssl b all all scram-sha-256 clientcert=verify-full clientname=CN map="m"
            hostssl c all all cert clientcert=verify-full map=m
            local d all pam pamservice=other
            local e all ldap, "ldapurl"="ldaps://h:99/dc=x%20y?cn?one?", ldaptls=0
            """, maps: "m system user")
        #expect(said.map(\.description) == [])
        #expect(found.rules.map(\.certificate) == [.verified, .namesUser, .namesUser, nil, nil])
        #expect(found.rules[1].allows([bytes("system")], as: bytes("user"), memberOf: []) == true)
        #expect(found.rules[2].allows([bytes("user")], as: bytes("user"), memberOf: []) == false)
        let own = [bytes("x"), bytes("user")]
        #expect(found.rules[0].allows(own, as: bytes("user"), memberOf: nil) == true)
        #expect(found.rules[3].pamService == "other")
        let ldap = found.rules[4].ldap
        #expect(ldap?.scheme == "ldaps" && ldap?.servers == "h" && ldap?.port == 99)
        #expect(ldap?.base == "dc=x y" && ldap?.attribute == "cn" && ldap?.scope == .one)
    }

    @Test func arbitraryBytesAreReadToTheirEnd() {
        var random = Random(seed: 7)
        let words = [
            "local", "host", "all", "\"", ",", "@hba", "10.0.0.0/8", "md5", "\\", "\n", " ", "#", "/x",
            "map=",
            "include hba", "::1/128", "ldap", "\u{0}", "ldapurl=", "=",
        ]
        for _ in 0..<500 {
            let text = (0..<60).map { _ in words[random.below(words.count)] + " " }.joined()
            let (rules, _) = rules(text)
            _ = method(rules, "a", "b")
        }
    }
}

@Suite struct IdentityMapTests {
    private func allows(_ maps: String, _ system: String, _ user: String) -> Bool {
        allows(maps, system, user, in: nil) == true
    }

    private func allows(_ maps: String, _ system: String, _ user: String, in groups: [String]?) -> Bool? {
        let (rules, said) = rules("local all all peer map=m", maps: maps)
        #expect(said.map(\.description) == [])
        let known = groups.map { Set($0.map(bytes)) }
        return rules.rules.first?.allows([bytes(system)], as: bytes(user), memberOf: known)
    }

    @Test func aMapSaysWhoMayBeWhom() {
        let maps = """
            m root postgres   # comment
            m "root" "two words",third
            other root everything
            m boss all
            m quoted "all"
            """
        for user in ["postgres", "two words", "third"] { #expect(allows(maps, "root", user)) }
        for user in ["root", "everything", "all"] { #expect(!allows(maps, "root", user)) }
        #expect(allows(maps, "boss", "anybody"))
        #expect(allows(maps, "quoted", "all") && !allows(maps, "quoted", "anybody"))
    }

    @Test func patternsTakeNamesApart() {
        let maps = "m /(.*)@here \\1\nm /(.*)@there x\\1y\nm fixed /adm\nm literal \\1"
        #expect(allows(maps, "ann@here", "ann") && !allows(maps, "ann@here", "bob"))
        #expect(allows(maps, "ann@there", "xanny") && !allows(maps, "ann@there", "ann"))
        #expect(allows(maps, "fixed", "an_admin") && !allows(maps, "fixed", "ann"))
        #expect(allows(maps, "literal", "\\1"))
    }

    @Test func groupsInMapsAreThoseOfTheUser() {
        let maps = "m ann +staff\nm /(.*)@here +\\1\nm bob \"+staff\"\nm root postgres,+admins"
        #expect(allows(maps, "ann", "x", in: ["x", "staff"]) == true)
        #expect(allows(maps, "ann", "x", in: ["x"]) == false)
        #expect(allows(maps, "ann", "x", in: nil) == nil)
        // The name of a group is never put together.
        #expect(allows(maps, "ann@here", "x", in: ["ann", "\\1"]) == true)
        #expect(allows(maps, "ann@here", "x", in: ["ann"]) == false)
        #expect(allows(maps, "bob", "+staff", in: nil) == true)
        #expect(allows(maps, "bob", "x", in: ["staff"]) == false)
        // What does not depend on them holds without them.
        #expect(allows(maps, "root", "postgres", in: nil) == true)
        #expect(allows(maps, "root", "x", in: nil) == nil)
        #expect(allows(maps, "nobody", "x", in: nil) == false)
    }

    @Test func badLinesAreLeftOutOfMaps() {
        let (rules, said) = rules(
            "local all all peer map=m", maps: "m a\nm a b c\nm /[ x\nm a b")
        #expect(said.map { "\($0.file):\($0.line)" } == ["ident:1", "ident:2", "ident:3"])
        #expect(rules.rules.count == 1)
    }
}

@Suite struct NetworkAddressTests {
    @Test(arguments: [
        ("1.2.3.4", [1, 2, 3, 4]), ("::", [UInt8](repeating: 0, count: 16)),
        ("::ffff:1.2.3.4", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4]),
        ("1:2:3:4:5:6:7:8", [0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8]),
        ("fe80::1%eth0", [0xFE, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        ("1::", [0, 1] + [UInt8](repeating: 0, count: 14)),
    ])
    func addressesAreRead(text: String, bytes: [UInt8]) { #expect(NetworkAddress(text)?.bytes == bytes) }

    @Test(arguments: [
        "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.+4", ":", ":::", "1:2", "1::2::3",
        "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7::8:9", "g::", "12345::", "::1.2.3", "1.2.3.4%eth0", "unix",
        "1.2.3.4::", ":1", "1:",
    ])
    func whatIsNoneIsNot(text: String) { #expect(NetworkAddress(text) == nil) }
}

@Suite struct LDAPOptionsTests {
    private func options(_ text: String) -> LDAPOptions? { try? LDAPOptions(text: text) }

    @Test func usersAreFoundOrNamed() throws {
        let named = try LDAPOptions(
            text: "ldapserver=\"a b\", ldapport=99 ldapprefix=\"cn=\" ldapsuffix=\", dc=x\"")
        let query = named.query(for: bytes("ann"))
        #expect(query?.uris == "ldap://a:99 ldap://b:99")
        #expect(query?.name == "cn=ann, dc=x")
        let found = try LDAPOptions(
            text: "ldapserver=h ldapscheme=ldaps ldapbasedn=dc=x ldapsearchattribute=cn")
        #expect(found.query(for: bytes("ann"))?.filter == "(cn=ann)")
        #expect(found.query(for: bytes("ann"))?.uris == "ldaps://h")
        let filtered = try LDAPOptions(
            text: "ldapserver=h ldapbasedn=b ldapsearchfilter=\"(|(uid=$username)(mail=$username))\"")
        #expect(filtered.query(for: bytes("ann"))?.filter == "(|(uid=ann)(mail=ann))")
        let address = try LDAPOptions(text: "ldapurl=ldap://h:7/dc=x??sub?uid=$username ldaptls=1")
        #expect(address.query(for: bytes("ann"))?.filter == "(uid=ann)")
        #expect(address.startsTLS && address.port == 7 && address.scope == .subtree)
    }

    @Test(arguments: ["a*", "(a", "a)", "a\\", "a/b", "a\n"])
    func namesThatMeanSomethingElseAreNobodys(name: String) throws {
        let options = try LDAPOptions(text: "ldapserver=h ldapbasedn=b")
        #expect(options.query(for: bytes(name)) == nil)
    }

    @Test(arguments: [
        "", "ldapserver=h", "ldapbasedn=b", "ldapserver=h ldapprefix=a ldapbinddn=b", "ldapserver",
        "ldapserver=h ldapbasedn=b ldapport=0", "ldapserver=h ldapbasedn=b ldapscheme=http",
        "ldapserver=h ldapbasedn=b what=1", "ldapserver=h ldapbasedn=", "ldapurl=http://h/b",
        "ldapurl=ldap://h/b?%zz", "ldapserver=h ldapbasedn=b ldapsearchattribute=a ldapsearchfilter=f",
        "ldapserver=h ldapbasedn=b ldapscheme=ldaps ldaptls=1",
        "ldapserver=h ldapbasedn=" + String(repeating: "x", count: 1100),
    ])
    func whatCannotBeAskedIsRefused(text: String) { #expect(options(text) == nil) }

    /// A failure is logged, and so is what is printed of options.
    @Test func passwordsAreNotTold() {
        let text = "ldapserver=h ldapbindpasswd=hidden"
        do { _ = try LDAPOptions(text: text) } catch { #expect(!"\(error)".contains("hidden")) }
        let options = options(text + " ldapbasedn=b")
        #expect(options.map { "\($0)" }?.contains("hidden") == false)
    }
}
