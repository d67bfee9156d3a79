import ArgumentParser
import Base
import Glibc

/// What a PgBouncer's administrator does with psql and kill, and what has no place in either.
struct Sluicectl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluicectl",
        abstract: "Looks at a running pgsluice and tells it what to do.",
        discussion: """
            The instance is found by --control DIR, by -c FILE, by PGSLUICE_CONTROL=DIR in the environment, \
            or where the default settings put it. These options may stand before the subcommand too.

            Exit status: 0 done, 1 refused by the instance, 2 usage, 3 no instance there, 4 not trusted or \
            not permitted, 5 no answer, 130 interrupted.
            """,
        version: "sluicectl \(ProductVersion.pgSluice)",
        groupedSubcommands: [
            CommandGroup(
                name: "Look",
                subcommands: [
                    Status.self, Top.self, Pools.self, Clients.self, Servers.self, Stats.self, Latency.self,
                    Workers.self, Config.self, Show.self,
                ]),
            CommandGroup(
                name: "Act",
                subcommands: [
                    Check.self, Reload.self, Pause.self, Resume.self, Disable.self, Enable.self, Kill.self,
                    Drain.self, Restart.self, Shutdown.self,
                ]),
        ])
}

@main
enum Main {
    static func main() {
        do {
            var command = try Sluicectl.parseAsRoot(
                InstanceOptions.rearranged(Array(CommandLine.arguments.dropFirst())))
            try command.run()
        } catch let failure as Failure {
            complain("sluicectl: \(failure.message)")
            exit(failure.status.rawValue)
        } catch {
            // Help, the version and completion scripts come this way too.
            if Sluicectl.exitCode(for: error).isSuccess { Sluicectl.exit(withError: error) }
            complain(Sluicectl.fullMessage(for: error))
            exit(ExitStatus.usage.rawValue)
        }
        exit(ExitStatus.done.rawValue)
    }
}
