import CLibPQ
import Glibc
import Metrics
import NIOCore

/// Why the console has not answered.
struct ControlError: Error, CustomStringConvertible {
    let description: String
}

/// The connection to the control socket, kept and opened anew. Blocks, for a bounded time.
@safe final class ControlConnection {
    /// How long the console may take for everything together: Prometheus gives up after ten seconds.
    private static let limit = TimeAmount.seconds(5)

    private let folder: String
    private let port: String
    private var connection: OpaquePointer?
    /// What was said last, so that it is not said every second.
    private var lastRefusal = ""

    /// A connection to the socket in a folder, not open yet.
    init(folder: String, port: String) {
        self.folder = folder
        self.port = port
    }

    deinit { unsafe PQfinish(connection) }

    /// Asks for all tables.
    func scrape() throws(ControlError) -> Scrape {
        let begin = NIODeadline.now()
        let wasOpen = unsafe connection != nil
        do throws(ControlError) { return try ask(since: begin) } catch {
            close()
            // The instance that had the other end may be gone, and another one there.
            guard wasOpen, NIODeadline.now() - begin < .seconds(1) else { throw error }
        }
        do throws(ControlError) { return try ask(since: begin) } catch {
            close()
            throw error
        }
    }

    private func close() {
        unsafe PQfinish(connection)
        unsafe connection = nil
    }

    private func ask(since begin: NIODeadline) throws(ControlError) -> Scrape {
        if unsafe connection == nil { try open() }
        var answers: [String: ResultTable] = [:]
        for table in Scrape.tables {
            answers[table] = try show(table, until: begin + ControlConnection.limit)
        }
        return Scrape(answers, seconds: Double((NIODeadline.now() - begin).nanoseconds) / 1e9)
    }

    private func open() throws(ControlError) {
        let settings = [
            ("host", folder), ("port", port), ("dbname", "pgbouncer"), ("user", "pgbouncer"),
            ("connect_timeout", "2"), ("sslmode", "disable"), ("gssencmode", "disable"),
        ]
        func escaped(_ text: String) -> String {
            text.map { $0 == "'" || $0 == "\\" ? "\\\($0)" : "\($0)" }.joined()
        }
        let text = settings.map { "\($0.0)='\(escaped($0.1))'" }.joined(separator: " ")
        unsafe connection = PQconnectdb(text)
        guard unsafe PQstatus(connection) == CONNECTION_OK else { throw error }
        // Notices, such as that a worker was too slow, are for people.
        unsafe PQsetNoticeProcessor(connection, { _, _ in }, nil)
    }

    private var error: ControlError {
        let text = unsafe PQerrorMessage(connection).map { unsafe String(cString: $0) } ?? ""
        return ControlError(description: text.split(separator: "\n").joined(separator: " "))
    }

    /// The answer to a SHOW; `nil` when it is refused.
    private func show(_ table: String, until deadline: NIODeadline) throws(ControlError) -> ResultTable? {
        guard unsafe PQsendQuery(connection, "SHOW " + table) == 1 else { throw error }
        var found: ResultTable?
        while let result = unsafe try nextResult(until: deadline) {
            defer { unsafe PQclear(result) }
            switch unsafe PQresultStatus(result) {
            case PGRES_TUPLES_OK: unsafe found = ControlConnection.table(result)
            case _:
                let text = "SHOW \(table): \(error)"
                if text != lastRefusal { Log.write(text) }
                lastRefusal = text
            }
        }
        guard unsafe PQstatus(connection) == CONNECTION_OK else { throw error }
        return found
    }

    private func nextResult(until deadline: NIODeadline) throws(ControlError) -> OpaquePointer? {
        while unsafe PQisBusy(connection) == 1 {
            let left = deadline - NIODeadline.now()
            var wanted = unsafe pollfd(fd: PQsocket(connection), events: Int16(POLLIN), revents: 0)
            let found = unsafe poll(&wanted, 1, Int32(max(0, left.nanoseconds / 1_000_000)))
            guard found != 0 else { throw ControlError(description: "the control socket does not answer") }
            guard unsafe PQconsumeInput(connection) == 1 else { throw error }
        }
        return unsafe PQgetResult(connection)
    }

    private static func table(_ result: OpaquePointer) -> ResultTable {
        let columns = unsafe (0..<PQnfields(result)).map { unsafe text(PQfname(result, $0)) }
        let rows = unsafe (0..<PQntuples(result)).map { row in
            columns.indices.map { column -> String? in
                if unsafe PQgetisnull(result, row, Int32(column)) == 1 { return nil }
                return unsafe text(PQgetvalue(result, row, Int32(column)))
            }
        }
        return ResultTable(columns: columns, rows: rows)
    }

    /// Text; bytes of a name that are no UTF-8 are written out, so that different names stay different.
    private static func text(_ bytes: UnsafePointer<CChar>?) -> String {
        guard let bytes = unsafe bytes else { return "" }
        if let text = unsafe String(validatingCString: bytes) { return text }
        return unsafe UnsafeBufferPointer(start: bytes, count: strlen(bytes)).map { byte in
            let code = UInt8(bitPattern: byte)
            if code < 0x80 { return String(UnicodeScalar(code)) }
            return "\\x" + String(code, radix: 16)
        }.joined()
    }
}
