import Config
import Console
import SharedState
import System

/// The process that serves metrics, and when there will be one again.
struct WebSlot {
    /// The process; `nil` while none runs.
    var process: Int32?
    /// Our end of the pair that is all it has for input and output: from here comes what it says, and it
    /// ends when this is closed, whatever becomes of us. -1 while there is none.
    var output: Int32 = -1
    /// Whether it has been ended to start another at once.
    var isReplaced = false
    /// When it was started, monotonic.
    var startedNanoseconds: UInt64 = 0
    /// When the next one starts.
    var nextStartNanoseconds: UInt64?
    var policy = RestartPolicy()
}

/// Metrics: a program of its own, which is a client of the control socket. Nothing here waits for it.
extension Supervisor {
    private static let webName = "pgsluice-web"
    /// Most bytes of what it says that are taken at a time.
    private static let webOutputLimit = 4096

    /// Starts the process, if metrics are to be served and can be.
    func startWeb() {
        web.nextStartNanoseconds = nil
        let address = configuration.settings.metricsListen
        guard !address.isEmpty, shutdown != .immediate, web.process == nil else { return }
        guard let control, let slash = control.path.lastIndex(of: "/") else {
            return log.write(.warning, "metrics_listen needs the control socket; metrics are not served")
        }
        guard let program = Supervisor.webProgram, FileSystem.exists(program) else {
            let path = Supervisor.webProgram ?? Supervisor.webName
            return log.write(.warning, "metrics_listen: there is no \(path); metrics are not served")
        }
        let arguments = [
            Supervisor.webName, "--control", String(control.path[..<slash]),
            "--port", "\(configuration.settings.listenPort)", "--listen", address,
        ]
        do throws(SystemError) { try forkWeb(program, arguments) } catch {
            log.write(.error, "cannot start \(Supervisor.webName): \(error)")
            web.nextStartNanoseconds = Clock.monotonicNanoseconds + RestartPolicy.longestPauseNanoseconds
        }
    }

    private func forkWeb(_ program: String, _ arguments: [String]) throws(SystemError) {
        // What nobody reads in time is lost; the process does not wait.
        let pair = try Socket.pair(.sequencedPackets, nonBlocking: true)
        defer { Descriptors.close(pair.second) }
        do throws(SystemError) {
            web.process = try ChildProcess.start(
                shortName: Supervisor.webName, description: "metrics", title: title, keeping: [pair.second]
            ) {
                Descriptors.pointInput(to: pair.second)
                Descriptors.pointOutput(to: pair.second)
                // The signal that tells of our end then ends it.
                Signals.unblockAll()
                // Our own environment may hold passwords.
                let environment = ["TZ", "LANG", "PATH"].compactMap { name in
                    Process.environment(name).map { "\(name)=\($0)" }
                }
                let failure = Program.execute(program, arguments: arguments, environment: environment)
                try? Descriptors.writeAll(2, Array("\(failure)\n".utf8))
                Process.exitNow(1)
            }
        } catch {
            Descriptors.close(pair.first)
            throw error
        }
        closeWebOutput()
        web.output = pair.first
        web.isReplaced = false
        web.startedNanoseconds = Clock.monotonicNanoseconds
        log.write(.log, "metrics at \(configuration.settings.metricsListen), process \(web.process ?? 0)")
    }

    /// Beside our own program, also when that has been replaced by a package upgrade.
    private static var webProgram: String? {
        guard let path = Process.executablePath, let slash = path.lastIndex(of: "/") else { return nil }
        return path[...slash] + webName
    }

    /// The settings have changed: ends the process, and starts one that fits them.
    func restartWeb() {
        guard let process = web.process else { return startWeb() }
        web.isReplaced = true
        Process.send(Signals.kill, to: process)
    }

    func webEnded(_ ending: Process.Ending) {
        takeWebOutput()
        closeWebOutput()
        web.process = nil
        guard !web.isReplaced else { return startWeb() }
        let life = Clock.monotonicNanoseconds - web.startedNanoseconds
        let pause = web.policy.pause(afterLifeOf: life)
        log.write(.error, "\(Supervisor.webName) \(ending); starting another in \(seconds(pause)) s")
        web.nextStartNanoseconds = Clock.monotonicNanoseconds + pause
    }

    /// Writes what the process has to say into the log.
    func takeWebOutput() {
        guard web.output >= 0 else { return }
        guard let bytes = try? Descriptors.read(web.output, limit: Supervisor.webOutputLimit) else { return }
        if bytes.isEmpty { return closeWebOutput() }
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            log.write(.warning, "metrics: \(String(decoding: line, as: UTF8.self))")
        }
    }

    private func closeWebOutput() {
        Descriptors.close(web.output)
        web.output = -1
    }

    /// Ends the process with us.
    func endWeb() {
        guard let process = web.process else { return }
        Process.send(Signals.kill, to: process)
        _ = Process.wait(for: process)
        web.process = nil
        closeWebOutput()
    }
}
