import Glibc

/// What a web server has answered.
struct HTTPAnswer {
    let status: Int
    let head: String
    let body: String
}

/// One connection to a web server on loopback. Every read has a deadline.
final class HTTPConnection {
    private let descriptor: Int32

    init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var limit = timeval(tv_sec: Int(Options.patience), tv_usec: 0)
        setsockopt(
            descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(INADDR_LOOPBACK).bigEndian
        let result = withUnsafePointer(to: address) { pointer in
            connect(
                descriptor, .init(__sockaddr_in__: pointer), socklen_t(MemoryLayout<sockaddr_in>.size))
        }
        guard result == 0 else { throw Failure.system("connect") }
    }

    deinit { close(descriptor) }

    func send(_ text: String) {
        let bytes = Array(text.utf8)
        _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    /// Everything until the server closes the connection.
    func receive() throws -> HTTPAnswer {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            guard count >= 0 else { throw Failure.system("read") }
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        let text = String(decoding: bytes, as: UTF8.self)
        let separator = "\r\n\r\n"
        var head = Substring()
        var body = Substring()
        for index in text.utf8.indices where text[index...].utf8.starts(with: separator.utf8) {
            head = text[..<index]
            body = text[text.utf8.index(index, offsetBy: 4)...]
            break
        }
        let words = head.split(separator: " ")
        guard words.count > 1, let status = Int(words[1]) else {
            throw Failure("no HTTP: \(text.prefix(99))")
        }
        return HTTPAnswer(status: status, head: String(head), body: String(body))
    }

    static func request(_ path: String, _ lines: [String] = []) -> String {
        (["GET \(path) HTTP/1.1", "Host: localhost", "Connection: close"] + lines + ["", ""])
            .joined(separator: "\r\n")
    }

    /// Asks for a page over a connection of its own.
    static func get(_ path: String, port: Int, _ lines: [String] = []) throws -> HTTPAnswer {
        let connection = try HTTPConnection(port: port)
        connection.send(request(path, lines))
        return try connection.receive()
    }
}
