import BenchmarkSupport

/// What is asked for on the command line.
struct Options {
    /// What each client does over and over.
    enum Mode: String, CaseIterable {
        /// A simple query.
        case simple
        /// A simple query that keeps its server for 5 ms, in front of a real PostgreSQL.
        case hold
        /// Parse, Bind, Describe, Execute, Sync, all unnamed, in one go.
        case extended
        /// The same with a statement parsed once per connection.
        case prepared
        /// BEGIN, a simple query, COMMIT, each waiting for its answer.
        case transaction
        /// Connect, log in, a simple query, close.
        case connect
        /// A simple query with 1 MiB of rows.
        case big
        /// One simple query, then nothing until standard input ends.
        case idle
    }

    let mode: Mode
    let address: Socket.Address
    /// Whether many source addresses can be used.
    let isLoopback: Bool
    let user: String
    let database: String
    let clientCount: Int
    let processCount: Int
    let warmUpNanoseconds: UInt64
    let measureNanoseconds: UInt64
    /// Processes whose processor time between start and end of the measurement is wanted.
    let watchedProcesses: [Int32]
    /// Whether connections are encrypted; who the pooler is is not looked at.
    let usesTLS: Bool
    /// The password of all clients, for SCRAM.
    let password: [UInt8]
    /// Where each client is to come from; empty when the kernel chooses.
    let sourcePorts: [UInt16]

    /// Takes the command line apart; a mistake ends the program with the list of options.
    init(_ arguments: [String]) {
        let modes = Mode.allCases.map(\.rawValue).joined(separator: ", ")
        let parsed = Arguments(
            arguments,
            known: [
                ("mode", "MODE: \(modes) (simple)"),
                ("host", "HOST: IPv4 address, or folder of the Unix socket (127.0.0.1)"),
                ("port", "PORT (6432)"),
                ("user", "NAME (bench)"),
                ("database", "NAME (bench)"),
                ("clients", "COUNT: connections (20)"),
                ("processes", "COUNT: share the connections, for more than one may open (1)"),
                ("warm-up", "SECONDS: not measured (0.5)"),
                ("seconds", "SECONDS: measured (3)"),
                ("tls", "0 or 1: encrypt (0)"),
                ("password", "TEXT: for SCRAM (none)"),
                ("source-ports", "PORT,PORT,...: where each client comes from (any)"),
                ("cpu-of", "PID,PID,...: report the processor time these use meanwhile (none)"),
            ])
        guard let mode = Mode(rawValue: parsed.text("mode", default: "simple")) else {
            stop("--mode must be one of \(modes)")
        }
        self.mode = mode
        let host = parsed.text("host", default: "127.0.0.1")
        address = Socket.Address(host: host, port: parsed.number("port", default: 6432, in: 1...65_535))
        isLoopback = host.hasPrefix("127.")
        user = parsed.text("user", default: "bench")
        database = parsed.text("database", default: "bench")
        clientCount = parsed.number("clients", default: 20, in: 1...90_000)
        processCount = parsed.number("processes", default: 1, in: 1...64)
        warmUpNanoseconds = parsed.nanoseconds("warm-up", default: 0.5)
        measureNanoseconds = parsed.nanoseconds("seconds", default: 3)
        usesTLS = parsed.number("tls", default: 0, in: 0...1) == 1
        password = Array(parsed.text("password", default: "").utf8)
        sourcePorts = parsed.text("source-ports", default: "").split(separator: ",").map { text in
            guard let port = UInt16(text), port > 0 else { stop("--source-ports: '\(text)' is no port") }
            return port
        }
        if !sourcePorts.isEmpty, sourcePorts.count != clientCount {
            stop("--source-ports names \(sourcePorts.count) ports for \(clientCount) clients")
        }
        watchedProcesses = parsed.text("cpu-of", default: "").split(separator: ",").map { text in
            guard let process = Int32(text), process > 0 else { stop("--cpu-of: '\(text)' is no process id") }
            return process
        }
    }
}
