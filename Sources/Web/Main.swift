import Glibc

/// Serves metrics of a pgsluice over HTTP. It is a client of the control socket and nothing else: whatever
/// happens to it, the pooler goes on, and starts another.
@main
enum Main {
    private static let usage = """
        usage: pgsluice-web --control DIRECTORY --port PORT --listen ADDRESS:PORT

        Serves /metrics, /healthz and /readyz for the instance whose control socket is .s.PGSQL.PORT in
        DIRECTORY, until its standard input ends. pgsluice starts it when metrics_listen is set.
        """

    static func main() {
        var options: [String: String] = [:]
        var words = CommandLine.arguments.dropFirst()
        while let name = words.popFirst(), name.hasPrefix("--"), let value = words.popFirst() {
            options[name] = value
        }
        guard options.count == 3, let folder = options["--control"], let port = options["--port"],
            let address = options["--listen"].flatMap(ListenAddress.init)
        else { Log.fail(usage) }
        do {
            try Server(Collector(ControlConnection(folder: folder, port: port))).start(address)
        } catch {
            Log.fail("cannot serve metrics at \(address): \(error)")
        }
        waitForEndOfInput()
    }

    /// Who has started us holds the other end of our standard input, and whatever becomes of it closes that.
    private static func waitForEndOfInput() {
        var byte: UInt8 = 0
        while true {
            let count = unsafe read(0, &byte, 1)
            if count == 0 { return }
            if count > 0 || errno == EINTR { continue }
            guard errno == EAGAIN else { return }
            var wanted = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&wanted, 1, -1)
        }
    }
}

/// What is said to whoever started us, line by line.
enum Log {
    /// Says something.
    static func write(_ text: String) {
        let bytes = Array((text + "\n").utf8)
        // Who does not read it does without it.
        _ = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(2, $0.baseAddress, $0.count) }
    }

    /// Says why it is over.
    static func fail(_ text: String) -> Never {
        write(text)
        exit(1)
    }
}
