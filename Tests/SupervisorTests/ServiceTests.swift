import Glibc
import System
import Testing

/// The files in Config that a service is made of.
@Suite struct ServiceTests {
    private static let folder =
        #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 } + "/Config"

    private static func has(_ program: String) -> Bool { access("/usr/bin/\(program)", X_OK) == 0 }

    private func output(of command: String) -> (text: String, status: Int32) {
        guard let stream = popen(command + " 2>&1", "r") else { return ("", -1) }
        var text = ""
        while let line = readLine(from: stream) { text += line }
        return (text, pclose(stream))
    }

    private func readLine(from stream: UnsafeMutablePointer<FILE>) -> String? {
        var buffer = [CChar](repeating: 0, count: 4096)
        guard fgets(&buffer, Int32(buffer.count), stream) != nil else { return nil }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    @Test(.enabled(if: has("systemd-analyze")))
    func systemdUnderstandsTheUnits() throws {
        let instance = try Instance(start: false)
        for name in ["pgsluice.service", "pgsluice.socket"] {
            let unit = String(decoding: try FileSystem.read("\(Self.folder)/\(name)"), as: UTF8.self)
            // The program need not be installed where the tests run.
            let text = unit.split(separator: "\n", omittingEmptySubsequences: false)
                .map { $0.hasPrefix("ExecStart=") ? "ExecStart=/bin/true" : String($0) }
                .joined(separator: "\n")
            try FileSystem.create("\(instance.folder)/\(name)", Array(text.utf8), mode: 0o644)
        }
        defer {
            for name in ["pgsluice.service", "pgsluice.socket"] {
                try? FileSystem.remove("\(instance.folder)/\(name)")
            }
        }
        let files = "\(instance.folder)/pgsluice.service \(instance.folder)/pgsluice.socket"
        let (text, status) = output(of: "systemd-analyze verify --man=no \(files)")
        #expect(status == 0 && !text.contains("pgsluice"), "\(text)")
    }

    /// The connection that starts the program is served by it.
    @Test(.enabled(if: has("systemd-socket-activate")))
    func theFirstConnectionStartsTheProgram() throws {
        let instance = try Instance(start: false)
        try instance.start(
            script: "exec systemd-socket-activate -E LD_LIBRARY_PATH=\"$LD_LIBRARY_PATH\" "
                + "-l 127.0.0.1:\(instance.port) \"$@\"",
            waits: false)
        var first: Int32?
        try eventually("the socket listens") {
            first = try? instance.connect()
            return first != nil
        }
        defer { if let first { Descriptors.close(first) } }
        #expect(try ["0", "1"].contains(instance.ask("index", on: first!)))
        #expect(instance.log.contains("the service manager passed sockets"))
        instance.send(SIGQUIT)
        #expect(try instance.waitForEnd() == .exited(code: 0))
    }
}
