import Testing

@testable import Config

@Suite struct ValidationTests {
    /// Every number in the table is accepted at its bounds and refused one beyond them.
    @Test func everyBoundHolds() throws {
        for field in SettingTable.settings {
            guard let range = bounds(field.setting.kind) else { continue }
            var settings = Settings()
            let index = try #require(SettingTable.settingIndex(field.setting.name))
            for good in [range.lowerBound, range.upperBound] {
                try settings.set(index, to: String(good))
                #expect(settings.text(of: field.setting.name) == String(good))
            }
            for bad in [range.lowerBound - 1, range.upperBound + 1] {
                #expect(throws: SettingError.self, "\(field.setting.name) = \(bad)") {
                    try settings.set(index, to: String(bad))
                }
            }
        }
    }

    private func bounds(_ kind: SettingKind) -> ClosedRange<Int>? {
        switch kind {
        case .integer(let range), .integerOrAuto(let range): range
        case .text, .boolean, .seconds, .choice, .list, .mode: nil
        }
    }

    /// Every word of every choice is accepted and finds its way into the typed field.
    @Test func everyWordOfEveryChoiceIsAccepted() throws {
        for field in SettingTable.settings {
            guard case .choice(let words) = field.setting.kind else { continue }
            let index = try #require(SettingTable.settingIndex(field.setting.name))
            for word in words {
                var settings = Settings()
                try settings.set(index, to: word)
                #expect(settings.text(of: field.setting.name) == word)
            }
        }
        for mode in PoolMode.allCases {
            #expect(try configuration("[pgbouncer]\npool_mode = \(mode.rawValue)").settings.poolMode == mode)
        }
    }

    /// Each implemented setting changes the typed value when its text changes, so none is forgotten in the
    /// model.
    @Test func everyImplementedSettingHasATypedField() throws {
        for field in SettingTable.settings where field.setting.support == .implemented {
            let index = try #require(SettingTable.settingIndex(field.setting.name))
            var changed = Settings()
            try changed.set(index, to: other(field.setting))
            changed.texts[index] = Settings().texts[index]
            #expect(changed != Settings(), "\(field.setting.name)")
        }
    }

    private func other(_ setting: Setting) -> String {
        switch setting.kind {
        case .list: setting.name == "proxy_protocol_from" ? "unix" : "other"
        case .text: "other"
        case .integer(let range):
            setting.defaultText == String(range.upperBound) ? "\(range.lowerBound)" : "\(range.upperBound)"
        case .integerOrAuto: "3"
        case .boolean: setting.defaultText == "1" ? "0" : "1"
        case .seconds: "77"
        case .choice(let words): words.first { $0 != setting.defaultText } ?? ""
        case .mode: "0700"
        }
    }

    @Test func workersAreAutoOrOneToSixtyFour() throws {
        #expect(try configuration("[pgbouncer]\nworkers = AUTO ; c").settings.workers == nil)
        #expect(try configuration("[pgbouncer]\nworkers = 64").settings.workers == 64)
        for bad in ["0", "65", "many", ""] {
            #expect(parse("[pgbouncer]\nworkers = \(bad)").errors.count == 1)
        }
    }

    @Test(arguments: ["pgbouncer", "pgsluice"])
    func theConsolesNamesAreReserved(name: String) {
        let parsed = parse("[databases]\na =\n\(name) = host=h")
        #expect(
            parsed.errors.map(\.description) == [
                "test.ini:3: database \"\(name)\" is reserved for the console"
            ])
    }

    @Test(arguments: [
        "auth_type = ldap",
        "auth_dbname = pgbouncer", "client_tls_sslmode = allow",
        "unix_socket_dir =",
        "unix_socket_dir = /" + String(repeating: "0123456789", count: 10),
        "control_dir = /" + String(repeating: "0123456789", count: 10),
        "control_dir = @abstract",
        "metrics_listen = 9127",
        "metrics_listen = ::1:9127",
        "metrics_listen = 127.0.0.1:0",
    ])
    func whatThisReleaseCannotDoIsRefused(line: String) {
        let errors = parse("[pgbouncer]\n\(line)").errors
        #expect(errors.count == 1)
        #expect(errors.first?.line == 2)
    }

    @Test func thePasswordOfASearchIsNotShown() throws {
        func settings(_ password: String) throws -> Configuration {
            let options = "ldapserver=h \"ldapbindpasswd\"=\(password)"
            return try configuration("[pgbouncer]\nauth_type = ldap\nauth_ldap_options = \(options)")
        }
        let (old, new) = (try settings("hidden"), try settings("other"))
        let row = old.configRows().first { $0.key == "auth_ldap_options" }
        #expect(row?.value == "ldapserver=h \"ldapbindpasswd=***")
        let changes = ConfigurationDifference(from: old, to: new).changes.map(\.description)
        #expect(changes.count == 1)
        #expect(changes.allSatisfy { !$0.contains("hidden") && !$0.contains("other") })
    }

    @Test func rulesThatLetNobodyInAreWarnedAbout() {
        let missing = told("[pgbouncer]\nauth_type = hba\nauth_file = u\nauth_hba_file = nowhere")
        #expect(
            missing.contains("test.ini:4: auth_hba_file \"nowhere\" cannot be read: nobody can log in"))
        let unset = told("[pgbouncer]\nauth_type = hba\nauth_file = u")
        #expect(unset.contains("test.ini:2: auth_type = hba without auth_hba_file: nobody can log in"))
    }

    @Test func theQueryForSecretsCannotRunOnTheConsole() {
        #expect(
            parse("[databases]\na = auth_dbname=pgbouncer\n* = auth_dbname=pgsluice").errors.map(\.line) == [
                2, 3,
            ])
    }

    @Test func theQueryForSecretsNeedsADatabase() {
        func warnings(_ lines: String) -> [String] {
            parse("[pgbouncer]\nauth_type = any\nserver_tls_sslmode = disable\n\(lines)").warnings
                .map(\.description)
        }
        let general = "auth_user = u\nauth_dbname = secrets\n"
        #expect(
            warnings(general + "[databases]\na =") == [
                "test.ini:5: auth_dbname = secrets is no entry of [databases]: no query can run there"
            ])
        #expect(warnings(general + "[databases]\nsecrets =").isEmpty)
        #expect(warnings(general + "[databases]\n* =").isEmpty)
        #expect(
            warnings("[databases]\na = auth_dbname=b") == [
                "test.ini:5: auth_dbname=b of \"a\" is no entry of [databases]: no query can run there"
            ])
    }

    @Test func whoLooksUsersUpNeedsNoUserList() {
        func warnings(_ lines: String) -> Int {
            parse("[pgbouncer]\nserver_tls_sslmode = disable\n\(lines)").warnings.count
        }
        #expect(warnings("") == 1)
        #expect(warnings("auth_user = u") == 0)
        #expect(warnings("[databases]\na = auth_user=u") == 0)
    }

    @Test func clientsCertificatesNeedAnAuthority() {
        let files = "client_tls_key_file = k\nclient_tls_cert_file = c\n"
        let text = "[pgbouncer]\nauth_type = any\n" + files + "client_tls_sslmode = verify-full\n"
        #expect(parse(text).errors.map(\.line) == [5])
        #expect(parse(text + "client_tls_ca_file = a\n").errors.isEmpty)
    }

    @Test func aDatabasesTLSIsTheGeneralOneButForWhatItSays() throws {
        let parsed = parse(
            """
            [databases]
            plain = server_tls_sslmode=disable
            own = server_tls_ca_file=own.crt
            usual = host=h
            [pgbouncer]
            auth_type = any
            server_tls_sslmode = verify-full
            server_tls_ca_file = general.crt
            """)
        let configuration = try #require(parsed.configuration)
        func settings(_ name: String) throws -> TLSSettings {
            configuration.serverTLS(of: try #require(configuration.database(named: name)))
        }
        #expect(try settings("plain").mode == .disable)
        #expect(try settings("own").mode == .verifyFull)
        #expect(try settings("own").authorityFile == "own.crt")
        #expect(try settings("usual") == configuration.settings.serverTLS)
        #expect(configuration.allServerTLS.count == 3)
    }

    @Test func aSettingWithoutEffectIsWarnedAboutOnceAndOnlyWhenItDiffers() {
        #expect(
            told("[pgbouncer]\nresolv_conf = /x\n") == [
                "test.ini:2: resolv_conf has no effect in this release"
            ])
        #expect(told("[pgbouncer]\nresolv_conf =\nsyslog = no\npkt_buf = 8192\nsuspend_timeout = 10.0") == [])
    }

    @Test func peersWithoutAnOwnNumberAreWarnedAbout() {
        let peers = "[peers]\n1 = host=a\n2 = host=b\n[pgbouncer]\n"
        #expect(
            told(peers) == [
                "test.ini:2: [peers] has no effect without peer_id, "
                    + "a number of our own that no other peer has"
            ])
        #expect(told(peers + "peer_id = 3") == [])
        #expect(parse("[pgbouncer]\npeer_id = 16384").errors.map(\.line) == [2])
        #expect(parse("[pgbouncer]\npeer_id = -1").errors.map(\.line) == [2])
    }

    /// All peers may have the same list. One that is somebody else under our number is a mistake.
    @Test(arguments: [
        ("host=10.0.0.1 port=7000", true), ("host=/run/us port=7000", true), ("host=10.0.0.1", false),
        ("host=/run/other port=7000", false),
    ])
    func anOwnEntryThatIsElsewhereIsWarnedAbout(entry: String, isOurs: Bool) {
        let warnings = told(
            "[peers]\n1 = host=a\n2 = \(entry)\n"
                + "[pgbouncer]\npeer_id = 2\nlisten_port = 7000\nunix_socket_dir = /run/us")
        #expect(
            warnings
                == (isOurs
                    ? []
                    : [
                        "test.ini:3: peer 2 is ourselves (peer_id = 2), but we do not listen there: "
                            + "if this is another pooler, it needs another number"
                    ]))
    }

    @Test func passedListenersAllowListeningNowhereElse() {
        let text = "[pgbouncer]\nunix_socket_dir ="
        #expect(parse(text, listenersArePassed: true).errors.isEmpty)
        #expect(parse(text).errors.count == 1)
    }

    @Test func aUserListThatCannotBeReadIsWarnedAbout() {
        let text = "[pgbouncer]\nauth_file = users"
        #expect(told(text) == ["test.ini:2: auth_file \"users\" cannot be read: no user has a password"])
        #expect(told(text, files: ["users": ""]) == [])
    }

    @Test func longNamesAreRefused() {
        let name = String(repeating: "n", count: 64)
        #expect(parse("[databases]\n\(name) =").errors.count == 1)
        #expect(parse("[databases]\n\(name.dropLast()) =").errors.isEmpty)
        #expect(parse("[users]\n\(name)\(name) =").errors.count == 1)
        #expect(parse("[databases]\na = user=\(name)\(name)").errors.count == 1)
    }
}

@Suite struct ProxyValidationTests {
    @Test(arguments: [
        ("10.0.0.0/8, ::1, unix", true), ("", true), ("10.0.0.0/33", false), ("proxy.example", false),
        ("*", false),
    ])
    func proxiesAreAddresses(text: String, isRight: Bool) {
        let image = ConfigurationImage(
            path: "ini",
            files: [.init(path: "ini", bytes: Array("[pgbouncer]\nproxy_protocol_from = \(text)\n".utf8))])
        let parsed = Configuration.parse(image)
        #expect(parsed.diagnostics.contains { $0.severity == .error } != isRight, "\(parsed.diagnostics)")
    }
}

@Suite struct SecretTests {
    @Test func passwordsInSettingsAreNotShown() throws {
        func configuration(_ password: String) throws -> Configuration {
            let text = "[pgbouncer]\nauth_ldap_options = ldapserver=a ldapbindpasswd='\(password) two' x=y\n"
            let image = ConfigurationImage(path: "i", files: [.init(path: "i", bytes: Array(text.utf8))])
            return try #require(Configuration.parse(image).configuration)
        }
        let (old, new) = (try configuration("hunter2"), try configuration("hunter3"))
        let row = old.configRows().first { $0.key == "auth_ldap_options" }
        #expect(row?.value == "ldapserver=a ldapbindpasswd=***")
        let changes = ConfigurationDifference(from: old, to: new).changes
        #expect(changes.count == 1)
        #expect(!"\(changes)".contains("hunter"))
    }
}
