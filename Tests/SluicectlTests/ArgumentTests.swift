import ArgumentParser
import Testing

@testable import sluicectl

@Suite struct ArgumentTests {
    private func parse<Command: ParsableCommand>(
        _ type: Command.Type, _ words: [String]
    ) throws -> Command {
        let command = try Sluicectl.parseAsRoot(words)
        return try #require(command as? Command)
    }

    /// What the console is told. Goal: no name can become another command.
    @Test func ordersSayWhatTheConsoleUnderstands() throws {
        #expect(try parse(Pause.self, ["pause"]).command == "PAUSE")
        #expect(try parse(Pause.self, ["pause", "shop"]).command == #"PAUSE "shop""#)
        #expect(try parse(Pause.self, ["pause", "--timeout", "5"]).command == "PAUSE TIMEOUT 5")
        #expect(
            try parse(Pause.self, ["pause", "my\"db; RELOAD", "--timeout", "5"]).command
                == #"PAUSE "my""db; RELOAD" TIMEOUT 5"#)
        #expect(try parse(Resume.self, ["resume"]).command == "RESUME")
        #expect(try parse(Resume.self, ["resume", "shop"]).command == #"RESUME "shop""#)
        #expect(try parse(Disable.self, ["disable", "shop"]).command == #"DISABLE "shop""#)
        #expect(try parse(Enable.self, ["enable", "shop"]).command == #"ENABLE "shop""#)
        #expect(try parse(Kill.self, ["kill", "shop"]).command == #"KILL "shop""#)
        #expect(try parse(Kill.self, ["kill", "--all"]).command == "KILL")
        #expect(try parse(Kill.self, ["kill", "--client", "12"]).command == "KILL_CLIENT 12")
        #expect(try parse(Restart.self, ["restart"]).command == "RESTART")
        #expect(
            try parse(Restart.self, ["restart", "/opt/new", "--force"]).command
                == "RESTART '/opt/new' FORCE")
        #expect(try parse(Restart.self, ["restart", "/opt/o'new"]).command == "RESTART '/opt/o''new'")
        #expect(try parse(Shutdown.self, ["shutdown"]).command == "SHUTDOWN")
        #expect(
            try parse(Shutdown.self, ["shutdown", "--wait-for", "clients"]).command
                == "SHUTDOWN WAIT_FOR_CLIENTS")
        #expect(
            try parse(Shutdown.self, ["shutdown", "--wait-for=servers"]).command
                == "SHUTDOWN WAIT_FOR_SERVERS")
        #expect(try parse(Drain.self, ["drain"]).options.output.json == false)
    }

    @Test(arguments: [
        ["pause", "--timeout", "0"], ["pause", "--timeout", "x"], ["pause", "a", "b"], ["disable"],
        ["enable"],
        ["kill"], ["kill", "a", "--all"], ["kill", "--client", "-1"], ["shutdown", "--wait-for", "x"],
        ["show"], ["show", "a b"], ["show", "pools;"], ["show", ""], ["top", "--interval", "0"],
        ["top", "--sort", "x"], ["pools", "--control", "/a", "-c", "b"], ["nonsense"], ["check"],
        ["pools", "--nonsense"],
    ])
    func whatMakesNoSenseIsRefused(words: [String]) {
        let error = #expect(throws: (any Error).self) { try Sluicectl.parseAsRoot(words) }
        #expect(error.map { Sluicectl.exitCode(for: $0).isSuccess } == false)
    }

    @Test(arguments: [
        ["--help"], ["pause", "--help"], ["--version"], ["--generate-completion-script", "bash"],
    ])
    func helpIsNoFailure(words: [String]) {
        let error = #expect(throws: (any Error).self) {
            var command = try Sluicectl.parseAsRoot(words)
            try command.run()
        }
        #expect(error.map { Sluicectl.exitCode(for: $0).isSuccess } == true)
    }

    /// `sluicectl -c FILE status`, as one would say it of other programs.
    @Test(
        arguments: [
            (["-c", "f", "status", "--json"], ["status", "-c", "f", "--json"]),
            (["--control=/d", "--owner", "me", "pools"], ["pools", "--control=/d", "--owner", "me"]),
            (["status", "-c", "f"], ["status", "-c", "f"]), (["-c", "f"], ["-c", "f"]), (["-c"], ["-c"]),
            ([], []),
            (["--help"], ["--help"]),
        ] as [([String], [String])])
    func theInstanceMayBeNamedFirst(words: [String], expected: [String]) {
        #expect(InstanceOptions.rearranged(words) == expected)
    }

    @Test func everyStatusIsItsOwn() {
        #expect(ExitStatus.allCases.map(\.rawValue) == [0, 1, 2, 3, 4, 5, 130])
    }
}
