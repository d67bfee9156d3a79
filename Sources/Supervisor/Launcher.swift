import Config
import SharedState
public import System

/// From the command line to a running instance, in PgBouncer's order.
public struct Launcher {
    /// The words of the command line, the program's name first.
    private let program: String
    private let words: [String]
    private let validator: ValidatorEntry
    private let workerEntry: WorkerEntry
    private let versionDetails: [String]

    /// A launcher.
    ///
    /// - Parameters:
    ///   - words: the command line, the program's name first.
    ///   - versionDetails: lines of `--version` after the first.
    ///   - validator: checks a configuration; run only in a child, and by `--preflight`.
    ///   - worker: what a worker process runs.
    public init(
        words: [String], versionDetails: [String], validator: @escaping ValidatorEntry,
        worker: @escaping WorkerEntry
    ) {
        program = words.first ?? "pgsluice"
        self.words = Array(words.dropFirst())
        self.versionDetails = versionDetails
        self.validator = validator
        workerEntry = worker
    }

    /// Does what the command line asks for. Exit status 0 for an orderly end, 1 for a refusal.
    public func run() -> Never {
        let arguments: Arguments
        do { arguments = try Arguments(words) } catch { refuseWords(error.message) }
        switch arguments.action {
        case .help: finish(Arguments.usage(program: program))
        case .version: finish(Arguments.version(details: versionDetails))
        case .preflight: preflight(arguments)
        case .run: start(arguments)
        }
    }

    private func preflight(_ arguments: Arguments) -> Never {
        let request: ValidationRequest
        let left: Handover?
        do throws(StartupFailure) { left = try Handover.fromEnvironment()?.handover } catch { refuse(error) }
        do { request = try self.request(arguments, listenersArePassed: false) } catch { refuse(error) }
        let outcome = validator(request)
        for line in outcome.lines { say("\(line.isError ? "ERROR" : "WARNING") \(line.text)", to: 2) }
        guard let image = outcome.image else { Process.exitNow(1) }
        if let left, let configuration = PreparedInstance.decode(image) {
            do throws(StartupFailure) { _ = try segment(of: left, configuration.settings) } catch {
                refuse(error)
            }
        }
        finish("\(request.description): the configuration is fine")
    }

    private func start(_ arguments: Arguments) -> Never {
        Descriptors.fillStandard()
        Signals.blockAll()
        Signals.ignore([Signals.brokenPipe])
        takeOver(arguments)
        let title = ProcessTitle()
        let manager = ServiceManager.fromEnvironment()
        let passed = ServiceManager.takeListeners()
        var log = LogWriter(
            standardError: !arguments.quiet, isJournal: ServiceManager.readsStandardError())
        let supervisor: Supervisor
        do throws(StartupFailure) {
            let request = try self.request(arguments, listenersArePassed: !passed.isEmpty)
            let (configuration, image) = try validate(request, &log)
            try prepare(configuration.settings, arguments, passed, &log)
            let workerCount = chooseWorkerCount(configuration.settings, &log)
            let listeners = try listen(configuration.settings, passed, workerCount: workerCount, &log)
            let control = try openControl(configuration.settings, listeners, &log)
            let prepared = PreparedInstance(
                configuration: configuration, image: image, listeners: listeners, workerCount: workerCount,
                control: control)
            do throws(SystemError) {
                supervisor = try Supervisor(
                    arguments: arguments, request: request, validator: validator, workerEntry: workerEntry,
                    title: title, manager: manager, log: log,
                    signals: try Signals.descriptor(for: Signals.ofSupervisor), prepared: prepared,
                    words: words, programPath: programPath)
            } catch {
                listeners.removeFiles()
                control?.remove()
                throw StartupFailure("\(error)")
            }
            try writePidFile(configuration.settings, prepared)
        } catch {
            log.write(.fatal, error.message)
            log.finish()
            if arguments.quiet { refuse(error) }
            Process.exitNow(1)
        }
        title?.set("pgsluice: supervisor")
        supervisor.run()
    }

    /// Where this program was found: by its path on the command line, so that what an upgrade puts there is
    /// found too.
    private var programPath: String? {
        program.contains("/") ? FileSystem.absolute(program) : Process.executablePath
    }

    // MARK: Online restart

    /// Goes on with what another program has left in this process; returns when there is nothing.
    private func takeOver(_ arguments: Arguments) {
        let found: (handover: Handover, descriptor: Int32)?
        do throws(StartupFailure) { found = try Handover.fromEnvironment() } catch { refuse(error) }
        guard let (handover, descriptor) = found else { return }
        let isReturn = handover.failure != nil
        if !isReturn { armGuard(handover, descriptor) }
        faultForTests(isReturn: isReturn)
        let title = ProcessTitle()
        var log = LogWriter(standardError: !arguments.quiet && !arguments.daemon)
        let manager = ServiceManager.fromEnvironment()
        let supervisor: Supervisor
        do throws(StartupFailure) {
            let before = PreparedInstance.decode(handover.image)
            if let before { openLog(before.settings, arguments, &log) }
            let request = try self.request(arguments, listenersArePassed: false)
            var handover = handover
            let image = isReturn ? handover.image : try validate(request, &log).1
            guard let configuration = PreparedInstance.decode(image) else {
                throw StartupFailure("cannot read back the checked configuration")
            }
            let segment = try segment(of: handover, configuration.settings)
            openLog(configuration.settings, arguments, &log)
            if !isReturn {
                handover.listeners.follow(configuration.settings, workerCount: handover.workers.count)
            }
            let signals: Int32
            do throws(SystemError) { signals = try Signals.descriptor(for: Signals.ofSupervisor) } catch {
                throw StartupFailure("\(error)")
            }
            supervisor = Supervisor(
                continuing: handover, segment: segment, arguments: arguments, request: request,
                validator: validator, workerEntry: workerEntry, title: title, manager: manager, log: log,
                signals: signals, configuration: configuration, image: image,
                startImage: isReturn ? handover.startImage : image, words: words, programPath: programPath)
        } catch {
            log.write(.fatal, "cannot take over: \(error.message)")
            log.finish()
            goBack(handover, descriptor, error.message)
        }
        // The variables are for this program alone.
        Process.removeEnvironment(Handover.variable)
        Process.removeEnvironment(Handover.faultVariable)
        Descriptors.close(descriptor)
        title?.set("pgsluice: supervisor")
        supervisor.takeOver(handover.failure)
    }

    /// The segment that another program left, if this one can use it with these settings.
    private func segment(of left: Handover, _ settings: Settings) throws(StartupFailure) -> MappedSegment {
        let segment: MappedSegment
        do throws(MappedSegment.Failure) { segment = try MappedSegment(adopting: left.segment) } catch {
            throw StartupFailure(error.text)
        }
        let capacity = segment.segment.layout.poolCapacity
        guard capacity == settings.maxPools else {
            throw StartupFailure(
                "max_pools cannot be changed from \(capacity) to \(settings.maxPools) by an online restart: "
                    + "stop the instance and start it")
        }
        return segment
    }

    private func openLog(_ settings: Settings, _ arguments: Arguments, _ log: inout LogWriter) {
        log.threshold = LogWriter.threshold(settings, arguments)
        try? log.open(LogWriter.destinations(settings))
    }

    /// The program before this one, should this one fault or hang before it has taken over.
    private func armGuard(_ handover: Handover, _ descriptor: Int32) {
        let environment =
            Supervisor.environment(handover: descriptor)
            + ["\(Handover.faultVariable)=the new program crashed, or hung, before it had taken over"]
        try? Program.armGuard(
            descriptor: handover.program, arguments: [program] + words, environment: environment,
            seconds: Supervisor.guardSeconds)
    }

    private func goBack(_ handover: Handover, _ descriptor: Int32, _ reason: String) -> Never {
        let environment =
            Supervisor.environment(handover: descriptor) + ["\(Handover.faultVariable)=\(reason)"]
        let failure = Program.execute(
            descriptor: handover.program, arguments: [program] + words, environment: environment)
        say("\(program): \(failure)", to: 2)
        Process.exitNow(1)
    }

    /// A test wants to see what happens when this program fails at the worst moment.
    private func faultForTests(isReturn: Bool) {
        guard !isReturn, Process.environment("PGSLUICE_TEST") == "1",
            let fault = Process.environment("PGSLUICE_TEST_RESTART")
        else { return }
        if fault == "crash" { preconditionFailure("a fault that a test has asked for") }
        if fault == "hang" { while true { _ = Poll.wait([], milliseconds: -1) } }
    }

    private func request(
        _ arguments: Arguments, listenersArePassed: Bool
    ) throws(StartupFailure) -> ValidationRequest {
        if arguments.reboot {
            throw StartupFailure(
                "-R starts no second process: tell the running instance to RESTART (sluicectl restart)"
            )
        }
        if let path = arguments.configurationFile {
            return ValidationRequest(
                source: .file(FileSystem.absolute(path)), listenersArePassed: listenersArePassed)
        }
        guard Process.environment("DATABASE_URL") != nil || Process.environment("DB_HOST") != nil else {
            refuseWords("no configuration file specified, nor DATABASE_URL or DB_HOST in the environment")
        }
        return ValidationRequest(source: .environment, listenersArePassed: listenersArePassed)
    }

    private func validate(
        _ request: ValidationRequest, _ log: inout LogWriter
    ) throws(StartupFailure) -> (Configuration, [UInt8]) {
        let outcome = ValidationRun.run(request, validator)
        let configuration = outcome.image.flatMap { PreparedInstance.decode($0) }
        if let configuration { log.use(configuration.settings.logFormat) }
        for line in outcome.lines { log.write(line.isError ? .error : .warning, line.text) }
        guard let image = outcome.image else { throw StartupFailure("cannot load config file") }
        guard let configuration else {
            throw StartupFailure("cannot read back the checked configuration")
        }
        return (configuration, image)
    }

    /// User, log, other instances, background, limits: everything before there is a socket.
    private func prepare(
        _ settings: Settings, _ arguments: Arguments, _ passed: [Int32], _ log: inout LogWriter
    ) throws(StartupFailure) {
        try switchUser(arguments.user ?? settings.user)
        log.threshold = LogWriter.threshold(settings, arguments)
        do throws(SystemError) { try log.open(LogWriter.destinations(settings)) } catch {
            throw StartupFailure("logfile: \(error)")
        }
        if passed.isEmpty, let path = ListenerSet.unixSocketPath(settings),
            ListenerSet.isInUse(unixPath: path)
        {
            throw StartupFailure("unix socket \(path) is in use, cannot continue")
        }
        try checkPidFile(settings, &log)
        if arguments.daemon {
            guard !settings.pidFile.isEmpty else {
                throw StartupFailure("daemon needs pidfile configured: set pidfile in [pgbouncer]")
            }
            log.leaveStandardError()
            do throws(SystemError) { try Process.daemonize() } catch {
                throw StartupFailure("cannot go into the background: \(error)")
            }
        }
        raiseDescriptorLimit(settings, &log)
    }

    private func switchUser(_ name: String?) throws(StartupFailure) {
        if let name {
            guard let user = Accounts.user(named: name) else {
                throw StartupFailure("there is no user \(name)")
            }
            if user.id != Accounts.effectiveUserID {
                guard Accounts.effectiveUserID == 0 else {
                    throw StartupFailure("only root can start this program as user \(name)")
                }
                do throws(SystemError) { try Accounts.become(user) } catch {
                    throw StartupFailure("\(error)")
                }
            }
        }
        guard Accounts.effectiveUserID != 0 else {
            throw StartupFailure(
                "pgsluice does not run as root: set user = NAME in [pgbouncer] or start it with -u NAME")
        }
    }

    private func checkPidFile(_ settings: Settings, _ log: inout LogWriter) throws(StartupFailure) {
        guard !settings.pidFile.isEmpty else { return }
        do throws(PidFile.Failure) {
            if let old = try PidFile.check(settings.pidFile) {
                log.write(.log, "removed the stale pidfile \(settings.pidFile) of process \(old)")
            }
        } catch {
            throw StartupFailure(error.message(path: settings.pidFile))
        }
    }

    /// The control socket. One that the settings do not name is done without when it cannot be had.
    private func openControl(
        _ settings: Settings, _ listeners: ListenerSet, _ log: inout LogWriter
    ) throws(StartupFailure) -> ControlSocket? {
        guard let path = settings.controlFolder.map(FileSystem.absolute) else {
            log.write(.log, "no control socket: set control_dir, unix_socket_dir or pidfile to have one")
            return nil
        }
        do throws(StartupFailure) {
            let control = try ControlSocket.open(settings, in: path)
            log.write(.log, "control socket \(control.path)")
            return control
        } catch {
            guard settings.controlDirectory.isEmpty else {
                listeners.removeFiles()
                throw StartupFailure("control_dir: \(error.message)")
            }
            log.write(.warning, "no control socket: \(error.message); set control_dir to have one elsewhere")
            return nil
        }
    }

    private func writePidFile(_ settings: Settings, _ prepared: PreparedInstance) throws(StartupFailure) {
        guard !settings.pidFile.isEmpty else { return }
        do throws(PidFile.Failure) { try PidFile.write(settings.pidFile) } catch {
            prepared.listeners.removeFiles()
            prepared.control?.remove()
            throw StartupFailure(error.message(path: settings.pidFile))
        }
    }

    private func raiseDescriptorLimit(_ settings: Settings, _ log: inout LogWriter) {
        // Each client may have a server, and each of them takes a descriptor.
        let wanted = UInt64(settings.maxClientConnections) * 2 + 100
        do throws(SystemError) {
            let (before, now) = try Limits.raiseDescriptors()
            log.write(
                .log,
                "kernel file descriptor limit: \(now.soft) (hard: \(now.hard)); max_client_conn: "
                    + "\(settings.maxClientConnections), max expected fd use: \(wanted)")
            if now.soft > before.soft {
                log.write(.log, "raised the file descriptor limit from \(before.soft) to \(now.soft)")
            }
            if now.soft < wanted {
                log.write(
                    .warning,
                    "max_client_conn may need more descriptors than are allowed: raise the limit "
                        + "(ulimit -n, LimitNOFILE) or lower max_client_conn")
            }
        } catch {
            log.write(.warning, "\(error)")
        }
    }

    private func chooseWorkerCount(_ settings: Settings, _ log: inout LogWriter) -> Int {
        let (count, reason) = Supervisor.workerCount(settings)
        log.write(.log, "workers: \(count) (\(reason))")
        return count
    }

    private func listen(
        _ settings: Settings, _ passed: [Int32], workerCount: Int, _ log: inout LogWriter
    ) throws(StartupFailure) -> ListenerSet {
        let set: ListenerSet
        if passed.isEmpty {
            set = try ListenerSet.open(settings, workerCount: workerCount)
        } else {
            set = try ListenerSet.activated(passed)
            log.write(
                .warning, "the service manager passed sockets; listen_addr and unix_socket_dir are ignored")
        }
        for warning in set.warnings { log.write(.warning, warning) }
        guard !set.isEmpty else {
            throw StartupFailure("nothing to listen on: set listen_addr or unix_socket_dir")
        }
        for description in set.descriptions { log.write(.log, "listening on \(description)") }
        return set
    }

    private func refuse(_ failure: StartupFailure) -> Never {
        say("\(program): \(failure.message)", to: 2)
        Process.exitNow(1)
    }

    /// The command line makes no sense.
    private func refuseWords(_ reason: String) -> Never {
        say("\(program): \(reason)\nTry \"\(program) --help\" for more information.", to: 2)
        Process.exitNow(1)
    }

    private func finish(_ text: String) -> Never {
        say(text, to: 1)
        Process.exitNow(0)
    }

    private func say(_ text: String, to descriptor: Int32) {
        try? Descriptors.writeAll(descriptor, Array((text + "\n").utf8))
    }
}
