import ArgumentParser
import Glibc
import System

struct Top: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Watch pools, rates, percentiles, workers and waiting clients.",
        discussion: """
            Keys sort the pools; the last line names them. q or Ctrl-C ends it. Percentiles are those of the \
            last whole stats_period, rates those since the last look.
            """)
    @OptionGroup(title: "Instance") var instance: InstanceOptions

    @Option(name: .long, help: ArgumentHelp("Seconds between two looks.", valueName: "seconds"))
    var interval: Double = 1

    @Option(name: .long, help: ArgumentHelp("What pools are sorted by at first.", valueName: "key"))
    var sort: TopOrder = .queries

    func validate() throws {
        guard interval >= 0.1, interval <= 3600 else {
            throw ValidationError("--interval is between 0.1 and 3600 seconds")
        }
    }

    func run() throws {
        let session = try instance.connect()
        let interruption = try Interruption(Interruption.ofTerminals)
        var sample = try Top.sample(session)
        let version = try session.run("SHOW VERSION").rows.first?.first.flatMap(\.self) ?? ""
        let terminal = try Terminal()
        // Also when it ends by throwing: the message belongs on the screen there was before.
        defer { terminal.restore() }
        let title = "\(Top.short(version))   process \(session.peer.processID)   \(session.place.socket)"
        var view = TopView(before: nil, now: sample)
        var order = sort
        var next = sample.nanoseconds
        while true {
            let now = Clock.monotonicNanoseconds
            if now >= next {
                let newest = try Top.sample(session)
                view = TopView(before: sample, now: newest)
                sample = newest
                next = max(next + UInt64(interval * 1e9), now)
            }
            let size = terminal.size
            let clock = String(LocalTime(realNanoseconds: Clock.realNanoseconds).dateAndTime.suffix(8))
            terminal.draw(
                TopLayout(width: size.width, height: size.height, order: order)
                    .lines(view, title: title, clock: clock))
            guard Top.wait(until: next, terminal, interruption, &order) else { return }
        }
    }

    /// Waits for a key, a new size or the next look; false when it is over.
    private static func wait(
        until next: UInt64, _ terminal: Terminal, _ interruption: Interruption, _ order: inout TopOrder
    ) -> Bool {
        let now = Clock.monotonicNanoseconds
        let ready = Poll.wait(
            [Poll.Interest(0, .read), Poll.Interest(interruption.descriptor, .read)],
            milliseconds: Int32(clamping: next > now ? (next - now) / 1_000_000 + 1 : 0))
        if ready[1].canRead, let signal = interruption.next(), signal != SIGWINCH { return false }
        guard ready[0].canRead else { return true }
        guard let keys = terminal.keys() else { return false }
        return Top.take(keys, &order)
    }

    /// Does what keys say; false when one of them ends it.
    static func take(_ keys: [UInt8], _ order: inout TopOrder) -> Bool {
        let (interrupt, escape): (UInt8, UInt8) = (3, 27)
        // What arrows and other keys send begins so, and means nothing here.
        if keys.count > 1, keys[0] == escape { return true }
        for key in keys {
            if key == interrupt || key | 0x20 == UInt8(ascii: "q") { return false }
            if let chosen = TopOrder(key: Character(Unicode.Scalar(key))) { order = chosen }
        }
        return true
    }

    /// "pgsluice 0.1.0" of the banner.
    static func short(_ version: String) -> String {
        guard let open = version.firstIndex(of: "("), let close = version.lastIndex(of: ")"), open < close
        else { return version }
        return String(version[version.index(after: open)..<close])
    }

    private static func sample(_ session: ConsoleSession) throws(Failure) -> TopSample {
        TopSample(
            nanoseconds: Clock.monotonicNanoseconds, state: try session.run("SHOW STATE"),
            pools: try session.run("SHOW POOLS"), totals: try session.run("SHOW STATS_TOTALS"),
            latency: try known(session, "SHOW LATENCY"), workers: try known(session, "SHOW WORKERS"),
            waiters: try known(session, "SHOW WAITERS"))
    }

    /// Nothing where the instance does not know the command.
    private static func known(_ session: ConsoleSession, _ command: String) throws(Failure) -> Answer {
        do throws(Failure) { return try session.run(command) } catch {
            guard error.status == .refused else { throw error }
            return Answer()
        }
    }
}
