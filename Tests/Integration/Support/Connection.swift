import CLibPQ
import Glibc

/// An ERROR or FATAL from the server, or what libpq says when there is none.
struct PostgresError: Error, CustomStringConvertible, Equatable {
    /// Five characters, or empty when the message is libpq's own.
    var sqlState: String
    var message: String
    /// It was said during the login.
    private(set) var isOfLogin = false
    var description: String { "\(sqlState) \(message)" }

    init(sqlState: String, message: String) {
        self.sqlState = sqlState
        self.message = message
    }

    /// What libpq says of a login that failed, with SQLSTATEs in front of the server's messages: the first
    /// one is taken out.
    init(login text: String) {
        let mark = "FATAL:  "
        self.init(sqlState: "", message: text)
        isOfLogin = true
        guard let fatal = text.firstRange(of: mark) else { return }
        let rest = text[fatal.upperBound...]
        guard rest.count > 7, rest.dropFirst(5).hasPrefix(": ") else { return }
        sqlState = String(rest.prefix(5))
        message = String(text[..<fatal.upperBound]) + rest.dropFirst(7)
    }
}

/// The outcome of one statement.
struct Rows: Sendable {
    var columns: [String] = []
    var types: [UInt32] = []
    var rows: [[String?]] = []
    /// What command complete said, such as `INSERT 0 1`.
    var tag = ""

    /// The first column of the first row.
    var value: String? { rows.first?.first ?? nil }
    /// The first column of all rows.
    var values: [String?] { rows.map { $0.first ?? nil } }

    /// Rows as dictionaries by column.
    var records: [[String: String]] {
        rows.map { row in
            Dictionary(uniqueKeysWithValues: zip(columns, row).map { ($0, $1 ?? "NULL") })
        }
    }
}

/// A connection through libpq. Every call has a deadline.
final class Connection: @unchecked Sendable {
    let raw: OpaquePointer
    private(set) var notices: [String] = []

    /// Connects with the given libpq parameters. Throws a `PostgresError`, with the SQLSTATE if the server
    /// has said why.
    ///
    /// - Parameter afterAnswer: what happens between the first answer, which a client that wants TLS gets
    ///   before its handshake, and what the client does about it.
    init(_ parameters: [String: String], afterAnswer: (() throws -> Void)? = nil) throws {
        var all = ["sslmode": "disable", "gssencmode": "disable", "client_encoding": "UTF8"]
        all.merge(parameters) { _, new in new }
        all = all.filter { !$0.value.isEmpty }
        let pairs = Array(all)
        var names: [UnsafePointer<CChar>?] = pairs.map { UnsafePointer(strdup($0.key)) } + [nil]
        var values: [UnsafePointer<CChar>?] = pairs.map { UnsafePointer(strdup($0.value)) } + [nil]
        defer { (names + values).forEach { free(UnsafeMutablePointer(mutating: $0)) } }
        guard let raw = PQconnectStartParams(&names, &values, 0) else { throw Failure("no memory") }
        self.raw = raw
        PQsetNoticeProcessor(
            raw,
            { context, message in
                let connection = Unmanaged<Connection>.fromOpaque(context!).takeUnretainedValue()
                connection.notices.append(String(cString: message!))
            }, Unmanaged.passUnretained(self).toOpaque())
        let deadline = now() + Options.patience * 2
        var afterAnswer = afterAnswer
        // So that errors of the login come with their SQLSTATE, for which there is no other place.
        PQsetErrorVerbosity(raw, PQERRORS_VERBOSE)
        while true {
            switch PQconnectPoll(raw) {
            case PGRES_POLLING_OK:
                PQsetErrorVerbosity(raw, PQERRORS_DEFAULT)
                return
            case PGRES_POLLING_READING:
                try poll(POLLIN, until: deadline, "connecting")
                try afterAnswer?()
                afterAnswer = nil
            case PGRES_POLLING_WRITING: try poll(POLLOUT, until: deadline, "connecting")
            default: throw PostgresError(login: errorMessage)
            }
        }
    }

    deinit { PQfinish(raw) }

    /// What libpq has to say about the last failure.
    var errorMessage: String { String(cString: PQerrorMessage(raw)) }

    var backendPID: Int32 { PQbackendPID(raw) }
    var socket: Int32 { PQsocket(raw) }
    var isBroken: Bool { PQstatus(raw) != CONNECTION_OK }

    /// `I`dle, in a `T`ransaction, in an `E`rror, `A`ctive or unknown.
    var transactionStatus: PGTransactionStatusType { PQtransactionStatus(raw) }

    /// What the server reported of a parameter.
    func parameter(_ name: String) -> String? { PQparameterStatus(raw, name).map { String(cString: $0) } }

    // MARK: - Simple and extended queries

    /// Runs a simple query and returns its last result. Throws the error of any of its statements.
    @discardableResult
    func query(_ sql: String, within seconds: Double = Options.patience) throws -> Rows {
        try send(sql)
        return try finish(within: seconds)
    }

    /// Runs an extended query (unnamed statement) with text parameters.
    @discardableResult
    func query(
        _ sql: String, _ parameters: [String?], within seconds: Double = Options.patience
    ) throws -> Rows {
        try withParameters(parameters) {
            PQsendQueryParams(raw, sql, Int32(parameters.count), nil, $0, nil, nil, 0)
        }
        return try finish(within: seconds)
    }

    @discardableResult
    func prepare(_ name: String, _ sql: String) throws -> Rows {
        try check(PQsendPrepare(raw, name, sql, 0, nil))
        return try finish()
    }

    /// Executes a prepared statement.
    @discardableResult
    func execute(_ name: String, _ parameters: [String?] = []) throws -> Rows {
        try withParameters(parameters) {
            PQsendQueryPrepared(raw, name, Int32(parameters.count), $0, nil, nil, 0)
        }
        return try finish()
    }

    @discardableResult
    func describe(_ name: String) throws -> Rows {
        try check(PQsendDescribePrepared(raw, name))
        return try finish()
    }

    // MARK: - In steps

    /// Sends a simple query without waiting for its answer.
    func send(_ sql: String) throws { try check(PQsendQuery(raw, sql)) }

    /// Reads results until the connection is ready for the next query; returns the last.
    @discardableResult
    func finish(within seconds: Double = Options.patience) throws -> Rows {
        let deadline = now() + seconds
        var last = Rows()
        var failure: PostgresError?
        while let result = try nextResult(until: deadline) {
            defer { PQclear(result) }
            switch PQresultStatus(result) {
            case PGRES_FATAL_ERROR, PGRES_BAD_RESPONSE: failure = failure ?? Self.error(result)
            case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH: return Self.rows(result)
            default: last = Self.rows(result)
            }
        }
        if let failure { throw failure }
        return last
    }

    /// The next result, which the caller clears, or `nil` at the end of a query.
    func nextResult(until deadline: Double = now() + Options.patience) throws -> OpaquePointer? {
        while PQisBusy(raw) != 0 {
            if PQflush(raw) == 1 {
                try poll(POLLIN | POLLOUT, until: deadline, "a result")
            } else {
                try poll(POLLIN, until: deadline, "a result")
            }
            guard PQconsumeInput(raw) == 1 else { break }
        }
        return PQgetResult(raw)
    }

    /// Waits until the socket can be read, without reading it.
    func waitForInput(within seconds: Double = Options.patience) throws {
        try poll(POLLIN, until: now() + seconds, "input")
    }

    /// Whether anything has arrived within the time.
    func hasInput(within seconds: Double) -> Bool {
        (try? poll(POLLIN, until: now() + seconds, "input")) != nil
    }

    /// Sends everything that libpq holds back.
    func flush(within seconds: Double = Options.patience) throws {
        let deadline = now() + seconds
        while true {
            let left = PQflush(raw)
            if left == 0 { return }
            guard left == 1 else { throw PostgresError(sqlState: "", message: errorMessage) }
            try poll(POLLIN | POLLOUT, until: deadline, "room to send")
            guard PQconsumeInput(raw) == 1 else { throw PostgresError(sqlState: "", message: errorMessage) }
        }
    }

    /// Asks for the cancellation of what this connection is doing.
    func cancel() throws {
        guard let request = PQgetCancel(raw) else { throw Failure("nothing to cancel") }
        defer { PQfreeCancel(request) }
        var message = [CChar](repeating: 0, count: 256)
        guard PQcancel(request, &message, 256) == 1 else {
            throw Failure(message.withUnsafeBufferPointer { String(cString: $0.baseAddress!) })
        }
    }

    func check(_ success: Int32) throws {
        guard success == 1 else { throw PostgresError(sqlState: "", message: errorMessage) }
    }

    func poll(_ events: Int32, until deadline: Double, _ what: String) throws {
        while true {
            var descriptor = pollfd(fd: PQsocket(raw), events: Int16(events), revents: 0)
            let left = deadline - now()
            guard left > 0 else { throw Failure("timed out waiting for \(what)") }
            let count = Glibc.poll(&descriptor, 1, Int32(left * 1_000) + 1)
            if count > 0 { return }
        }
    }

    private func withParameters(
        _ parameters: [String?], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Int32
    ) throws {
        let values: [UnsafePointer<CChar>?] = parameters.map { $0.flatMap { UnsafePointer(strdup($0)) } }
        defer { values.forEach { free(UnsafeMutablePointer(mutating: $0)) } }
        try check((values + [nil]).withUnsafeBufferPointer { body($0.baseAddress!) })
    }

    static func error(_ result: OpaquePointer) -> PostgresError {
        func field(_ code: UnicodeScalar) -> String? {
            PQresultErrorField(result, Int32(code.value)).map { String(cString: $0) }
        }
        return PostgresError(
            sqlState: field("C") ?? "",
            message: field("M") ?? String(cString: PQresultErrorMessage(result)))
    }

    static func rows(_ result: OpaquePointer) -> Rows {
        var rows = Rows()
        let columns = PQnfields(result)
        rows.columns = (0..<columns).map { PQfname(result, $0).map { String(cString: $0) } ?? "" }
        rows.types = (0..<columns).map { PQftype(result, $0) }
        rows.rows = (0..<PQntuples(result)).map { row in
            (0..<columns).map { column in
                PQgetisnull(result, row, column) == 1
                    ? nil : String(cString: PQgetvalue(result, row, column))
            }
        }
        rows.tag = String(cString: PQcmdStatus(result))
        return rows
    }
}
