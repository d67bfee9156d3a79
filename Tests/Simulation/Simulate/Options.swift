import Explorer
import Glibc
import Simulator

/// What the command line asks for.
struct Options {
    private var first: UInt64
    private var count: UInt64?
    private var minutes: Double?
    private var isTraced = false
    private var isRecorded = false
    private var mayFail = 1
    private var scope = Scope.faults
    private var sabotage: Sabotage?
    private var explores = false
    private var triesCanaries = false
    private var isShort = false
    private var scenario: String?
    private var stateLimit = 1_000_000
    private var flaw: Flaw?

    init(_ arguments: ArraySlice<String>) {
        first = UInt64.random(in: 1...1_000_000_000)
        var rest = arguments
        while let option = rest.popFirst() {
            switch option {
            case "--trace": isTraced = true
            case "--conversation": isRecorded = true
            case "--seed": first = Options.number(&rest, option)
            case "--seeds": count = Options.number(&rest, option)
            case "--minutes": minutes = Double(Options.text(&rest, option)) ?? 0
            case "--scope": scope = Options.scope(Options.text(&rest, option))
            case "--sabotage": sabotage = Options.sabotage(Options.text(&rest, option))
            case "--failures": mayFail = Int(Options.number(&rest, option))
            case "--canaries": triesCanaries = true
            case "--explore": explores = true
            case "--short": isShort = true
            case "--scenario": scenario = Options.text(&rest, option)
            case "--states": stateLimit = Int(Options.number(&rest, option))
            case "--flaw": flaw = Options.flaw(Options.text(&rest, option))
            default: Options.stop()
            }
        }
    }

    private static func text(_ rest: inout ArraySlice<String>, _ option: String) -> String {
        guard let text = rest.popFirst() else { stop() }
        return text
    }

    private static func number(_ rest: inout ArraySlice<String>, _ option: String) -> UInt64 {
        guard let number = UInt64(text(&rest, option)) else { stop() }
        return number
    }

    private static func scope(_ name: String) -> Scope {
        guard let scope = Scope(rawValue: name) else { stop() }
        return scope
    }

    private static func sabotage(_ name: String) -> Sabotage {
        guard let sabotage = Sabotage(rawValue: name) else { stop() }
        return sabotage
    }

    private static func flaw(_ name: String) -> Flaw {
        guard let flaw = Flaw(rawValue: name) else { stop() }
        return flaw
    }

    private static func stop() -> Never {
        print(
            "usage: simulate [--seed N] [--seeds COUNT | --minutes M] [--failures COUNT] [--trace] "
                + "[--scope simple | extended | faults | harsh | several | logins | crowds] "
                + "[--sabotage \(Sabotage.allCases.map(\.rawValue).joined(separator: " | "))]\n"
                + "   or: simulate --explore [--short] [--scenario WORDS] [--states COUNT] "
                + "[--flaw \(Flaw.allCases.map(\.rawValue).joined(separator: " | "))]")
        exit(2)
    }

    /// Runs the worlds; ends the process.
    mutating func run() -> Never {
        if triesCanaries { Canaries.run(first: first, count: count ?? 2000) }
        if explores {
            Explore.run(
                isShort ? Scenario.short : Scenario.all, only: scenario, stateLimit: stateLimit, flaw: flaw)
        }
        if isRecorded {
            for line in Simulation.conversation(seed: first) { print(line) }
            exit(0)
        }
        let start = Options.now
        let limit = isTraced ? 1 : count ?? (minutes == nil ? 1000 : .max)
        var failures = 0
        var worlds: UInt64 = 0
        var totals = Simulation.Outcome()
        while worlds < limit, failures < mayFail {
            if let minutes, Options.now - start > minutes * 60 { break }
            let seed = first + worlds
            let outcome = Simulation.run(
                seed: seed, scope: scope, sabotage: sabotage, traceLimit: isTraced ? 1_000_000 : 0)
            worlds += 1
            totals.sessions += outcome.sessions
            totals.logins += outcome.logins
            totals.moved += outcome.moved
            totals.movedSessions += outcome.movedSessions
            totals.events += outcome.events
            totals.requests += outcome.requests
            totals.lost += outcome.lost
            totals.cancelled += outcome.cancelled
            if isTraced { print(outcome.trace) }
            if outcome.failure != nil {
                failures += 1
                tell(seed)
            }
        }
        let seconds = max(Options.now - start, 0.001)
        print(
            "\(worlds) worlds from seed \(first) on, "
                + "\(totals.sessions) sessions, \(totals.logins) of them let in, "
                + "\(totals.moved) moved, "
                + "\(totals.movedSessions) with their servers, "
                + "\(totals.events) events, \(totals.requests) messages, "
                + "\(totals.lost) clients sent away, \(totals.cancelled) statements cancelled, "
                + "\(Int(Double(worlds) / seconds)) worlds, "
                + "\(Int(Double(totals.sessions) / seconds)) sessions "
                + "and \(Int(Double(totals.events) / seconds)) events a second: "
                + (failures == 0 ? "all well" : "\(failures) FAILED"))
        exit(failures == 0 ? 0 : 1)
    }

    /// The world again, this time with its last events.
    private func tell(_ seed: UInt64) {
        let outcome = Simulation.run(seed: seed, scope: scope, sabotage: sabotage, traceLimit: 60)
        if !isTraced { print(outcome.trace) }
        print(outcome.setup)
        print("FAILED: seed \(seed): \(outcome.failure ?? "not the second time")")
    }

    private static var now: Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
