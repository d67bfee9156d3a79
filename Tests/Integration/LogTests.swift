import Glibc
import Testing

/// What operators read, and what reads for them.
@Suite struct LogTests {
    @Test(.enabled(if: Options.isOurs), arguments: Setup.once)
    func linesOfJSONNameTheConnection(setup: Setup) async throws {
        try await withPooler(setup, Configuration(settings: ["log_format": "json"])) { pooler throws in
            do {
                let client = try pooler.connect()
                try client.query("select 1")
            }
            try eventually("the end is logged") { pooler.log.contains("\"reason\":\"client close request\"") }
            let lines = pooler.log.split(separator: "\n").map(String.init)
            #expect(lines.allSatisfy { $0.hasPrefix("{\"time\":\"") && $0.hasSuffix("}") })
            let end = try #require(lines.first { $0.contains("client close request") })
            #expect(end.contains("\"connection\":\"C-"))
            #expect(end.contains("\"database\":\"test\",\"user\":\"app\",\"address\":\"127.0.0.1:"))
            #expect(end.contains("\"age\":"))
            let server = try #require(lines.first { $0.contains("new connection to server") })
            #expect(server.contains("\"connection\":\"S-") && server.contains(":\(pooler.postgres.port)\""))
        }
    }

    /// The log is a pipe that is full and that nobody reads.
    @Test(.enabled(if: Options.isOurs), arguments: Setup.once)
    func aFullPipeStopsNobody(setup: Setup) async throws {
        let path = try await onThreadValue { try Folder.shared.make("pipe") } + "/log"
        #expect(mkfifo(path, 0o666) == 0 && chmod(path, 0o666) == 0)
        let end = open(path, O_RDWR | O_NONBLOCK)
        defer { close(end) }
        let page = [UInt8](repeating: UInt8(ascii: "\n"), count: 4096)
        while write(end, page, page.count) > 0 {}
        #expect(errno == EAGAIN)
        try await withPooler(setup, Configuration(settings: ["logfile": path])) { pooler throws in
            let client = try pooler.connect()
            for _ in 0..<50 {
                #expect(try pooler.connect().query("select 1").value == "1")
                #expect(try client.query("select 2").value == "2")
            }
            pooler.reload()
            #expect(try pooler.connect().query("select 3").value == "3")
        }
    }
}
