import Supervisor
import System
import Validator
import Worker

/// Wires the parts together: the supervisor is told what checks configurations and what a worker runs.
@main
enum Main {
    static func main() {
        Launcher(
            words: CommandLine.arguments,
            versionDetails: ["I/O: io_uring, epoll", "adns: getaddrinfo in helper processes", "tls: none"],
            validator: Validator.check,
            worker: Worker.run
        ).run()
    }
}
