import Glibc
import System
import Testing

/// A console session: through a socket that a worker passed on, or on the control socket.
final class ConsoleClient {
    struct Message {
        let type: Character
        let body: [UInt8]
        var text: String { String(decoding: body.map { $0 == 0 ? 0x20 : $0 }, as: UTF8.self) }
    }

    let descriptor: Int32
    private var buffer: [UInt8] = []

    init(_ instance: Instance, worker: Int? = nil) throws {
        descriptor = try worker.map { try instance.connect(worker: $0) } ?? instance.connect()
        try Descriptors.writeAll(descriptor, Array("console\n".utf8))
        _ = try untilReady()
    }

    /// A session on the control socket.
    ///
    /// - Throws: what the greeting was, when it is a refusal.
    init(controlSocket path: String, database: String = "pgbouncer") throws {
        descriptor = try Socket.open(.unix)
        try Socket.connect(descriptor, to: SocketAddress(unixPath: path)!)
        let body = [0, 3, 0, 0] + Array("user\0boss\0database\0\(database)\0\0".utf8)
        // Whoever is not let in may be told so before it has said anything.
        signal(SIGPIPE, SIG_IGN)
        try? Descriptors.writeAll(descriptor, ConsoleClient.length(body.count + 4) + body)
        _ = try untilReady()
    }

    private static func length(_ count: Int) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: UInt32(count) >> UInt32(24 - 8 * $0)) }
    }

    deinit { Descriptors.close(descriptor) }

    func send(_ query: String) throws {
        let body = Array(query.utf8) + [0]
        try Descriptors.writeAll(descriptor, [0x51] + ConsoleClient.length(body.count + 4) + body)
    }

    func next(within milliseconds: Int32 = 10_000) throws -> Message? {
        while true {
            if buffer.count >= 5 {
                let length = buffer[1..<5].reduce(0) { $0 << 8 | Int($1) }
                if buffer.count >= length + 1 {
                    defer { buffer.removeFirst(length + 1) }
                    return Message(
                        type: Character(Unicode.Scalar(buffer[0])), body: Array(buffer[5..<(length + 1)]))
                }
            }
            let ready = Poll.wait([Poll.Interest(descriptor, .read)], milliseconds: milliseconds)
            guard ready[0].canRead, let bytes = try Descriptors.read(descriptor, limit: 65536), !bytes.isEmpty
            else { return nil }
            buffer += bytes
        }
    }

    func untilReady() throws -> [Message] {
        var messages: [Message] = []
        while let message = try next() {
            if message.type == "Z" { return messages }
            messages.append(message)
        }
        throw TestFailure("the console ended after \(messages.map(\.text))")
    }

    func query(_ text: String) throws -> [Message] {
        try send(text)
        return try untilReady()
    }
}
