import CLibPQ
import Glibc
import System

/// A session on the control socket of an instance, through libpq.
@safe
final class ConsoleSession {
    /// How long an instance that has nothing to wait for may take.
    static let patienceSeconds = 10.0

    /// PG_DIAG_…, which are no constants to Swift.
    private enum Field: UInt8 {
        case sqlState = 0x43
        case message = 0x4d
        case detail = 0x44
        case hint = 0x48
    }

    private final class Notices {
        var lines: [String] = []
    }

    /// Where it is.
    let place: ControlPlace
    /// Who serves it.
    let peer: Socket.PeerCredentials
    private let connection: OpaquePointer
    private let notices = Notices()

    /// Connects, and sends nothing before it is sure to whom.
    init(_ place: ControlPlace, trust: Trust) throws(Failure) {
        self.place = place
        ConsoleSession.clearEnvironment()
        let parameters = [
            ("host", place.folder), ("port", String(place.port)), ("dbname", "pgsluice"),
            ("user", "sluicectl"),
            ("application_name", "sluicectl"), ("passfile", "/dev/null/none"), ("sslmode", "disable"),
            ("gssencmode", "disable"),
        ]
        var keys = unsafe ConsoleSession.copies(parameters.map(\.0))
        var values = unsafe ConsoleSession.copies(parameters.map(\.1))
        defer {
            unsafe (keys + values).forEach { unsafe free(UnsafeMutablePointer(mutating: $0)) }
        }
        guard let connection = unsafe PQconnectStartParams(&keys, &values, 0) else {
            throw Failure(.noAnswer, "out of memory")
        }
        unsafe self.connection = unsafe connection
        guard unsafe PQstatus(connection) != CONNECTION_BAD else {
            defer { unsafe PQfinish(connection) }
            throw unsafe ConsoleSession.absence(of: place, String(cString: PQerrorMessage(connection)))
        }
        do throws(Failure) {
            let credentials = unsafe Socket.peerCredentials(of: PQsocket(connection))
            peer = try trust.checked(credentials, at: place.socket)
        } catch {
            unsafe PQfinish(connection)
            throw error
        }
        try logIn()
    }

    deinit {
        unsafe PQfinish(connection)
    }

    /// Words for C, and the end of the list; the caller frees them.
    private static func copies(_ words: [String]) -> [UnsafePointer<CChar>?] {
        var copies: [UnsafePointer<CChar>?] = unsafe words.map { unsafe UnsafePointer(strdup($0)) }
        unsafe copies.append(nil)
        return unsafe copies
    }

    /// What is meant for connections to databases has no meaning here, and must not be sent to anybody.
    private static func clearEnvironment() {
        for (name, _) in Process.environment where name.hasPrefix("PG") && !name.hasPrefix("PGSLUICE") {
            Process.removeEnvironment(name)
        }
    }

    /// Why nobody can be reached.
    private static func absence(of place: ControlPlace, _ text: String) -> Failure {
        let reason: Errno?
        do throws(SystemError) {
            let descriptor = try Socket.open(.unix)
            defer { Descriptors.close(descriptor) }
            guard let address = SocketAddress(unixPath: place.socket) else {
                return Failure(.usage, "\(place.socket) is too long to be the name of a socket")
            }
            try Socket.connect(descriptor, to: address)
            reason = nil
        } catch { reason = error.errno }
        return switch reason {
        case .noSuchFile:
            Failure(.noInstance, "no instance is running: there is no control socket \(place.socket)")
        case .connectionRefused:
            Failure(.noInstance, "no instance is running: \(place.socket) was left by one that has died")
        case Errno(EACCES):
            Failure(.notTrusted, "\(place.socket) is not for you: \(Trust.advice)")
        case _: Failure(.noInstance, tidied(text))
        }
    }

    private func logIn() throws(Failure) {
        let deadline = Clock.monotonicNanoseconds + UInt64(ConsoleSession.patienceSeconds * 1e9)
        var wanted = PGRES_POLLING_WRITING
        while true {
            switch wanted {
            case PGRES_POLLING_OK: break
            case PGRES_POLLING_READING, PGRES_POLLING_WRITING:
                let direction: Poll.Direction = wanted == PGRES_POLLING_READING ? .read : .write
                try wait([unsafe Poll.Interest(PQsocket(connection), direction)], until: deadline)
                wanted = unsafe PQconnectPoll(connection)
                continue
            case _:
                throw unsafe Failure(
                    .refused, ConsoleSession.tidied(String(cString: PQerrorMessage(connection))))
            }
            break
        }
        let context = unsafe Unmanaged.passUnretained(notices).toOpaque()
        unsafe PQsetNoticeReceiver(
            connection,
            { context, result in
                guard let context = unsafe context else { return }
                let notices = unsafe Unmanaged<Notices>.fromOpaque(context).takeUnretainedValue()
                let fields = [Field.message, .detail].compactMap {
                    unsafe ConsoleSession.field($0, of: result)
                }
                notices.lines.append(fields.joined(separator: "\n"))
            }, context)
    }

    /// Waits for one of these, or gives up.
    @discardableResult
    private func wait(
        _ interests: [Poll.Interest], until deadline: UInt64?
    ) throws(Failure) -> [Poll.Readiness] {
        var milliseconds: Int32 = -1
        if let deadline {
            let now = Clock.monotonicNanoseconds
            guard now < deadline else { throw silence() }
            milliseconds = Int32(clamping: (deadline - now) / 1_000_000 + 1)
        }
        return Poll.wait(interests, milliseconds: milliseconds)
    }

    private func silence() -> Failure {
        Failure(
            .noAnswer,
            "process \(peer.processID) at \(place.socket) does not answer: see its log, and what it is doing")
    }

    /// Runs a command and waits for its answer.
    ///
    /// - Parameters:
    ///   - patience: how long it may take, in seconds; `nil` for as long as it takes.
    ///   - interruption: what has the command cancelled.
    func run(
        _ command: String, patience: Double? = ConsoleSession.patienceSeconds,
        interruption: Interruption? = nil
    ) throws(Failure) -> Answer {
        notices.lines = []
        guard unsafe PQsendQuery(connection, command) == 1 else { throw loss() }
        let deadline = patience.map { Clock.monotonicNanoseconds + UInt64($0 * 1e9) }
        var isCancelled = false
        var found: Result<Answer, Failure>?
        while true {
            while unsafe PQisBusy(connection) == 1 {
                let signals = isCancelled ? -1 : interruption?.descriptor ?? -1
                let ready = try wait(
                    [unsafe Poll.Interest(PQsocket(connection), .read), Poll.Interest(signals, .read)],
                    until: deadline)
                if ready[1].canRead, interruption?.next() != nil {
                    isCancelled = true
                    // Who does not want to wait for that either presses Ctrl-C once more.
                    interruption?.giveUp()
                    cancel()
                }
                guard ready[0].canRead else { continue }
                guard unsafe PQconsumeInput(connection) == 1 else { throw loss() }
            }
            guard let result = unsafe PQgetResult(connection) else { break }
            found = unsafe read(result)
            unsafe PQclear(result)
        }
        guard let found, unsafe PQstatus(connection) != CONNECTION_BAD else { throw loss(found) }
        if isCancelled, case .failure(let failure) = found {
            throw Failure(.interrupted, "interrupted: \(failure.message)")
        }
        return try found.get()
    }

    /// Whether the instance has closed the session.
    var isOver: Bool { unsafe PQstatus(connection) == CONNECTION_BAD }

    /// Waits until the instance has closed the session.
    func waitForEnd() {
        while !isOver {
            _ = unsafe Poll.wait([Poll.Interest(PQsocket(connection), .read)], milliseconds: -1)
            guard unsafe PQconsumeInput(connection) == 1 else { return }
        }
    }

    private func read(_ result: OpaquePointer) -> Result<Answer, Failure> {
        switch unsafe PQresultStatus(result) {
        case PGRES_COMMAND_OK, PGRES_TUPLES_OK: return .success(unsafe answer(result))
        case PGRES_EMPTY_QUERY: return .success(Answer())
        case _:
            let state = unsafe ConsoleSession.field(.sqlState, of: result)
            let message = unsafe ConsoleSession.field(.message, of: result)
            let further = [Field.detail, .hint].compactMap {
                unsafe ConsoleSession.field($0, of: result)
            }
            guard let state, let message else { return .failure(loss()) }
            let lines = (notices.lines + ["the instance refuses (\(state)): \(message)"] + further)
            return .failure(Failure(.refused, lines.joined(separator: "\n")))
        }
    }

    private func answer(_ result: OpaquePointer) -> Answer {
        var answer = Answer()
        answer.tag = unsafe String(cString: PQcmdStatus(result))
        answer.notices = notices.lines
        let columns = unsafe PQnfields(result)
        for column in 0..<columns {
            let name = unsafe String(cString: PQfname(result, column))
            answer.columns.append(Column(name, type: unsafe PQftype(result, column)))
        }
        for row in 0..<(unsafe PQntuples(result)) {
            answer.rows.append(
                (0..<columns).map { column in
                    unsafe PQgetisnull(result, row, column) == 1
                        ? nil : unsafe String(cString: PQgetvalue(result, row, column))
                })
        }
        return answer
    }

    private func cancel() {
        guard let cancel = unsafe PQgetCancel(connection) else { return }
        defer { unsafe PQfreeCancel(cancel) }
        var error = [CChar](repeating: 0, count: 256)
        unsafe PQcancel(cancel, &error, Int32(error.count))
    }

    /// The session is gone.
    private func loss(_ last: Result<Answer, Failure>? = nil) -> Failure {
        if case .failure(let failure) = last { return Failure(.noAnswer, failure.message) }
        let text = unsafe ConsoleSession.tidied(String(cString: PQerrorMessage(connection)))
        return Failure(.noAnswer, "the instance ended the session before it had answered: \(text)")
    }

    private static func field(_ field: Field, of result: OpaquePointer?) -> String? {
        unsafe PQresultErrorField(result, Int32(field.rawValue)).map { unsafe String(cString: $0) }
    }

    /// libpq's message on one line.
    private static func tidied(_ text: String) -> String {
        text.split(separator: "\n").joined(separator: " ")
    }
}
