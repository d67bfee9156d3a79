import Glibc
import Supervisor
import System
import Validator

/// The supervisor with a worker that pools nothing: clients send lines and the worker does what they say.
/// Lets tests see the life of processes from outside.
@main
enum Main {
    static func main() {
        Launcher(
            words: CommandLine.arguments, versionDetails: [], validator: check,
            worker: StubWorker.run
        ).run()
    }

    /// A file named `*.crash` makes the check crash, `*.hang` makes it hang.
    static func check(_ request: ValidationRequest) -> ValidationOutcome {
        if case .file(let path) = request.source {
            if FileSystem.exists(path + ".crash") { abort() }
            if FileSystem.exists(path + ".hang") { while true { sleep(1) } }
        }
        return Validator.check(request)
    }
}
