import BenchmarkSupport
import CLinux
import FuzzSupport
import Glibc

/// `Fuzz`: changes recorded conversations of either side at random in front of a real pgsluice. See
/// `Scripts/fuzz`.
@main
struct Main {
    private let options: Phase.Options
    private let sides: [Side]
    private let mutations: Int
    private let seconds: Double

    static func main() {
        let arguments = Arguments(
            Array(CommandLine.arguments.dropFirst()),
            known: [
                ("binary", "PATH: the pgsluice to be tried"),
                ("mutations", "N: conversations to be changed on each side (100000)"),
                ("seed", "N: the same seed makes the same changes (by the clock)"),
                ("side", "client, server or both (both)"),
                ("minutes", "M: stop after this time at the latest (60)"),
                ("backend", "io_uring, epoll or auto (auto)"),
                ("concurrency", "N: conversations at a time (120)"),
                ("only", "N: only the conversation with this index"),
            ])
        clinux_ignore_signal(SIGPIPE)
        let clock = Int(now() * 1_000) % 1_000_000
        let seed = arguments.number("seed", default: clock, in: 0...Int.max)
        let sides: [Side] =
            switch arguments.text("side", default: "both") {
            case "client": [.client]
            case "server": [.server]
            case "both": Side.allCases
            case let other: stop("--side must be client, server or both, not '\(other)'")
            }
        let program = Main(
            options: Phase.Options(
                binary: arguments.text("binary", default: ".build/release/pgsluice"), seed: UInt64(seed),
                backend: arguments.text("backend", default: "auto"),
                concurrency: arguments.number("concurrency", default: 120, in: 1...2_000)),
            sides: sides,
            mutations: arguments.number("mutations", default: 100_000, in: 1...1_000_000_000),
            seconds: 60 * Double(arguments.number("minutes", default: 60, in: 1...10_000)))
        if let only = Int(arguments.text("only", default: "")) { exit(program.runOne(only) ? 0 : 1) }
        exit(program.runAll() ? 0 : 1)
    }

    private func runAll() -> Bool {
        announce("fuzz: seed \(options.seed), \(options.backend)")
        var passed = 0
        var failed = 0
        for side in sides {
            for number in Phase.Kind.all.indices {
                let kinds = Phase.Kind.all.count
                let target = (mutations + kinds - 1) / kinds
                let began = now()
                let result = run(
                    side, number, stride(from: number, to: Int.max - kinds, by: kinds), target: target,
                    seconds: seconds / Double(kinds * sides.count))
                report(side, number, result, seconds: now() - began)
                if result.failures.isEmpty {
                    passed += 1
                } else {
                    failed += 1
                    isolate(side, result.suspects)
                }
            }
        }
        announce("\(passed) passed, \(failed) failed")
        return failed == 0
    }

    private func run(
        _ side: Side, _ number: Int, _ indexes: any Sequence<Int>, target: Int, seconds: Double,
        concurrency: Int? = nil
    ) -> Phase.Result {
        var options = options
        options.concurrency = concurrency ?? options.concurrency
        let kind = Phase.Kind.all[number]
        let phase: Phase =
            switch side {
            case .client:
                ClientPhase(options, side, kind, indexes: indexes, target: target, seconds: seconds)
            case .server:
                ServerPhase(options, side, kind, indexes: indexes, target: target, seconds: seconds)
            }
        return phase.run()
    }

    /// One conversation alone, with the pooler that it would meet among others.
    private func runOne(_ index: Int) -> Bool {
        var isGood = true
        for side in sides {
            let number = index % Phase.Kind.all.count
            let began = now()
            let result = run(side, number, [index], target: 1, seconds: 60, concurrency: 4)
            report(side, number, result, seconds: now() - began)
            if !result.failures.isEmpty { isGood = false }
        }
        return isGood
    }

    /// Tries one by one those conversations that were under way when something went wrong.
    private func isolate(_ side: Side, _ suspects: [Int]) {
        guard options.concurrency > 4 else { return }
        announce("  trying up to \(suspects.count) conversations one by one, for two minutes")
        let limit = now() + 120
        for index in suspects where now() < limit {
            let number = index % Phase.Kind.all.count
            let result = run(side, number, [index], target: 1, seconds: 30, concurrency: 4)
            guard !result.failures.isEmpty else { continue }
            announce("  it is \(index) alone: \(result.failures[0])")
            return announce("  Scripts/fuzz --seed \(options.seed) --side \(side) --only \(index)")
        }
        announce("  none of those tried does it alone; the same seed and number of mutations may do it again")
    }

    private func report(_ side: Side, _ number: Int, _ result: Phase.Result, seconds: Double) {
        let kind = Phase.Kind.all[number]
        announce(
            "\(result.failures.isEmpty ? "good" : "BAD ") \(side) side, \(kind.authentication), "
                + "\(kind.workers) workers: \(result.changed) conversations changed in \(Int(seconds)) s; "
                + "\(result.answers) honest answers, the slowest after \(Int(result.slowest * 1_000)) ms; "
                + "memory \(result.memory.early) and \(result.memory.late) KiB; "
                + "\(Int(result.lost)) s lost here")
        for failure in result.failures.prefix(10) { announce("  \(failure)") }
        if !result.failures.isEmpty {
            announce("  seed \(options.seed); under way were \(result.suspects.prefix(200))")
        }
    }
}
