import Base
import Config
import Console
import SharedState
import System
import Wire

/// What the console knows and is doing.
struct ConsoleService {
    /// Sessions, by the order they began in.
    var connections: [ConsoleConnection] = []
    /// Rows that were asked for.
    var collections: [RowsCollection] = []
    /// The last session's or request's number.
    var lastNumber: UInt64 = 0
    /// What sessions that have ended, and those that go on, did: the counters of database pgbouncer.
    var totals = PoolTotals()
    /// When the control socket is looked at again, after descriptors were short.
    var nextAcceptNanoseconds: UInt64?

    /// A number that none had before.
    mutating func nextNumber() -> UInt64 {
        lastNumber += 1
        return lastNumber
    }
}

/// The console: sessions that workers authenticated, served here because only here everything is known.
extension Supervisor {
    /// Sessions from workers that are served at once; more are closed as they come.
    private static let consoleLimit = 1000
    /// The largest answer of one worker.
    private static let rowsByteLimit = 256 << 20

    /// Begins a session on a socket that a worker passed.
    func openConsole(_ descriptor: Int32, _ login: ConsoleLogin, from index: Int) {
        guard console.connections.count(where: { $0.control == nil }) < Supervisor.consoleLimit,
            (try? Descriptors.setNonBlocking(descriptor, true)) != nil
        else { return Descriptors.close(descriptor) }
        let session = ConsoleSession(
            role: login.role, parameters: login.parameters, cancelKey: newCancelKey(),
            notifyMessage: configuration.settings.loginNotifyMessage, formatTime: Supervisor.format)
        let connection = ConsoleConnection(
            id: console.nextNumber(), descriptor: descriptor,
            user: String(decoding: login.user, as: UTF8.self), session: session,
            relay: relay(index))
        console.connections.append(connection)
        serve(connection)
    }

    private func relay(_ index: Int) -> ConsoleConnection.Relay {
        ConsoleConnection.Relay(worker: index, incarnation: workers[index].incarnation)
    }

    /// The sessions whose bytes a worker passes on.
    func sessions(through index: Int) -> [ConsoleConnection] {
        console.connections.filter { $0.relay == relay(index) }
    }

    func newCancelKey() -> ConsoleCancelKey {
        let secret = SecureRandom.bytes(count: 8)
        let number = secret.prefix(4).reduce(Int32(0)) { $0 << 8 | Int32($1) } & .max
        return ConsoleCancelKey(processId: max(number, 1), secret: Array(secret.suffix(4)))
    }

    static func format(_ realtimeMicroseconds: UInt64) -> String {
        let time = LocalTime(realNanoseconds: realtimeMicroseconds * 1000)
        return "\(time.dateAndTime) \(time.zone)"
    }

    /// Reads, serves and writes what a poll found.
    func attend(_ connection: ConsoleConnection, _ readiness: Poll.Readiness) {
        if readiness.canRead { connection.read() }
        serve(connection)
    }

    /// Serves a session until it needs something that is not there yet, and ends it when it is over.
    private func serve(_ connection: ConsoleConnection) {
        repeat {
            while let request = connection.session.advance() { handle(request, of: connection) }
            let before = connection.session.output.count
            connection.write()
            // What was sent makes room for more answers.
            if connection.session.output.count == before { break }
        } while connection.session.wantsInput
        console.totals.add(connection.session.takeTotals())
        for line in connection.session.takeLog() {
            log.write(.error, "console of \(connection.user): \(line)")
        }
        if connection.isOver { close(connection) }
    }

    /// Ends a session from here.
    func endSession(_ connection: ConsoleConnection) {
        connection.session.end(because: .adminDisconnect)
        serve(connection)
    }

    private func close(_ connection: ConsoleConnection) {
        connection.close()
        console.connections.removeAll { $0.id == connection.id }
        console.collections.removeAll { $0.console == connection.id }
        if console.connections.isEmpty { resumeFromSuspend(because: "the last console session has ended") }
    }

    private func handle(_ request: ConsoleRequest, of connection: ConsoleConnection) {
        switch request {
        case .rows(let kinds): collect(kinds, for: connection)
        case .statistics:
            let now = Clock.monotonicNanoseconds / 1000
            connection.session.answer(
                .statistics(averages.report(nowMicroseconds: now, databaseTotals())))
        case .latency:
            connection.session.answer(.table(latencies.table(counters.latencies())))
        case .histograms:
            connection.session.answer(.table(HistogramsTable.table(counters.latencies())))
        case .history:
            connection.session.answer(.table(history.table(formatTime: Supervisor.format)))
        case .configuration:
            connection.session.answer(.configuration(configuration.configRows()))
        case .state:
            connection.session.answer(.state(stateForConsole))
        case .reload: requestReload(for: connection.id)
        case .drain: drain(for: connection)
        case .lastReload: connection.session.answer(.reload(reload.lastLines))
        case .order(let kind, let database, let limit):
            do throws(ConsoleError) {
                try carryOut(kind, database, limitSeconds: limit, for: connection)
            } catch {
                connection.session.answer(.failed(error))
            }
        case .killClient(let id): killClient(id, for: connection)
        case .restart(let path, let isForced):
            do throws(ConsoleError) { try requestRestart(path, isForced, for: connection) } catch {
                connection.session.answer(.failed(error))
            }
        case .set(let key, let value): set(key, to: value, for: connection)
        case .cancel(let key): cancel(key)
        }
    }

    /// Counters by database; the console counts as one.
    func databaseTotals() -> [DatabaseTotals] {
        for connection in console.connections { console.totals.add(connection.session.takeTotals()) }
        let own = DatabaseTotals(database: Array(ConsoleSession.databaseName.utf8), totals: console.totals)
        return counters.databases() + [own]
    }

    /// Tells sessions that what they waited for is done, or why it is not.
    func answer(_ waiters: [ConsoleID], _ answer: ConsoleAnswer) {
        for id in waiters {
            guard let connection = console.connections.first(where: { $0.id == id }) else { continue }
            connection.session.answer(answer)
            serve(connection)
        }
    }

    // MARK: Rows

    private func collect(_ kinds: [RowsKind], for connection: ConsoleConnection) {
        var requests: [UInt64: RowsKind] = [:]
        var missing: Set<RowsCollection.Missing> = []
        for kind in kinds {
            let request = console.nextNumber()
            requests[request] = kind
            for index in workers.indices
            where workers[index].isReady && send(.rowsWanted(request: request, kind: kind), to: index) {
                missing.insert(RowsCollection.Missing(worker: index, kind: kind))
            }
        }
        console.collections.append(
            RowsCollection(
                console: connection.id, requests: requests, rows: ownRows(), missing: missing,
                deadlineNanoseconds: Clock.monotonicNanoseconds + RowsCollection.limitNanoseconds))
        settleCollections(Clock.monotonicNanoseconds)
    }

    /// The rows that no worker knows of: sessions of the control socket.
    private func ownRows() -> CollectedRows {
        let welcome = console.connections.filter { $0.session.isWelcome }
        var rows = CollectedRows(
            listenPort: configuration.settings.listenPort, sessionCount: welcome.count)
        rows.workers = workerFacts
        for connection in welcome {
            guard let control = connection.control else { continue }
            rows.addControlSession(
                id: control.id, connectedMicroseconds: control.connectedMicroseconds,
                requestedMicroseconds: control.requestedMicroseconds, peerPid: control.peerPid)
        }
        return rows
    }

    /// What SHOW WORKERS shows of what is known here.
    private var workerFacts: [WorkerFacts] {
        let (now, wall) = (Clock.monotonicNanoseconds, Clock.realNanoseconds)
        return workers.enumerated().filter { $1.isWanted || $1.process != nil }.map { index, slot in
            let beat = max(
                segment.segment.worker(index).heartbeatMicroseconds * 1000, slot.startedNanoseconds)
            return WorkerFacts(
                index: index, process: slot.process, state: stateText(of: slot),
                restarts: slot.incarnation > 1 ? slot.incarnation - 1 : 0,
                startedMicroseconds: (wall - (now - slot.startedNanoseconds)) / 1000,
                beatAgeMilliseconds: now > beat ? (now - beat) / 1_000_000 : 0,
                processorMilliseconds: slot.process.flatMap { Process.processorNanoseconds(of: $0) }.map {
                    $0 / 1_000_000
                })
        }
    }

    /// Whoever watches us sends nobody to an instance that ends.
    private func stateText(of slot: WorkerSlot) -> String {
        let text = slot.stateText
        return shutdown != nil && text == "ready" ? "draining" : text
    }

    /// Takes rows from a worker. An answer that comes too late finds nobody.
    func takeRows(_ answer: RowsAnswer, _ descriptor: Int32?, from index: Int) {
        defer { if let descriptor { Descriptors.close(descriptor) } }
        guard let place = console.collections.firstIndex(where: { $0.requests[answer.request] != nil }),
            let kind = console.collections[place].requests[answer.request]
        else { return }
        if let descriptor, answer.attachedByteCount > 0 {
            let bytes = try? SharedMemory.contents(of: descriptor, limit: Supervisor.rowsByteLimit)
            console.collections[place].rows.add(
                kind, Array((bytes ?? []).prefix(Int(answer.attachedByteCount))))
        } else {
            console.collections[place].rows.add(kind, answer.rows)
        }
        guard answer.isLast else { return }
        console.collections[place].missing.remove(RowsCollection.Missing(worker: index, kind: kind))
        settleCollections(Clock.monotonicNanoseconds)
    }

    /// Answers sessions whose rows are complete, or whose time is over.
    func settleCollections(_ now: UInt64) {
        while let place = console.collections.firstIndex(where: {
            $0.missing.isEmpty || $0.deadlineNanoseconds <= now
        }) {
            let collection = console.collections.remove(at: place)
            answer([collection.console], .rows(collection.finished()))
        }
    }

    /// A worker that is gone sends no rows.
    func removeFromCollections(_ index: Int) {
        for place in console.collections.indices {
            let mine = console.collections[place].missing.filter { $0.worker == index }
            console.collections[place].missing.subtract(mine)
        }
        settleCollections(Clock.monotonicNanoseconds)
    }
}
