import BenchmarkSupport
import CLinux
import Glibc

/// `Forwarder POOLER.INI`: what passes bytes on between one client and one server and does nothing else, and
/// never sleeps while it has a client. No pooler can answer one client sooner; measured in place of one, it
/// tells how near that is.
///
/// It reads the two ports from the configuration that poolers get in the benchmark.
@main
struct Main {
    static func main() {
        let words = CommandLine.arguments.dropFirst()
        if words.first == "--version" { return announce("Forwarder") }
        guard let path = words.first, let text = read(path),
            let port = number(after: "listen_port = ", in: text),
            let serverPort = number(after: " port=", in: text)
        else { stop("usage: Forwarder POOLER.INI") }
        clinux_ignore_signal(SIGPIPE)
        let listener = Socket.listen(on: .internet("127.0.0.1", port))
        while true {
            var arrival = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
            poll(&arrival, 1, -1)
            guard let client = Socket.accept(listener) else { continue }
            forward(client, to: .internet("127.0.0.1", serverPort))
            close(client)
        }
    }

    /// Passes bytes both ways until one side ends.
    static func forward(_ client: Int32, to address: Socket.Address) {
        guard let server = Socket.connect(to: address) else { return }
        defer { close(server) }
        let size = 65_536
        let bytes = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
        defer { bytes.deallocate() }
        while pass(client, server, bytes, size), pass(server, client, bytes, size) {}
    }

    /// Passes on what one side has sent, if there is anything; false at its end.
    @inline(__always)
    static func pass(_ from: Int32, _ to: Int32, _ bytes: UnsafeMutableRawPointer, _ size: Int) -> Bool {
        let count = recv(from, bytes, size, 0)
        if count <= 0 { return count < 0 && (errno == EAGAIN || errno == ENOTCONN) }
        var sent = 0
        while sent < count {
            let part = Socket.send(to, bytes + sent, count - sent)
            if part >= 0 { sent += part } else if errno != EAGAIN, errno != ENOTCONN { return false }
        }
        return true
    }

    static func read(_ path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes.prefix(count), as: UTF8.self)
    }

    /// The number behind the first place where `key` stands.
    static func number(after key: String, in text: String) -> UInt16? {
        let bytes = Array(text.utf8)
        let key = Array(key.utf8)
        guard bytes.count > key.count else { return nil }
        for start in 0..<(bytes.count - key.count) where bytes[start...].starts(with: key) {
            let digits = bytes[(start + key.count)...].prefix {
                $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9")
            }
            return UInt16(String(decoding: digits, as: UTF8.self))
        }
        return nil
    }
}
