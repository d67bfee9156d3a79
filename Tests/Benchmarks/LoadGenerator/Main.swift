import BenchmarkSupport
import CLinux
import Glibc

/// `LoadGenerator`: keeps many connections busy, each with one request at a time, checks every byte of every
/// answer and prints one line of JSON with counts and latencies.
@main
struct Main {
    static func main() {
        let options = Options(Array(CommandLine.arguments.dropFirst()))
        _ = clinux_set_parent_death_signal(SIGTERM)
        clinux_ignore_signal(SIGPIPE)
        var soft: UInt64 = 0
        var hard: UInt64 = 0
        if clinux_get_descriptor_limit(&soft, &hard) == 0 { clinux_set_descriptor_limit(hard, hard) }

        let tallies = (0..<options.processCount).map { _ in Tally.shared() }
        let barrier = Barrier.shared(partyCount: options.processCount)
        var children: [pid_t] = []
        for index in 1..<max(options.processCount, 1) {
            let child = fork()
            if child < 0 { fail("fork") }
            if child == 0 {
                _ = clinux_set_parent_death_signal(SIGTERM)
                var load = Load(options: options, process: index, tally: tallies[index], barrier: barrier)
                load.run()
                exit(0)
            }
            children.append(child)
        }
        var load = Load(options: options, process: 0, tally: tallies[0], barrier: barrier)
        load.run()
        for child in children {
            var status: Int32 = 0
            waitpid(child, &status, 0)
            if status != 0 { stop("process \(child) of the load generator failed") }
        }
        for other in tallies.dropFirst() { tallies[0].add(other) }
        announce(Report(options: options, tally: tallies[0]).line)
        exit(tallies[0].errorCount == 0 ? 0 : 1)
    }
}
