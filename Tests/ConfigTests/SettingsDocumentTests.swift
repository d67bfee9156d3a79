import Glibc
import Testing

@testable import Config

/// The documents in the repository are what the table says. After a change of the table, write them anew:
/// `PGSLUICE_WRITE_DOCUMENTS=1 swift test --filter SettingsDocumentTests`
@Suite struct SettingsDocumentTests {
    private static let root = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }

    @Test(arguments: ["Config/pgsluice.ini", "Docs/CONFIGURATION.md"])
    func theCommittedDocumentIsWhatTheTableSays(path: String) throws {
        let wanted = path.hasSuffix(".md") ? SettingsDocument.manual() : SettingsDocument.example()
        let file = Self.root + "/" + path
        if getenv("PGSLUICE_WRITE_DOCUMENTS") != nil { try write(wanted, to: file) }
        let found = read(file)
        #expect(
            found == wanted,
            """
            \(path) differs from the table of settings; write it anew with \
            PGSLUICE_WRITE_DOCUMENTS=1 swift test --filter SettingsDocumentTests
            """)
    }

    @Test func theExampleIsAcceptedAndChangesNothing() throws {
        let found = try configuration(SettingsDocument.example())
        var expected = Configuration()
        expected.settings = try configuration("[pgbouncer]").settings
        #expect(found == expected)
    }

    /// Taking away every `;` gives a file with all settings at their defaults, the user aside.
    @Test func everySettingInTheExampleCanBeUncommented() throws {
        let text = SettingsDocument.example().split(separator: "\n", omittingEmptySubsequences: false).map {
            line in
            line.hasPrefix(";") && !line.hasPrefix(";;") ? line.dropFirst() : line
        }.joined(separator: "\n")
        let found = try configuration(text)
        #expect(found.databases.map(\.name) == ["app"])
        #expect(found.autoDatabase != nil)
        #expect(found.users.map(\.name) == ["batch"])
        for row in found.configRows() {
            let isSame =
                row.value == row.defaultText
                || (row.defaultText == nil && ["", "0", "test.ini"].contains(row.value))
            #expect(isSame, "\(row.key)")
            #expect(text.contains("\n\(row.key) ="))
        }
    }

    @Test func everyKeyOfEverySectionIsInBothDocuments() {
        let example = SettingsDocument.example()
        let manual = SettingsDocument.manual()
        for setting in SettingTable.all where !setting.name.hasPrefix("test_") {
            #expect(manual.contains("| `\(setting.name)` |"))
            #expect(
                example.contains(
                    setting.section == .pgbouncer ? "\n;\(setting.name) =" : "\n;;   \(setting.name): "))
            #expect(!setting.meaning.isEmpty)
            #expect(setting.meaning.hasSuffix("."))
        }
    }

    @Test func noLineOfTheExampleIsLongUnlessItsValueIs() {
        for line in SettingsDocument.example().split(separator: "\n") where line.hasPrefix(";;") {
            #expect(line.utf8.count <= 104, "\(line)")
        }
    }

    private func read(_ path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 65536)
        while case let count = fread(&part, 1, part.count, file), count > 0 { bytes += part[..<count] }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func write(_ text: String, to path: String) throws {
        let file = try #require(fopen(path, "w"))
        defer { fclose(file) }
        let bytes = Array(text.utf8)
        #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
    }
}
