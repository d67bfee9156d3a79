import Config
import Console
import SharedState
import System
import Wire

/// What console sessions order: it is checked here, done by every worker, and answered when all have.
extension Supervisor {
    /// Carries out a console's order, or says why not.
    func carryOut(
        _ kind: OrderKind, _ database: [UInt8]?, limitSeconds: UInt32?, for connection: ConsoleConnection
    ) throws(ConsoleError) {
        switch kind {
        case .shutdownNow: return beginShutdown(.immediate)
        case .shutdownWaitForClients: return try endByCommand(.waitForClients, connection)
        case .shutdownWaitForServers: return try endByCommand(.waitForServers, connection)
        case .pause: try notePause(database)
        case .suspend: try noteSuspend()
        case .resume: try noteResume(database)
        case .kill: try noteKill(database)
        case .disable, .enable:
            try checkKnown(database)
            if let database { inForce.setDisabled(database, kind == .disable) }
        case .reconnect, .waitClose: try checkKnown(database)
        case .reopen, .killClient, .drain, .dismissClients, .open: break
        }
        noteCommand(
            "\(kind)" + (database.map { " " + String(decoding: $0, as: UTF8.self) } ?? ""), connection)
        order(kind, database: database, waiter: connection.id, limitSeconds: limitSeconds)
    }

    /// Sends one client away; a session of the control socket is one too.
    func killClient(_ id: UInt64, for connection: ConsoleConnection) {
        noteCommand("killClient \(id)", connection)
        if let victim = console.connections.first(where: { $0.control?.id == id }) {
            connection.session.answer(.done)
            return endSession(victim)
        }
        order(.killClient, argument: id, waiter: connection.id)
    }

    private func noteCommand(_ command: String, _ connection: ConsoleConnection) {
        log.write(.log, "\(connection.user) gave the command \(command)")
    }

    private func endByCommand(
        _ mode: ShutdownMode, _ connection: ConsoleConnection
    ) throws(ConsoleError) {
        guard shutdown == nil else { throw .shuttingDown }
        log.write(.log, "\(connection.user) gave the command to shut down")
        connection.session.answer(.done)
        beginShutdown(mode)
    }

    // MARK: What stays in force

    private func checkKnown(_ database: [UInt8]?) throws(ConsoleError) {
        guard let database else { return }
        let name = String(decoding: database, as: UTF8.self)
        guard configuration.database(named: name) != nil || configuration.autoDatabase != nil else {
            throw .noSuchDatabase(database)
        }
    }

    private func notePause(_ database: [UInt8]?) throws(ConsoleError) {
        guard shutdown == nil else { throw .shuttingDown }
        guard !inForce.isPaused, !inForce.isSuspended else { throw .alreadyPaused }
        guard let database else { return inForce.isPaused = true }
        try checkKnown(database)
        guard inForce.pause(database) else { throw .alreadyPaused }
    }

    private func noteSuspend() throws(ConsoleError) {
        guard shutdown == nil else { throw .shuttingDown }
        guard !inForce.isPaused, !inForce.isSuspended else { throw .alreadyPaused }
        guard !inForce.holdsDatabases else { throw ConsoleError("cannot suspend with paused databases") }
        inForce.isSuspended = true
    }

    /// Ends a SUSPEND: nobody is left who would.
    func resumeFromSuspend(because reason: String) {
        guard inForce.isSuspended else { return }
        log.write(.warning, "\(reason), continuing from SUSPEND")
        inForce.isSuspended = false
        order(.resume)
    }

    private func noteKill(_ database: [UInt8]?) throws(ConsoleError) {
        guard shutdown == nil else { throw .shuttingDown }
        guard !inForce.isPaused, !inForce.isSuspended else { throw .alreadyPaused }
        try checkKnown(database)
        // Killing what is paused already is fine: its clients go.
        if let database { _ = inForce.pause(database) } else { inForce.kill() }
    }

    private func noteResume(_ database: [UInt8]?) throws(ConsoleError) {
        guard shutdown == nil else { throw .shuttingDown }
        if let database {
            guard inForce.resume(database) else { throw .databaseNotPaused(database) }
        } else {
            guard inForce.resume() else { throw .notPaused }
        }
    }

    // MARK: Ends of waiting

    /// Ctrl-C on a session that waits: the PAUSE it waits for ends, and the session hears of it.
    func cancel(_ key: ConsoleCancelKey) {
        guard let connection = console.connections.first(where: { $0.session.cancelKey == key }) else {
            return
        }
        switch connection.session.waitingCommand {
        case .pause(let database, _):
            dismiss(connection.id)
            undoPause(database)
        case .database(.waitClose, _): dismiss(connection.id)
        case .suspend:
            dismiss(connection.id)
            resumeFromSuspend(because: "SUSPEND was cancelled")
        case .show, .showParameter, .setParameter, .set, .reload, .resume, .shutdown, .drain, .database,
            .killClient, .restart, nil:
            return
        }
        answer(
            [connection.id],
            .failed(ConsoleError(.queryCanceled, "canceling statement due to user request")))
    }

    /// Has a session wait for nothing any more.
    private func dismiss(_ id: ConsoleID) {
        for place in barriers.indices { barriers[place].waiters.removeAll { $0 == id } }
    }

    /// Ends a pause that has not come about.
    func undoPause(_ database: [UInt8]?) {
        if let database { _ = inForce.resume(database) } else { inForce.isPaused = false }
        order(.resume, database: database)
    }

    /// The time of a PAUSE is over: it is undone, and whoever waits for it hears of it.
    func giveUp(_ pause: Barrier) {
        for place in barriers.indices where barriers[place].epoch == pause.epoch {
            barriers[place].waiters = []
        }
        log.write(.warning, "a pause has not come about in \(pause.limitSeconds) s and is undone")
        undoPause(pause.database)
        answer(pause.waiters, .failed(.pauseUndone(limitSeconds: UInt64(pause.limitSeconds))))
    }

    // MARK: Settings

    /// Changes a setting until the next reload: every worker gets the image again, with the change behind it.
    func set(_ key: String, to value: String, for connection: ConsoleConnection) {
        do throws(ConsoleError) {
            // What is in a file is read and checked by a reload, in a child.
            guard !key.hasSuffix("_file") else {
                throw .setFailed("\(key) names a file; write it into the configuration and RELOAD")
            }
            guard var image = try? ConfigurationImage(decoding: image) else { throw .setFailed("no image") }
            image.override(key, with: value)
            let parsed = Configuration.parse(image)
            guard let new = parsed.configuration else {
                throw .setFailed(parsed.errors.map(\.message).joined(separator: "; "))
            }
            log.write(.log, "\(connection.user) gave the command SET \(key)")
            try distribute(new, image.encode(), purpose: .setting, waiters: [connection.id])
        } catch {
            connection.session.answer(.failed(error))
        }
    }
}
