import ArgumentParser
import Glibc
import Supervisor
import System
import Testing

@testable import sluicectl

/// The manual pages say what the programs say of themselves.
@Suite struct ManualTests {
    private static func page(_ name: String) throws -> String {
        let root = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }
        let text = String(decoding: try FileSystem.read("\(root)/Docs/man/\(name)"), as: UTF8.self)
        // A hyphen that can be searched for and copied.
        return text.split(separator: "\\", omittingEmptySubsequences: false)
            .enumerated().map { $0 == 0 ? String($1) : $1.hasPrefix("-") ? String($1) : "\\" + $1 }.joined()
    }

    /// Every word of a help text that is an option.
    private static func options(of help: String) -> Set<String> {
        let words = help.split { " ,=[]<>()\n.;\"\\".contains($0) }
        return Set(
            words.map(String.init).filter { word in
                guard word.hasPrefix("-"), word.count > 1 else { return false }
                return word.drop { $0 == "-" }.allSatisfy { $0.isLetter || $0 == "-" }
            })
    }

    @Test func everySubcommandAndOptionOfSluicectlStandsThere() throws {
        let page = try Self.page("sluicectl.1")
        let named = Self.options(of: page)
        let subcommands =
            Sluicectl.configuration.subcommands
            + Sluicectl.configuration.groupedSubcommands.flatMap(\.subcommands)
        #expect(Set(subcommands.map { $0._commandName }).count == 20)
        for subcommand in subcommands {
            let name = subcommand._commandName
            #expect(page.contains("\n.SS \(name)\n") || page.contains("\n.SS \(name) "), "\(name)")
            let options = Self.options(of: Sluicectl.helpMessage(for: subcommand))
            #expect(options.contains("--help") && options.contains("--control"))
            for option in options { #expect(named.contains(option), "\(option) of \(name)") }
        }
        for status in ExitStatus.allCases {
            #expect(page.contains("\n.B \(status.rawValue)\n"), "exit status \(status.rawValue)")
        }
    }

    @Test func everyOptionOfPgsluiceStandsThere() throws {
        let named = Self.options(of: try Self.page("pgsluice.8"))
        let options = Self.options(of: Arguments.usage(program: "pgsluice"))
        #expect(options.isSuperset(of: ["-d", "--daemon", "--preflight", "-V", "--user"]))
        for option in options { #expect(named.contains(option), "\(option)") }
    }

    /// And nothing stands there that is not so: every option of the pages is one of the programs.
    @Test func thePagesNameNoOtherOptions() throws {
        let subcommands = Sluicectl.configuration.groupedSubcommands.flatMap(\.subcommands)
        var known = Self.options(of: Arguments.usage(program: "pgsluice"))
        for subcommand in subcommands {
            known.formUnion(Self.options(of: Sluicectl.helpMessage(for: subcommand)))
        }
        known.formUnion(["--generate-completion-script", "--version"])
        for name in ["sluicectl.1", "pgsluice.8"] {
            for line in try Self.page(name).split(separator: "\n") where !line.hasPrefix(".\\\"") {
                for option in Self.options(of: String(line)) where option.hasPrefix("--") {
                    #expect(known.contains(option), "\(option) in \(name)")
                }
            }
        }
    }

    @Test(
        .enabled(if: FileSystem.exists("/usr/bin/groff"), "groff is not installed"),
        arguments: ["sluicectl.1", "pgsluice.8"])
    func thePagesAreFormattedWithoutWarnings(name: String) throws {
        let root = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }
        let result = try ChildOutput.run(
            ["/bin/sh", "-c", "/usr/bin/groff -man -Tutf8 -ww '\(root)/Docs/man/\(name)' 2>&1 >/dev/null"])
        #expect(result.ending.isSuccess && result.text.isEmpty, "\(result.text)")
    }
}
