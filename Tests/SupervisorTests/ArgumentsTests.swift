import Testing

@testable import Supervisor

@Suite struct ArgumentsTests {
    @Test func flagsMayBeShortJoinedLongOrCut() throws {
        let short = try Arguments(["-dqvv", "-uapp", "file.ini"])
        #expect(short.daemon && short.quiet && short.verbosity == 2)
        #expect(short.user == "app" && short.configurationFile == "file.ini")
        let long = try Arguments(["file.ini", "--daemon", "--quiet", "--verb", "--verbose", "--user=app"])
        #expect(long == short)
        #expect(try Arguments(["--user", "app", "-dq", "-v", "-v", "file.ini"]) == short)
        #expect(try Arguments(["-dqvvu", "app", "--", "file.ini"]) == short)
    }

    @Test func oneFileOrNoneIsTaken() throws {
        #expect(try Arguments([]).configurationFile == nil)
        #expect(try Arguments(["--", "-d"]).configurationFile == "-d")
        #expect(throws: Arguments.Failure(message: "exactly one configuration file is expected, not 2")) {
            try Arguments(["a", "b"])
        }
    }

    @Test func mistakesAreNamedAsGetoptNamesThem() {
        func message(_ words: String...) -> String? {
            do { _ = try Arguments(words) } catch { return error.message }
            return nil
        }
        #expect(message("-x") == "invalid option -- 'x'")
        #expect(message("-dx") == "invalid option -- 'x'")
        #expect(message("-u") == "option requires an argument -- 'u'")
        #expect(message("--user") == "option '--user' requires an argument")
        #expect(message("--nothing") == "unrecognized option '--nothing'")
        #expect(message("--daemon=yes") == "option '--daemon' doesn't allow an argument")
        #expect(message("--ver") == "option '--ver' is ambiguous; possibilities: '--verbose' '--version'")
    }

    @Test func helpAndVersionNeedNoFile() throws {
        #expect(try Arguments(["-h"]).action == .help)
        #expect(try Arguments(["--version"]).action == .version)
        #expect(try Arguments(["-V", "-h"]).action == .version)
        #expect(try Arguments(["--preflight", "f"]).action == .preflight)
        #expect(Arguments.version(details: ["tls: none"]) == "PgBouncer 1.26.0 (pgsluice 0.1.0)\ntls: none")
    }
}
