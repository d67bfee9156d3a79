import Config
import Testing

@testable import sluicectl

@Suite struct CheckTests {
    private func configuration(_ text: String) throws -> Configuration {
        let base = "[pgbouncer]\nauth_type = any\nunix_socket_dir = /tmp\n"
        let image = ConfigurationImage(path: "f") { _ in Array((base + text).utf8) }
        let parsed = Configuration.parse(image)
        return try #require(parsed.configuration, "\(parsed.errors)")
    }

    private func settings(_ configuration: Configuration) -> Answer {
        var answer = Answer()
        answer.columns = ["key", "value", "default", "changeable"].map { Column($0) }
        answer.rows = configuration.configRows().map {
            [$0.key, $0.value, $0.defaultText, $0.isChangeable ? "yes" : "no"]
        }
        return answer
    }

    private func databases(_ rows: [[String?]]) -> Answer {
        var answer = Answer()
        answer.columns = ["name", "host", "port", "database", "force_user", "pool_mode", "pool_size"].map {
            Column($0)
        }
        answer.rows = rows
        return answer
    }

    @Test func whatIsTheSameIsNoChange() throws {
        let text = "[databases]\na = host=h pool_size=3\nb =\n"
        let same = try configuration(text)
        let shown = databases([
            ["a", "h", "5432", "a", nil, nil, "3"], ["b", nil, "5432", "b", nil, nil, "20"],
            ["pgbouncer", nil, "6432", "pgbouncer", "pgbouncer", "statement", "2"],
        ])
        #expect(ConfigurationComparison.changes(settings: settings(same), databases: shown, to: same).isEmpty)
    }

    @Test func changesAreNamedWithWhatBecomesOfThem() throws {
        let old = try configuration("")
        let new = try configuration(
            """
            listen_port = 7000
            default_pool_size = 5
            [databases]
            a = host=other
            b = pool_size=4
            new = host=h
            """)
        let shown = databases([
            ["a", "h", "5432", "a", nil, nil, "20"], ["b", nil, "5432", "b", nil, nil, "20"],
            ["gone", "h", "5432", "gone", nil, nil, "20"],
        ])
        let changes = ConfigurationComparison.changes(settings: settings(old), databases: shown, to: new)
        #expect(
            changes == [
                .setting(name: "default_pool_size", old: "20", new: "5"),
                .settingNeedsRestart(name: "listen_port", old: "6432", new: "7000"),
                .databaseChanged(name: "a", replacesServers: true),
                .databaseChanged(name: "b", replacesServers: false), .databaseAdded(name: "new"),
                .databaseRemoved(name: "gone"),
            ])
        let template = try configuration("[databases]\n* = host=h\n")
        #expect(
            ConfigurationComparison.changes(settings: settings(old), databases: shown, to: template).isEmpty,
            "the template makes those that are not listed")
    }

    @Test func aReportSaysWhatIsWrong() {
        let bad = CheckReport(
            file: "f", preflight: "WARNING f:1: odd\nERROR f:2: wrong\n", isUsable: false)
        #expect(bad.lines == ["warning: f:1: odd", "error: f:2: wrong"])
        let missing = CheckReport(file: "f", preflight: "pgsluice: cannot open f\n", isUsable: false)
        #expect(missing.lines == ["error: pgsluice: cannot open f"])
        var good = CheckReport(file: "f", preflight: "WARNING f:1: odd\nf: is fine\n", isUsable: true)
        good.obstacle = "none is running"
        #expect(
            good.lines == [
                "warning: f:1: odd", "f can be used", "compared with no instance: none is running",
            ])
        good.socket = "/s"
        #expect(good.lines.last == "the instance at /s has the same settings")
        good.changes = [.setting(name: "a", old: "1", new: nil)]
        #expect(good.lines.contains(#"  a changes from "1" to unset"#))
        guard case .object(let members) = good.json, case .list(let changes) = members["changes"],
            case .object(let change) = changes.first
        else {
            Issue.record("not the document that programs read")
            return
        }
        #expect(members["usable"] == .flag(true) && members["compared_with"] == .text("/s"))
        #expect(change["setting"] == .text("a") && change["old"] == .text("1") && change["new"] == .null)
        #expect(change["needs_restart"] == .flag(false))
    }
}
