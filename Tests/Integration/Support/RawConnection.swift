import Glibc

/// A message as it came: its type and what follows the length.
struct Message: Equatable, CustomStringConvertible {
    var type: Character
    var body: [UInt8]

    var description: String { "\(type)(\(String(decoding: body.prefix(60), as: UTF8.self)))" }

    /// The fields of an error or a notice, by their letter.
    var fields: [Character: String] {
        var fields: [Character: String] = [:]
        for field in body.split(separator: 0) where !field.isEmpty {
            fields[Character(UnicodeScalar(field.first!))] = String(
                decoding: field.dropFirst(), as: UTF8.self)
        }
        return fields
    }

    /// The strings a message consists of, such as name and value of a parameter.
    var strings: [String] { body.split(separator: 0).map { String(decoding: $0, as: UTF8.self) } }
}

/// Builds messages of the protocol.
enum Bytes {
    static func int32(_ value: Int) -> [UInt8] {
        withUnsafeBytes(of: UInt32(truncatingIfNeeded: value).bigEndian) { Array($0) }
    }
    static func int16(_ value: Int) -> [UInt8] {
        withUnsafeBytes(of: UInt16(truncatingIfNeeded: value).bigEndian) { Array($0) }
    }
    static func text(_ value: String) -> [UInt8] { Array(value.utf8) + [0] }

    static func message(_ type: Character, _ body: [UInt8] = []) -> [UInt8] {
        [type.asciiValue!] + int32(body.count + 4) + body
    }
    static func startup(_ parameters: [(String, String)], version: Int = 0x30000) -> [UInt8] {
        let body = int32(version) + parameters.flatMap { text($0.0) + text($0.1) } + [0]
        return int32(body.count + 4) + body
    }
    static func query(_ sql: String) -> [UInt8] { message("Q", text(sql)) }
    static func parse(_ name: String, _ sql: String, types: [Int] = []) -> [UInt8] {
        message("P", text(name) + text(sql) + int16(types.count) + types.flatMap { int32($0) })
    }
    static func bind(_ portal: String, _ statement: String, _ parameters: [String] = []) -> [UInt8] {
        let values = parameters.flatMap { int32($0.utf8.count) + Array($0.utf8) }
        return message(
            "B", text(portal) + text(statement) + int16(0) + int16(parameters.count) + values + int16(0))
    }
    static func describe(_ kind: Character, _ name: String) -> [UInt8] {
        message("D", [kind.asciiValue!] + text(name))
    }
    static func close(_ kind: Character, _ name: String) -> [UInt8] {
        message("C", [kind.asciiValue!] + text(name))
    }
    static func execute(_ portal: String, rows: Int = 0) -> [UInt8] {
        message("E", text(portal) + int32(rows))
    }
    static let sync = message("S")
    static let flush = message("H")
    static let terminate = message("X")
    static func cancel(_ key: [UInt8]) -> [UInt8] { int32(8 + key.count) + int32(80_877_102) + key }
}

/// A connection that speaks the protocol by hand, right or wrong. Every read has a deadline.
final class RawConnection: @unchecked Sendable {
    let descriptor: Int32
    private var buffer: [UInt8] = []
    private var start = 0
    private var isOpen = true
    /// What the server reported at login, and its key for cancel requests.
    private(set) var parameters: [String: String] = [:]
    private(set) var cancelKey: [UInt8] = []

    /// - Parameter last: the last number of the loopback address to come from.
    init(port: Int, from last: UInt32 = 1) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure.system("socket") }
        if last != 1 {
            let isBound = Self.name(0x7f00_0000 + last, 0) { bind(descriptor, $0, $1) == 0 }
            guard isBound else { throw Failure.system("bind") }
        }
        guard Self.connect(descriptor, port) else { throw Failure.system("connect") }
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
    }

    /// A connection that somebody else has made.
    init(accepted descriptor: Int32) { self.descriptor = descriptor }

    deinit { disconnect() }

    /// Closes the connection, like a process that dies.
    func disconnect() {
        guard isOpen else { return }
        isOpen = false
        close(descriptor)
    }

    /// Whether a Unix socket accepts connections: it has its name before it listens.
    static func canConnect(path: String) -> Bool {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else { return false }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return withUnsafePointer(to: address) { pointer in
            Glibc.connect(
                descriptor, .init(__sockaddr_un__: pointer), socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
        }
    }

    /// Whether anybody listens on a port of the loopback interface.
    static func canConnect(port: Int) -> Bool { (try? RawConnection(port: port)) != nil }

    /// The port that this connection comes from.
    var localPort: Int { Self.localPort(of: descriptor) }

    /// The port that a connection comes from.
    static func localPort(of descriptor: Int32) -> Int {
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutablePointer(to: &address) { pointer in
            getsockname(descriptor, .init(__sockaddr_in__: pointer), &size)
        }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    private static func connect(_ descriptor: Int32, _ port: Int) -> Bool {
        name(0x7f00_0001, port) { Glibc.connect(descriptor, $0, $1) == 0 }
    }

    private static func name(
        _ host: UInt32, _ port: Int, _ body: (__CONST_SOCKADDR_ARG, socklen_t) -> Bool
    ) -> Bool {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(host).bigEndian
        return withUnsafePointer(to: address) { pointer in
            body(.init(__sockaddr_in__: pointer), socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }

    // MARK: - Sending

    func send(_ bytes: [UInt8]) throws {
        var offset = 0
        while offset < bytes.count {
            let count = bytes[offset...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress!, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw Failure.system("send") }
            offset += count
        }
    }

    /// Sends one byte at a time, each in a segment of its own.
    func trickle(_ bytes: [UInt8]) throws { for byte in bytes { try send([byte]) } }

    /// Closes with a reset instead of an orderly end.
    func reset() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        disconnect()
    }

    // MARK: - Receiving

    /// The next message, or `nil` when the other side has closed.
    func receive(within seconds: Double = Options.patience) throws -> Message? {
        let deadline = now() + seconds
        guard try fill(5, until: deadline) else { return nil }
        let length = buffer[start + 1..<start + 5].reduce(0) { $0 << 8 | Int($1) }
        guard length >= 4, length < 1 << 30 else { throw Failure("a message of \(length) bytes arrived") }
        guard try fill(length + 1, until: deadline) else { throw Failure("closed within a message") }
        let type = Character(UnicodeScalar(buffer[start]))
        let body = Array(buffer[start + 5..<start + 1 + length])
        start += 1 + length
        return Message(type: type, body: body)
    }

    /// So many bytes, as they come.
    func receiveBytes(_ count: Int) throws -> [UInt8] {
        guard try fill(count, until: now() + Options.patience) else { throw Failure("closed too early") }
        defer { start += count }
        return Array(buffer[start..<start + count])
    }

    /// The single byte that answers a request for encryption.
    func receiveByte() throws -> Character? {
        guard try fill(1, until: now() + Options.patience) else { return nil }
        defer { start += 1 }
        return Character(UnicodeScalar(buffer[start]))
    }

    /// Messages up to and with one of the given type. Throws when the connection ends before.
    @discardableResult
    func receive(through type: Character, within seconds: Double = Options.patience) throws -> [Message] {
        var messages: [Message] = []
        while true {
            guard let message = try receive(within: seconds) else {
                throw Failure("closed before \(type) came, after \(messages)")
            }
            messages.append(message)
            if message.type == type { return messages }
        }
    }

    /// Everything up to the other side's close.
    func receiveToEnd(within seconds: Double = Options.patience) throws -> [Message] {
        var messages: [Message] = []
        do {
            while let message = try receive(within: seconds) { messages.append(message) }
        } catch let failure as Failure where failure.description.contains("reset by peer") {}
        return messages
    }

    /// Sends a query and returns its answer, up to ready for query.
    @discardableResult
    func query(_ sql: String) throws -> [Message] {
        try send(Bytes.query(sql))
        return try receive(through: "Z")
    }

    /// Sends a startup packet and reads up to ready for query, answering nothing: needs trust.
    func logIn(_ startup: [(String, String)], version: Int = 0x30000) throws {
        try send(Bytes.startup(startup, version: version))
        for message in try receive(through: "Z") {
            switch message.type {
            case "S":
                let strings = message.body.split(separator: 0, omittingEmptySubsequences: false)
                parameters[String(decoding: strings[0], as: UTF8.self)] =
                    String(decoding: strings[1], as: UTF8.self)
            case "K": cancelKey = message.body
            case "E": throw Failure("login failed: \(message)")
            default: break
            }
        }
    }

    /// Whether anything can be read within the time.
    func hasInput(within seconds: Double) -> Bool {
        if start < buffer.count { return true }
        var descriptor = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&descriptor, 1, Int32(seconds * 1_000)) > 0
    }

    /// Makes `count` unread bytes available. False when the other side has closed.
    private func fill(_ count: Int, until deadline: Double) throws -> Bool {
        if start > 0 && start == buffer.count || start > 1 << 20 {
            buffer.removeFirst(start)
            start = 0
        }
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while buffer.count - start < count {
            var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let left = deadline - now()
            guard left > 0 else { throw Failure("timed out waiting for a message") }
            guard poll(&poller, 1, Int32(left * 1_000) + 1) > 0 else { continue }
            let received = recv(descriptor, &chunk, chunk.count, 0)
            if received < 0 && errno == EINTR { continue }
            guard received >= 0 else { throw Failure.system("recv") }
            if received == 0 { return false }
            buffer.append(contentsOf: chunk[..<received])
        }
        return true
    }
}
