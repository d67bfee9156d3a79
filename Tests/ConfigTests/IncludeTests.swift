import Testing

@testable import Config

@Suite struct IncludeTests {
    @Test func sectionsContinueThroughAnIncludeInBothDirections() throws {
        let configuration = try configuration(
            "[pgbouncer]\n%include a.ini\nb = port=7\n",
            files: ["a.ini": "listen_port = 7000\n[databases]\na = port=6"])
        #expect(configuration.settings.listenPort == 7000)
        #expect(configuration.databases.map(\.port) == [6, 7])
    }

    @Test func faultsNameTheIncludedFile() {
        let told = told("[pgbouncer]\n%include a.ini\nx = 1", files: ["a.ini": "\ny = 1"])
        #expect(told.map { $0.prefix(10) } == ["a.ini:2: u", "test.ini:3"])
    }

    @Test func aMissingFileIsAnError() {
        #expect(told("%include a.ini").first == "test.ini:1: the included file \"a.ini\" cannot be read")
        let image = ConfigurationImage(path: "no.ini") { _ in nil }
        #expect(Configuration.parse(image).errors.map(\.description) == ["no.ini: the file cannot be read"])
    }

    @Test func tenLevelsAreReadAndElevenAreNot() {
        func files(_ depth: Int) -> [String: String] {
            var files = ["f\(depth)": "[pgbouncer]\nlisten_port = 7000"]
            for level in 1..<depth { files["f\(level)"] = "%include f\(level + 1)" }
            return files
        }
        #expect(parse("%include f1", files: files(10)).configuration?.settings.listenPort == 7000)
        #expect(parse("%include f1", files: files(11)).errors.count == 1)
    }

    /// Without a bound on their number, 10 levels of 100 includes each would be read for ever.
    @Test func filesThatIncludeThemselvesEnd() {
        let text = String(repeating: "%include test.ini\n", count: 100)
        let errors = parse(text).errors
        #expect(!errors.isEmpty)
        #expect(errors.count <= 101)
    }
}
