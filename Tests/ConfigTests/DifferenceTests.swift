import Testing

@testable import Config

@Suite struct DifferenceTests {
    private func difference(_ old: String, _ new: String) throws -> ConfigurationDifference {
        ConfigurationDifference(from: try configuration(old), to: try configuration(new))
    }

    @Test func equalConfigurationsDifferInNothing() throws {
        let difference = try difference(
            ParserTests.pasted, ParserTests.pasted + "\npool_mode = Transaction\n")
        #expect(difference.changes == [])
    }

    @Test func aReloadAppliesWhatItCanAndSaysWhatNeedsARestart() throws {
        let difference = try difference(
            "[pgbouncer]\nlisten_port = 7000\nuser = u\npool_mode = session",
            "[pgbouncer]\nlisten_port = 7001\npool_mode = transaction\nworkers = 3\nauth_file = f")
        #expect(
            difference.changes == [
                .setting(name: "auth_file", old: nil, new: "f"),
                .settingNeedsRestart(name: "listen_port", old: "7000", new: "7001"),
                .setting(name: "pool_mode", old: "session", new: "transaction"),
                .settingNeedsRestart(name: "user", old: "u", new: nil),
                .setting(name: "workers", old: "auto", new: "3"),
            ])
        let settings = difference.effective.settings
        #expect(settings.listenPort == 7000)
        #expect(settings.text(of: "listen_port") == "7000")
        #expect(settings.user == "u")
        #expect(settings.workers == 3)
        #expect(settings.poolMode == .transaction)
        #expect(settings.authFile == "f")
        let again = ConfigurationDifference(
            from: difference.effective, to: try configuration("[pgbouncer]\nlisten_port = 7000\nuser = u"))
        #expect(again.effective.settings.user == "u")
        #expect(
            difference.changes.map(\.description)[1...2] == [
                "listen_port stays \"7000\": a restart is needed for \"7001\"",
                "pool_mode changes from \"session\" to \"transaction\"",
            ])
    }

    @Test func databasesAndUsersAreComparedByName() throws {
        let difference = try difference(
            "[databases]\na = host=x\nb = host=x\nc =\n[users]\nu = pool_size=1\nv =\n[peers]\n1 = host=a",
            "[databases]\n* = host=x\na = host=x pool_size=3\nb = host=y\nd =\n[users]\n"
                + "u = pool_size=2\nw =\n"
        )
        #expect(
            difference.changes == [
                .databaseAdded(name: "*"),
                .databaseChanged(name: "a", replacesServers: false),
                .databaseChanged(name: "b", replacesServers: true),
                .databaseRemoved(name: "c"),
                .databaseAdded(name: "d"),
                .userChanged(name: "u"),
                .userRemoved(name: "v"),
                .userAdded(name: "w"),
                .peersChanged,
            ])
    }

    /// The marks in the table, which the manual shows, and what a reload does are two statements of one
    /// thing.
    @Test func theKeysThatReplaceServersAreThoseMarkedInTheTable() throws {
        for field in SettingTable.databases where field.setting.name != "reserve_pool" {
            let text =
                switch field.setting.kind {
                case .text, .list: "other"
                case .integer, .integerOrAuto, .seconds, .boolean, .mode: "7"
                case .choice(let words): words.last ?? ""
                }
            var changed = DatabaseDefinition(name: "d")
            field.store(&changed, try field.setting.kind.value(of: text))
            let old = DatabaseDefinition(name: "d")
            #expect(changed != old, "\(field.setting.name)")
            #expect(
                changed.needsOtherServers(than: old) == field.setting.replacesServers, "\(field.setting.name)"
            )
        }
    }

    @Test func setChangesWhatAReloadCould() throws {
        var settings = Settings()
        #expect(try settings.change("pool_mode", to: "statement"))
        #expect(settings.poolMode == .statement)
        #expect(try !settings.change("listen_port", to: "1"))
        #expect(try !settings.change("nothing", to: "1"))
        #expect(throws: SettingError.self) { try settings.change("query_timeout", to: "x") }
        #expect(settings.listenPort == 6432)
    }
}
